"""What `tosmooth analyse` found of a cell, for the report: measures, calibration, accuracy of each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tosmooth.search.records import Cell, Level
from tosmooth.search.report.analysis.measures import (
    BEYOND,
    LINES,
    UNBOUNDED,
    Array,
    Measured,
    difference_told,
    pooled,
    read_cells,
    read_measures,
    told,
)
from tosmooth.search.report.best_rates import rest_in_words
from tosmooth.search.report.html.page_tables import PageTable
from tosmooth.search.report.row import Row
from tosmooth.search.spec.parameters import in_short

FEW = 0.005  # share of the examples below which a bin says nothing of its accuracy
MOST_CLASSES = 30  # that are drawn: of more those in which the arms differ most, and the commonest confusions
MOST_CONFUSED = 12  # pairs of classes that are listed


class Bin(NamedTuple):
    """Bin of a reliability diagram, over all seeds."""

    confidence: float
    accuracy: float
    examples: float


@dataclass(frozen=True, slots=True)
class ArmNumbers:
    """Arrays of one arm, over all seeds."""

    name: str  # chosen, CE or LS
    chosen: bool
    params: dict[str, Any]
    diagrams: Mapping[str, Sequence[Mapping[str, Any]]]  # as trained, and scaled
    confusion: Array | None  # [K, K] counts; of an analysis of before there are none

    @property
    def words(self) -> str:
        return f"{self.name} ({in_short(self.params)})" if self.name == "chosen" else self.name

    def bins(self, scaled: bool) -> list[Bin]:
        """Bins of its reliability diagram that hold enough examples."""
        count, right, sure = pooled(self.diagrams["scaled_reliability" if scaled else "reliability"])
        shown = count > FEW * count.sum()
        columns = (sure[shown] / count[shown], right[shown] / count[shown], count[shown])
        return [Bin(*row) for row in np.stack(columns, axis=1).round(4).tolist()]

    def by_class(self) -> Array | None:
        """Accuracy of each class in percent; NaN for one without test examples."""
        if self.confusion is None:
            return None
        with np.errstate(invalid="ignore"):
            return np.asarray(100 * np.diag(self.confusion) / self.confusion.sum(axis=1))


@dataclass(frozen=True, slots=True)
class CellNumbers:
    """Analysis of one cell."""

    arms: list[ArmNumbers]
    measures: PageTable
    notes: list[str] = field(default_factory=list)

    @property
    def own(self) -> ArmNumbers | None:
        """The arm that was chosen, a baseline or not."""
        return next((arm for arm in self.arms if arm.chosen), None)


def read_analysis(folder: Path, rows: Mapping[Cell, Row]) -> dict[Cell, CellNumbers]:
    """Read what a study's folder `analysis/` holds, by level and method; empty where it was not analysed.

    Raises `InputError` where a file is damaged.
    """
    files = folder / "analysis.json", folder / "analysis.csv"
    if not all(file.exists() for file in files):
        return {}
    measures, found = read_measures(files[1]), dict[Cell, CellNumbers]()
    for cell in read_cells(files[0]):
        key = Cell(cell["level"], cell["method"])
        if key in rows:
            own = [each for each in measures if (each.level, each.method) == key]
            found[key] = _cell(cell, own, rows[key])
    return found


def _cell(cell: Mapping[str, Any], measures: Sequence[Measured], row: Row) -> CellNumbers:
    arms = [_arm(arm) for arm in cell["arms"] if arm["seeds"]]
    table = _table(arms, measures)
    notes = [*cell["notes"], *(f"{arm['arm']}: {note}" for arm in cell["arms"] for note in arm["notes"])]
    if any(each in text for _, texts in table.rows for text in texts for each in BEYOND):
        notes.insert(0, UNBOUNDED)
    own = next((arm.params for arm in arms if arm.chosen), None)
    if own is not None and not _is_choice(own, row):
        notes.insert(0, f"of an earlier choice, {in_short(own)}: `tosmooth analyse` looks at that of the table")
    return CellNumbers(arms, table, list(dict.fromkeys(notes)))


def _is_choice(params: Mapping[str, Any], row: Row) -> bool:
    own = (params.get("rate"), params.get("warmup"), rest_in_words(dict(params)))
    return own == (row.best_rate, row.best_warmup, row.best_parameters)


def _arm(arm: Mapping[str, Any]) -> ArmNumbers:
    arrays = [seed["arrays"] for seed in arm["seeds"].values()]
    diagrams = {name: [each[name] for each in arrays] for name in ("reliability", "scaled_reliability")}
    known = all("confusion" in each for each in arrays)
    confusion = np.sum([np.asarray(each["confusion"], float) for each in arrays], axis=0) if known else None
    return ArmNumbers(arm["arm"], arm["chosen"], arm["params"], diagrams, confusion)


def _table(arms: Sequence[ArmNumbers], measures: Sequence[Measured]) -> PageTable:
    """Table of the measures that the terminal shows, an arm a column."""
    known = {(each.arm, each.measure): each for each in measures}
    compared = next((arm.name for arm in arms if arm.chosen and arm.name != "CE"), None)
    lines = []
    for line in LINES:
        cells = [told(known.get((arm.name, line.measure)), line, "\n") for arm in arms]
        if compared is not None:
            cells.append(difference_told(known.get((compared, line.measure)), line, "\n"))
        if any(cells):
            lines.append((line.words, cells))
    heads = [arm.words for arm in arms]
    return PageTable([*heads, *([f"{compared} \N{MINUS SIGN} CE\n(95 %)"] if compared is not None else [])], lines)


def shown_classes(cell: CellNumbers) -> list[int]:
    """Classes that are drawn: all, or those in which the chosen arm and cross-entropy differ most."""
    own = next((arm for arm in cell.arms if arm.chosen), cell.arms[0]).by_class()
    if own is None:
        return []
    if len(own) <= MOST_CLASSES:
        return list(range(len(own)))
    ce = next((arm.by_class() for arm in cell.arms if arm.name == "CE"), None)
    apart = np.abs(own - (own if ce is None else ce))
    order = np.lexsort((own, -np.nan_to_num(apart, nan=-1.0)))
    return sorted(order[:MOST_CLASSES].tolist())


def confusions(arm: ArmNumbers, level: Level) -> list[tuple[str, list[str]]]:
    """Commonest confusions of an arm: the true class, what it is taken for, and how often in percent of the class."""
    if arm.confusion is None:
        return []
    totals = arm.confusion.sum(axis=1, keepdims=True)
    share = np.divide(arm.confusion, totals, out=np.zeros_like(arm.confusion), where=totals > 0)
    np.fill_diagonal(share, 0)
    order = np.argsort(-share, axis=None, kind="stable")[:MOST_CONFUSED]
    pairs = [divmod(int(place), len(share)) for place in order]
    return [(level.name_of(i), [level.name_of(j), f"{100 * share[i, j]:.1f}"]) for i, j in pairs if share[i, j] > 0]

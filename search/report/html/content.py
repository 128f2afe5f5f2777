"""Content of the report: what a page says of each study, before it is laid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tosmooth.search.records import Cell, Record
from tosmooth.search.report.html.analysis_part import read_analysis
from tosmooth.search.report.html.facts import Fact, cost, machines, recipe
from tosmooth.search.report.html.figures import (
    AnalysisPart,
    CellPart,
    Figure,
    Numbers,
    analysis_part,
    cell_part,
    overview,
)
from tosmooth.search.report.html.page_tables import Explained, PageTable, all_columns, answers, at_a_glance
from tosmooth.search.report.html.summary import summary
from tosmooth.search.report.html.suspects_part import SuspectsPart, suspects_part
from tosmooth.search.report.results import StudyResults, views
from tosmooth.search.report.row import Row
from tosmooth.search.report.terminal import notes
from tosmooth.search.spec.loading import to_yaml
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.redact import masked

MOST_CHARTED = 24  # cells of a study that get charts of their own
MOST_ANALYSED = 12  # cells whose analysis is shown
MOST_ILLUSTRATED = 6  # cells whose suspects are shown as pictures


@dataclass(slots=True)
class StudyPart:
    """What the page says of one study."""

    name: str
    question: str
    dataset: str
    summary: list[str]
    answers: list[tuple[str, str, str]]
    table: PageTable
    notes: list[str]
    columns: list[Explained]
    names: list[str]
    overview: list[Figure]
    cells: list[CellPart]
    analysis: list[AnalysisPart]
    suspects: list[SuspectsPart]
    recipe: list[Fact]
    cost: list[Fact]
    file: str
    missing: list[str]

    @property
    def figures(self) -> list[Figure]:
        """All of its figures."""
        parts = [*(part.figures for part in self.cells), *(part.figures for part in self.analysis)]
        return [*self.overview, *(figure for figures in parts for figure in figures)]


def study_part(study: StudyResults, numbers: Numbers) -> StudyPart:
    """Put together what the page says of a study."""
    folder, spec, levels, records, rows = study
    shown = [view for _, view in zip(range(MOST_CHARTED), views(spec, levels, records, rows), strict=False)]
    told = answers(rows)
    named = {cell: name for cell, (name, *_) in zip(spec.cells(), told, strict=True)}
    missing = _missing(rows, records)
    over = overview(levels, rows, numbers)
    cells = [cell_part(view, name, words, numbers) for view, (name, _, words) in zip(shown, told, strict=False)]
    return StudyPart(
        name=spec.name,
        question=spec.question,
        dataset=spec.dataset.name,
        summary=summary(rows, spec.selection.validate_on == "clean"),
        answers=told,
        table=at_a_glance(rows),
        notes=notes(rows),
        columns=all_columns(rows),
        names=list(named.values()),
        overview=over,
        cells=cells,
        analysis=_analyses(study, named, numbers, missing),
        suspects=_suspects(folder.path, spec.name, named, missing),
        recipe=recipe(spec, levels),
        cost=[*cost(spec, rows, records), *machines(folder)],
        file=masked(to_yaml(spec)),
        missing=missing,
    )


def _analyses(
    study: StudyResults, named: Mapping[Cell, str], numbers: Numbers, missing: list[str]
) -> list[AnalysisPart]:
    """What the analysis found of each cell; what it lacks is added to `missing`."""
    rows = dict(zip(named, study.rows, strict=True))
    command = f"`tosmooth analyse {study.spec.name}`"
    try:
        found = read_analysis(study.folder.path / "analysis", rows)
    except InputError as error:
        missing.append(f"calibration, classes and confusion: {error}")
        return []
    if not found:
        own = "of networks of your own code" if study.spec.trainable is not None else f"{command} looks at the networks"
        missing.append(f"calibration, accuracy of each class and confusion: {own}")
    if any(arm.confusion is None for cell in found.values() for arm in cell.arms):
        missing.append(f"accuracy of each class and confusion: the analysis was made before there were any; {command}")
    shown = [cell for cell in named if cell in found][:MOST_ANALYSED]
    if len(found) > len(shown):
        missing.append(f"analysis of {len(found) - len(shown)} more levels and methods: it lies in the study's folder")
    return [analysis_part(named[cell], study.levels[cell.level], found[cell], numbers) for cell in shown]


def _suspects(folder: Path, study: str, named: Mapping[Cell, str], missing: list[str]) -> list[SuspectsPart]:
    """Suspects of each cell; what there is none of is added to `missing`."""
    found: list[SuspectsPart] = []
    for cell, name in named.items():
        try:
            part = suspects_part(folder, cell, name, len(found) < MOST_ILLUSTRATED)
        except InputError as error:
            missing.append(f"suspects of {name}: {error}")
            continue
        if part is not None:
            found.append(part)
    if not found:
        missing.append(f"labels that are probably wrong: `tosmooth suspects {study}` lists them")
    elif len(found) > MOST_ILLUSTRATED and found[0].illustrated:
        missing.append(f"pictures of the suspects of more than {MOST_ILLUSTRATED} levels and methods")
    return found


def _missing(rows: Sequence[Row], records: Sequence[Record]) -> list[str]:
    """Say what the page does not show, and where it is."""
    found = []
    if len(rows) > MOST_CHARTED:
        found.append(f"charts of {len(rows) - MOST_CHARTED} more levels and methods: `tosmooth plot` draws them")
    if running := sum(record.state == "running" for record in records):
        trials = "1 trial ended that was" if running == 1 else f"{running} trials ended that were"
        found.append(f"how {trials} running: the study is not at its end, and its numbers may change")
    return found

"""A study's records, rows and files, read from its home: while it runs or after, without the data or a GPU."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from tosmooth.search.records import Cell, Level, Record, to_parquet
from tosmooth.search.report import plots, tables
from tosmooth.search.report.best_rates import best_row
from tosmooth.search.report.cell_results import CellResults
from tosmooth.search.report.row import Row
from tosmooth.search.selection.choice import chosen, decision, model_of, selected, uncertainty
from tosmooth.search.selection.comparison import best_cross_entropy, borrowed, judged
from tosmooth.search.selection.stopping import savings
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.reading import read_records
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.surrogate.posterior import Posterior
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.atomic_write import write

log = logging.getLogger(__name__)


def prefix_of(cell: Cell) -> str:
    """What the names of a cell's own files begin with."""
    return f"{cell.level.replace('/', '-')}-{cell.method}-"


def shown_with(cell: Cell, cells: Sequence[Cell], files: Sequence[Path]) -> list[Path]:
    """Select the files that belong to a cell: its own pictures, and those about the whole study."""
    own, *others = (prefix_of(c) for c in (cell, *(c for c in cells if c != cell)))
    return [file for file in files if file.name.startswith(own) or not file.name.startswith(tuple(others))]


def by_cell(spec: StudySpec, records: Sequence[Record]) -> dict[Cell, list[Record]]:
    """Group the records by cell, in one pass: a study may have a thousand cells."""
    found: dict[Cell, list[Record]] = {cell: [] for cell in spec.cells()}
    for record in records:
        found[Cell(record.level, record.method)].append(record)
    return found


def _borrowed(cell: Cell, found: Mapping[Cell, Sequence[Record]]) -> list[Record]:
    """Confirmed baselines that a cell has from the others of its level."""
    others = [other for other in found if other.level == cell.level]
    return borrowed(*cell, [record for other in others for record in found[other]])


def study_rows(spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record]) -> list[Row]:
    """Rows of the best-rate table, one for each cell, in the order of the study."""
    rows = []
    saved, cells = savings(spec, records), by_cell(spec, records)
    fixed = spec.search.sampler == "grid"  # no more trials can be asked for
    for cell, found in cells.items():
        view = MethodSpec.of(spec, cell.method)
        others = _borrowed(cell, cells)
        best, model = chosen(view, [*others, *found]), model_of(view, found)
        searched = selected(view, [*others, *found])
        level, baselines = judged(levels[cell.level], found, spec.score), view.baselines(best)
        ce = best_cross_entropy(baselines.ce, [*others, *found], level, spec.score)
        early = [f"search stopped early: {saving.reason}" for saving in saved if saving.cell == cell]
        if spec.trainable is not None:
            early.append(f"trained by {spec.trainable}: no warm-up is shared")
        row = best_row(
            CellResults(
                level=level,
                method=cell.method,
                records=found,
                score=spec.score,
                rule=spec.confirmation,
                best=best,
                selected=None if searched == best else searched,
                baselines=replace(baselines, ce=ce),
                ce_of_choice=None if ce == baselines.ce else baselines.ce,
                bounds=view.rate_bounds,
                uncertainty=uncertainty(view, model, best),
                decision=decision(view, model, best) if searched == best else None,
                budget=None if early or fixed else spec.budget,
                readout=spec.search.readout,
                others=others,
            )
        )
        rows.append(replace(row, note="; ".join(filter(None, (row.note, *early)))))
    return rows


class StudyResults(NamedTuple):
    """Study of a home, with its trials and its table."""

    folder: StudyFolder
    spec: StudySpec
    levels: dict[str, Level]
    records: list[Record]
    rows: list[Row]


def studies_on(home: Home, dataset: str, storage: str | None) -> list[StudyResults]:
    """Read all studies of a home on one dataset. Raises `InputError` where there is none."""
    found = list[StudyResults]()
    known = set()
    for folder in home.studies():
        try:
            spec = folder.spec()
            known.add(spec.dataset.name)
            if spec.dataset.name != dataset:
                continue
            records, levels = read_records(folder, spec, None if folder.journal.exists() else storage), folder.levels()
            found.append(StudyResults(folder, spec, levels, records, study_rows(spec, levels, records)))
        except InputError as error:  # `tosmooth studies` shows it; the others can be told all the same
            log.warning("study %s is left out: %s", folder.path.name, error)
    if not found:
        there = ", ".join(sorted(known)) or "none"
        raise InputError(f"--dataset: no study of the home {home.root} is on {dataset!r} (datasets there: {there})")
    return found


def dataset_results(home: Home, dataset: str, storage: str | None) -> tuple[list[Row], list[Record]]:
    """Rows and records of all studies of a home on one dataset; each row's note begins with its study."""
    rows: list[Row] = []
    records: list[Record] = []
    for study in studies_on(home, dataset, storage):
        name = f"study {study.spec.name}"
        rows += [replace(row, note="; ".join(filter(None, (name, row.note)))) for row in study.rows]
        records += study.records
    return rows, records


class View(NamedTuple):
    """What pictures of a cell are made of."""

    cell: Cell
    level: Level
    records: list[Record]  # its own, and the baselines that it has from other cells
    row: Row
    model: Posterior | None


def views(
    spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record], rows: Sequence[Row]
) -> Iterator[View]:
    """Put together what pictures of each cell are made of, in the order of the `rows`."""
    found = by_cell(spec, records)
    for row, (cell, own) in zip(rows, found.items(), strict=True):
        model = model_of(MethodSpec.of(spec, cell.method), own)
        yield View(cell, levels[cell.level], [*own, *_borrowed(cell, found)], row, model)


def draw(
    folder: Path, spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record], rows: Sequence[Row]
) -> list[Path]:
    """Draw the study's plots into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = list(views(spec, levels, records, rows))
    cells = [(view.level, view.records) for view in shown]
    return plots.save_plots(folder, cells, rows, [view.model for view in shown])


def cell_figure(
    spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record], row: Row, cell: Cell
) -> Figure:
    """Draw the accuracies of a cell over its smoothing rates."""
    found = by_cell(spec, records)
    model = model_of(MethodSpec.of(spec, cell.method), found[cell])
    return plots.accuracy_over_rate(levels[cell.level], [*found[cell], *_borrowed(cell, found)], row, model)


def write_results(
    folder: StudyFolder, spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record]
) -> tuple[list[Row], list[Path]]:
    """Write table, trials and plots into the study's folder; returns the rows and the files."""
    rows = study_rows(spec, levels, records)
    files = [folder.table_file, folder.path / "trials.parquet"]
    write(tables.render(rows, "csv"), files[0])
    write(to_parquet(records), files[1])
    return rows, [*files, *draw(folder.plots, spec, levels, records, rows)]

"""A study's records, rows and files, read from its home: while it runs or after, without the data or a GPU."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from search import plots, tables
from search.allocation import savings
from search.choice import chosen, model_of, sureness
from search.history import History
from search.home import Home, StudyFolder
from search.records import Level, Record, to_parquet
from search.rows import Row, best_row
from search.selection import borrowed
from search.store import Store, open_storage
from search.study import Cell, StudySpec
from trainables.config import InputError


def read_records(folder: StudyFolder, spec: StudySpec, storage: str | None) -> list[Record]:
    """Every trial of a study as its storage and history have it now. Writes nothing."""
    folder.check_storage(storage)
    return Store(spec, open_storage(storage, folder.journal)).records(History(folder.history).read())


def shown_with(cell: Cell, cells: Sequence[Cell], files: Sequence[Path]) -> list[Path]:
    """The files that belong to a cell: its own pictures, and what is about the whole study."""
    own, *others = (f"{c.level.replace('/', '-')}-{c.method}-" for c in (cell, *(c for c in cells if c != cell)))
    return [file for file in files if file.name.startswith(own) or not file.name.startswith(tuple(others))]


def of_cell(cell: Cell, records: Sequence[Record]) -> list[Record]:
    """The records of one cell."""
    return [record for record in records if (record.level, record.method) == cell]


def by_cell(spec: StudySpec, records: Sequence[Record]) -> dict[Cell, list[Record]]:
    """The records of each cell, gone through once: a study may have a thousand cells."""
    found: dict[Cell, list[Record]] = {cell: [] for cell in spec.cells()}
    for record in records:
        found[Cell(record.level, record.method)].append(record)
    return found


def _borrowed(cell: Cell, found: Mapping[Cell, Sequence[Record]]) -> list[Record]:
    """What a cell borrows from the others of its level."""
    others = [other for other in found if other.level == cell.level]
    return borrowed(*cell, [record for other in others for record in found[other]])


def study_rows(spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record]) -> list[Row]:
    """The best-rate table: one row a cell, in the order of the study."""
    rows = []
    saved, cells = savings(spec, records), by_cell(spec, records)
    for cell, found in cells.items():
        view = spec.of(cell.method)
        best = chosen(view, found)
        sure = sureness(view, model_of(view, found), best)
        row = best_row(
            levels[cell.level],
            cell.method,
            found,
            spec.selection,
            best,
            view.baselines(best),
            view.rate_bounds,
            sure,
            _borrowed(cell, cells),
        )
        early = [f"search stopped early: {saving.reason}" for saving in saved if saving.cell == cell]
        rows.append(replace(row, note="; ".join(filter(None, (row.note, *early)))))
    return rows


def dataset_results(home: Home, dataset: str, storage: str | None) -> tuple[list[Row], list[Record]]:
    """Rows and records of all studies of a home on one dataset; each row's note begins with its study."""
    rows: list[Row] = []
    records: list[Record] = []
    known = set()
    for folder in home.studies():
        spec = folder.spec()
        known.add(spec.dataset.name)
        if spec.dataset.name == dataset:
            found = read_records(folder, spec, storage)
            own = study_rows(spec, folder.levels(), found)
            rows += [replace(row, note="; ".join(filter(None, (f"study {spec.name}", row.note)))) for row in own]
            records += found
    if not rows:
        there = ", ".join(sorted(known)) or "none"
        raise InputError(f"--dataset: no study of the home {home.root} is on {dataset!r} (datasets there: {there})")
    return rows, records


def draw(
    folder: Path, spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record], rows: Sequence[Row]
) -> list[Path]:
    """Draw the study's plots into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    found = by_cell(spec, records)
    cells = [(levels[cell.level], [*own, *_borrowed(cell, found)]) for cell, own in found.items()]
    models = [model_of(spec.of(cell.method), own) for cell, own in found.items()]
    return plots.save_plots(folder, cells, rows, models)


def write_results(
    folder: StudyFolder, spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record]
) -> tuple[list[Row], list[Path]]:
    """Write table, trials and plots into the study's folder; returns the rows and the files."""
    rows = study_rows(spec, levels, records)
    files = [folder.path / "best_rates.csv", folder.path / "trials.parquet"]
    tables.write(tables.render(rows, "csv"), files[0])
    tables.write(to_parquet(records), files[1])
    return rows, [*files, *draw(folder.plots, spec, levels, records, rows)]

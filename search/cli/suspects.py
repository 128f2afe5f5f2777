"""The commands `tosmooth suspects` and `tosmooth clean`."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tosmooth.search.api.studies import data_of, existing, home_at
from tosmooth.search.api.surroundings import stop_on_signals
from tosmooth.search.cli.completion import levels, methods, one_of
from tosmooth.search.cli.options import (
    DEFAULT_HOME,
    CacheOption,
    DataOption,
    HomeOption,
    KeptStudy,
    StorageOption,
    err,
    out,
)
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.redact import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tosmooth.search.records import Cell
    from tosmooth.search.report.suspects.cleaning import Written
    from tosmooth.search.spec.study import StudySpec
    from tosmooth.search.storage.study_folder import StudyFolder

SEEDS = 3  # of a comparison: fewer have no interval
LevelOption = Annotated[
    str | None, typer.Option(help="Noise level; may be left out where there is one.", autocompletion=levels)
]
MethodOption = Annotated[str | None, typer.Option(help="Method of the study; likewise.", autocompletion=methods)]


def suspects(
    study: KeptStudy,
    level: Annotated[str | None, typer.Option(help="Noise level.", show_default="all", autocompletion=levels)] = None,
    method: Annotated[
        str | None, typer.Option(help="Method of the study.", show_default="all", autocompletion=methods)
    ] = None,
    folds: Annotated[
        int, typer.Option(help="Parts of the training set; each is judged by a network of the others.")
    ] = 5,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Training seeds, averaged.", show_default=f"1, with --compare {SEEDS}")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also by CE and LS: does the chosen rate find errors better?")
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="csv|parquet|html", help="Also in this form.", autocompletion=one_of("csv", "parquet", "html")
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Rows of that.", show_default="all, of html 100")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also this column of your table, such as an id, in that. Repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File for that; csv unless --format says.", show_default="the study's suspects/")
    ] = None,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
    storage: StorageOption = None,
) -> None:
    """List the labels that are probably wrong, by networks of the chosen parameters that have not seen them."""
    from tosmooth.search.report.suspects.files import FORMATS

    folder, spec, records = existing(study, home_at(home), storage)
    rule = "suspects are found by networks of ours, and this study trains by code of your own"
    require(spec.trainable is None, "study", spec.name, rule)
    form = format or (None if output is None else "csv")
    require(form in (None, *FORMATS), "--format", form, f"one of {', '.join(FORMATS)}")
    require(top is None or form is not None, "--top", top, "for a file: with --format csv, parquet or html")
    require(not column or form is not None, "--column", column, "for a file: with --format csv, parquet or html")
    table = spec.dataset.table
    rule = "for a study of a table of your own"
    require(not column or (table is not None and not table.of_folder), "--column", column, rule)
    cells = _cells(spec, level, method)
    rule = "of several lists, which do not go into one file: name one with --level and --method"
    require(output is None or len(cells) == 1, "--output", str(output), rule)
    data = data_of(home_at(home), spec, data_dir)
    err.plain = True
    seeds = seeds or (SEEDS if compare else 1)
    with _resumable(), folder.locked(), err.status("Loading PyTorch") as status:
        from tosmooth.search.report.suspects.files import KEPT, folder_of, stem_of, write_list, write_pictures
        from tosmooth.search.report.suspects.own_columns import check_columns, own_columns
        from tosmooth.search.report.suspects.rendered import render, terminal_tables, thumbnails
        from tosmooth.search.report.suspects.study import Options, SuspectSearch
        from tosmooth.trainables.files.atomic_write import write
        from tosmooth.trainables.user_code import use

        folders = home_at(home).folders(data, cache_dir)
        if (code := folder.code()) is not None:
            use(code, folders.cache)
        own = None
        if column and table is not None:
            check_columns(table, folders, column)
            own = partial(own_columns, table, folders, column)
        search = SuspectSearch(folder, spec, records, folders, Options(folds=folds, seeds=seeds, compare=compare))
        search.run(cells, status.update)
        status.update("Ranking")
        found = []
        for cell, each, judged in search.lists():
            files = write_list(folder.path, cell, each)
            write_pictures(folder.path, cell, thumbnails(judged.pictures(each.table, KEPT)))
            if form is not None:
                name = f"{stem_of(cell)}{'-top' * (form == 'parquet')}.{form}"
                files.append(output or folder_of(folder.path) / name)
                write(render(each, form, top, judged.pictures(each.table, top), own), files[-1])
            found.append((each, files))
    for each, files in found:
        for shown in terminal_tables(each):
            out.print_whole(shown)
        err.print(f"List: {', '.join(map(str, files))}", soft_wrap=True)


def clean(
    study: KeptStudy,
    drop: Annotated[bool, typer.Option("--drop", help="Leave the surest suspects out.")] = False,
    relabel: Annotated[bool, typer.Option("--relabel", help="Give them the label that is proposed.")] = False,
    level: LevelOption = None,
    method: MethodOption = None,
    share: Annotated[
        float | None, typer.Option(metavar="S", help="Of all labels.", show_default="as many as cleanlab counts wrong")
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of suspects.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write; never one that is there.", show_default="beside the old one")
    ] = None,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
    storage: StorageOption = None,
) -> None:
    """Write your data without, or with new, labels of the surest suspects: a new file, which a study can go on with."""
    from tosmooth.search.report.suspects.files import read_list

    folder, spec, _ = existing(study, home_at(home), storage)
    require(drop != relabel, "--drop, --relabel", [drop, relabel], "one of the two")
    require(share is None or top is None, "--share, --top", [share, top], "at most one of the two")
    cells = _cells(spec, level, method)
    rule = f"of {len(cells)} lists: name one with --level and --method"
    require(len(cells) == 1, "study", spec.name, rule)
    found = read_list(folder.path, cells[0])
    if found is None:
        raise InputError(f"{cells[0].key}: no suspects yet: tosmooth suspects {study} --level {cells[0].noise}")
    data = data_of(home_at(home), spec, data_dir)
    err.plain = True
    with err.status("Reading the data"):
        from tosmooth.search.report.suspects.cleaning import changes_of
        from tosmooth.search.report.suspects.cleaning import clean as cleaned

        changes = changes_of(found, "drop" if drop else "relabel", share, top)
        written = cleaned(folder, spec, found, changes, output, home_at(home).folders(data, cache_dir))
    _tell(written, spec, folder, cells[0], home)


def _tell(written: "Written", spec: "StudySpec", folder: "StudyFolder", cell: "Cell", home: Path) -> None:
    """Tell what was done, and how a study goes on with it."""
    from tosmooth.search.spec.loading import shipped_studies

    how = "dropped" if written.changes.how == "drop" else "relabelled"
    what = f"{len(written.changes.labels)} labels {how}, of the {written.changes.looked_at} surest suspects"
    kept = written.changes.in_validation
    told = f"; {kept} of them are in the noisy validation, where a study keeps its labels as they are" if kept else ""
    out.print(f"{written.file}", soft_wrap=True)
    err.print(f"{what}{told}. {written.rows} rows are left.", soft_wrap=True)
    name = written.changes.how
    by = {key: {"level": each.level, "file": each.file} for key, each in (spec.dataset.cleaned_by or {}).items()}
    by[name] = {"level": cell.noise, "file": str(written.file)}
    levels = list(dict.fromkeys([*spec.dataset.noise, f"cleaned-{name}"]))
    shipped = spec.name in shipped_studies()
    command = ["tosmooth", "run", str(folder.spec_file) if shipped else spec.name]
    command += ["--set", f"dataset.noise={json.dumps(levels)}", "--set", f"dataset.cleaned_by={json.dumps(by)}"]
    command += [] if home == DEFAULT_HOME else ["--home", str(home)]
    err.print(f"As a row beside {cell.noise}: {shlex.join(command)}", soft_wrap=True)


@contextmanager
def _resumable() -> Iterator[None]:
    """Say how to go on after Ctrl-C, or a SIGTERM, which means the same."""
    stop_on_signals()
    try:
        yield
    except KeyboardInterrupt:
        again = shlex.join(["tosmooth", *map(masked, sys.argv[1:])])
        err.print(f"Stopped. What ended is kept; go on with: {again}", soft_wrap=True)
        raise typer.Exit(130) from None


def _cells(spec: "StudySpec", level: str | None, method: str | None) -> "Sequence[Cell]":
    """Cells of a level and method, all where none is named. Raises `InputError` for one that the study lacks."""
    require(method in (None, *spec.method), "--method", method, f"one of {', '.join(spec.method)}")
    known = level is None or any(level in (cell.level, cell.noise) for cell in spec.cells())
    require(known, "--level", level, f"one of {', '.join(spec.dataset.noise)}")
    return [c for c in spec.cells() if level in (None, c.level, c.noise) and method in (None, c.method)]

"""The command `tosmooth export`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tosmooth.search.api.studies import existing, home_at
from tosmooth.search.cli.completion import datasets, kept_studies, one_of
from tosmooth.search.cli.options import DEFAULT_HOME, HomeOption, StorageOption
from tosmooth.trainables.errors import InputError, require

if TYPE_CHECKING:
    from tosmooth.search.records import Record
    from tosmooth.search.report.row import Row
    from tosmooth.search.storage.home import Home


def export(
    study: Annotated[
        str | None, typer.Argument(help="A study's name, or the path of its file.", autocompletion=kept_studies)
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            help="csv, markdown, latex, parquet or json.",
            autocompletion=one_of("csv", "markdown", "latex", "parquet", "json"),
        ),
    ] = "markdown",
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="short|all",
            help="Those that the terminal shows, or all.",
            show_default="short for markdown and latex, else all",
            autocompletion=one_of("short", "all"),
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File to write.", show_default="standard output")] = None,
    trials: Annotated[bool, typer.Option("--trials", help="Every trial instead of the best rates.")] = False,
    dataset: Annotated[
        str | None, typer.Option(help="All studies of this home on a dataset.", autocompletion=datasets)
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    storage: StorageOption = None,
) -> None:
    """Write the best-rate table, or every trial, of a study or of all studies on a dataset."""
    from tosmooth.search.report import tables
    from tosmooth.trainables.files.atomic_write import write

    require(columns in (None, "short", "all"), "--columns", columns, "short or all")
    require(not trials or columns != "short", "--columns", columns, "all, with --trials: short is for the best rates")
    rows, records = _collect(study, dataset, home_at(home), storage)
    content = tables.render_trials(records, format) if trials else tables.render(rows, format, columns)
    if output is not None:
        write(content, output)
    elif isinstance(content, bytes):
        if sys.stdout.isatty():
            raise InputError(f"--format {format}: is not for a terminal; name a file with --output")
        sys.stdout.buffer.write(content)
    else:
        print(content, end="" if content.endswith("\n") else "\n")


def _collect(
    study: str | None, dataset: str | None, home: "Home", storage: str | None
) -> "tuple[list[Row], list[Record]]":
    """Rows and records of one study, or of all on a dataset, whose rows then name their study."""
    from tosmooth.search.report.results import dataset_results, study_rows

    if dataset is not None and study is None:
        return dataset_results(home, dataset, storage)
    if study is None or dataset is not None:
        raise InputError("export: name either a study or --dataset")
    folder, spec, records = existing(study, home, storage)
    return study_rows(spec, folder.levels(), records), records

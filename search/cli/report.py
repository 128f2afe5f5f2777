"""The command `tosmooth report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tosmooth.search.api.report import check_place
from tosmooth.search.api.studies import existing, home_at
from tosmooth.search.cli.completion import datasets, kept_studies
from tosmooth.search.cli.options import DEFAULT_HOME, HomeOption, StorageOption, err, out
from tosmooth.trainables.errors import InputError, require

if TYPE_CHECKING:
    from tosmooth.search.report.results import StudyResults
    from tosmooth.search.storage.home import Home


def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY...", help="Studies by their names, or the paths of their files.", autocompletion=kept_studies
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="report.html in the study's folder")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="All studies of this home on a dataset.", autocompletion=datasets)
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    storage: StorageOption = None,
) -> None:
    """Write a study, or several, as one HTML page that can be sent: answer, table, charts, recipe, cost."""
    if (dataset is None) == (not studies):
        raise InputError("report: name either studies or --dataset")
    alone = dataset is None and len(set(studies or ())) == 1
    rule = "a file: of several studies the report has no place of its own"
    require(output is not None or alone, "--output", None, rule)
    if output is not None:
        check_place(output, "--output")
    err.plain = True
    with err.status("Reading the record"):
        results = _results(studies or [], dataset, home_at(home), storage)
    with err.status("Drawing the charts"):
        from tosmooth.search.report.html.report import report as page
        from tosmooth.trainables.files.atomic_write import write

        place = results[0].folder.report_file if output is None else output
        write(page(results, None if dataset is None else f"Studies on {dataset}"), place)
    out.print(str(place), soft_wrap=True)


def _results(names: list[str], dataset: str | None, home: "Home", storage: str | None) -> "list[StudyResults]":
    """Studies that are asked for, each once."""
    from tosmooth.search.report.results import StudyResults, studies_on, study_rows

    if dataset is not None:
        return studies_on(home, dataset, storage)
    found = {}
    for folder, spec, records in (existing(name, home, storage) for name in names):
        levels = folder.levels()
        found[folder.path] = StudyResults(folder, spec, levels, records, study_rows(spec, levels, records))
    return list(found.values())

"""The command `tosmooth analyse`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tosmooth.search.api.studies import data_of, existing, home_at
from tosmooth.search.cli.completion import levels
from tosmooth.search.cli.options import (
    DEFAULT_HOME,
    CacheOption,
    DataOption,
    HomeOption,
    KeptStudy,
    StorageOption,
    TrackingOption,
    err,
    out,
)
from tosmooth.trainables.errors import require

if TYPE_CHECKING:
    from tosmooth.search.records import Cell, Record
    from tosmooth.search.spec.study import StudySpec
    from tosmooth.search.storage.study_folder import StudyFolder

PATIENCE = 60.0  # seconds for which MLflow is waited for


def analyse(
    study: KeptStudy,
    level: Annotated[
        list[str] | None, typer.Option(help="Noise level; repeatable.", show_default="all", autocompletion=levels)
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="Of the attacks.", show_default="8/255 for images, 0.1 for features")
    ] = None,
    attacked: Annotated[int, typer.Option(metavar="N", help="Test examples that are attacked; 0: none.")] = 1000,
    no_student: Annotated[bool, typer.Option("--no-student", help="Train no students.")] = False,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
    tracking_uri: TrackingOption = None,
    storage: StorageOption = None,
) -> None:
    """Compare the networks of the chosen rate with CE's and LS's: calibration, memorisation, robustness and more."""
    folder, spec, records = existing(study, home_at(home), storage)
    rule = "an analysis is of networks, and those of this study are your own code's"
    require(spec.trainable is None, "study", spec.name, rule)
    data = data_of(home_at(home), spec, data_dir)
    _check_tracking(home, tracking_uri)
    err.plain = True
    with folder.locked(), err.status("Loading PyTorch") as status:
        from tosmooth.search.report.analysis.cells import analyse_study, asked, lacking
        from tosmooth.search.report.analysis.files import write_analysis
        from tosmooth.search.report.analysis.tables import terminal_table
        from tosmooth.trainables.analysis.analyse import Options
        from tosmooth.trainables.training.process import prepare
        from tosmooth.trainables.user_code import use

        # The layers of an MLP are so small that threads wait for each other most of the time.
        prepare(1 if spec.network.name == "mlp" else None)
        options = Options(attacked=attacked, epsilon=epsilon, student=not no_student)
        cells, folders = asked(spec, level or ()), home_at(home).folders(data, cache_dir)
        if (code := folder.code()) is not None:
            use(code, folders.cache)
        found = analyse_study(folder, spec, records, folders, cells, options, status.update)
        status.update("Writing tables and pictures")
        files = write_analysis(folder.path / "analysis", spec, options, found)
        running = any(record.state == "running" for record in records)
        finished = not running and not lacking(folder, spec, records, spec.cells())
        status.update("Bringing MLflow up to date")
        lacks = publish(folder, tracking_uri, spec, cells, records, files, finished)
    for each in found:
        out.print_whole(terminal_table(each, out.width))
    err.print(f"Tables and pictures: {folder.path / 'analysis'}", soft_wrap=True)
    if lacks:
        err.print(lacks, soft_wrap=True)


def _check_tracking(home: Path, tracking_uri: str | None) -> None:
    """Raise `InputError` where MLflow's database is damaged or its address is none."""
    from tosmooth.search.tracking import check_database, check_uri

    if tracking_uri is None:
        check_database(home)
    else:
        check_uri(tracking_uri)


def publish(
    folder: "StudyFolder",
    tracking_uri: str | None,
    spec: "StudySpec",
    cells: "Sequence[Cell]",
    records: "Sequence[Record]",
    files: Sequence[Path],
    finished: bool,
) -> str:
    """Show the files with the runs of their cells in MLflow. Returns what it lacks, and why; "" for nothing.

    `finished`: the study is; its runs stay as they ended, and the pages show the pictures.
    """
    from tosmooth.search.report.results import shown_with, study_rows
    from tosmooth.search.run.mlflow_view import open_tracker, pictures, study_page

    levels = folder.levels()
    tracker = open_tracker(folder.home, tracking_uri, spec, levels, folder)
    for cell in cells:
        tracker.artifacts(cell.level, cell.method, shown_with(cell, spec.cells(), files))
    if finished:
        tracker.page(study_page(spec, study_rows(spec, levels, records), pictures(folder), ""))
    left = tracker.close(PATIENCE, finished)
    return tracker.lacking(left) if left else ""

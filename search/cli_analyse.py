"""The command `tosmooth analyse`."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli_studies import existing, home_at
from search.options import (
    DEFAULT_HOME,
    CacheOption,
    DataOption,
    HomeOption,
    StorageOption,
    Study,
    TrackingOption,
    err,
    out,
)


def analyse(
    study: Study,
    level: Annotated[list[str] | None, typer.Option(help="Noise level; repeatable.", show_default="all")] = None,
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
    _check_tracking(home, tracking_uri)
    with folder.locked(), err.status("Loading PyTorch") as status:
        from search.analysis.cells import analyse_study, asked, lacking
        from search.analysis.files import publish, write_analysis
        from search.analysis.tables import terminal_table
        from trainables.analysis.analyse import Options
        from trainables.process import prepare

        # The layers of an MLP are so small that threads wait for each other most of the time.
        prepare(1 if spec.network.name == "mlp" else None)
        options = Options(attacked=attacked, epsilon=epsilon, student=not no_student)
        cells, folders = asked(spec, level or ()), home_at(home).folders(data_dir, cache_dir)
        found = analyse_study(folder, spec, records, folders, cells, options, status.update)
        status.update("Writing tables and pictures")
        files = write_analysis(folder.path / "analysis", spec, options, found)
        running = any(record.state == "running" for record in records)
        finished = not running and not lacking(folder, spec, records, spec.cells())
        status.update("Bringing MLflow up to date")
        left = publish(home, tracking_uri, spec, folder.levels(), cells, files, finished)
    for each in found:
        out.print(terminal_table(each, out.width))
    err.print(f"Tables and pictures: {folder.path / 'analysis'}", soft_wrap=True)
    if left:
        err.print(f"MLflow lacks {left} of them; run the command again to bring it up to date")


def _check_tracking(home: Path, tracking_uri: str | None) -> None:
    """Raise `InputError` where MLflow's database is damaged or its address is none."""
    from search.tracking import check_database, check_uri

    if tracking_uri is None:
        check_database(home)
    else:
        check_uri(tracking_uri)

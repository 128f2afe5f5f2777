"""The commands `tosmooth data`."""

from typing import Annotated

import typer

from tosmooth.search.cli.completion import one_of
from tosmooth.search.cli.options import DEFAULT_HOME, CacheOption, CifarnOption, DataOption, HomeOption, err, out
from tosmooth.search.cli.verbosity import with_verbosity

_NAMES = ("cifar10", "cifar10n", "cifar100", "cifar100n")
DataSet = Annotated[
    str, typer.Argument(help=f"One of {', '.join(_NAMES)}.", show_default=False, autocompletion=one_of(*_NAMES))
]

data_app = typer.Typer(help="Bring and check datasets.", no_args_is_help=True)


@data_app.command()
@with_verbosity
def fetch(
    name: DataSet,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    cifarn_url: CifarnOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Bring a dataset and check it."""
    from rich.progress import DownloadColumn, Progress, TaskID

    from tosmooth.search.storage.home import Home
    from tosmooth.trainables.data import fetch as fetching

    tasks: dict[str, TaskID] = {}
    with Progress(*Progress.get_default_columns(), DownloadColumn(), console=err) as progress:

        def report(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=total)
            progress.update(tasks[file], completed=done, total=total)

        for check in fetching.fetch(name, Home(home).folders(data_dir, cache_dir), report, cifarn_url):
            out.print(str(check), soft_wrap=True)


@data_app.command()
@with_verbosity
def verify(
    name: DataSet, data_dir: DataOption = None, cache_dir: CacheOption = None, home: HomeOption = DEFAULT_HOME
) -> None:
    """Check all that a study needs of a dataset, and say in which layout and order it lies there."""
    from tosmooth.search.storage.home import Home
    from tosmooth.trainables.data import fetch as fetching

    checks = fetching.verify(name, Home(home).folders(data_dir, cache_dir))
    for check in checks:
        out.print(str(check), soft_wrap=True)
    if any(check.state != "ok" for check in checks):
        raise typer.Exit(2)

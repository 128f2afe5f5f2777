"""The commands `tosmooth data`."""

import typer

from tosmooth.search.cli.options import DEFAULT_HOME, CacheOption, CifarnOption, DataOption, HomeOption, err, out

data_app = typer.Typer(help="Bring and check datasets.", no_args_is_help=True)


@data_app.command()
def fetch(
    name: str,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    cifarn_url: CifarnOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Bring a dataset (cifar10, cifar10n, cifar100, cifar100n) and check it."""
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
def verify(
    name: str, data_dir: DataOption = None, cache_dir: CacheOption = None, home: HomeOption = DEFAULT_HOME
) -> None:
    """Check all that a study needs of a dataset, and say in which layout and order it lies there."""
    from tosmooth.search.storage.home import Home
    from tosmooth.trainables.data import fetch as fetching

    checks = fetching.verify(name, Home(home).folders(data_dir, cache_dir))
    for check in checks:
        out.print(str(check), soft_wrap=True)
    if any(check.state != "ok" for check in checks):
        raise typer.Exit(2)

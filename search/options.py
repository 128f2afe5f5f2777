"""What the commands of `tosmooth` share: their options and the two consoles."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from search.credentials import resolve

# What is printed may hold brackets of a user's: no markup.
out = Console(markup=False, highlight=False)  # results
err = Console(markup=False, highlight=False, stderr=True)  # progress, questions and errors


def _address(param: typer.CallbackParam, value: str | None) -> str | None:
    """`@FILE` is read before anything else happens; what a file says is shown nowhere."""
    return resolve(value, str(param.opts[0]), lambda words: err.print(f"warning: {words}", soft_wrap=True))


Study = Annotated[str, typer.Argument(help="A study's name, or the path of a study file.", show_default=False)]
HomeOption = Annotated[Path, typer.Option("--home", envvar="TOSMOOTH_HOME", help="Folder that keeps all results.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="TOSMOOTH_DATA_DIR",
        help="Folder with your datasets.",
        show_default="data/ in the home",
    ),
]
SAFER = "With a password rather in {} or as @FILE: every user of this machine can see a command line."
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="TOSMOOTH_STORAGE",
        callback=_address,
        help=f"Database URL for Optuna. {SAFER.format('TOSMOOTH_STORAGE')}",
        show_default="a journal file in the home",
    ),
]
TrackingOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        envvar="TOSMOOTH_TRACKING_URI",
        callback=_address,
        help=f"Address of MLflow. {SAFER.format('TOSMOOTH_TRACKING_URI')}",
        show_default="a database in the home",
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a key of the study; repeatable.")
]
DEFAULT_HOME = Path("tosmooth-home")

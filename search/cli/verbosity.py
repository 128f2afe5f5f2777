"""Options on how much is said: `--quiet`, `--verbose`, and `--version`."""

import logging
from typing import Annotated

import typer

from tosmooth.search.api.settings import InForce
from tosmooth.search.cli.options import err, out
from tosmooth.trainables.errors import InputError

QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results, warnings and errors.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more: settings in force, versions, where the time goes.")
]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        out.print(f"tosmooth {version('tosmooth')}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
]


def say(quiet: bool, verbose: bool) -> None:
    """Set how much is said from now on; what was set before, for the whole command, stays."""
    quiet, verbose = quiet or err.quiet, verbose or err.verbose
    if quiet and verbose:
        raise InputError("--quiet: is refused together with --verbose: one of the two")
    err.quiet, err.verbose = quiet, verbose
    if verbose:
        logging.getLogger("tosmooth").setLevel(logging.INFO)


def tell_settings(settings: list[InForce]) -> None:
    """Tell which settings are in force and the versions, where more is to be said."""
    if not err.verbose:
        return
    from tosmooth.search.preflight.machine import versions

    for each in settings:
        err.print(f"{each.key}: {each.value} ({each.source})", soft_wrap=True)
    err.print(", ".join(f"{package} {version}" for package, version in versions().items()), soft_wrap=True)

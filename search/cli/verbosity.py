"""Options on how much is said, which every command takes: `--quiet` and `--verbose`; and `--version`."""

import functools
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tosmooth.search.api.settings import InForce
from tosmooth.search.api.studies import home_at, name_of, with_data
from tosmooth.search.cli.options import err, in_force, out
from tosmooth.trainables.errors import InputError

QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results, warnings and errors.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more: settings in force, versions, where the time goes.")
]
# The one shows its settings in any case; those of the other are the cluster's.
_WITHOUT_SETTINGS = ("doctor", "submit")


def _version(context: typer.Context, asked: bool) -> None:
    if asked and not context.resilient_parsing:
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


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command take `--quiet` and `--verbose`, too, and tell its settings where more is to be said."""
    takes_context = "context" in inspect.signature(command).parameters

    @functools.wraps(command)
    def spoken(context: typer.Context, quiet: bool, verbose: bool, **arguments: Any) -> None:
        say(quiet, verbose)
        if err.verbose and context.command.name not in _WITHOUT_SETTINGS:
            _tell_settings(context)
        command(**({"context": context} if takes_context else {}), **arguments)

    # Typer makes the options of these two.
    own = {name: each for name, each in inspect.signature(command).parameters.items() if name != "context"}
    kind = inspect.Parameter.KEYWORD_ONLY
    added = {
        "quiet": inspect.Parameter("quiet", kind, default=False, annotation=QuietOption),
        "verbose": inspect.Parameter("verbose", kind, default=False, annotation=VerboseOption),
    }
    context = inspect.Parameter("context", kind, annotation=typer.Context)
    parameters = [context, *(each.replace(kind=kind) for each in own.values()), *added.values()]
    spoken.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # of functions it is optional
    spoken.__annotations__ = {each.name: each.annotation for each in parameters}
    return spoken


def _tell_settings(context: typer.Context) -> None:
    """Tell which settings are in force, and the versions."""
    from tosmooth.search.preflight.machine import versions

    for each in _settings(context):
        err.print(f"{each.key}: {each.value} ({each.source})", soft_wrap=True)
    err.print(", ".join(f"{package} {version}" for package, version in versions().items()), soft_wrap=True)


def _settings(context: typer.Context) -> list[InForce]:
    """Settings in force, with the place of the data that the home remembers of the study."""
    settings, given = in_force(context), context.params
    study = given.get("study")
    if study is None or "data_dir" not in given:
        return settings
    try:
        return with_data(settings, home_at(Path(given["home"])), given.get("name") or name_of(study))
    except InputError:  # the command says what is wrong
        return settings

"""What the commands of `tosmooth` share: their options and the two consoles."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from search.credentials import resolve
from search.settings import FILE, SETTINGS, InForce, Setting, read_file
from trainables.masking import masked

# What is printed may hold brackets of a user's: no markup.
out = Console(markup=False, highlight=False)  # results
err = Console(markup=False, highlight=False, stderr=True)  # progress, questions and errors

DEFAULT_HOME = Path(SETTINGS["home"].default)
SAFER = "With a password rather in {} or as @FILE: every user of this machine can see a command line."


def _warn(words: str) -> None:
    err.print(f"warning: {words}", soft_wrap=True)


def _read_file(context: typer.Context, value: Path) -> Path:
    """What the home's file says becomes the default of every option that is read after `--home`, which is the first."""
    context.default_map = {SETTINGS[key].parameter: given for key, given in read_file(value, _warn).items()}
    return value


def _address(context: typer.Context, param: typer.CallbackParam, value: str | None) -> str | None:
    """`@FILE` is read before anything else happens; what a file says is shown nowhere."""
    setting = SETTINGS[str(param.opts[0]).removeprefix("--")]
    source = _source(context, setting)
    key = f"{source}: {setting.key}" if source.endswith(FILE) else setting.option
    if value is not None and value.startswith("@"):
        context.meta[_FILES + setting.key] = value
    return resolve(value, key, _warn)


_FILES = "tosmooth.file."  # of a context: which file an address was read from


def _option(key: str) -> Any:
    """The option of a setting."""
    setting = SETTINGS[key]
    address, home = setting.kind == "address", key == "home"
    safer = [SAFER.format(setting.variable)] if key in ("storage", "tracking-uri") else []
    return typer.Option(
        setting.option,
        envvar=setting.variable,
        callback=_address if address else _read_file if home else None,
        is_eager=home,
        help=" ".join([setting.help, *safer]),
        show_default=True if home else setting.default,
    )


Study = Annotated[str, typer.Argument(help="A study's name, or the path of a study file.", show_default=False)]
HomeOption = Annotated[Path, _option("home")]
DataOption = Annotated[str | None, _option("data-dir")]
CacheOption = Annotated[Path | None, _option("cache-dir")]
AddressOption = Annotated[str | None, _option("address")]
StorageOption = Annotated[str | None, _option("storage")]
TrackingOption = Annotated[str | None, _option("tracking-uri")]
CifarnOption = Annotated[str | None, _option("cifarn-url")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change a key of the study; repeatable.")
]


def in_force(context: typer.Context) -> list[InForce]:
    """Each setting that the command takes, as it is, and where that came from."""
    found = []
    for key, setting in SETTINGS.items():
        if setting.parameter not in context.params:
            continue
        value, source = context.params[setting.parameter], _source(context, setting)
        file = context.meta.get(_FILES + key)
        words = setting.default if value is None else masked(str(value))
        found.append(InForce(key, words, source if file is None else f"{source}, from {file[1:]}"))
    return found


def _source(context: typer.Context, setting: Setting) -> str:
    """Where a value came from, in words."""
    source = context.get_parameter_source(setting.parameter)
    kinds = {"COMMANDLINE": setting.option, "ENVIRONMENT": setting.variable}
    if source is not None and source.name == "DEFAULT_MAP":
        return str(Path(context.params["home"]) / FILE)
    return kinds.get("" if source is None else source.name, "default")

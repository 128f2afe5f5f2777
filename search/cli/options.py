"""Options that the commands of `tosmooth` share, and the two consoles."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from tosmooth.search.api.credentials import resolve
from tosmooth.search.api.settings import FILE, InForce, read_file
from tosmooth.search.cli import completion
from tosmooth.search.cli.output import Messages, Output
from tosmooth.search.settings import SETTINGS, Setting
from tosmooth.trainables.redact import masked

out = Output()  # results
err = Messages()  # progress, questions and errors

DEFAULT_HOME = Path(SETTINGS["home"].default)
SAFER = "With a password rather in {} or as @FILE: every user of this machine can see a command line."

_EXPERIMENT = "the experiment of a study has the study's name; --name gives it another"
UNUSED = {  # environment variables of MLflow -> what holds instead
    "MLFLOW_EXPERIMENT_NAME": _EXPERIMENT,
    "MLFLOW_EXPERIMENT_ID": _EXPERIMENT,
    "MLFLOW_RUN_ID": "every trial is a run of its own, below that of its cell",
}


def _read_file(context: typer.Context, value: Path) -> Path:
    """Make what the home's file says the default of every option that is read after `--home`, which is the first."""
    if not context.resilient_parsing:  # the shell asks for words alone
        file = read_file(value, err.warn)
        context.default_map = {SETTINGS[key].parameter: given for key, given in file.items()}
    return value


def _address(context: typer.Context, param: typer.CallbackParam, value: str | None) -> str | None:
    """Read `@FILE` before anything else happens; what a file says is shown nowhere."""
    if context.resilient_parsing:
        return value
    setting = SETTINGS[str(param.opts[0]).removeprefix("--")]
    if value is not None and _source(context, setting) == setting.usual and not setting.takes(value):
        value = _without_usual(context, setting, value)
    source = _source(context, setting)
    key = f"{source}: {setting.key}" if source.endswith(FILE) else setting.option
    if source == setting.usual and context.command.name != "doctor":  # which shows all sources
        instead = (context.default_map or {}).get(setting.parameter) is not None
        words = f"{source}, which comes before {FILE}" if instead else source
        err.print(f"{setting.option}: {masked(value or '')} ({words})", soft_wrap=True)
    if setting.key == "address" and value == "local":  # Ray's word for one of its own
        return None
    if value is not None and value.startswith("@"):
        context.meta[_FILES + setting.key] = value
    return resolve(value, key, err.warn)


def _without_usual(context: typer.Context, setting: Setting, value: str) -> str | None:
    """Say that what is set for other tools is nothing for us; return what is in force in its place."""
    instead = (context.default_map or {}).get(setting.parameter)
    now = f"what {FILE} says" if instead is not None else setting.default
    words = f"{masked(value)!r} is no address of {', '.join(setting.schemes)}"
    err.print(f"{setting.usual} is not used, but {now}: {words}", soft_wrap=True)
    kinds: Any = type(context.get_parameter_source(setting.parameter))
    context.set_parameter_source(setting.parameter, kinds.DEFAULT if instead is None else kinds.DEFAULT_MAP)
    return instead


_FILES = "tosmooth.file."  # of a context: which file an address was read from


def _option(key: str) -> Any:
    """Option of a setting."""
    setting = SETTINGS[key]
    address, home = setting.kind == "address", not setting.in_file
    safer = [SAFER.format(setting.variable)] if setting.secret else []
    return typer.Option(
        setting.option,
        envvar=setting.variables,
        callback=_address if address else _read_file if home else None,
        is_eager=home,
        help=" ".join([setting.help, *safer]),
        show_default=True if home else setting.default,
    )


STUDY = "A study's name, or the path of a study file."
Study = Annotated[str, typer.Argument(help=STUDY, show_default=False, autocompletion=completion.studies)]
KeptStudy = Annotated[str, typer.Argument(help=STUDY, show_default=False, autocompletion=completion.kept_studies)]
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
PriorOption = Annotated[
    str | None,
    typer.Option(
        "--prior-study",
        metavar="NAME",
        help="Propose early what another study of the home found.",
        autocompletion=completion.kept_studies,
    ),
]


def in_force(context: typer.Context) -> list[InForce]:
    """Settings that the command takes, as they are, and where each came from."""
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
    """Name the source of a value."""
    source = context.get_parameter_source(setting.parameter)
    variable = next((name for name in setting.variables if os.environ.get(name)), setting.variable)
    kinds = {"COMMANDLINE": setting.option, "ENVIRONMENT": variable}
    if source is not None and source.name == "DEFAULT_MAP":
        return str(Path(context.params["home"]) / FILE)
    return kinds.get("" if source is None else source.name, "default")


def say_what_is_unused(cpus: float) -> None:
    """Name what is set for other tools and is not used, one line each. `cpus`: cores of a trial."""
    unused = [(name, why) for name, why in UNUSED.items() if os.environ.get(name)]
    threads = str(max(1, int(cpus)))
    if os.environ.get("OMP_NUM_THREADS", threads) != threads:
        unused.append(
            ("OMP_NUM_THREADS", f"a trial trains with {threads} thread{'s' * (threads != '1')}, as resources.cpus says")
        )
    for name, why in unused:
        err.print(f"{name} is not used: {why}", soft_wrap=True)

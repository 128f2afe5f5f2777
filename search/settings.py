"""The settings of a machine: where files lie and which services are used. Nothing of them shapes a number.

Each comes from the first of these that says it: the command line, its environment variable, `tosmooth.toml` in the
home, its default. `search.options` makes the options of the commands of this table. Loads with nothing heavy.
"""

import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from trainables.errors import InputError, require, shown
from trainables.masking import masked

FILE = "tosmooth.toml"  # in the home
HOME_RULE = "the home is what holds this file; name it with --home or TOSMOOTH_HOME"


@dataclass(frozen=True, slots=True)
class Setting:
    """What can be set of a machine."""

    key: str  # in the file, and after "--": "data-dir"
    # An address may hold a password, and may be given as @FILE; a place is a folder or a URI of pyarrow's file systems.
    kind: Literal["folder", "place", "address"]
    default: str  # in words
    help: str

    @property
    def option(self) -> str:
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        return f"TOSMOOTH_{self.key.upper().replace('-', '_')}"

    @property
    def parameter(self) -> str:
        """The parameter of a command that takes it."""
        return self.key.replace("-", "_")


SETTINGS = {
    setting.key: setting
    for setting in (
        Setting("home", "folder", "tosmooth-home", "Folder that keeps all results."),
        Setting(
            "data-dir", "place", "data/ in the home", "Folder with your datasets, or a URI: s3://, gs://, hdfs://."
        ),
        Setting("cache-dir", "folder", "cache/ in the home", "Folder for decoded images; each node may have its own."),
        Setting("address", "address", "a Ray of its own", "An existing Ray cluster: host:port, or auto."),
        Setting("storage", "address", "a journal file in the home", "Database URL for Optuna."),
        Setting("tracking-uri", "address", "a database in the home", "Address of MLflow."),
        Setting("cifarn-url", "address", "its authors' repository", "Where CIFAR-N's labels are fetched."),
    )
}


@dataclass(frozen=True, slots=True)
class InForce:
    """What a setting is, fit to be shown: passwords are masked."""

    key: str
    value: str
    source: str  # "--storage", "TOSMOOTH_STORAGE", "HOME/tosmooth.toml", "default"


def read_file(home: Path, warn: Callable[[str], None]) -> dict[str, str]:
    """What the home's `tosmooth.toml` says, by key; nothing where there is none.

    Folders, and the files of `@FILE`, are relative to the home, so that it can be moved. Raises `InputError` with file,
    key, value and rule. `warn` is told where other users of this machine may read a password.
    """
    path = home / FILE
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            values = tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InputError(f"{path}: the settings cannot be read: {error.strerror}") from None
    except ValueError as error:  # no TOML, or no UTF-8; what is said names line and column, and shows nothing
        raise InputError(f"{path}: the settings are refused: they are TOML, key = 'value': {error}") from None
    _check(path, values)
    if mode & stat.S_IROTH and any(masked(value) != value for value in values.values()):
        warn(f"{path}: holds a password, and other users of this machine may read it; `chmod o-r` keeps them out")
    return {key: _from_home(home, SETTINGS[key], value) for key, value in values.items()}


def _check(path: Path, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if key not in SETTINGS:
            near = get_close_matches(key, SETTINGS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(k for k in SETTINGS if k != 'home')}"
            raise InputError(f"{path}: {shown(key)}: unknown key; {hint}")
        given = masked(value) if isinstance(value, str) else value
        require(key != "home", f"{path}: {key}", given, HOME_RULE)
        line = isinstance(value, str) and bool(value.strip()) and value.isprintable()
        require(line, f"{path}: {key}", _masked(given), "a text in quotes, on one line")


def _masked(value: object) -> object:
    """A value of a wrong type, which may hold an address all the same."""
    return value if isinstance(value, bool | int | float) else masked(str(value))


def _from_home(home: Path, setting: Setting, value: str) -> str:
    if setting.kind == "folder" or (setting.kind == "place" and "://" not in value):
        return str(home / Path(value).expanduser())
    return f"@{home / Path(value[1:]).expanduser()}" if value.startswith("@") else value

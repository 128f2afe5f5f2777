"""Settings as they are in force, and what the home's `tosmooth.toml` says of them.

Each comes from the first of these that says it: the command line, its environment variable, `tosmooth.toml` in the
home, its default. `search.cli.options` makes the options of the commands of them, `search.api.places` reads
them for calls. Loads with nothing heavy.
"""

import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tosmooth.search.settings import SETTINGS, Setting
from tosmooth.trainables.errors import InputError, require, shown
from tosmooth.trainables.redact import masked

FILE = "tosmooth.toml"  # in the home
HOME = SETTINGS["home"]
HOME_RULE = f"the home is what holds this file; name it with {HOME.option} or {HOME.variable}"


@dataclass(frozen=True, slots=True)
class InForce:
    """Value of a setting, fit to be shown: passwords are masked."""

    key: str
    value: str
    source: str  # "--storage", "TOSMOOTH_STORAGE", "HOME/tosmooth.toml", "default"


def read_file(home: Path, warn: Callable[[str], None]) -> dict[str, str]:
    """Read the home's `tosmooth.toml`, by key; nothing where there is none.

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
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"one of {', '.join(k for k, s in SETTINGS.items() if s.in_file)}"
            )
            raise InputError(f"{path}: {shown(key)}: unknown key; {hint}")
        given = masked(value) if isinstance(value, str) else value
        require(SETTINGS[key].in_file, f"{path}: {key}", given, HOME_RULE)
        line = isinstance(value, str) and bool(value.strip()) and value.isprintable()
        require(line, f"{path}: {key}", _masked(given), "a text in quotes, on one line")


def _masked(value: object) -> object:
    """Mask a value of a wrong type, which may hold an address all the same."""
    return value if isinstance(value, bool | int | float) else masked(str(value))


def _from_home(home: Path, setting: Setting, value: str) -> str:
    if setting.kind == "folder" or (setting.kind == "place" and "://" not in value):
        return str(home / Path(value).expanduser())
    return f"@{home / Path(value[1:]).expanduser()}" if value.startswith("@") else value

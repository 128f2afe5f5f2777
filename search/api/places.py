"""Places and services that a call uses: as given, else as environment, `tosmooth.toml` and defaults have them."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tosmooth.search.api.credentials import resolve
from tosmooth.search.api.settings import read_file
from tosmooth.search.settings import SETTINGS, Setting
from tosmooth.trainables.errors import require

log = logging.getLogger(__name__)

Place = str | Path | None


@dataclass(frozen=True, slots=True)
class Places:
    """Settings of a machine in force for a call."""

    home: Path
    data_dir: str | None = None
    cache_dir: str | None = None
    address: str | None = None
    storage: str | None = None
    tracking_uri: str | None = None


def places_of(home: Place, given: Mapping[str, Place]) -> Places:
    """Settle the settings of a call, by their parameters; each as the command line settles its option.

    Raises `InputError` with key, value and rule for what is wrong, also in the home's `tosmooth.toml`.
    """
    for key, value in {"home": home, **given}.items():
        require(value is None or isinstance(value, str | Path), key, value, "a text or a path")
    root = Path(home or os.environ.get(SETTINGS["home"].variable) or SETTINGS["home"].default)
    file = read_file(root, lambda words: log.warning("%s", words))
    keys = ("data-dir", "cache-dir", "address", "storage", "tracking-uri")
    return Places(root, **{SETTINGS[key].parameter: _settled(SETTINGS[key], given, file) for key in keys})


def _settled(setting: Setting, given: Mapping[str, Place], file: Mapping[str, str]) -> str | None:
    own = given.get(setting.parameter)
    usual = os.environ.get(setting.usual) if setting.usual else None
    if usual is not None and not setting.takes(usual):
        usual = None  # it is for other tools
    value = str(own) if own is not None else os.environ.get(setting.variable) or usual or file.get(setting.key)
    if setting.kind != "address":
        return value or None
    if setting.key == "address" and value == "local":  # Ray's word for one of its own
        return None
    return resolve(value or None, setting.parameter, lambda words: log.warning("%s", words))

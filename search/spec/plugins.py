"""Samplers and pruners of Optuna's that a study names by their import path, or by their place on OptunaHub."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from tosmooth.trainables.conversion import one_of
from tosmooth.trainables.errors import InputError, require

Plugin = Mapping[str, Any]  # class or hub, and arguments
KEYS = ("class", "hub", "arguments")
PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
PACKAGE = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)+", re.ASCII)
FORM = "{class: optuna.samplers.CmaEsSampler, arguments: {...}}"


def check_choice(key: str, value: object, known: Sequence[str]) -> None:
    """Check what a study says of its sampler or pruner: one of the `known`, or a class of Optuna's interface.

    Nothing is imported. Raises `InputError` naming key, value and rule.
    """
    if isinstance(value, Mapping):
        check_plugin(key, value)
        return
    rule = one_of(value, known)
    require(isinstance(value, str) and value in known, key, value, f"{rule}; or a class of Optuna's: {FORM}")


def check_plugin(key: str, value: Plugin) -> None:
    """Check the form of a plugin, and of those among its arguments."""
    for name in value:
        if name not in KEYS:
            near = get_close_matches(str(name), KEYS, n=1)
            raise InputError(f"{key}.{name}: unknown key; {f'did you mean {near[0]!r}?' if near else ', '.join(KEYS)}")
    path, package = value.get("class"), value.get("hub")
    require(path is not None or package is not None, key, dict(value), f"it needs a class or a hub: {FORM}")
    if package is not None:
        fits = isinstance(package, str) and PACKAGE.fullmatch(package) is not None
        require(fits, f"{key}.hub", package, "a package of OptunaHub, such as samplers/auto_sampler")
        fits = path is None or (isinstance(path, str) and NAME.fullmatch(path) is not None)
        require(fits, f"{key}.class", path, "with `hub` the name of a class in that package, such as AutoSampler")
    else:
        fits = isinstance(path, str) and PATH.fullmatch(path) is not None
        require(fits, f"{key}.class", path, "an import path, such as optuna.samplers.CmaEsSampler")
    arguments = value.get("arguments", {})
    require(isinstance(arguments, Mapping), f"{key}.arguments", arguments, "a mapping of names to values")
    for name, argument in arguments.items():
        where = f"{key}.arguments.{name}"
        require(isinstance(name, str) and NAME.fullmatch(name) is not None, where, name, "the name of an argument")
        require(argument is not None, where, None, "leave it out: a study file keeps no null in a section")
        require(name != "seed", where, argument, "it is derived of the study's `seed`, for each trial anew")
        if is_plugin(argument):
            check_plugin(where, argument)


def is_plugin(value: object) -> bool:
    """True for a mapping that names a class: an argument that is itself a sampler or a pruner."""
    return isinstance(value, Mapping) and bool({"class", "hub"} & value.keys())


def in_words(value: object) -> str:
    """Name of a sampler or pruner, to be read."""
    if isinstance(value, Mapping):
        return ": ".join(str(value[name]) for name in ("hub", "class") if value.get(name) is not None)
    return str(value)

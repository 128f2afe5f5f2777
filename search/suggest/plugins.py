"""Samplers and pruners that a study names: found, checked and made.

What is named is imported, and so is run: it is the user's word in the study file.
"""

import inspect
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, QMCSampler

from tosmooth.search.spec.plugins import Plugin, is_plugin
from tosmooth.trainables.errors import InputError, first_line, require, shown

NAMES: dict[type, str] = {BaseSampler: "sampler", BasePruner: "pruner"}


def make_plugin(key: str, plugin: Plugin, base: type, seed: int | None = None) -> Any:
    """Make the sampler or pruner, as `base` says, that stands at `key`; `seed` is handed to it where it takes one.

    Raises `InputError` naming the key: for what is not found, is none, or does not take the arguments.
    """
    found = _class(key, plugin, base)
    arguments = {
        name: _argument(f"{key}.arguments.{name}", value, seed) for name, value in plugin.get("arguments", {}).items()
    }
    known = inspect.signature(found).parameters
    if seed is not None and "seed" in known:
        arguments["seed"] = seed
    _check_arguments(key, found, arguments, known)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the user has named it; it is made for each trial
            return found(**arguments)
    except Exception as error:
        given = shown(dict(plugin.get("arguments", {})))
        raise InputError(f"{key}.arguments: {given} is refused: {found.__name__} says: {first_line(error)}") from error


def seeded_by_trial(plugin: Plugin) -> bool:
    """True if each trial has another seed: not for a sequence, of which a trial is one place."""
    path = plugin.get("class") or ""
    if plugin.get("hub") is not None or not str(path).startswith("optuna."):
        return True
    return not issubclass(_class("search.sampler", plugin, BaseSampler), QMCSampler)


def _argument(key: str, value: Any, seed: int | None) -> Any:
    """Value of an argument; one that names a class is made."""
    if not is_plugin(value):
        return value
    found = _attribute(key, value)
    base: Any = BasePruner if isinstance(found, type) and issubclass(found, BasePruner) else BaseSampler
    return make_plugin(key, value, base, seed)


def _class(key: str, plugin: Plugin, base: type) -> Any:
    found = _attribute(key, plugin, base)
    where = f"{key}.{'hub' if plugin.get('hub') is not None else 'class'}"
    value = plugin.get("hub") or plugin.get("class")
    ok = isinstance(found, type) and issubclass(found, base) and not inspect.isabstract(found)
    require(ok, where, value, f"no {NAMES[base]} of Optuna's: a class derived of optuna's {base.__name__}")
    return found


def _attribute(key: str, plugin: Plugin, base: type | None = None) -> Any:
    """Class that a plugin names, whatever it is."""
    path, package = plugin.get("class"), plugin.get("hub")
    if package is not None:
        return _of_package(key, _from_hub(f"{key}.hub", package), path, base)
    module, _, name = str(path).rpartition(".")
    try:
        loaded = import_module(module)
    except Exception as error:
        rule = f"{module} cannot be imported ({type(error).__name__}: {first_line(error)})"
        raise InputError(f"{key}.class: {path!r} is refused: {rule}") from error
    return _named(f"{key}.class", loaded, str(path), name)


def _named(key: str, module: ModuleType, value: str, name: str) -> Any:
    try:
        return getattr(module, name)
    except (AttributeError, ImportError) as error:
        near = get_close_matches(name, dir(module), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        why = f" ({first_line(error)})" if isinstance(error, ImportError) else ""
        raise InputError(f"{key}: {value!r} is refused: {module.__name__} has no {name}{why}{hint}") from error


def _of_package(key: str, module: ModuleType, name: str | None, base: type | None) -> Any:
    """Class of a package of OptunaHub: the named one, else the only one that it offers."""
    if name is not None:
        return _named(f"{key}.class", module, name, name)
    offered = {each: getattr(module, each, None) for each in getattr(module, "__all__", dir(module))}
    bases = (base,) if base is not None else (BaseSampler, BasePruner)
    own = {
        each: value
        for each, value in offered.items()
        if isinstance(value, type) and issubclass(value, bases) and not value.__module__.startswith("optuna.")
    }
    rule = f"`class` must name one of {', '.join(own) or 'its classes: none is known'}"
    require(len(own) == 1, f"{key}.class", name, rule)
    return next(iter(own.values()))


def _from_hub(key: str, package: str) -> ModuleType:
    try:
        hub: Any = import_module("optunahub")
    except ImportError:
        raise InputError(
            f"{key}: {package!r} is refused: OptunaHub's library is missing: pip install optunahub"
        ) from None
    try:
        module: ModuleType = hub.load_module(package)
    except Exception as error:  # whatever its connection, and the package's own imports, raise
        rule = f"OptunaHub does not give it, which takes the internet ({type(error).__name__}: {first_line(error)})"
        raise InputError(f"{key}: {package!r} is refused: {rule}") from error
    return module


def _check_arguments(
    key: str, found: type, arguments: Mapping[str, Any], known: Mapping[str, inspect.Parameter]
) -> None:
    takes_any = any(each.kind is each.VAR_KEYWORD for each in known.values())
    for name in arguments:
        if name not in known and not takes_any:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'none'}"
            raise InputError(f"{key}.arguments.{name}: {found.__name__} has no such argument; {hint}")
    empty = inspect.Parameter.empty
    positional = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    missing = [
        n for n, each in known.items() if each.default is empty and each.kind in positional and n not in arguments
    ]
    require(
        not missing,
        f"{key}.arguments",
        sorted(arguments.keys() - {"seed"}),
        f"{found.__name__} needs {', '.join(missing)}, too",
    )

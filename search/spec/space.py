"""Search space as a study file describes it, checked by the recipe that it changes."""

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from tosmooth.search.spec.parameters import (
    BASELINES,
    SEARCHABLE,
    SETTLED,
    Choice,
    Parameter,
    Range,
    Space,
    method_of,
    own_names,
    unknown_key,
    with_params,
)
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.conversion import build, convert
from tosmooth.trainables.errors import InputError, require, shown
from tosmooth.trainables.methods import METHODS

ARGUMENT = re.compile(r"arguments\.[^\W\d]\w*")  # of a trainable of the user's own
VALUES = 1000  # that a list of a parameter's values may have
COMBINATIONS = 1024  # of extreme values that are tried together when a study is read


def build_space(values: object, recipes: Mapping[str, TrialConfig]) -> Space:
    """Build the space that a study file describes, with the defaults of warm-up and methods filled in.

    `recipes`: a run of each method that the study compares. The space holds the parameters of all these methods and of
    the recipe that they share; `space_of` returns the space of one method. Raises `InputError` for what does not fit.
    """
    methods, some = list(recipes), next(iter(recipes.values()))
    training = some.training
    plain = dataclasses.replace(some, method="gls", parameters={}, transition=None, warmup=0)
    if some.trainable is not None:
        return _own_space(values, recipes)
    longest = training.epochs // 2
    defaults: dict[str, Any] = {
        name: default for method in methods for name in own_names(method) if (default := _default_range(method, name))
    }
    defaults["warmup"] = {"low": 0, "high": longest} if longest else {"values": [0]}
    if not isinstance(values, Mapping):
        raise InputError(f"space: {shown(values)} is refused: a mapping of parameters")
    given = {name: value for name, value in values.items() if value is not None}
    space: Space = {}
    for name in (*defaults, *(name for name in given if name not in defaults)):
        method = method_of(name)
        rule = f"a parameter of {method}; the study compares {', '.join(methods)}"
        require(method is None or method in methods, f"space.{name}", given.get(name), rule)
        recipe = plain if method is None else recipes[method]
        space[name] = _build_parameter(name, given.get(name, {}), defaults.get(name, {}), recipe)
    for recipe in recipes.values():
        _check_together(space_of(space, recipe), recipe)
    return space


def _own_space(values: object, recipes: Mapping[str, TrialConfig]) -> Space:
    """Build the space of a study whose trials a function of the user's trains: what the file names, and nothing else.

    It has `rate` for the method gls; without a `warmup` there is none.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"space: {shown(values)} is refused: a mapping of parameters")
    given = {name: value for name, value in values.items() if value is not None}
    require(bool(given), "space", values, "what your trainable is to be given: rate, warmup, arguments.NAME")
    for name, value in given.items():
        known = name in ("rate", "warmup", "lr_after_warmup") or ARGUMENT.fullmatch(name) is not None
        rule = f"rate, warmup, lr_after_warmup, or an argument of your trainable{_argument_hint(name)}"
        require(known, f"space.{name}", value, rule)
    rated = "rate" in given
    require(rated == ("gls" in recipes), "space.rate", given.get("rate"), "searched by the method gls, and by it alone")
    some = next(iter(recipes.values()))
    order = sorted(
        given, key=lambda name: ("rate", "warmup").index(name) if rated and name in ("rate", "warmup") else 2
    )
    space = {name: _build_parameter(name, given[name], {}, some) for name in order}
    return space if "warmup" in space else {**space, "warmup": Choice((0,))}


def _argument_hint(name: str) -> str:
    return f": arguments.{name}" if name.isidentifier() else ", such as arguments.lr"


def _kind_of(name: str, value: Mapping[str, Any]) -> object:
    """Type of a parameter's values: of a trainable's argument whole numbers where its bounds and step are some."""
    if name in SEARCHABLE:
        return SEARCHABLE[name]
    if "values" in value:
        return object  # as they are
    bounds = [value[key] for key in ("low", "high", "step") if value.get(key) is not None]
    return int if bounds and all(type(number) is int for number in bounds) else float


def space_of(space: Space, recipe: TrialConfig) -> Space:
    """Return the part of a study's space that the method of `recipe` searches, its own parameters first.

    A method that acts from the first epoch has no warm-up, and one whose transition matrix is estimated has at least
    one epoch of it. Raises `InputError` if the space allows no such warm-up.
    """
    own = {name: parameter for name, parameter in space.items() if method_of(name) == recipe.method}
    found = own | {name: parameter for name, parameter in space.items() if method_of(name) is None}
    if METHODS[recipe.method].from_start:
        found["warmup"] = Choice((0,))
    if recipe.transition == "estimated":
        left = [warmup for warmup in space["warmup"].points() if warmup >= 1]
        rule = f"{recipe.method} needs at least 1 epoch: its transition matrix is estimated by what that predicts"
        require(bool(left), "space.warmup", list(space["warmup"].points()), rule)
        warmup = space["warmup"]
        if isinstance(warmup, Range) and len(left) > 1:
            found["warmup"] = dataclasses.replace(warmup, low=left[0])
        else:
            found["warmup"] = Choice(tuple(left))
    return found


def grid_size(space: Space) -> int:
    """Count the grid's points and the baselines that are not on it. Raises `InputError` if the space is no grid."""
    for name, parameter in space.items():
        rule = "a grid takes `values`, integers, or a range with a step"
        require(parameter.count is not None, f"space.{name}", dataclasses.asdict(parameter), rule)
    points = math.prod(parameter.count or 0 for parameter in space.values())
    return points + sum(rate not in space["rate"] for rate in BASELINES if "rate" in space)


def _build_parameter(name: str, value: object, default: dict[str, Any], recipe: TrialConfig) -> Parameter:
    key = f"space.{name}"
    require(name not in SETTLED, key, value, "it is the same for all trials of a study")
    own = recipe.trainable is not None and ARGUMENT.fullmatch(name) is not None
    if name not in SEARCHABLE and not own:
        raise unknown_key(key, SEARCHABLE, name)
    if not isinstance(value, Mapping):
        rule = f"{{low, high, scale, step}} or {{values: [...]}}{_as_range(value)}"
        raise InputError(f"{key}: {shown(value)} is refused: {rule}")
    replaces = bool(value) and ("values" in value) != ("values" in default)
    settings = dict(value) if replaces else {**default, **value}
    make: Callable[[str, object, dict[str, Any]], Parameter] = _build_choice if "values" in settings else _build_range
    parameter = make(key, _kind_of(name, settings), settings)
    for extreme in parameter.extremes:
        try:
            with_params(recipe, {name: extreme})
        except InputError as error:
            raise InputError(f"{key}: {str(error).removeprefix(f'{name}: ')}") from error
    return parameter


def _as_range(value: object) -> str:
    """Say how a range is written that was given as "-8..0.8" or [-8, 0.8]."""
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    bounds = re.fullmatch(r"\s*([-+]?\d*\.?\d+)\s*(?:\.\.\.?|to|:|,|-|\s)\s*([-+]?\d*\.?\d+)\s*", text)
    return f"; did you mean {{low: {bounds[1]}, high: {bounds[2]}}}?" if bounds else ""


def _check_together(space: Space, recipe: TrialConfig) -> None:
    """Refuse values of the recipe that are valid one by one but not together, before a trial meets them."""
    changes = {name: parameter.extremes for name, parameter in space.items() if "." in name}
    for values in itertools.islice(itertools.product(*changes.values()), COMBINATIONS):
        params = dict(zip(changes, values, strict=True))
        try:
            with_params(recipe, params)
        except InputError as error:
            raise InputError(f"space: {shown(params)} together are refused: {error}") from error


def _build_choice(key: str, kind: object, value: dict[str, Any]) -> Choice:
    others = [other for other in value if other != "values"]
    require(not others, key, value, f"`values` stand alone: take away {', '.join(others)}")
    values = value["values"]
    listed = isinstance(values, list | tuple) and 0 < len(values) <= VALUES
    require(listed, f"{key}.values", values, f"a list of at least one value, at most {VALUES}")
    numbers = kind in (int, float)
    plain = [convert(kind, v, f"{key}.values[{i}]") if numbers and v is not None else v for i, v in enumerate(values)]
    require(
        all(v is None or isinstance(v, bool | int | float | str) for v in plain), f"{key}.values", values, "no lists"
    )
    choice = Choice(tuple(plain))
    distinct = all(item not in Choice(choice.values[:i]) for i, item in enumerate(choice.values))
    require(distinct, f"{key}.values", values, "each value once")
    return choice


def _build_range(key: str, kind: object, value: dict[str, Any]) -> Range:
    require(kind in (int, float), key, value, "give its `values`: only numbers have a range")
    for bound in ("low", "high"):
        require(bound in value, key, value, f"{bound} is missing: give low and high, or `values`")
    found = build(Range, value, f"{key}.")
    if kind is int:
        low, high, step = (_whole(f"{key}.{name}", getattr(found, name)) for name in ("low", "high", "step"))
        found = dataclasses.replace(found, low=low, high=high, step=step)
    found.check(key)
    return found


def _whole(key: str, number: float | None) -> Any:
    require(number is None or number.is_integer(), key, number, "a whole number")
    return None if number is None else int(number)


def _default_range(method: str, name: str) -> dict[str, Any] | None:
    """Range of a method's parameter if the study gives none; `None` if the parameter is not searched by default."""
    parameter = METHODS[method].parameters[name.split(".")[-1]]
    return {"low": parameter.low, "high": parameter.high, "scale": parameter.scale} if parameter.searched else None

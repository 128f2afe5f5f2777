"""What a study searches: each parameter a range or a list of values, checked by the recipe that it changes."""

import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from trainables.config import DataConfig, InputError, NetworkConfig, TrainingConfig, TrialConfig, build, require, shown

Params = dict[str, Any]  # "rate", "warmup", "lr_factor", "training.batch_size", ... -> value

BASELINES = (0.0, 0.1)  # smoothing rates tried first in every cell: cross-entropy, label smoothing
DECIMALS = 12  # to which a value of a range with a step is rounded
VALUES = 1000  # that a list of them may have
COMBINATIONS = 1024  # of extreme values that are tried together when a study is read


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The numbers from `low` to `high`, both included; all three numbers are ints where the parameter is an integer."""

    low: float
    high: float
    scale: Literal["linear", "log", "symlog"] = "linear"
    step: float | None = None  # linear alone; None: 1 for integers, any number for floats

    @property
    def integer(self) -> bool:
        return isinstance(self.low, int)

    @property
    def kind(self) -> object:
        """What must stay the same while a study grows; the bounds may move."""
        return f"{self.scale} {'integers' if self.integer else 'numbers'}"

    @property
    def extremes(self) -> tuple[float, ...]:
        return self.low, self.high

    @property
    def count(self) -> int | None:
        """How many values there are; None for a continuum."""
        if self.integer:
            return int(self.high - self.low) // int(self.step or 1) + 1
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def points(self) -> Iterator[float]:
        """All values, in rising order; for a range that has a `count`."""
        return map(self.point, range(self.count or 0))

    def point(self, i: int) -> float:
        """The value number `i`, from 0, of a range that has a `count`."""
        value = self.low + i * (self.step or 1)
        return value if self.integer else round(value, DECIMALS) + 0.0  # -0.8 + 3 * 0.2 is to be -0.2, and never -0.0

    def nearest(self, value: float | None) -> float:
        """The value of the range that is nearest to `value`, `low` where there is none."""
        if value is None:
            return self.low
        value = min(max(value, self.low), self.high)
        if self.step is not None:
            return self.point(round((value - self.low) / self.step))
        return round(value) if self.integer else float(value)

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return math.isfinite(value) and self.nearest(value) == value

    def check(self, key: str) -> None:
        require(self.low < self.high, key, [self.low, self.high], "low must be below high")
        require(self.scale != "log" or self.low > 0, f"{key}.low", self.low, "a log scale starts above 0")
        require(self.scale != "symlog" or not self.integer, f"{key}.scale", self.scale, "for floats; not for integers")
        if self.step is not None:
            require(self.scale == "linear", f"{key}.step", self.step, "for a linear scale alone")
            require(self.step > 0, f"{key}.step", self.step, "above 0")
            whole = (self.high - self.low) / self.step < 1e6 and self.point((self.count or 1) - 1) == self.high
            require(whole, f"{key}.step", self.step, f"whole steps, at most a million, from {self.low} to {self.high}")
            exact = self.integer or (round(self.low, DECIMALS) == self.low and self.step >= 1000 * 10**-DECIMALS)
            require(exact, key, [self.low, self.step], f"low and step have at most {DECIMALS} decimals, with a step")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]

    @property
    def kind(self) -> object:
        """What must stay the same while a study grows: Optuna refuses other values under the same name."""
        return list(self.values)

    @property
    def extremes(self) -> tuple[Any, ...]:
        return self.values

    @property
    def count(self) -> int:
        return len(self.values)

    def points(self) -> Iterator[Any]:
        return iter(self.values)

    def nearest(self, value: object) -> Any:
        """`value` where it is listed, else the first."""
        return value if value in self else self.values[0]

    def __contains__(self, value: object) -> bool:
        return any(type(value) is type(known) and value == known for known in self.values)


Parameter = Range | Choice
Space = dict[str, Parameter]


def _leaves(cls: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The plain fields of a configuration and of those inside it, by dotted path; lists are none."""
    for key, hint in typing.get_type_hints(cls).items():
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kind = next(k for k in typing.get_args(hint) if k is not type(None)) if union else hint
        if dataclasses.is_dataclass(kind):
            yield from _leaves(kind, f"{path}{key}.")
        elif kind in (int, float, bool) or typing.get_origin(kind) is Literal:
            yield f"{path}{key}", kind


SETTLED = ("training.epochs", "training.recipe")  # by the study: trials must be comparable epoch by epoch
# What can be searched, with its type.
SEARCHABLE: dict[str, Any] = {"rate": float, "warmup": int, "lr_factor": float} | {
    path: kind
    for path, kind in (*_leaves(NetworkConfig, "network."), *_leaves(TrainingConfig, "training."))
    if path not in SETTLED
}


def unknown_key(path: str, known: Iterable[str], key: str = "") -> InputError:
    """The error for a key that nothing knows: `path` as the user wrote it, its last part `key` (default: all of it)."""
    names = list(known)
    near = get_close_matches(key or path, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(names)}"
    return InputError(f"{path}: unknown key; {hint}")


def with_params(config: TrialConfig, params: Mapping[str, Any]) -> TrialConfig:
    """The trial with these parameters, given by dotted path. Raises `InputError` where the recipe refuses them."""
    values = config.to_dict()
    for name, value in params.items():
        *parents, key = name.split(".")
        target = values
        for parent in parents:
            target = target[parent]
            require(target is not None, name, value, f"the study's recipe has no {parent}")
        target[key] = value
    return TrialConfig.from_dict(values)


def build_space(values: object, network: NetworkConfig, training: TrainingConfig) -> Space:
    """The space that a study file describes, with the defaults of rate and warm-up filled in. Raises `InputError`."""
    recipe = TrialConfig(data=DataConfig(dataset="any"), network=network, training=training)
    longest = training.epochs // 2
    defaults: dict[str, Any] = {
        "rate": {"low": -8.0, "high": 0.8, "scale": "symlog"},
        "warmup": {"low": 0, "high": longest} if longest else {"values": [0]},
    }
    if not isinstance(values, Mapping):
        raise InputError(f"space: {shown(values)} is refused: a mapping of parameters")
    given = {name: value for name, value in values.items() if value is not None}
    space: Space = {}
    for name in (*defaults, *(name for name in given if name not in defaults)):
        space[name] = _build_parameter(name, given.get(name, {}), defaults.get(name, {}), recipe)
    _check_together(space, recipe)
    return space


def grid_size(space: Space) -> int:
    """Points of the grid, and the baselines that are not on it. Raises `InputError` where the space is no grid."""
    for name, parameter in space.items():
        rule = "a grid takes `values`, integers, or a range with a step"
        require(parameter.count is not None, f"space.{name}", dataclasses.asdict(parameter), rule)
    points = math.prod(parameter.count or 0 for parameter in space.values())
    return points + sum(rate not in space["rate"] for rate in BASELINES)


def _build_parameter(name: str, value: object, default: dict[str, Any], recipe: TrialConfig) -> Parameter:
    key = f"space.{name}"
    require(name not in SETTLED, key, value, "it is the same for all trials of a study")
    if name not in SEARCHABLE:
        raise unknown_key(key, SEARCHABLE, name)
    if not isinstance(value, Mapping):
        raise InputError(f"{key}: {shown(value)} is refused: {{low, high, scale, step}} or {{values: [...]}}")
    replaces = bool(value) and ("values" in value) != ("values" in default)
    settings = dict(value) if replaces else {**default, **value}
    make: Callable[[str, object, dict[str, Any]], Parameter] = _build_choice if "values" in settings else _build_range
    parameter = make(key, SEARCHABLE[name], settings)
    for extreme in parameter.extremes:
        try:
            with_params(recipe, {name: extreme})
        except InputError as error:
            raise InputError(f"{key}: {str(error).removeprefix(f'{name}: ')}") from error
    return parameter


def _check_together(space: Space, recipe: TrialConfig) -> None:
    """Refuse values of the recipe that are right one by one and wrong together, before a trial meets them."""
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
    plain = [float(v) if kind is float and type(v) is int else v for v in values]
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

"""Parameters that a study searches: each is a range or a list of values, checked by the recipe that it changes."""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from tosmooth.trainables.config import NetworkConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.methods import METHODS

Params = dict[str, Any]  # "rate", "warmup", "lr_after_warmup", "training.batch_size", ... -> value
Frozen = tuple[tuple[str, Any], ...]  # the same, as a set can hold them

BASELINE_METHOD = "gls"  # of which cross-entropy and label smoothing are two configurations
BASELINES = (0.0, 0.1)  # smoothing rates tried first in every cell: cross-entropy, label smoothing
DECIMALS = 12  # to which a value of a range with a step is rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; `low`, `high`, `step` are ints if the parameter is an integer."""

    low: float
    high: float
    scale: Literal["linear", "log", "symlog"] = "linear"
    step: float | None = None  # linear alone; None: 1 for integers, any number for floats

    @property
    def integer(self) -> bool:
        return isinstance(self.low, int)

    @property
    def kind(self) -> object:
        """Kind of the range, which must stay the same while a study grows; the bounds may move."""
        return f"{self.scale} {'integers' if self.integer else 'numbers'}"

    @property
    def extremes(self) -> tuple[float, ...]:
        return self.low, self.high

    @property
    def count(self) -> int | None:
        """Number of values; None for a continuum."""
        if self.integer:
            return int(self.high - self.low) // int(self.step or 1) + 1
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def points(self) -> Iterator[float]:
        """Yield all values of a range that has a `count`, in rising order."""
        return map(self.point, range(self.count or 0))

    def point(self, i: int) -> float:
        """Value number `i`, from 0, of a range that has a `count`."""
        value = self.low + i * (self.step or 1)
        return value if self.integer else round(value, DECIMALS) + 0.0  # -0.8 + 3 * 0.2 is to be -0.2, and never -0.0

    def nearest(self, value: float | None) -> float:
        """Value of the range that is nearest to `value`; `low` if there is none."""
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
    """Choice of one of a few values."""

    values: tuple[Any, ...]

    @property
    def kind(self) -> object:
        """List of the values, which must stay the same while a study grows: Optuna refuses others under one name."""
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
        """Return `value` if it is listed, else the first of the list."""
        return value if value in self else self.values[0]

    def __contains__(self, value: object) -> bool:
        return any(type(value) is type(known) and value == known for known in self.values)


Parameter = Range | Choice
Space = dict[str, Parameter]


def _leaves(cls: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the plain fields of a configuration and of those inside it, by dotted path; lists are left out."""
    for key, hint in typing.get_type_hints(cls).items():
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kind = next(k for k in typing.get_args(hint) if k is not type(None)) if union else hint
        if dataclasses.is_dataclass(kind):
            yield from _leaves(kind, f"{path}{key}.")
        elif kind in (int, float, bool) or typing.get_origin(kind) is Literal:
            yield f"{path}{key}", kind


def own_names(method: str) -> list[str]:
    """Names of a method's parameters as a study writes them: "rate" of gls, "peer.alpha" of peer."""
    return ["rate" if (method, name) == ("gls", "rate") else f"{method}.{name}" for name in METHODS[method].parameters]


def method_of(name: str) -> str | None:
    """Method to which a searched parameter belongs; `None` for one of the recipe that all methods share."""
    first = name.split(".")[0]
    return "gls" if name == "rate" else first if first in METHODS else None


# By the study: trials must be comparable epoch by epoch, and begin with the weights that were measured.
SETTLED = ("training.epochs", "training.recipe", "network.weights")
# What can be searched, with its type.
SEARCHABLE: dict[str, Any] = (
    {"rate": float, "warmup": int, "lr_after_warmup": float}
    | {
        path: kind
        for path, kind in (*_leaves(NetworkConfig, "network."), *_leaves(TrainingConfig, "training."))
        if path not in SETTLED
    }
    | {name: float for method in METHODS for name in own_names(method)}
)


def in_short(params: Params) -> str:
    """Write the smoothing rate, or the parameters of another method, short: "+0.1", "alpha 0.5"."""
    if "rate" in params:
        return f"{params['rate']:+.3g}"
    own = [f"{name.split('.')[1]} {value:.3g}" for name, value in params.items() if method_of(name) is not None]
    return ", ".join(own) or f"warm-up {params.get('warmup', 0)}"


def frozen(params: Mapping[str, Any]) -> Frozen:
    """Parameters in a form that a set can hold."""
    return tuple(sorted(params.items()))


def smallness(params: Params) -> tuple[float, int]:
    """Sort key by which the smaller of equally good parameters is taken: |rate|, then warm-up."""
    return abs(params.get("rate", 0.0)), params.get("warmup", 0)


def unknown_key(path: str, known: Iterable[str], key: str = "") -> InputError:
    """Make the error for an unknown key: `path` as the user wrote it, its last part `key` (default: all of it).

    A key that stands elsewhere is looked for by its last part, too.
    """
    names, wanted = list(known), (key or path).lower()
    inside = [name for name in names if name.lower().endswith(f".{wanted}")]
    near = inside or get_close_matches(wanted, [name for name in names if "." not in name], n=1, cutoff=0.5)
    near = near or get_close_matches(key or path, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(n for n in names if '.' not in n)}"
    return InputError(f"{path}: unknown key; {hint}")


def with_params(config: TrialConfig, params: Mapping[str, Any]) -> TrialConfig:
    """Return the trial with these parameters, given by dotted path. Raises `InputError` if the recipe refuses them."""
    values = config.to_dict()
    for name, value in params.items():
        *parents, key = name.split(".")
        target = values
        if parents and parents[0] in METHODS:
            require(parents[0] == values["method"], name, value, f"the method is {values['method']}")
            parents = ["parameters"]
        for parent in parents:
            target = target[parent]
            require(target is not None, name, value, f"the study's recipe has no {parent}")
        target[key] = value
    return TrialConfig.from_dict(values)

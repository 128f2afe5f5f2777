"""Optuna's search space as the surrogate has it: steps are counted, choices numbered."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tosmooth.search.spec.parameters import Choice, Parameter, Params, Range, Space

Numeric = FloatDistribution | IntDistribution


class EncodedSpace:
    """Search space of an Optuna study, and the way of values into the surrogate's and back."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = distributions

    @property
    def space(self) -> Space:
        """Search space of the surrogate, which would take a parameter that is called "rate" for a smoothing rate."""
        return {_name(name): _parameter(distribution) for name, distribution in self.distributions.items()}

    def params(self, values: Mapping[str, Any]) -> Params | None:
        """Encode a trial's values; `None` where one is missing, or lies outside the space."""
        if not all(name in values and _holds(d, values[name]) for name, d in self.distributions.items()):
            return None
        return {_name(name): _encode(d, values[name]) for name, d in self.distributions.items()}

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Decode."""
        return {name: _decode(d, params[_name(name)]) for name, d in self.distributions.items()}


def _name(name: str) -> str:
    return f"x.{name}"


def _step(distribution: Numeric) -> float | None:
    """Step of a parameter whose values are counted from its low end; `None` of one on a scale of its own."""
    return None if distribution.log else distribution.step


def _numeric(distribution: BaseDistribution) -> Numeric:
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise ValueError(f"PosteriorSampler does not know {distribution!r}")
    return distribution


def _parameter(distribution: BaseDistribution) -> Parameter:
    if isinstance(distribution, CategoricalDistribution):
        return Choice(tuple(map(str, range(len(distribution.choices)))))  # texts: their order says nothing
    own = _numeric(distribution)
    if step := _step(own):
        return Range(low=0, high=round((own.high - own.low) / step))
    return Range(low=own.low, high=own.high, scale="log" if own.log else "linear")


def _encode(distribution: BaseDistribution, value: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return str(int(distribution.to_internal_repr(value)))
    own = _numeric(distribution)
    step = _step(own)
    return type(own.low)(value) if step is None else round((value - own.low) / step)


def _decode(distribution: BaseDistribution, value: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(value)]
    own = _numeric(distribution)
    step = _step(own)
    return value if step is None else min(own.low + value * step, own.high)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:  # of a choice that it has not
        return False

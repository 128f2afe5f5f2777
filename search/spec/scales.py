"""Scales of parameters: each maps to the axis on which the values lie evenly, and back."""

import math
from collections.abc import Callable
from typing import Any

from tosmooth.search.spec.parameters import Parameter, Range

# The symlog scale is linear within about +-0.1, logarithmic beyond. 0.1 is the usual rate of label smoothing: with it
# as the unit a third of the axis from -8 to 0.8 lies within +-0.2, and as much from -8 to -0.8.
SYMLOG_UNIT = 0.1
DIGITS = 6  # significant ones of a sampled float, so that a table can print it and a person repeat it exactly
HIGHEST = 0.98  # rate: what is left of the label is next to nothing from there on


def symlog(rate: float) -> float:
    """Symmetric logarithm of a rate: sign(r) * log(1 + |r| / 0.1)."""
    return math.copysign(math.log1p(abs(rate) / SYMLOG_UNIT), rate)


def symexp(position: float) -> float:
    """Inverse of `symlog`."""
    return math.copysign(SYMLOG_UNIT * math.expm1(abs(position)), position)


def signed_log(rate: float) -> float:
    """Signed logarithm of a rate: sign(r) * log(1 + |r|)."""
    return math.copysign(math.log1p(abs(rate)), rate)


def log_weight(rate: float) -> float:
    """Negative logarithm of the weight that smoothing leaves the label, -log(1 - r); of rates above 0.98 as of that.

    Symmetric noise and smoothing multiply these weights, (1 - c) = (1 - r) (1 - rho) in Wei et al. 2022: so noise moves
    the best rate by the same distance on this scale, wherever it lies.
    """
    return -math.log(1 - min(rate, HIGHEST))


SCALES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "linear": (float, float),
    "log": (math.log, math.exp),
    "symlog": (symlog, symexp),
}  # to the axis on which values lie evenly, and back


def value_at(parameter: Parameter, share: float) -> Any:
    """Value at `share`, in [0, 1), of the way through a parameter, measured on its scale."""
    if not isinstance(parameter, Range):
        return parameter.values[int(share * parameter.count)]
    if parameter.count is not None:
        return parameter.point(int(share * parameter.count))
    transform, back = SCALES[parameter.scale]
    low, high = transform(parameter.low), transform(parameter.high)
    return parameter.nearest(float(f"{back(low + share * (high - low)):.{DIGITS}g}") + 0.0)


def closest(name: str, parameter: Parameter, value: Any) -> Any:
    """Value of a parameter that is nearest to `value`, also among listed numbers.

    Listed rates are compared on their symlog scale, other listed numbers as they are.
    """
    if isinstance(parameter, Range):
        exact = parameter.integer or parameter.step is not None
        return parameter.nearest(value if exact else float(f"{value:.{DIGITS}g}") + 0.0)
    numbers = [v for v in parameter.values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(parameter.values) or not isinstance(value, int | float) or isinstance(value, bool):
        return parameter.nearest(value)
    place = symlog if name == "rate" else float
    return min(numbers, key=lambda number: abs(place(number) - place(value)))

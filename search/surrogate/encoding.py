"""Encoding of configurations as points, between which the surrogate measures distances."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import BASELINES, Parameter, Range, Space
from tosmooth.search.spec.scales import SCALES, log_weight
from tosmooth.search.surrogate.gaussian_process import Array, Prior

# Lengths along the axes, which are 1 long. That of the others was chosen as the model's other priors.
RATE_LENGTH, LENGTH = Prior(0.22, 0.5), Prior(1.5, 1.0)


@dataclass(frozen=True, slots=True)
class Axes:
    """Axes of the encoded space: each number on its scale, in units of its range; one axis for each value of a choice.

    Rates lie on -log(1 - r) (`search.spec.scales.log_weight`): accuracy changes little between -0.4 and 0.4, and fast
    beyond -1 and 0.5. On the searched scale, which takes half its length for the former, a kernel of one length fits
    neither.
    """

    space: Space  # without what has one value, but for the rate: the baselines have others
    warmup: Parameter
    axis: str  # `MethodSpec.axis`
    start: int | None  # the warm-up at which plain cross-entropy lies, whatever its own; None: it shapes it

    @classmethod
    def of(cls, spec: MethodSpec) -> "Axes":
        space = {name: p for name, p in spec.space.items() if name in ("rate", spec.axis) or p.count != 1}
        single = spec.training.recipe == "single"
        return cls(space, spec.space["warmup"], spec.axis, spec.baseline(0.0)["warmup"] if single else None)

    @property
    def scale(self) -> tuple[Callable[[float], float], Callable[[float], float]]:
        """Map to the scale on which intervals along `axis` are measured, and its inverse."""
        return scale_of(self.axis, self.space[self.axis])

    def point(self, params: Mapping[str, Any]) -> Array:
        """Encode a configuration [d]."""
        if self.start is not None and params.get("rate") == 0 and params.get("lr_after_warmup", 1.0) == 1:
            params = {**params, "warmup": self.start}  # nothing changes after its warm-up
        return np.concatenate([_place(name, parameter, params[name]) for name, parameter in self.space.items()])

    def apart(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
        """Distance of two configurations along `axis` alone, in units of its length."""
        here, there = (_place(self.axis, self.space[self.axis], each[self.axis]) for each in (one, other))
        return float(np.abs(here - there).max())

    def edge(self, params: Mapping[str, Any]) -> Array:
        """Encode a configuration for `Feasibility` [2 + v]: depth of the rate, warm-up, what else is searched."""
        low, high = min(self.warmup.extremes), max(self.warmup.extremes)
        depth = 0.0  # of other methods nothing is known but what else is searched
        if "rate" in self.space and (lowest := log_weight(min(self.space["rate"].extremes))) < 0:
            depth = max(0.0, log_weight(params["rate"]) / lowest)
        warmup = (params["warmup"] - low) / (high - low) if high > low else 0.0
        rest = [_place(n, p, params[n]) for n, p in self.space.items() if n not in ("rate", "warmup")]
        return np.concatenate([[depth, warmup], *rest])

    def lengths(self) -> list[Prior]:
        """Priors of the kernel's length along each axis [d]."""
        sizes = {name: len(_place(name, p, p.extremes[0])) for name, p in self.space.items()}
        return [RATE_LENGTH if name == self.axis else LENGTH for name, size in sizes.items() for _ in range(size)]


def scale_of(name: str, parameter: Parameter) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """Map to the scale on which a hyperparameter's values lie evenly, and its inverse; always symlog for a rate."""
    scale = parameter.scale if isinstance(parameter, Range) else "linear"
    return SCALES["symlog" if name == "rate" else scale]


def _place(name: str, parameter: Parameter, value: Any) -> Array:
    """Encode the value of one hyperparameter: its part of a point."""
    known = list(parameter.extremes)
    if any(not isinstance(each, int | float) or isinstance(each, bool) for each in known):
        return np.array([float(value == each) for each in known])
    if name == "rate":
        known += BASELINES
    to = log_weight if name == "rate" else scale_of(name, parameter)[0]
    low, high = to(min(known)), to(max(known))
    return np.array([(to(value) - low) / ((high - low) or 1.0)])  # an axis of one value has no length

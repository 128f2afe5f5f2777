"""Parameters as points of a model, and the parameters among which the best is looked for."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import qmc

from search.gaussian_process import Array, Prior
from search.parameters import BASELINES, Parameter, Params, Range, Space
from search.scales import SCALES, signed_log, value_at
from search.study import StudySpec

# Of the lengths along the axes, which are 1 long. As all priors of the model, they were chosen by replaying searches on
# recorded trials of the studies twonorm and cifar10n-cpu.
RATE_LENGTH, LENGTH = Prior(0.3, 0.5), Prior(1.5, 0.7)


@dataclass(frozen=True, slots=True)
class Axes:
    """From parameters to points: each number on its scale, in units of its range; each value of a choice has an axis.

    Rates lie on sign(r) * log(1 + |r|): accuracy changes little between -0.4 and 0.4, and fast beyond -1. On the
    searched scale, which takes half its length for the former, a kernel of one length fits neither.
    """

    space: Space  # without what has one value, but for the rate: the baselines have others
    warmup: Parameter
    axis: str  # `StudySpec.axis`
    start: int | None  # the warm-up at which plain cross-entropy lies, whatever its own; None: it shapes it

    @classmethod
    def of(cls, spec: StudySpec) -> "Axes":
        space = {name: p for name, p in spec.space.items() if name in ("rate", spec.axis) or p.count != 1}
        single = spec.training.recipe == "single"
        return cls(space, spec.space["warmup"], spec.axis, spec.baseline(0.0)["warmup"] if single else None)

    @property
    def scale(self) -> tuple[Callable[[float], float], Callable[[float], float]]:
        """To the scale on which intervals along the axis are measured, and back."""
        return scale_of(self.axis, self.space[self.axis])

    def point(self, params: Mapping[str, Any]) -> Array:
        """Where the parameters lie [d]."""
        if self.start is not None and params.get("rate") == 0 and params.get("lr_factor", 1.0) == 1:
            params = {**params, "warmup": self.start}  # nothing changes after its warm-up
        return np.concatenate([_place(name, parameter, params[name]) for name, parameter in self.space.items()])

    def edge(self, params: Mapping[str, Any]) -> Array:
        """Where they lie towards the edge of divergence [2 + v]: depth of the rate, warm-up, what else is searched."""
        low, high = min(self.warmup.extremes), max(self.warmup.extremes)
        depth = 0.0  # of other methods nothing is known but what else is searched
        if "rate" in self.space and (lowest := signed_log(min(self.space["rate"].extremes))) < 0:
            depth = max(0.0, signed_log(params["rate"]) / lowest)
        warmup = (params["warmup"] - low) / (high - low) if high > low else 0.0
        rest = [_place(n, p, params[n]) for n, p in self.space.items() if n not in ("rate", "warmup")]
        return np.concatenate([[depth, warmup], *rest])

    def lengths(self) -> list[Prior]:
        """What is expected of the length along each axis."""
        sizes = {name: len(_place(name, p, p.extremes[0])) for name, p in self.space.items()}
        return [RATE_LENGTH if name == self.axis else LENGTH for name, size in sizes.items() for _ in range(size)]


def places_of(spec: StudySpec) -> list[Any]:
    """Values that cover the axis evenly, at most 45 of a range; of the rate the baselines', too, that lie in it."""
    axis = spec.space[spec.axis]
    known = [rate for rate in BASELINES if rate in axis] if spec.axis == "rate" else []
    return sorted({*_values(spec.axis, axis, 45), *known})


def candidates(spec: StudySpec, ranked: Sequence[Params], tried: int | None = None) -> list[Params]:
    """Where the best may lie: every value of the axis with every warm-up. `ranked`: what was tried, best first.

    Where more is searched, each stands with some settings of the rest, those of the two best trials and three that
    differ from call to call, and the warm-ups are fewer. `tried`: how many trials `ranked` stands for (None: itself).
    """
    rest = {name: parameter for name, parameter in spec.space.items() if name not in (spec.axis, "warmup")}
    warmups = _values("warmup", spec.space["warmup"], 4 if rest else 9)
    pairs = itertools.product(places_of(spec), warmups, _settings(rest, ranked, tried or len(ranked)))
    # The axis after the warm-up: that may be it.
    found = [{**dict.fromkeys(spec.space), "warmup": warmup, spec.axis: at, **other} for at, warmup, other in pairs]
    return distinct(found, Axes.of(spec))  # plain cross-entropy once, whatever its warm-up


def distinct(params: Sequence[Params], axes: Axes) -> list[Params]:
    """The first of those that lie at one point, in their order."""
    known: dict[bytes, Params] = {}
    for each in params:
        known.setdefault(axes.point(each).tobytes(), each)
    return list(known.values())


def _settings(rest: Space, ranked: Sequence[Params], tried: int) -> list[Params]:
    """Of the parameters beyond rate and warm-up."""
    if not rest:
        return [{}]
    best: list[Params] = []
    for params in ranked:
        setting = {name: params[name] for name in rest}
        if setting not in best:
            best.append(setting)
    points = qmc.Sobol(len(rest), rng=tried).random_base2(2)[:3].tolist()
    new = [{name: value_at(p, u) for (name, p), u in zip(rest.items(), point, strict=True)} for point in points]
    return [*best[:2], *new]


def scale_of(name: str, parameter: Parameter) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """To the scale on which a parameter's values lie evenly, and back; that of rates is symlog always."""
    scale = parameter.scale if isinstance(parameter, Range) else "linear"
    return SCALES["symlog" if name == "rate" else scale]


def _values(name: str, parameter: Parameter, number: int) -> list[Any]:
    """Values of a parameter, evenly spread on its scale, at most `number`."""
    if not isinstance(parameter, Range) or (parameter.count is not None and parameter.count <= number):
        return list(parameter.points())
    to, back = scale_of(name, parameter)
    places = np.linspace(to(parameter.low), to(parameter.high), number).tolist()
    return [parameter.nearest(float(f"{back(place):.3g}") + 0.0) for place in places]


def _place(name: str, parameter: Parameter, value: Any) -> Array:
    """One parameter's part of a point."""
    known = list(parameter.extremes)
    if any(not isinstance(each, int | float) or isinstance(each, bool) for each in known):
        return np.array([float(value == each) for each in known])
    if name == "rate":
        known += BASELINES
    to = signed_log if name == "rate" else scale_of(name, parameter)[0]
    low, high = to(min(known)), to(max(known))
    return np.array([(to(value) - low) / (high - low)])

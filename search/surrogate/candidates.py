"""Candidates: the configurations among which the best is looked for, and the next trial."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import qmc

from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import BASELINES, Parameter, Params, Range, Space
from tosmooth.search.spec.scales import value_at
from tosmooth.search.surrogate.encoding import Axes, scale_of


def places_of(spec: MethodSpec) -> list[Any]:
    """Values that cover the axis evenly, at most 45 of a range; for the rate also the baselines' that lie in it."""
    axis = spec.space[spec.axis]
    known = [rate for rate in BASELINES if rate in axis] if spec.axis == "rate" else []
    return sorted({*_values(spec.axis, axis, 45), *known})


def candidates(spec: MethodSpec, ranked: Sequence[Params], tried: int | None = None) -> list[Params]:
    """Candidates of a cell: every value of the axis with every warm-up. `ranked`: configurations tried, best first.

    If further hyperparameters are searched, each pair stands with five settings of them, those of the two best trials
    and three Sobol points that differ from call to call, and the warm-ups are fewer. `tried`: trials that `ranked`
    stands for (`None`: as many as it holds).
    """
    rest = {name: parameter for name, parameter in spec.space.items() if name not in (spec.axis, "warmup")}
    warmups = _values("warmup", spec.space["warmup"], 4 if rest else 9)
    pairs = itertools.product(places_of(spec), warmups, _settings(rest, ranked, tried or len(ranked)))
    # The axis after the warm-up: that may be it.
    found = [{**dict.fromkeys(spec.space), "warmup": warmup, spec.axis: at, **other} for at, warmup, other in pairs]
    return distinct(found, Axes.of(spec))  # plain cross-entropy once, whatever its warm-up


def distinct(params: Sequence[Params], axes: Axes) -> list[Params]:
    """Drop configurations that lie at the same point as an earlier one; the order stays."""
    known: dict[bytes, Params] = {}
    for each in params:
        known.setdefault(axes.point(each).tobytes(), each)
    return list(known.values())


def _settings(rest: Space, ranked: Sequence[Params], tried: int) -> list[Params]:
    """Settings of the hyperparameters beyond axis and warm-up: of the two best trials, then three Sobol points."""
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


def _values(name: str, parameter: Parameter, number: int) -> list[Any]:
    """Values of a hyperparameter, at most `number` of a range, evenly spread on its scale."""
    if not isinstance(parameter, Range) or (parameter.count is not None and parameter.count <= number):
        return list(parameter.points())
    to, back = scale_of(name, parameter)
    places = np.linspace(to(parameter.low), to(parameter.high), number).tolist()
    return [parameter.nearest(short(back(place))) for place in places]


def short(value: float) -> float:
    """Round to three significant digits, and to 0 what is 0 but for rounding: else it would not be cross-entropy."""
    return 0.0 if abs(value) < 1e-15 else float(f"{value:.3g}")

"""The space of a study as Optuna samples it, and the way between what is sampled and a trial's parameters."""

import itertools
import random
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

from search.parameters import Parameter, Params, Range
from search.scales import DIGITS, symexp, symlog, value_at
from search.sections import GUIDED
from search.study import StudySpec, derive_seed


def distributions(spec: StudySpec) -> dict[str, BaseDistribution]:
    """What Optuna samples, by the name under which it does: a symlog parameter lies on its transformed axis."""
    return {_sampled_name(name, parameter): _distribution(parameter) for name, parameter in spec.space.items()}


def to_params(spec: StudySpec, sampled: Mapping[str, Any]) -> Params:
    """The parameters of a trial from the values that Optuna sampled for `distributions`."""
    return {name: _from_sampled(p, sampled[_sampled_name(name, p)]) for name, p in spec.space.items()}


def to_sampled(spec: StudySpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `to_params`, for parameters that no sampler proposed.

    Parameters that lie outside the space (a baseline's rate can) are left out: Optuna refuses them.
    """
    return {
        _sampled_name(name, parameter): symlog(params[name]) if _is_symlog(parameter) else params[name]
        for name, parameter in spec.space.items()
        if name in params and params[name] in parameter
    }


def inside(spec: StudySpec, params: Mapping[str, Any]) -> bool:
    """Whether a sampler could have proposed these parameters."""
    return params.keys() == spec.space.keys() and all(params[name] in p for name, p in spec.space.items())


def initial_points(spec: StudySpec) -> list[Params]:
    """The parameters tried before a sampler is asked: its openers, then the whole grid or an even spread."""
    if spec.search.sampler == "grid":
        return grid(spec)
    return spec.openers() + (sobol_points(spec) if spec.search.sampler in GUIDED else [])


def sobol_points(spec: StudySpec) -> list[Params]:
    """Points that cover the space evenly, at most half of the budget: a scrambled Sobol sequence, drawn from the seed.

    Samplers start from random points. Where good rates lie in a narrow range (Twonorm at a noise of 0.3), ten random
    points miss it for one study in ten, and the sampler then never sees what it is to find.
    """
    exponent = (spec.budget // 2).bit_length() - 1  # a Sobol sequence is even for powers of 2
    engine = qmc.Sobol(len(spec.space), rng=derive_seed(spec.seed, "sobol"))
    points = engine.random_base2(exponent).tolist()
    names = spec.space.items()
    return [{name: value_at(p, u) for (name, p), u in zip(names, point, strict=True)} for point in points]


def grid(spec: StudySpec) -> list[Params]:
    """Every point of the space once, what a cell opens with first, the rest in an order shuffled by the study's seed.

    So a grid that is stopped early has covered the space evenly. As many as `spec.budget` under the sampler `grid`.
    """
    first = spec.openers()
    points = itertools.product(*(parameter.points() for parameter in spec.space.values()))
    others = [params for point in points if (params := dict(zip(spec.space, point, strict=True))) not in first]
    random.Random(derive_seed(spec.seed, "grid")).shuffle(others)
    return first + others


def _is_symlog(parameter: Parameter) -> bool:
    return isinstance(parameter, Range) and parameter.scale == "symlog"


def _sampled_name(name: str, parameter: Parameter) -> str:
    return f"symlog({name})" if _is_symlog(parameter) else name


def _distribution(parameter: Parameter) -> BaseDistribution:
    if not isinstance(parameter, Range):
        return CategoricalDistribution(parameter.values)
    low, high, step, log = parameter.low, parameter.high, parameter.step, parameter.scale == "log"
    if parameter.integer:
        return IntDistribution(int(low), int(high), log=log, step=int(step or 1))
    if parameter.scale == "symlog":
        return FloatDistribution(symlog(low), symlog(high))
    return FloatDistribution(low, high, log=log, step=step)


def _from_sampled(parameter: Parameter, value: Any) -> Any:
    if not isinstance(parameter, Range) or parameter.integer:
        return value
    rate = symexp(value) if _is_symlog(parameter) else float(value)
    # `nearest` last: rounding must not lead over a bound, and a stepped value is exact already.
    return parameter.nearest(rate if parameter.step else float(f"{rate:.{DIGITS}g}") + 0.0)

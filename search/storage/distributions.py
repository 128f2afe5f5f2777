"""Optuna's distributions of a search space, and the way from sampled values to hyperparameters and back."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Parameter, Params, Range
from tosmooth.search.spec.scales import DIGITS, symexp, symlog


def distributions(spec: MethodSpec) -> dict[str, BaseDistribution]:
    """Distributions by the name under which Optuna samples them: a symlog parameter lies on its transformed axis."""
    return {_sampled_name(name, parameter): _distribution(parameter) for name, parameter in spec.space.items()}


def to_params(spec: MethodSpec, sampled: Mapping[str, Any]) -> Params:
    """Turn the values that Optuna sampled from `distributions` into the hyperparameters of a trial."""
    return {name: _from_sampled(p, sampled[_sampled_name(name, p)]) for name, p in spec.space.items()}


def to_sampled(spec: MethodSpec, params: Mapping[str, Any]) -> dict[str, Any]:
    """Turn hyperparameters that no sampler proposed into what it would have sampled: the inverse of `to_params`.

    Those that lie outside the search space (a baseline's rate can) are left out: Optuna refuses them.
    """
    return {
        _sampled_name(name, parameter): symlog(params[name]) if _is_symlog(parameter) else params[name]
        for name, parameter in spec.space.items()
        if name in params and params[name] in parameter
    }


def inside(spec: MethodSpec, params: Mapping[str, Any]) -> bool:
    """True if these hyperparameters lie in the search space, so that a sampler could have proposed them."""
    return params.keys() == spec.space.keys() and all(params[name] in p for name, p in spec.space.items())


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

"""tosmooth: my labels are partly wrong, should I smooth them, by how much, and from which epoch on?

`tosmooth.PosteriorSampler` is its sampler, for any Optuna study.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tosmooth.search.suggest.posterior_sampler import PosteriorSampler

__all__ = ["PosteriorSampler"]


def __getattr__(name: str) -> Any:
    # When it is asked for: Optuna and SciPy take a second, and what trains has neither.
    if name in __all__:
        return getattr(import_module("tosmooth.search.suggest.posterior_sampler"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

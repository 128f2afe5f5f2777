"""tosmooth: my labels are partly wrong, should I smooth them, by how much, and from which epoch on?

`tosmooth.losses` has the losses for training code of one's own. `tosmooth.PosteriorSampler` is its sampler, for any
Optuna study.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tosmooth import losses as losses
    from tosmooth.search.suggest.posterior_sampler import PosteriorSampler as PosteriorSampler

# Where each name is from. It is loaded when it is asked for: torch, Optuna and SciPy take seconds.
_PLACES = {
    "PosteriorSampler": "tosmooth.search.suggest.posterior_sampler",
}
_MODULES = ("losses",)

__all__ = ["PosteriorSampler", "losses"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"tosmooth.{name}")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

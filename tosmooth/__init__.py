"""tosmooth: my labels are partly wrong, should I smooth them, by how much, and from which epoch on?

`search` takes arrays and recommends a rate. `run` runs a study, which `Study` or a file describes, and `load` reads one
that was run. Each of these three gives a `Result`. `load_weights` gives a trained network that takes raw rows or
pictures. `SmoothedClassifier` is an estimator as scikit-learn has them. `losses` has the losses for training code of
one's own. `Trial` is what a study hands to such code. `PosteriorSampler` is a sampler for any Optuna study, with the
search's model.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tosmooth import losses as losses
    from tosmooth.search.api.classifier import SmoothedClassifier as SmoothedClassifier
    from tosmooth.search.api.recommendation import Recommendation as Recommendation
    from tosmooth.search.api.result import Result as Result
    from tosmooth.search.api.running import load as load
    from tosmooth.search.api.running import run as run
    from tosmooth.search.api.searching import search as search
    from tosmooth.search.api.study import Study as Study
    from tosmooth.search.suggest.posterior_sampler import PosteriorSampler as PosteriorSampler
    from tosmooth.trainables.errors import InputError as InputError
    from tosmooth.trainables.inference import load_weights as load_weights
    from tosmooth.trainables.own_training import StopTrial as StopTrial
    from tosmooth.trainables.own_training import Trial as Trial

# Where each name is from. It is loaded when it is asked for: torch, Ray, Optuna and pandas take seconds.
_PLACES = {
    "InputError": "tosmooth.trainables.errors",
    "PosteriorSampler": "tosmooth.search.suggest.posterior_sampler",
    "Recommendation": "tosmooth.search.api.recommendation",
    "Result": "tosmooth.search.api.result",
    "SmoothedClassifier": "tosmooth.search.api.classifier",
    "StopTrial": "tosmooth.trainables.own_training",
    "Study": "tosmooth.search.api.study",
    "Trial": "tosmooth.trainables.own_training",
    "load": "tosmooth.search.api.running",
    "load_weights": "tosmooth.trainables.inference",
    "run": "tosmooth.search.api.running",
}
_MODULES = ("losses", "search")  # the latter is a package that can be called

__all__ = [
    "InputError",
    "PosteriorSampler",
    "Recommendation",
    "Result",
    "SmoothedClassifier",
    "StopTrial",
    "Study",
    "Trial",
    "load",
    "load_weights",
    "losses",
    "run",
    "search",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"tosmooth.{name}")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

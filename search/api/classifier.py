"""A classifier for labels that are partly wrong, as scikit-learn has estimators."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from tosmooth.search.api.searching import search, settled_network
from tosmooth.search.init.propose import Recipe, fitting_recipe
from tosmooth.trainables.config import (
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainingConfig,
    TrialConfig,
)
from tosmooth.trainables.conversion import build
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.data.examples import scale_of
from tosmooth.trainables.errors import require
from tosmooth.trainables.training.trainer import train

if TYPE_CHECKING:
    from tosmooth.search.api.result import Result

CHECKED = 256  # examples by which the loss is looked at after each epoch
PREDICTED = 4096  # examples at once


class SmoothedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Classifier of features [N, D]: a network that is trained with generalised label smoothing.

    `rate` is a number of at most 1 (0 is cross-entropy, below 0 negative smoothing), or `"search"`: then the rate and
    the warm-up are searched first, as `tosmooth.search` does with the same data. The network itself is trained in this
    process. Network, epochs, batch size and learning rate are those that `tosmooth init` proposes for so much data,
    unless they are given.

    After `fit` it has `classes_` [K], `rate_`, `warmup_`, `network_` (a module that takes standardised features),
    `mean_` and `scale_` [D], and after a search `result_`. Labels and features are checked as scikit-learn does it.
    Wrong parameters raise `InputError`, which is a `ValueError`.
    """

    def __init__(
        self,
        rate: float | Literal["search"] = "search",
        warmup: int = 0,
        *,
        network: str | Mapping[str, Any] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        trials: int | None = None,
        seeds: int | None = None,
        home: str | Path | None = None,
        progress: bool = True,
        random_state: Any = None,
    ) -> None:
        """Take rate and warm-up, the recipe, and for a search its trials, fresh seeds and home.

        `warmup`, in epochs, is for a rate that is given. `random_state` is an int, a RandomState or None, as in
        scikit-learn.
        """
        self.rate = rate
        self.warmup = warmup
        self.network = network
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.trials = trials
        self.seeds = seeds
        self.home = home
        self.progress = progress
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on features [N, D] and labels [N], some of which may be wrong."""
        features, given = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(given)
        self.classes_, labels = np.unique(given, return_inverse=True)
        require(len(self.classes_) >= 2, "y", self.classes_.tolist(), "labels of two classes or more, not of one class")
        rate, ok = self.rate, self.rate == "search" or isinstance(self.rate, int | float | np.number)
        require(ok, "rate", rate, "a smoothing rate of at most 1, or search")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        recipe, warmup = fitting_recipe(len(labels), pictures=False), self.warmup
        if rate == "search":
            self.result_ = self._searched(features, labels, seed)
            best = self.result_.best("given").parameters
            rate, warmup = best["rate"], best["warmup"]
        self.rate_, self.warmup_ = float(rate), int(warmup)
        self._train(features, labels, self._config(recipe, seed))
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities [N, K] of the classes, in the order of `classes_`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        inputs = torch.from_numpy((X - self.mean_) / self.scale_)
        with torch.inference_mode():
            found = [self.network_(part).softmax(dim=1) for part in inputs.split(PREDICTED)]
        probabilities: NDArray[np.float64] = torch.cat(found).numpy()
        return probabilities

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the likeliest class [N] of each example."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        found: NDArray[Any] = self.classes_[likeliest]
        return found

    def _searched(self, X: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> "Result":
        changes: dict[str, Any] = {"training.batch_size": self.batch_size, "training.optimizer.lr": self.learning_rate}
        return search(
            X,
            labels,
            network=self.network,
            epochs=self.epochs,
            trials=self.trials,
            seeds=self.seeds,
            changes={key: value for key, value in changes.items() if value is not None},
            seed=seed,
            home=self.home,
            progress=self.progress,
        )

    def _config(self, recipe: Recipe, seed: int) -> TrialConfig:
        training = TrainingConfig(
            epochs=recipe.epochs if self.epochs is None else self.epochs,
            batch_size=recipe.batch_size if self.batch_size is None else self.batch_size,
            optimizer=OptimizerConfig(lr=recipe.lr if self.learning_rate is None else self.learning_rate),
            schedule=ScheduleConfig(name="cosine"),
        )
        network = recipe.network if self.network is None else settled_network(self.network)
        return TrialConfig(
            data=DataConfig(dataset="arrays", noise="given"),
            network=build(NetworkConfig, network, "network."),
            training=training,
            rate=self.rate_,
            warmup=self.warmup_,
            train_seed=seed,
        )

    def _train(self, X: NDArray[np.float64], labels: NDArray[np.int64], config: TrialConfig) -> None:
        mean, scale = scale_of(torch.from_numpy(X))
        self.mean_, self.scale_ = mean.numpy(), scale.numpy()
        deterministic = torch.backends.cudnn.deterministic
        try:
            with torch.random.fork_rng():  # what the user draws from torch is as without this
                trainer = train(config, _level(((X - self.mean_) / self.scale_), labels), lambda report: None)
        finally:
            torch.backends.cudnn.deterministic = deterministic
        self.n_iter_ = trainer.epoch
        if trainer.diverged is not None:
            words = f"training with the rate {self.rate_:g} diverged in epoch {trainer.epoch}: {trainer.diverged}"
            warnings.warn(words, ConvergenceWarning, stacklevel=3)
        # In float64 what is predicted for an example does not depend on those beside it.
        self.network_ = trainer.network.cpu().double().eval()


def _level(inputs: NDArray[np.float64], labels: NDArray[np.int64]) -> LevelData:
    """Data as the training loop takes them; some of the training examples stand in for the validation."""
    features, given = torch.from_numpy(inputs).float(), torch.from_numpy(labels)
    rows = torch.arange(len(given))
    few = rows[:: max(1, len(rows) // CHECKED)]
    return LevelData(
        train=Split(features, rows, given),
        validation=Split(features, few, given[few]),
        test=None,
        classes=int(given.max()) + 1,
        noise_rate=None,
        symmetric=False,
        mean=(0.0,),
        std=(1.0,),
        digest="arrays",
    )

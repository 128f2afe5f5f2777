"""What of the search is tuned on recorded surfaces, so that it can be tuned on some and judged on others.

Two things are: the portfolio that opens a search, chosen greedily, and the priors of the surrogate, chosen by how well
it predicts what it has not seen. Neither looks at the clean test set's accuracy of what a search chose.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp
from surface import Surface
from surfaces import GRID

from tosmooth.search.records import Record
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import BASELINES
from tosmooth.search.suggest import initial_design
from tosmooth.search.surrogate import encoding, fitting, gaussian_process
from tosmooth.search.surrogate.gaussian_process import PRIORS, Model, Prior, Priors

Portfolio = tuple[tuple[float, float], ...]  # rate, and warm-up as a share of its range
END = (0.8, 0)  # taken first, on principle: the end of the space at which neither theory nor covering points look
MOST_REGRET = 10.0  # points: a wrecked network is no worse than that


class Beliefs(NamedTuple):
    """Priors of the surrogate with that of the lengths beyond the rate's."""

    priors: Priors
    length: Prior


CANDIDATES = [
    Beliefs(PRIORS._replace(amplitude=amplitude, noise=noise, centre=centre), length)
    for amplitude, noise, centre, length in product(
        (Prior(0.4, 0.3), Prior(0.6, 0.5), Prior(1.0, 0.5)),
        (Prior(0.05, 0.4), Prior(0.1, 0.8), Prior(0.2, 0.8)),
        (0.25, 0.1, 0.0),
        (Prior(1.5, 0.7), Prior(1.5, 1.0)),
    )
]


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen on some surfaces."""

    portfolio: Portfolio
    beliefs: Beliefs

    @classmethod
    def ours(cls) -> "Tuned":
        """As the product has it."""
        return cls(initial_design.PORTFOLIO, Beliefs(gaussian_process.PRIORS, encoding.LENGTH))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the search use it."""
        before = Tuned.ours()
        self._set()
        try:
            yield
        finally:
            before._set()

    def _set(self) -> None:
        initial_design.PORTFOLIO = self.portfolio
        gaussian_process.PRIORS, encoding.LENGTH = self.beliefs
        fitting._fitted.cache_clear()


@dataclass(frozen=True, slots=True)
class Searched:
    """Trials of one level of a replayed search."""

    spec: MethodSpec
    noise: str
    records: Sequence[Record]


def portfolio(surfaces: Sequence[Surface], size: int = 4) -> Portfolio:
    """Points chosen one after another, each the one that leaves the least regret beside the baselines and those before.

    The first is `END`. Regret is the clean test accuracy that the best of the points lacks to the best of the grid, the
    mean over levels and then over surfaces.
    """
    losses = [[_losses(surface, noise) for noise in surface.noises] for surface in surfaces]
    chosen = [*((rate, 0) for rate in BASELINES), END]

    def left(points: Sequence[tuple[float, int]]) -> float:
        return statistics.fmean(
            statistics.fmean(min(loss[point] for point in points) for loss in levels) for levels in losses
        )

    for _ in range(size - 1):
        chosen.append(min(product(GRID, range(3)), key=lambda point: left([*chosen, point])))
    return tuple((rate, place / 2) for rate, place in chosen[len(BASELINES) :])


def _losses(surface: Surface, noise: str) -> dict[tuple[float, int], float]:
    """Regret of each point of the grid, by rate and number of the warm-up of three, at the recipe's learning rate."""
    means = surface.levels[noise].test[:, :, -1].mean(axis=-1)
    return {
        (float(rate), w): min(float(means.max() - means[i, w]), MOST_REGRET)
        for i, rate in enumerate(surface.rates)
        for w in range(len(surface.warmups))
    }


def best_beliefs(losses: Mapping[Beliefs, Sequence[float]]) -> Beliefs:
    """Beliefs of the lowest mean loss over surfaces."""
    return min(losses, key=lambda beliefs: statistics.fmean(losses[beliefs]))


def prediction_loss(surface: Surface, searches: Sequence[Searched], beliefs: Beliefs) -> float:
    """Mean negative log density of the true noisy accuracies of the grid, given the trials of a search.

    On the scale of the surrogate. The better half of the grid counts twice; no point more than 20.
    """
    with Tuned(initial_design.PORTFOLIO, beliefs).applied():
        return statistics.fmean(
            _loss(model, *_truth(surface, each.noise)) for each in searches if (model := _fitted(each)) is not None
        )


def _fitted(searched: Searched) -> Any:
    return fitting.fit(searched.spec, searched.records)


def _truth(surface: Surface, noise: str) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Points of the grid at which no run diverged, and their mean noisy accuracies over all seeds."""
    truth, level = surface.truth(noise, surface.seeds), surface.levels[noise]
    shape = level.diverged.shape[:3]
    complete = [not level.diverged[place].any() for place in product(*map(range, shape))]
    points = [point for point, whole in zip(surface.points(), complete, strict=True) if whole]
    return points, np.array([truth.noisy(point) for point in points])


def _loss(posterior: Any, points: Sequence[dict[str, Any]], accuracies: np.ndarray) -> float:
    model: Model = posterior.model
    behind = model.top - accuracies
    z = np.where(behind >= 0, -np.arcsinh(behind / model.unit), -behind / model.unit)
    z = (z - model.centre) / model.spread
    x = np.array([posterior.axes.point(point) for point in points])
    logs = []
    for setting in model.settings:
        mean, covariance = model.joint(setting, x)
        variance = np.maximum(np.diag(covariance), 0) + 1e-3
        logs.append(-0.5 * (np.log(2 * np.pi * variance) + (z - mean) ** 2 / variance))
    density = logsumexp(np.array(logs), axis=0) - np.log(len(logs))
    weights = np.where(accuracies >= np.median(accuracies), 2.0, 1.0)
    return float(-np.average(np.maximum(density, -20.0), weights=weights))

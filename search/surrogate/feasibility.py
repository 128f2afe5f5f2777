"""Feasibility: the probability that training completes, by an edge of divergence learned from the trials of a cell.

A negative rate asks for more than a sure prediction, and beyond some rate training runs away; the sooner the rate sets
in, the sooner. So the edge is an unknown constraint (Gelbart, Snoek & Adams 2014, arXiv 1403.5607) of a known shape:

    P(complete | x) = (1 - ACCIDENT) sigmoid((edge + shift w(x) + c . v(x) - depth(x)) / width)

with depth the rate's distance below 0 and w the warm-up's place in its range, both 0 to 1, and v what else is searched.
Edge, shift, c and width are drawn from the priors below and weighted by the likelihood of what completed and what did
not: a dozen trials do not fix them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri
from scipy.stats import qmc

from tosmooth.search.surrogate.gaussian_process import Array, Prior

ACCIDENT = 0.01  # that a trial diverges for no reason that the parameters give
WIDTH = Prior(0.02, 0.7)  # of the edge, in depths: seeds differ by little there (studies of Twonorm)
FURTHEST = 1.5  # place of the edge without a warm-up, at most, in depths: beyond 1 no rate of the space diverges
OTHERS = 0.3  # standard deviation of c


class Chances(NamedTuple):
    """Probabilities that G candidates complete: as known now, and as they would be after one more trial."""

    now: Array  # [G]
    after_completion: Array  # [G, A], of the candidate or trial A
    after_divergence: Array  # [G, A]


@dataclass(frozen=True, slots=True)
class Feasibility:
    """Distribution of the edge: S settings and their weights, which add up to 1."""

    settings: Array  # [S, 3 + v]: edge, shift, width, c
    weights: Array  # [S]

    @classmethod
    def of(cls, points: Array, diverged: NDArray[np.bool_]) -> Self:
        """Fit to the points [n, 2 + v] of trials (depth, warm-up, the rest), `diverged` [n] or complete."""
        others = points.shape[1] - 2
        u = qmc.Sobol(3 + others, rng=0).random_base2(9).clip(1e-6, 1 - 1e-6)
        columns = [FURTHEST * u[:, 0], u[:, 1], WIDTH.at(u[:, 2]), *(OTHERS * ndtri(u[:, 3:])).T]
        edge = cls(np.stack(columns, axis=1), np.full(len(u), 1 / len(u)))
        complete = edge.completes(points)
        likelihoods = np.where(diverged, 1 - complete, complete)
        logs = np.log(likelihoods.clip(min=np.finfo(float).tiny)).sum(axis=1)  # some settings give none
        weights = np.exp(logs - logs.max())
        return cls(edge.settings, weights / weights.sum())

    def completes(self, points: Array) -> Array:
        """Probability under each setting that a trial at each of the points completes [S, G]."""
        edge, shift, width, c = (*self.settings.T[:3, :, None], self.settings[:, 3:])
        place = edge + shift * points[:, 1] + c @ points[:, 2:].T
        values: Array = (1 - ACCIDENT) * expit((place - points[:, 0]) / width)
        return values

    def probabilities(self, points: Array) -> Array:
        """Probability that a trial at each of the points completes, over all settings [G]."""
        values: Array = self.weights @ self.completes(points)
        return values

    def chances(self, points: Array, asked: Sequence[int] | range) -> Chances:
        """Probabilities that trials at the points [G] complete, now and after one more trial at each of the `asked`."""
        complete = self.completes(points)
        now = self.weights @ complete
        some = complete[:, asked]
        both = complete.T @ (self.weights[:, None] * some)
        return Chances(now, both / now[asked], (now[:, None] - both) / (1 - now[asked]))

    def drawn(self, number: int) -> NDArray[np.intp]:
        """Indices of `number` settings, each as often as its weight says."""
        places = (np.arange(number) + 0.5) / number
        return np.searchsorted(np.cumsum(self.weights), places).clip(max=len(self.weights) - 1)

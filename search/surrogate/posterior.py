"""Posterior of a cell's accuracy over its candidates, given its trials: what selection and tables read from it.

The accuracy that a trial reaches is modelled in `search.surrogate.gaussian_process`, the probability that it completes
in `search.surrogate.feasibility`. Diverged trials say nothing of the former: close to the edge of divergence accuracy
is often the highest. Pruned trials have the accuracy that `search.surrogate.fitting` expects of them; as none of them
reached it, none is the incumbent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tosmooth.search.spec.parameters import Frozen, Params, frozen, smallness
from tosmooth.search.surrogate.candidates import short
from tosmooth.search.surrogate.encoding import Axes
from tosmooth.search.surrogate.feasibility import Feasibility
from tosmooth.search.surrogate.gaussian_process import DRAWS, KEPT, Array, Model

BOLDER = 0.1  # points of accuracy for which one that may diverge is worth the runs that find out
SPLIT = 0.2  # probability
FAR = 0.25  # of the axis: another hill, not a neighbour
ALIKE = 0.066  # of the length of each axis: of rates from -8 to 0.8 it lies between -8 and -6


@dataclass(frozen=True)
class Posterior:
    """Posterior of a cell's accuracy over its candidates. Accuracies in percent, by noisy validation."""

    candidates: list[Params]  # G; those that completed come first
    completed: int  # candidates that did
    places: list[float]  # values of the axis that cover the space, in rising order
    axes: Axes
    model: Model
    points: Array  # [G, d]
    feasibility: Feasibility
    edge_points: Array  # [G, 2 + v]

    @cached_property
    def best(self) -> Params:
        """Incumbent: highest posterior mean among the candidates that completed, less what may yet diverge.

        A candidate that was not tried may be as good, or lie where training diverges.
        """
        return self.highest(self.worth)

    @cached_property
    def ranked(self) -> list[Params]:
        """Candidates that completed, ordered by the measure of `best`, best first."""
        return [self.candidates[i] for i in np.argsort(-self.worth, kind="stable")]

    @cached_property
    def bolder(self) -> Params | None:
        """Configuration that would win if the risk of divergence were ignored; `None` where that is `best`.

        It promises more than `best` by over 0.1 points, and is not `alike`. It stands behind because trials near it
        diverged, and the search may be too careful, or right.
        """
        means = self.model.accuracy(self._mean[: self.completed])
        found = self.highest(means)
        more = means.max() - means[self.index(self.best)]
        return found if more > BOLDER and not self.alike(found, self.best) else None

    @cached_property
    def split(self) -> Params | None:
        """Configuration far from `best` that is truly better with probability 0.2 or more; `None`: there is none."""
        found = self.runner_up(self.best)
        return None if found is None or self.beats(found, self.best) < SPLIT else found

    def alike(self, one: Params, other: Params) -> bool:
        """True if two are so near that what happens to one under a training seed will happen to the other."""
        return bool(np.abs(self.axes.point(one) - self.axes.point(other)).max() < ALIKE)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Shortest interval that holds the best rate, of all candidates, in 95 % of the draws.

        It reaches half the way to the next candidates: which of two neighbours is better is all that draws can tell.
        For a method without a rate it is the interval of its first parameter (`MethodSpec.axis`).
        """
        to, back = self.axes.scale
        places = [to(place) for place in self.places]
        low, high = self.best_ends
        below = max((place for place in places if place < low - 1e-9), default=low)
        above = min((place for place in places if place > high + 1e-9), default=high)
        return short(back((low + below) / 2)), short(back((high + above) / 2))

    @property
    def width(self) -> float:
        """Width of `interval`: in symlog units for a rate, for another parameter in those of its scale."""
        to, _ = self.axes.scale
        low, high = self.interval
        return to(high) - to(low)

    def loss(self, params: Mapping[str, Any] | None = None) -> float:
        """Points by which `params`, or `best`, are expected to fall short of the true best (simple regret).

        They are taken to complete, as they did: where they diverge after all, the confirmation finds out.
        """
        truths = self.model.accuracy(self.truths)
        return float(np.mean(truths.max(axis=1) - truths[:, self.index(params or self.best)]))

    def runner_up(self, params: Mapping[str, Any]) -> Params | None:
        """Best candidate that completed a quarter of the axis or more from `params`; `None` if none lies so far off."""
        return next((each for each in self.ranked if self.axes.apart(each, params) >= FAR), None)

    def behind(self, params: Mapping[str, Any], other: Mapping[str, Any]) -> float:
        """Points by which the expected accuracy of `other` lies below that of `params`."""
        mean, second = self.model.accuracy(self._mean[[self.index(params), self.index(other)]]).tolist()
        return float(mean - second)

    def over_axis(self) -> list[tuple[float, float, float, float]]:
        """Rate, mean accuracy and its 95 % interval, in order of rate, with all else as in `best`: for a plot.

        It covers the rate of `best`, and those at which training is more likely to complete than to diverge. For a
        method without a rate it runs over its first parameter.
        """
        axis = self.axes.axis
        found = [{**self.best, axis: place} for place in sorted({*self.places, self.best[axis]})]
        complete = self.feasibility.probabilities(np.array([self.axes.edge(each) for each in found]))
        likely = [each[axis] for each, share in zip(found, complete, strict=True) if share >= 0.5]
        places = sorted({*likely, self.best[axis]})
        points = np.array([self.axes.point({**self.best, axis: place}) for place in places])
        mean = self.model.accuracy(self.model.means(points).mean(axis=0))
        low, high = np.quantile(self.model.accuracy(self.model.draws(points)), (0.025, 0.975), axis=0)
        return list(zip(places, mean.tolist(), low.tolist(), high.tolist(), strict=True))

    def beats(self, params: Mapping[str, Any], others: Mapping[str, Any]) -> float:
        """Probability that `params` are truly better than the `others`, by noisy validation.

        A baseline need not be a candidate: its rate may lie outside the bounds, or the chosen setting be no other's.
        """
        pair = np.array([self.axes.point(each) for each in (params, others)])
        if (pair[0] == pair[1]).all():
            return 0.5
        places = [np.flatnonzero((self.points == point).all(axis=1)) for point in pair]
        if all(len(found) for found in places):
            draws = self.samples[:, [found[0] for found in places]]
        else:
            edges = np.array([self.axes.edge(each) for each in (params, others)])
            draws = self._masked(self.model.draws(pair), edges)
        return float(np.mean(draws[:, 0] > draws[:, 1]))

    def draws(self, number: int) -> list[Params]:
        """Best candidate of each of `number` draws, as Thompson sampling would propose them."""
        spread = np.linspace(0, len(self.samples) - 1, number).astype(int)
        return [self.candidates[int(g)] for g in self.samples[spread].argmax(axis=1)]

    def index(self, params: Mapping[str, Any]) -> int:
        """Index of the candidate that is these parameters, or the nearest to them."""
        known = frozen(params)
        if known not in self._indices:
            x = self.axes.point(params)
            self._indices[known] = int(np.abs(self.points - x).sum(axis=1).argmin())
        return self._indices[known]

    def highest(self, values: Array) -> Params:
        """Candidate of the highest value [G, or fewer]; of ties (cross-entropy at any warm-up, say) the smallest."""
        ties = np.flatnonzero(values >= values.max() - 1e-9)
        return self.candidates[int(min(ties, key=lambda g: smallness(self.candidates[int(g)])))]

    @cached_property
    def samples(self) -> Array:
        """Joint draws of the accuracy of all candidates [D, G], compressed; where training diverges, as `lost`."""
        return self._masked(self._functions, self.edge_points)

    @cached_property
    def truths(self) -> Array:
        """Those draws, but that each candidate that completed does so in all of them [D, G]."""
        done = self.completed
        return np.hstack([np.maximum(self._functions[:, :done], self.model.lost), self.samples[:, done:]])

    @cached_property
    def best_places(self) -> Array:
        """Place of the best candidate on the axis in each draw, on the scale of the axis [D]."""
        to, _ = self.axes.scale
        return np.array([to(self.candidates[g][self.axes.axis]) for g in self.samples.argmax(axis=1)])

    @cached_property
    def best_ends(self) -> tuple[float, float]:
        """Ends of the shortest interval that holds 95 % of `best_places`."""
        return _shortest(np.sort(self.best_places))

    @cached_property
    def worth(self) -> Array:
        """Posterior mean of each candidate that completed, less what may yet diverge [completed], compressed."""
        complete = self.feasibility.probabilities(self.edge_points[: self.completed])
        return self.model.worth(self._mean[: self.completed], complete)

    @cached_property
    def _mean(self) -> Array:
        """Posterior mean of each candidate, were it sure to complete [G], compressed."""
        mean: Array = self.model.means(self.points).mean(axis=0)
        return mean

    @cached_property
    def _indices(self) -> dict[Frozen, int]:
        """Known answers of `index`: of a thousand that run, most are asked for again at the next trial."""
        return {}

    @cached_property
    def _functions(self) -> Array:
        """Joint draws of f at all candidates [D, G], were they sure to complete."""
        return self.model.draws(self.points)

    def _masked(self, draws: Array, edge_points: Array) -> Array:
        """Draws at these points [D, n], where training diverges in a draw as `lost`."""
        # Each setting of the model has as many draws, one after another: so the edge's are dealt out across them.
        drawn = self.feasibility.drawn(len(draws)).reshape(DRAWS, KEPT).T.ravel()
        complete = self.feasibility.completes(edge_points)[drawn] >= 0.5
        return np.where(complete, np.maximum(draws, self.model.lost), self.model.lost)


def _shortest(values: Array) -> tuple[float, float]:
    """Ends of the shortest interval that holds 95 % of the sorted values."""
    inside = math.ceil(0.95 * len(values))
    first = int((values[inside - 1 :] - values[: len(values) - inside + 1]).argmin())
    return float(values[first]), float(values[first + inside - 1])

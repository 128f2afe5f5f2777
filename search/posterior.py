"""What a cell's trials together say of its accuracy over rate and warm-up: a Gaussian process, and draws from it.

The model of what a trial reaches is `search.gaussian_process`, of whether it completes `search.divergence`. Diverged
trials say nothing of the former: close to the edge accuracy is often the highest. Pruned ones are left out of both:
what they would have reached is not known.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from search.candidates import Axes, candidates, distinct, places_of
from search.divergence import Edge
from search.gaussian_process import DRAWS, KEPT, Array, Model
from search.parameters import Frozen, Params, frozen, smallness
from search.records import Record, Rule, at_epoch
from search.study import StudySpec

LEAST = 5  # trials with a score, for a model to say anything
LITTLE = 0.05  # points of accuracy: when no trial promises more, the next shall tell where the best rate lies
NOTHING = 1e-6  # points: a gain that is none
BOLDER = 0.1  # points of accuracy for which one that may diverge is worth the runs that find out
ALIKE = 0.09  # of the length of each axis: of rates from -8 to 0.8 it lies between -8 and -6.2


@dataclass(frozen=True)
class Posterior:
    """A cell's accuracy over its candidates, as its trials leave it. Accuracies in percent, noisy validation."""

    candidates: list[Params]  # G; those that completed come first
    completed: int
    _places: list[float]  # of the axis, that cover the space, in rising order
    _axes: Axes
    _model: Model
    _points: Array  # [G, d]
    _edge: Edge
    _edge_points: Array  # [G, 2 + v]

    @cached_property
    def best(self) -> Params:
        """The parameters with the highest posterior mean among those that completed, less what may yet diverge.

        One that was not tried may be as good, or lie where training diverges.
        """
        return self.candidates[_smallest(self.candidates, self._worth)]

    @cached_property
    def ranked(self) -> list[Params]:
        """Those that completed, by the same measure, best first."""
        return [self.candidates[i] for i in np.argsort(-self._worth, kind="stable")]

    @cached_property
    def bolder(self) -> Params | None:
        """What would be the best, and by more than 0.1 points, if all that completed were sure to; `None`: `best` is.

        One not alike: it stands behind since trials near it diverged, and the search may be too careful, or right.
        """
        means = self._model.accuracy(self._mean[: self.completed])
        found = self.candidates[_smallest(self.candidates, means)]
        more = means.max() - means[self._index(self.best)]
        return found if more > BOLDER and not self.alike(found, self.best) else None

    @cached_property
    def _worth(self) -> Array:
        """Of each that completed: its posterior mean, less what may yet diverge."""
        complete = self._edge.weights @ self._edge.completes(self._edge_points[: self.completed])
        return self._model.worth(self._mean[: self.completed], complete)

    def alike(self, one: Params, other: Params) -> bool:
        """Whether two are so near that what happens to the one under a seed will happen to the other."""
        return bool(np.abs(self._axes.point(one) - self._axes.point(other)).max() < ALIKE)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The shortest interval that holds the best rate, of all candidates, in 95 % of the draws.

        It reaches half the way to the next candidates: which of two neighbours is better is all that draws can tell.
        Of another method it is that of its first parameter (`StudySpec.axis`).
        """
        to, back = self._axes.scale
        places = [to(place) for place in self._places]
        low, high = self._ends
        below = max((place for place in places if place < low - 1e-9), default=low)
        above = min((place for place in places if place > high + 1e-9), default=high)
        return _short(back((low + below) / 2)), _short(back((high + above) / 2))

    @property
    def width(self) -> float:
        """Of the interval of the best rate, in symlog units; of another parameter, in those of its scale."""
        to, _ = self._axes.scale
        low, high = self.interval
        return to(high) - to(low)

    @property
    def loss(self) -> float:
        """By how many points `best` is expected to fall short of the true best."""
        accuracies = self._model.accuracy(self._draws)
        return float(np.mean(accuracies.max(axis=1) - accuracies[:, self._index(self.best)]))

    def over_axis(self) -> list[tuple[float, float, float, float]]:
        """Rate, mean accuracy and its 95 % interval, in order of rate, with all else as in `best`: for a picture.

        Of the best's rate, and of those at which training rather completes than not. Of another method it is over its
        first parameter.
        """
        axis = self._axes.axis
        found = [{**self.best, axis: place} for place in sorted({*self._places, self.best[axis]})]
        complete = self._edge.weights @ self._edge.completes(np.array([self._axes.edge(each) for each in found]))
        likely = [each[axis] for each, share in zip(found, complete, strict=True) if share >= 0.5]
        places = sorted({*likely, self.best[axis]})
        points = np.array([self._axes.point({**self.best, axis: place}) for place in places])
        mean = self._model.accuracy(self._model.means(points).mean(axis=0))
        low, high = np.quantile(self._model.accuracy(self._model.draws(points)), (0.025, 0.975), axis=0)
        return list(zip(places, mean.tolist(), low.tolist(), high.tolist(), strict=True))

    def beats(self, params: Mapping[str, Any], others: Mapping[str, Any]) -> float:
        """The probability that `params` are truly better than the `others`, by noisy validation.

        A baseline need not be a candidate: its rate may lie outside the bounds, or the chosen setting be no other's.
        """
        pair = np.array([self._axes.point(each) for each in (params, others)])
        if (pair[0] == pair[1]).all():
            return 0.5
        places = [np.flatnonzero((self._points == point).all(axis=1)) for point in pair]
        if all(len(found) for found in places):
            draws = self._draws[:, [found[0] for found in places]]
        else:
            draws = self._drawn(pair, np.array([self._axes.edge(each) for each in (params, others)]))
        return float(np.mean(draws[:, 0] > draws[:, 1]))

    def gain(self, params: Mapping[str, Any]) -> float:
        """By how many points one more trial at `params` is expected to raise the accuracy of the choice.

        The knowledge gradient for correlated beliefs (Frazier, Powell & Dayanik 2009): the mean after a trial at x is
        mu + k Z with k = Cov(f, f(x)) / sqrt(Var f(x) + noise) and Z standard normal; E[max(mu + k Z)] - max(mu).
        """
        known = frozen(params)
        if known not in self._single_gains:
            points = np.vstack([self._points, self._axes.point(params)])
            chances = self._edge.chances(np.vstack([self._edge_points, self._axes.edge(params)]), [len(points) - 1])
            self._single_gains[known] = float(self._model.gains(points, [len(points) - 1], chances)[0])
        return self._single_gains[known]

    def gains(self) -> Array:
        """The same of every candidate [G]."""
        return self._gains.copy()

    def most_telling(self, running: Sequence[Params]) -> Params:
        """The candidate of the highest `gain` that is not `running` at this moment.

        Where no trial would gain anything to speak of, the one that would say most of where the best rate lies; where
        that is known, the one that may still be the best: of the highest 97.5 %. Where more trials run at once than
        there are candidates, one that is running the least often.
        """
        worth = self._gains.copy()
        if worth.max() < LITTLE and self._ends[0] < self._ends[1]:
            worth = self._explained.copy()
        elif worth.max() < NOTHING:
            worth = np.quantile(self._draws, 0.975, axis=0)
        times = np.bincount([self._index(params) for params in running], minlength=len(worth))
        worth[times > times.min()] = -np.inf
        return self.candidates[_smallest(self.candidates, worth)]

    def draws(self, number: int) -> list[Params]:
        """The best parameters of so many draws."""
        spread = np.linspace(0, len(self._draws) - 1, number).astype(int)
        return [self.candidates[int(g)] for g in self._draws[spread].argmax(axis=1)]

    @cached_property
    def _gains(self) -> Array:
        """[G], points."""
        asked = range(len(self.candidates))
        return self._model.gains(self._points, asked, self._edge.chances(self._edge_points, asked))

    @cached_property
    def _best_places(self) -> Array:
        """Where the best lies on the axis in each draw, on its scale [D]."""
        to, _ = self._axes.scale
        return np.array([to(self.candidates[g][self._axes.axis]) for g in self._draws.argmax(axis=1)])

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """The places between which 95 % of these lie, as near to each other as can be."""
        return _shortest(np.sort(self._best_places))

    @cached_property
    def _explained(self) -> Array:
        """How much of the variance of the best rate's place a trial's outcome at each candidate would explain [G].

        By linear regression over the draws, Cov(place, f(x))^2 / (Var f(x) + noise), where f(x) is `lost` in those in
        which training diverges. The gain in accuracy hardly counts a rate that is probably poor and yet keeps the
        interval of the best rate wide, because nobody looked.
        """
        places = self._best_places
        draws = self._draws - self._draws.mean(axis=0)
        shared = (places - places.mean()) @ draws / len(places)
        explained: Array = shared**2 / (draws.var(axis=0) + self._model.noise)
        return explained

    @cached_property
    def _single_gains(self) -> dict[Frozen, float]:
        """Those that were asked for one by one."""
        return {}

    @cached_property
    def _indices(self) -> dict[Frozen, int]:
        """Of candidates that were asked for: of a thousand that run, most are asked for again at the next trial."""
        return {}

    @cached_property
    def _mean(self) -> Array:
        """[G], compressed."""
        mean: Array = self._model.means(self._points).mean(axis=0)
        return mean

    @cached_property
    def _draws(self) -> Array:
        """[D, G], compressed."""
        return self._drawn(self._points, self._edge_points)

    def _drawn(self, points: Array, edge_points: Array) -> Array:
        """Joint draws at these points [D, n], compressed; where training diverges in a draw, as `lost`."""
        draws = self._model.draws(points)
        # Each setting of the model has as many draws, one after another: so the edge's are dealt out across them.
        drawn = self._edge.drawn(len(draws)).reshape(DRAWS, KEPT).T.ravel()
        complete = self._edge.completes(edge_points)[drawn] >= 0.5
        return np.where(complete, np.maximum(draws, self._model.lost), self._model.lost)

    def _index(self, params: Mapping[str, Any]) -> int:
        """The candidate that is these parameters, or the nearest to them."""
        known = frozen(params)
        if known not in self._indices:
            x = self._axes.point(params)
            self._indices[known] = int(np.abs(self._points - x).sum(axis=1).argmin())
        return self._indices[known]


def fit(spec: StudySpec, records: Sequence[Record], completed: int | None = None) -> Posterior | None:
    """The posterior of one cell from its `records`; `None` where they say too little.

    That is less than 5 complete or diverged trials, or no complete ones that differ. `completed`: how many trials did
    complete, where these stand for more (`search.telling`).
    """
    runs, scores = _scored(records, spec.selection.epoch)
    diverged = [record for record in records if record.state == "diverged"]
    if len(runs) + len(diverged) < LEAST or len(set(scores)) < 2:
        return None
    axes = Axes.of(spec)
    ended = [*runs, *diverged]
    edge = Edge.of(np.array([axes.edge(r.params) for r in ended]), np.array([r.state == "diverged" for r in ended]))
    model = Model.of(
        x=np.array([axes.point(run.params) for run in runs]),
        seeds=[run.train_seed for run in runs],
        y=np.array(scores),
        lengths=axes.lengths(),
    )
    ranked = [runs[i].params for i in sorted(range(len(runs)), key=lambda i: -scores[i])]
    own = distinct([run.params for run in runs], axes)
    found = distinct([*own, *candidates(spec, ranked, completed)], axes)
    points, edge_points = (np.array([place(params) for params in found]) for place in (axes.point, axes.edge))
    return Posterior(found, len(own), places_of(spec), axes, model, points, edge, edge_points)


def _scored(records: Sequence[Record], rule: Rule) -> tuple[list[Record], list[float]]:
    """The trials that say what accuracy they reach, and that."""
    values = {
        r.key: v for r in records if r.state == "complete" and (v := at_epoch(r, "val_accuracy", rule)) is not None
    }
    return [record for record in records if record.key in values], list(values.values())


def _smallest(candidates: Sequence[Params], means: Array) -> int:
    """The highest mean; of equal ones (plain cross-entropy at any warm-up, say) the smallest."""
    ties = np.flatnonzero(means >= means.max() - 1e-9)
    return int(min(ties, key=lambda g: smallness(candidates[int(g)])))


def _shortest(values: Array) -> tuple[float, float]:
    """The shortest interval that holds 95 % of the sorted values."""
    inside = math.ceil(0.95 * len(values))
    first = int((values[inside - 1 :] - values[: len(values) - inside + 1]).argmin())
    return float(values[first]), float(values[first + inside - 1])


def _short(rate: float) -> float:
    """Three significant digits: more than is known of a rate."""
    return float(f"{rate:.3g}") + 0.0

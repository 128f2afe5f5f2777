"""Surrogate of any objective over a plain mapping of parameters: the next point to try, given what was tried.

It is the model of a cell (Gaussian process with averaged settings, training seeds, edge of divergence) without what a
cell knows of smoothing rates, warm-ups and percent: values have no bounds, the higher the better; the priors are wider,
and the same for every axis. Nor are values compressed by the distance among the best, which suits a noisy plateau: a
smooth function is a kink there.

The acquisition function is expected improvement over the best mean among the points tried, averaged over the settings:
the knowledge gradient raises the best mean anywhere, but who reads `study.best_trial` takes a point that was tried.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import ndtr
from scipy.stats import norm, qmc
from threadpoolctl import threadpool_limits

from tosmooth.search.spec.parameters import Choice, Parameter, Params, Range, Space
from tosmooth.search.surrogate.encoding import Axes, scale_of
from tosmooth.search.surrogate.feasibility import FURTHEST, Feasibility
from tosmooth.search.surrogate.gaussian_process import PRIORS, Array, Model, Prior, Priors
from tosmooth.search.surrogate.training_subset import BEST, thinned

LEAST = 3  # outcomes with a value, of which two differ, for a model to say anything
AMPLITUDE, NOISE, CENTRE = Prior(2.0, 0.7), Prior(0.05, 1.0), 0.25
LENGTH = Prior(0.4, 0.7)  # by the root of the number of parameters, with which the points' distances grow
POOR = 0.2  # quantile of the values whose distance from the best is their unit
TILT = 2.0  # steepness of the edge of divergence across an axis, which may run through the middle of the space
EDGE, WINDOW = 0.5, 0.1  # what the edge counts as, in trials; the window's width, as `LENGTH`
UNLIKELY = 1e-9  # weight of an improvement that more probably diverges
EVEN = 10  # 2 to this power: candidates that cover the space
ROUNDS, LEADERS = 3, 5  # the best candidates are looked around, so often
STEPS, EACH = (0.2, 0.1, 0.05, 0.02, 0.01, 0.003), 5  # at these distances, in axes; points at each


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one trial."""

    params: Params
    value: float | None  # the higher the better; `None` if it diverged
    seed: int | None = None  # training seed, where one is known


@dataclass(frozen=True, slots=True)
class BoxAxes(Axes):
    """Axes of a space of which nothing is known: no parameter may be called "rate"."""

    @classmethod
    def over(cls, space: Space) -> "BoxAxes":
        return cls(space, Choice((0,)), next(iter(space)), None)

    def edge(self, params: Mapping[str, Any]) -> Array:
        """Encode a configuration for `Feasibility`: an edge that may lie anywhere, in any direction."""
        return np.concatenate([[FURTHEST / 2, 0.0], TILT * (2 * self.point(params) - 1)])

    def lengths(self) -> list[Prior]:
        """Priors of the kernel's length along each axis [d]."""
        size = len(self.point(at(self.space, np.zeros(len(self.space)))))
        return [Prior(LENGTH.median * math.sqrt(len(self.space)), LENGTH.spread)] * size


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Surrogate of an objective, given the outcomes of its trials."""

    axes: BoxAxes
    model: Model
    feasibility: Feasibility
    tried: list[Params]  # that completed
    diverged: list[Params]

    @classmethod
    def of(cls, space: Space, outcomes: Sequence[Outcome]) -> "Surrogate | None":
        """Fit to the outcomes; `None` where they say too little."""
        runs = [each for each in outcomes if each.value is not None]
        values = np.array([each.value for each in runs], dtype=float)
        if len(runs) < LEAST or values.min() == values.max():
            return None
        axes, y = BoxAxes.over(space), _scaled(values)
        tried, diverged = [run.params for run in runs], [each.params for each in outcomes if each.value is None]
        model = Model.of(
            x=_encoded(axes.point, tried),
            seeds=_seeds(runs),
            y=y,
            lengths=axes.lengths(),
            priors=Priors(AMPLITUDE, NOISE, PRIORS.share if _seeds_repeat(runs) else 0.0, CENTRE),
            unit=1.0,
        )
        return cls(axes, model, _feasibility(axes, tried, diverged), tried, diverged)

    def believing(self, running: Sequence[Params]) -> "Surrogate":
        """Surrogate that takes what is running to end at its own mean ("kriging believer", Ginsbourger et al. 2010)."""
        if not running:
            return self
        points, own = _encoded(self.axes.point, running), self.model
        model = replace(
            own,
            x=np.vstack([own.x, points]),
            seeds=np.concatenate([own.seeds, own.seeds.max() + 1 + np.arange(len(points))]),
            z=np.concatenate([own.z, own.means(points).mean(axis=0)]),
        )
        return replace(self, model=model)

    def improvement(self, candidates: Sequence[Params]) -> Array:
        """Expected improvement of a trial at each candidate, less what may diverge [G], compressed."""
        points = _encoded(self.axes.point, candidates)
        mean, deviation = self.model.marginals(points)
        best = self.model.means(self.model.x).max(axis=1)[:, None]
        distance = (mean - best) / np.maximum(deviation, 1e-9)
        gains = deviation * (distance * ndtr(distance) + norm.pdf(distance))
        complete = self.completes(candidates)
        # A gain that is probably lost comes last, however large: beyond an edge the mean may rise for ever.
        found: Array = np.maximum(gains, 0).mean(axis=0) * np.where(complete >= 0.5, complete, UNLIKELY * complete)
        return found

    def suggest(self, seed: Sequence[int]) -> Params:
        """Point of the highest expected improvement among points that cover the space, and then around the best."""
        space = self.axes.space
        even = qmc.Sobol(len(space), rng=np.random.default_rng(seed)).random_base2(EVEN)
        order = np.argsort(-self.model.z[: len(self.tried)], kind="stable")
        leaders = [self.tried[i] for i in order[:LEADERS]]
        candidates = [*(at(space, shares) for shares in even), *leaders, *_around(space, leaders, [*seed, 0])]
        for i in range(1, ROUNDS + 1):
            values = self.improvement(candidates)
            leaders = [candidates[j] for j in np.argsort(-values, kind="stable")[:LEADERS]]
            candidates = [*leaders, *_around(space, leaders, [*seed, i])]
        found: Params = candidates[int(self.improvement(candidates).argmax())]
        return found

    def completes(self, candidates: Sequence[Params]) -> Array:
        """Probability that a trial at each candidate completes [G].

        The edge of divergence is straight, and training may break down on an island as well. So its probability counts
        as `EDGE` trials beside those around the candidate (Parzen's windows).
        """
        edge = self.feasibility.probabilities(_encoded(self.axes.edge, candidates))
        if not self.diverged:
            return edge
        points = _encoded(self.axes.point, candidates) / (WINDOW * math.sqrt(len(self.axes.space)))
        tried, lost = (self._around(points, each) for each in (self.tried, self.diverged))
        found: Array = (EDGE * edge + tried) / (EDGE + tried + lost)
        return found

    def _around(self, points: Array, trials: Sequence[Params]) -> Array:
        places = _encoded(self.axes.point, trials) / (WINDOW * math.sqrt(len(self.axes.space)))
        found: Array = np.exp(-0.5 * cdist(points, places, "sqeuclidean")).sum(axis=1)
        return found


def suggest(space: Space, outcomes: Sequence[Outcome], running: Sequence[Params], seed: Sequence[int]) -> Params | None:
    """Next point to try; `None` where the outcomes say too little. `seed`: of the candidates."""
    with threadpool_limits(1, "blas"):  # its matrices are small: on two busy cores two threads took five times as long
        surrogate = Surrogate.of(space, bounded(outcomes))
        return None if surrogate is None else surrogate.believing(running).suggest(seed)


def bounded(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Thin out: at most so many of each kind as of a cell (`search.surrogate.training_subset`)."""
    values = {i: each.value for i, each in enumerate(outcomes) if each.value is not None}
    best = sorted(values, key=lambda i: -values[i])[:BEST]
    lost = [i for i in range(len(outcomes)) if i not in values]
    return [outcomes[i] for i in sorted({*thinned(list(values), best), *thinned(lost, [])})]


def design(space: Space, number: int, seed: int) -> Params:
    """Point `number`, from 0, of the initial design: a scrambled Sobol sequence."""
    engine = qmc.Sobol(len(space), rng=seed)
    if number:
        engine.fast_forward(number)
    return at(space, engine.random(1)[0])


def at(space: Space, shares: Array) -> Params:
    """Configuration at these shares, 0 to 1, of the way along each parameter's scale."""
    return {name: _at(parameter, float(u)) for (name, parameter), u in zip(space.items(), shares, strict=True)}


def _at(parameter: Parameter, share: float) -> Any:
    if not isinstance(parameter, Range):
        return parameter.values[min(int(share * parameter.count), parameter.count - 1)]
    to, back = scale_of("", parameter)
    low, high = to(parameter.low), to(parameter.high)
    return parameter.nearest(back(low + share * (high - low)))


def _share(parameter: Parameter, value: Any) -> float:
    """Inverse of `_at`."""
    if not isinstance(parameter, Range):
        return (parameter.values.index(value) + 0.5) / parameter.count
    to, _ = scale_of("", parameter)
    low, high = to(parameter.low), to(parameter.high)
    return (to(value) - low) / (high - low)


def _around(space: Space, centres: Sequence[Params], seed: Sequence[int]) -> list[Params]:
    """Points around each centre, half of the axes moved, from far to near; of few values to the next at least."""
    rng = np.random.default_rng(seed)
    shares = np.array([[_share(p, centre[name]) for name, p in space.items()] for centre in centres])
    steps = np.repeat(STEPS, EACH)
    shape = (len(centres), len(steps), len(space))
    moved = rng.random(shape) < 0.5
    np.put_along_axis(moved, rng.integers(len(space), size=(*shape[:2], 1)), True, axis=2)
    widths = np.maximum(steps[:, None], [1 / p.count if p.count else 0.0 for p in space.values()])
    points = shares[:, None, :] + moved * widths * rng.standard_normal(shape)
    return [at(space, point) for point in points.reshape(-1, len(space)).clip(0, 1)]


def _encoded(place: Any, params: Sequence[Params]) -> Array:
    return np.array([place(each) for each in params])


def _feasibility(axes: BoxAxes, tried: Sequence[Params], diverged: Sequence[Params]) -> Feasibility:
    """Edge of divergence; where nothing diverged there is none."""
    points = _encoded(axes.edge, [*tried, *diverged])
    if not diverged:
        return Feasibility(np.array([[math.inf, 0.0, 1.0, *np.zeros(points.shape[1] - 2)]]), np.ones(1))
    return Feasibility.of(points, np.arange(len(points)) >= len(tried))


def _scaled(values: Array) -> Array:
    """Values below the best, in units of its distance to a poor one; further below they are compressed."""
    y = values / (np.abs(values).max() or 1.0)  # first, so that no difference overflows
    unit = float(y.max() - np.quantile(y, POOR, method="higher")) or float(y.std())
    scaled: Array = (y - y.max()) / unit
    return scaled


def _seeds_repeat(runs: Sequence[Outcome]) -> bool:
    """True if what a seed adds can be told from what else does: several trials have one, and others another."""
    known = [run.seed for run in runs if run.seed is not None]
    return 1 < len(set(known)) < len(known)


def _seeds(runs: Sequence[Outcome]) -> list[int]:
    """Number of each trial's training seed; where none is known, one of its own."""
    numbers: dict[object, int] = {}
    keys = [("told", run.seed) if run.seed is not None else ("own", i) for i, run in enumerate(runs)]
    return [numbers.setdefault(key, len(numbers)) for key in keys]

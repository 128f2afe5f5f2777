"""Acquisition function: the gain that one more trial promises, in accuracy or in knowledge of where the best rate lies.

The gain in accuracy is the knowledge gradient for correlated beliefs (Frazier, Powell & Dayanik 2009), averaged over
the settings of the Gaussian process: the mean of f after a trial at x is mu + k Z with

    k = Cov(f, f(x)) / sqrt(Var f(x) + noise),   Z standard normal,

and the gain is E[max(mu + k Z)] - max(mu). Each mean counts less where training may diverge, and a trial that diverges
says where else one would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from tosmooth.search.spec.parameters import Params
from tosmooth.search.surrogate.feasibility import Chances
from tosmooth.search.surrogate.gaussian_process import KEPT, Array, Model
from tosmooth.search.surrogate.posterior import Posterior

LITTLE = 0.05  # points of accuracy: when no trial promises more, the next shall tell where the best rate lies
NOTHING = 1e-6  # points: a gain that is none
NODES = ndtri((np.arange(9) + 0.5) / 9)  # of a standard normal, equally likely


@dataclass(frozen=True)
class Acquisition:
    """Acquisition function over the posterior of a cell. Gains in points of noisy-validation accuracy."""

    posterior: Posterior

    @cached_property
    def gains(self) -> Array:
        """Knowledge gradient of every candidate [G]."""
        asked, own = range(len(self.posterior.candidates)), self.posterior
        return knowledge_gradient(own.model, own.points, asked, own.feasibility.chances(own.edge_points, asked))

    @cached_property
    def explained(self) -> Array:
        """Variance of the best rate's place that a trial's outcome at each candidate would explain [G].

        By linear regression over the draws, Cov(place, f(x))^2 / (Var f(x) + noise), where f(x) is `lost` in those in
        which training diverges. The gain in accuracy hardly counts a rate that is probably poor and yet keeps the
        interval of the best rate wide, because nobody looked. A place outside of that interval counts as its end: the
        variance would be one of a few draws far off.
        """
        places = self.posterior.best_places.clip(*self.posterior.best_ends)
        draws = self.posterior.samples - self.posterior.samples.mean(axis=0)
        shared = (places - places.mean()) @ draws / len(places)
        explained: Array = shared**2 / (draws.var(axis=0) + self.posterior.model.noise)
        return explained

    def suggest(self, running: Sequence[Params]) -> Params:
        """Candidate for the next trial: that of the highest knowledge gradient that is not `running` at this moment.

        If no candidate promises `LITTLE`, that which explains most of where the best rate lies. If that is known too
        and no gain is left, that which may still be the best: of the highest 97.5 % quantile. If more trials run at
        once than there are candidates, one that is running the least often.
        """
        value = self.gains.copy()
        low, high = self.posterior.best_ends
        if value.max() < LITTLE and low < high:
            value = self.explained.copy()
        elif value.max() < NOTHING:
            value = np.quantile(self.posterior.samples, 0.975, axis=0)
        return self._highest(value, running)

    def race(self, running: Sequence[Params]) -> Params:
        """Candidate for one of a search's last trials: that of the highest gain for a choice among those tried by then.

        That is a further training seed of one that leads, or a neighbour that may be better: what no trial is left to
        look at gains nothing. If none gains anything, the trial goes where it would go otherwise.
        """
        asked, own = range(len(self.posterior.candidates)), self.posterior
        chances = own.feasibility.chances(own.edge_points, asked)
        value = knowledge_gradient(own.model, own.points, asked, chances, own.completed)
        return self._highest(value, running) if value.max() >= NOTHING else self.suggest(running)

    def _highest(self, value: Array, running: Sequence[Params]) -> Params:
        """Candidate of the highest value [G, or fewer] among those that run the least often at this moment."""
        times = np.bincount([self.posterior.index(params) for params in running], minlength=len(value))[: len(value)]
        return self.posterior.highest(np.where(times > times.min(), -np.inf, value))


def knowledge_gradient(
    model: Model, points: Array, asked: Sequence[int] | range, chances: Chances, tried: int | None = None
) -> Array:
    """Knowledge gradient of a trial at each of the `asked` of the candidates' `points` [G, d]: [A], points of accuracy.

    The expectation is a mean over `NODES`, under eight settings of the model. `chances` says how probable it is that
    the candidates complete, now and after the trial; a candidate counts `Model.worth`. `tried`: the choice is to be
    among these first candidates and the one asked; `None`: among all.
    """
    found = np.zeros(len(asked))
    some = model.settings[:: max(1, KEPT // 8)]
    for setting in some:
        mean, covariance = model.joint(setting, points)
        noise = setting[0] * setting[2] + setting[1]
        steps = covariance[:, asked] / np.sqrt(np.maximum(np.diag(covariance)[asked], 0) + noise)  # [G, A]
        after = [
            _best(model.worth(mean[:, None] + steps * node, chances.after_completion), asked, tried) for node in NODES
        ]
        lost = model.worth(mean[:, None], chances.after_divergence)[:tried].max(axis=0)
        share = chances.now[asked]
        found += share * np.mean(after, axis=0) + (1 - share) * lost - model.worth(mean, chances.now)[:tried].max()
    return found / len(some) * model.spread * model.unit


def _best(worth: Array, asked: Sequence[int] | range, tried: int | None) -> Array:
    """Highest worth [A] of the choice after a trial at each of the asked: of all candidates, or of those tried then."""
    if tried is None:
        best: Array = worth.max(axis=0)
        return best
    own: Array = np.maximum(worth[:tried].max(axis=0), worth[asked, range(len(asked))])
    return own

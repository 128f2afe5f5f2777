"""Forecast of the expected loss after further trials: what they would leave, before any of them is run.

Preposterior analysis (Raiffa & Schlaifer 1961): a function is drawn from the posterior, the further trials are answered
by it and by noise, and the model that has seen them chooses. What its choice lacks to the best of that function, in the
mean over draws, is the loss to be expected after them.
"""

from collections.abc import Sequence

import numpy as np

from tosmooth.search.surrogate.gaussian_process import DRAWS, Array
from tosmooth.search.surrogate.posterior import Posterior


def losses_after(posterior: Posterior, numbers: Sequence[int]) -> list[float]:
    """Points of accuracy by which the choice is expected to fall short of the true best after so many more trials.

    The trials lie where Thompson sampling would put them, each at the best candidate of another draw; one that diverges
    in a draw says nothing there. Fewer trials are the first of more.
    """
    model, random, truths = posterior.model, np.random.default_rng(0), posterior.truths
    asked = random.permutation(truths.argmax(axis=1))[: max(numbers)]
    normal = random.standard_normal((len(truths), len(asked)))
    chances = posterior.feasibility.probabilities(posterior.edge_points)
    choices = np.empty((len(numbers), len(truths)), dtype=int)
    for k, setting in enumerate(model.settings):
        mean, covariance = model.joint(setting, posterior.points)
        noise = setting[0] * setting[2] + setting[1]
        drawn = slice(k * DRAWS, (k + 1) * DRAWS)
        answers = truths[drawn][:, asked]
        completed = answers > model.lost
        outcomes = answers + np.sqrt(noise) * normal[drawn]
        for row, trials in zip(choices, numbers, strict=True):
            for pattern in np.unique(completed[:, :trials], axis=0):
                alike = (completed[:, :trials] == pattern).all(axis=1)
                at = asked[:trials][pattern]
                surprise = outcomes[alike][:, :trials][:, pattern] - mean[at]
                means = mean + surprise @ _weights(covariance, at, noise)  # [draws, G]
                known = np.concatenate([np.arange(posterior.completed), at])
                row[drawn][alike] = known[model.worth(means, chances)[:, known].argmax(axis=1)]
    accuracies = model.accuracy(truths)
    best, draws = accuracies.max(axis=1), np.arange(len(truths))
    return [float(np.mean(best - accuracies[draws, row])) for row in choices]


def _weights(covariance: Array, at: Array, noise: float) -> Array:
    """Change [n, G] of each candidate's mean by a trial at each of the candidates `at` [n], per unit of surprise."""
    weights: Array = np.linalg.solve(covariance[np.ix_(at, at)] + noise * np.eye(len(at)), covariance[at])
    return weights

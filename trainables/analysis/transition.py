"""Noise rate and transition matrix estimated by a network on the noisy validation, beside the measured ones."""

from typing import Any

from tosmooth.trainables.analysis.predictions import Predictions
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.noise.estimate import estimated_noise_rate, estimated_transition
from tosmooth.trainables.noise.synthetic import Matrix


def estimates(validation: Predictions, data: LevelData) -> tuple[dict[str, float | None], dict[str, Any]]:
    """Estimate the noise by the noisy validation, on which the network never trained.

    Numbers: `noise_rate_estimate`, and `transition_distance` to the measured matrix where that is known. Arrays: the
    matrices [K, K], `measured_transition` and `estimated_transition`, to four decimals. All empty without cleanlab.
    """
    p = validation.logits.double().softmax(dim=1)
    matrix = estimated_transition(p, validation.labels)
    if matrix is None:
        return {}, {}
    numbers = {"noise_rate_estimate": estimated_noise_rate(p, validation.labels)}
    arrays = {"estimated_transition": matrix.round(4).tolist()}
    if data.transition is not None:
        numbers["transition_distance"] = distance(matrix, data.transition)
        arrays["measured_transition"] = data.transition.round(4).tolist()
    return numbers, arrays


def distance(first: Matrix, second: Matrix) -> float:
    """Mean over the rows of two transition matrices [K, K] of their total variation distance, in [0, 1].

    It is the share of labels, if all classes were equally frequent, that one would have to relabel to turn the noise of
    the one into that of the other.
    """
    return float(abs(first - second).sum(axis=1).mean() / 2)

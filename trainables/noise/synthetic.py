"""Synthetic label noise: names of levels, transition matrices, seeded corruption, and the measured noise."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tosmooth.trainables.errors import InputError, require

Labels = NDArray[np.int64]
NONE = -1  # the label of a row that has none
Matrix = NDArray[np.float64]  # [K, K]: P(noisy label = column | clean label = row)

SYNTHETIC = ("symmetric", "pairflip", "asymmetric")  # one rate makes a transition matrix
RATED = (*SYNTHETIC, "instance")  # kinds whose names end in a rate


class Synthetic(NamedTuple):
    """Synthetic noise: its kind and rate."""

    kind: str  # one of RATED
    rate: float  # E in [0, 1)


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Make a random generator for one purpose: the same seed gives unrelated numbers to every other purpose."""
    return np.random.default_rng([seed, *purpose.encode()])


def parse_level(name: str) -> Synthetic | None:
    """Parse `symmetric-E`, `pairflip-E`, `asymmetric-E` or `instance-E`; None for any other name.

    Raises `InputError` where such a name comes without a rate E in [0, 1).
    """
    kind, _, rate = name.partition("-")
    if kind not in RATED:
        return None
    ok = re.fullmatch(r"\d*\.?\d+", rate, re.ASCII) is not None and float(rate) < 1
    require(ok, "dataset.noise", name, f"{kind}-E with a rate E from 0 to below 1, such as {kind}-0.4")
    return Synthetic(kind, float(rate))


def transition_matrix(noise: Synthetic, classes: int, flips: Mapping[int, int] | None = None) -> Matrix:
    """Transition matrix of one of SYNTHETIC, float64 [classes, classes].

    symmetric: a share E of the labels becomes wrong, each of the other classes equally likely.
    pairflip: class k becomes k + 1 (the last: 0) with probability E (Han et al. 2018, "Co-teaching").
    asymmetric: class k becomes `flips[k]` with probability E, classes not in `flips` stay (Patrini et al. 2017, "Making
    deep neural networks robust to label noise"). So the noise rate may be below E. Without `flips` it is refused.
    """
    kind, rate = noise
    if kind == "symmetric":
        matrix = np.full((classes, classes), rate / (classes - 1))
        np.fill_diagonal(matrix, 1 - rate)
        return matrix
    if kind == "pairflip":
        flips = {k: (k + 1) % classes for k in range(classes)}
    if flips is None:
        known = "asymmetric noise is defined for CIFAR-10 and CIFAR-100 alone; pairflip-E is its like for any data"
        raise InputError(f"dataset.noise: 'asymmetric-{rate}' is refused: {known}")
    matrix = np.eye(classes)
    for clean, noisy in flips.items():
        matrix[clean, [clean, noisy]] = 1 - rate, rate
    return matrix


def corrupt(labels: Labels, matrix: Matrix, seed: int) -> Labels:
    """Draw a noisy label for each of `labels` from its row of the transition `matrix`, int64 [n]; NONE stays.

    The draw of an example depends on `seed`, its position and its label alone, not on how many follow.
    """
    uniform = stream(seed, "label noise").random(len(labels))
    cumulative = matrix.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]  # ends at exactly 1, so that no class of probability 0 is drawn
    noisy = np.full(len(labels), NONE, np.int64)
    for k, row in enumerate(cumulative):
        here = labels == k
        noisy[here] = np.searchsorted(row, uniform[here], side="right")
    return noisy


def noise_rate(noisy: Labels, clean: Labels) -> float:
    """Share of labels, in [0, 1], that differ from the clean ones."""
    return float(np.mean(noisy != clean))


def measured_transition(noisy: Labels, clean: Labels, classes: int) -> Matrix:
    """Share of each clean label (row) that became each noisy one (column), float64 [classes, classes]."""
    return by_rows(np.bincount(clean * classes + noisy, minlength=classes**2).reshape(classes, classes))


def by_rows(counts: NDArray[Any]) -> Matrix:
    """Divide each row of counts (or shares) [K, K] by its sum; labels of a class that has none stay as they are."""
    empty = counts.sum(axis=1) == 0
    shares = counts + np.diag(empty)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float64)


def is_symmetric(matrix: Matrix) -> bool:
    """True if every class loses the same share of its labels, evenly to all other classes."""
    rate = 1 - float(matrix.diagonal().mean())
    return bool(np.allclose(matrix, transition_matrix(Synthetic("symmetric", rate), len(matrix))))

"""Instance-dependent noise: it depends on what an example looks like."""

from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tosmooth.trainables.errors import require
from tosmooth.trainables.noise.synthetic import NONE, Labels, stream

SPREAD = 0.1  # standard deviation of the flip rates, before they are cut to [0, 1]
LARGEST = 2**26  # numbers of a class's projection at most: half a gigabyte
BLOCK = 2**21  # numbers of examples that are projected at once: 16 MiB


def instance_noise(
    inputs: Tensor, scale: tuple[Tensor, Tensor], labels: Labels, classes: int, rate: float, seed: int
) -> Labels:
    """Draw a noisy label for each of `labels` by its own row of `inputs` [n, ...], int64 [n]; NONE stays.

    Algorithm 2 of Xia et al. 2020, "Part-dependent label noise", with a projection for each class as in the authors'
    code: an example x of class y stays what it is with probability 1 - q, and becomes the class j != y with q times
    the softmax over these of (x W_y)_j; W_y [S, K] is standard normal. `scale` are mean and standard deviation by
    which x is standardised, along its last axis.

    The draw of an example depends on `seed`, its position, its label and its input alone, not on how many follow.
    """
    size = inputs[0].numel()
    fits = size * classes <= LARGEST
    rule = f"instance-E needs at most {LARGEST} numbers: inputs of {size} times {classes} classes are more"
    require(fits, "dataset.noise", f"instance-{rate:g}", rule)
    flips = torch.from_numpy(flip_rates(len(labels), rate, seed))
    uniform = torch.from_numpy(stream(seed, "label noise").random(len(labels)))
    noisy = torch.full((len(labels),), NONE)
    for k in range(classes):
        projection, shift = _projection(inputs.shape[1:], scale, classes, stream(seed, f"instance projection {k}"))
        for rows in torch.from_numpy(np.flatnonzero(labels == k)).split(max(1, BLOCK // max(size, classes))):
            scores = inputs[rows].flatten(1).double() @ projection - shift  # [b, K]
            chances = _chances(scores, k, flips[rows])
            noisy[rows] = (chances.cumsum(dim=1) <= uniform[rows, None]).sum(dim=1)
    return noisy.clamp_(max=classes - 1).numpy()


def _projection(
    shape: torch.Size, scale: tuple[Tensor, Tensor], classes: int, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draw `projection` [S, K] and `shift` [K] with which x @ projection - shift is W's of the standardised x [S].

    In double precision: a last digit that depends on the machine changes no label.
    """
    mean, std = (values[:, None] for values in scale)
    projection = torch.from_numpy(random.standard_normal((*shape, classes))) / std
    return projection.view(-1, classes), (projection * mean).view(-1, classes).sum(dim=0)


def _chances(scores: Tensor, k: int, flips: Tensor) -> Tensor:
    """Probability of each noisy label, float64 [b, K], for examples of class `k` that flip with `flips` [b]."""
    scores[:, k] = -torch.inf
    chances = flips[:, None] * scores.softmax(dim=1)
    chances[:, k] = 1 - flips
    return chances


def flip_rates(n: int, rate: float, seed: int) -> NDArray[np.float64]:
    """Draw the probability with which each of `n` labels becomes wrong: normal around `rate`, cut to [0, 1].

    The cut raises their mean where `rate` is small: 0.080 for 0, 0.129 for 0.1, 0.206 for 0.2, 0.300 for 0.3.
    """
    normal = NormalDist(rate, SPREAD)
    low, high = normal.cdf(0), normal.cdf(1)
    uniform = torch.from_numpy(stream(seed, "instance flip rates").random(n))
    cut = rate + SPREAD * torch.special.ndtri(low + (high - low) * uniform)
    return np.asarray(cut.clamp_(0, 1).numpy(), np.float64)

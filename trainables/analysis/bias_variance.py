"""Bias and variance of networks that differ in their training seed alone, by error and by loss.

No noise of the labels appears as a term of its own: test labels are clean, and taken as the one truth.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.errors import require


class Decomposition(NamedTuple):
    """Decomposition `total = bias + variance`, each averaged over the examples."""

    total: float
    bias: float
    variance: float


def error_decomposition(predicted: Tensor, labels: Tensor, classes: int) -> Decomposition:
    """Decompose the error of `predicted` classes [S, n] of S seeds for `labels` [n], in percentage points.

    Kohavi and Wolpert, "Bias Plus Variance Decomposition for Zero-One Loss Functions", ICML 1996: with p the share of
    seeds that predict each class, squared bias is half of |onehot - p|^2 and variance half of 1 - |p|^2. Chosen over
    Domingos 2000, whose variance lowers the error where the majority is wrong, since its parts add up. From S seeds p
    itself is uncertain, which shows as too much bias and too little variance; both are corrected, so that they are
    unbiased for every S. The bias is then a share of pairs of seeds: those that are wrong in the same way, and half of
    those that are wrong in two ways. Needs two seeds.
    """
    S = len(predicted)
    require(S >= 2, "seeds", S, "at least 2: a variance is to be estimated")
    p = functional.one_hot(predicted, classes).double().mean(dim=0)  # [n, K]
    truth = functional.one_hot(labels, classes).double()
    bias, variance = ((truth - p).square().sum(dim=1) / 2).mean(), ((1 - p.square().sum(dim=1)) / 2).mean()
    missed = variance / (S - 1)
    return Decomposition(*(100 * float(part) for part in (bias + variance, bias - missed, variance + missed)))


def loss_decomposition(logits: Tensor, labels: Tensor) -> Decomposition:
    """Decompose the cross-entropy of `logits` [S, n, K] of S seeds for `labels` [n], in nats.

    Heskes, "Bias/Variance Decompositions for Likelihood-Based Estimators", Neural Computation 1998: bias is the loss of
    the mean model, whose probabilities are the normalised geometric mean over the seeds, variance the mean
    Kullback-Leibler divergence of the mean model from the seeds' (both of 0 or more). Not corrected for few seeds: the
    variance is too low then, and the bias as much too high. Needs two seeds.
    """
    require(len(logits) >= 2, "seeds", len(logits), "at least 2: a variance is to be estimated")
    mean = logits.double().log_softmax(dim=2).mean(dim=0)  # [n, K], not normalised
    variance = -mean.logsumexp(dim=1)  # [n]
    total = -mean.gather(1, labels[:, None])[:, 0]
    parts = torch.stack([total, total - variance, variance]).mean(dim=1)
    return Decomposition(*parts.tolist())

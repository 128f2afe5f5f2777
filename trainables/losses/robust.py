"""Losses that noisy labels influence less than they do cross-entropy: bounded, or a sum with a bounded one."""

import math

from torch import Tensor

from tosmooth.trainables import rules
from tosmooth.trainables.losses.common import Reduction, averaged, log_probabilities, of_label

# `log 0` in reverse cross-entropy. The papers write A = -4 in analyses; the authors' code of both has this.
LOG_ZERO = math.log(1e-4)


def sce_loss(
    logits: Tensor,
    labels: Tensor,
    alpha: float,
    beta: float,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Mean [] of symmetric cross-entropy `alpha * CE + beta * RCE`, `RCE = -A * (1 - p_y)` with `A = log 1e-4`.

    logits [B, K], labels [B]; alpha, beta >= 0. Reverse cross-entropy RCE = -sum_k p_k log(onehot_k), log 0 set to A.
    Source: Wang et al., "Symmetric Cross Entropy for Robust Learning with Noisy Labels", ICCV 2019 (arXiv 1908.06112);
    alpha = 0.1, beta = 1 on CIFAR-10.
    """
    rules.weight("alpha", alpha)
    rules.weight("beta", beta)
    log_p = of_label(log_probabilities(logits), labels)  # [B]
    return averaged(-alpha * log_p + beta * _reverse(log_p), weights, reduction)


def gce_loss(
    logits: Tensor, labels: Tensor, q: float, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Mean [] of generalised cross-entropy `(1 - p_y^q) / q`: cross-entropy for q -> 0, half the MAE for q = 1.

    logits [B, K], labels [B]; q in (0, 1]. Not truncated. Source: Zhang & Sabuncu, "Generalized Cross Entropy Loss for
    Training Deep Neural Networks with Noisy Labels", NeurIPS 2018 (arXiv 1805.07836), section 3; q = 0.7 throughout.
    """
    rules.exponent("q", q)
    return -averaged((q * of_label(log_probabilities(logits), labels)).expm1() / q, weights, reduction)


def mae_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None, reduction: Reduction = "mean") -> Tensor:
    """Mean [] of `sum_k |onehot(y)_k - p_k| = 2 - 2 p_y`, in [0, 2].

    logits [B, K], labels [B]. A sum over the classes, as its source has it: Ghosh et al., "Robust Loss Functions under
    Label Noise for Deep Neural Networks", AAAI 2017 (arXiv 1712.09482).
    """
    return -2 * averaged(of_label(log_probabilities(logits), labels).expm1(), weights, reduction)


def nce_rce_loss(
    logits: Tensor,
    labels: Tensor,
    alpha: float,
    beta: float,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Mean [] of `alpha * NCE + beta * RCE`: `NCE = log p_y / sum_k log p_k`, `RCE = -A * (1 - p_y)`, `A = log 1e-4`.

    logits [B, K], labels [B]; alpha, beta >= 0. Source: Ma et al., "Normalized Loss Functions for Deep Learning with
    Noisy Labels", ICML 2020 (arXiv 2006.13554); alpha = beta = 1 on CIFAR-10, 10 and 0.1 on CIFAR-100.
    """
    rules.weight("alpha", alpha)
    rules.weight("beta", beta)
    log_p = log_probabilities(logits)
    of_y = of_label(log_p, labels)  # [B]
    return averaged(alpha * of_y / log_p.sum(dim=1) + beta * _reverse(of_y), weights, reduction)


def _reverse(log_p: Tensor) -> Tensor:
    """Reverse cross-entropy [B] by the label's log-probability [B]; `expm1` keeps the digits of 1 - p where p is 1."""
    return LOG_ZERO * log_p.expm1()

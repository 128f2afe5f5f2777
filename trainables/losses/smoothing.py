"""Losses that smooth: generalised label smoothing, its random and its learnt form, and the confidence penalty."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables import rules
from tosmooth.trainables.errors import require
from tosmooth.trainables.losses.common import Reduction, averaged, log_probabilities, of_label, restored, widened
from tosmooth.trainables.losses.interface import Facts, Step


def gls_loss(
    logits: Tensor, labels: Tensor, rate: float, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Mean cross-entropy [] of `logits` [B, K] against `(1 - rate) * onehot(labels [B]) + rate / K`, in nats.

    Soft labels [B, K], each row of which adds up to 1, take the place of the one-hot ones.
    `logsumexp(z) - (1 - r) * z_y - r * mean(z)`, in float32 or the logits' own wider type. For r < 0 it is unbounded
    below. `torch.nn.functional.cross_entropy(label_smoothing=r)` would silently return plain cross-entropy there.
    Raises `InputError` for rate > 1. Source: Wei et al., "To Smooth or Not? When Label Smoothing Meets Noisy Labels",
    ICML 2022 (arXiv 2106.04149), equation 2.
    """
    require(rate <= 1, "rate", rate, "a smoothing rate of at most 1")
    z = widened(logits)
    losses = z.logsumexp(dim=1) - (1 - rate) * of_label(z, labels)
    if rate != 0:  # plain cross-entropy, which is most of what is trained, is spared the mean
        losses = losses - rate * z.mean(dim=1)
    return averaged(losses, weights, reduction)


def gls_by_class(logits: Tensor, labels: Tensor, rate: float, class_weights: Tensor | None = None) -> Tensor:
    """Cross-entropy [B] against `(1 - rate) * onehot(labels) + rate / K`, each entry times the weight of its own class.

    logits [B, K], labels [B], or targets [B, K] in place of the one-hot ones; class_weights [K]. So does
    `torch.nn.functional.cross_entropy(weight=..., label_smoothing=rate)`, for rates in [0, 1] alone; in `gls_loss` an
    example has the weight of its label instead.
    """
    rules.smoothing_rate("rate", rate)
    losses = -log_probabilities(logits)
    if class_weights is not None:
        losses = losses * class_weights.to(losses.dtype)
    return (1 - rate) * of_label(losses, labels) + rate * losses.mean(dim=1)


def ramped(rate: float, since: float, ramp: float) -> float:
    """Smoothing rate `since` epochs after the warm-up: it grows linearly from 0 to `rate` within `ramp` epochs."""
    return rate if since >= ramp else rate * since / ramp


def confidence_penalty_loss(
    logits: Tensor, labels: Tensor, beta: float, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Mean [] over the batch of `-log p_y - beta * H(p)`, H the entropy of the prediction p in nats.

    logits [B, K], labels [B]; beta >= 0. Source: Pereyra et al., "Regularizing Neural Networks by Penalizing Confident
    Output Distributions", 2017 (arXiv 1701.06548), section 3; beta = 0.1 on CIFAR-10.
    """
    rules.weight("beta", beta)
    log_p = log_probabilities(logits)
    entropy = -(log_p.exp() * log_p).sum(dim=1)  # [B]
    return -averaged(of_label(log_p, labels) + beta * entropy, weights, reduction)


def disturbed_labels(labels: Tensor, classes: int, alpha: float, generator: torch.Generator) -> Tensor:
    """Replace each of `labels` [B] with probability `alpha` by one drawn evenly from all `classes`, its own included.

    Cross-entropy against them is in expectation generalised label smoothing at the rate alpha. Drawn anew each step.
    Source: Xie et al., "DisturbLabel: Regularizing CNN on the Loss Layer", CVPR 2016 (arXiv 1605.00055), section 3.
    """
    rules.share("alpha", alpha)
    random = torch.randint(classes, labels.shape, generator=generator, device=labels.device)
    drawn = torch.rand(labels.shape, generator=generator, device=labels.device) < alpha
    return torch.where(drawn, random, labels)


def online_smoothing_loss(
    logits: Tensor, labels: Tensor, soft: Tensor, alpha: float, weights: Tensor | None = None
) -> Tensor:
    """Mean [] of `alpha * CE(onehot(y)) + (1 - alpha) * CE(soft[y])`, in nats.

    logits [B, K], labels [B]; `soft` [K, K]: row y is the soft label of class y; alpha in [0, 1]. Source: Zhang et al.,
    "Delving Deep into Label Smoothing", IEEE TIP 2021 (arXiv 2011.12562), section III.
    """
    rules.share("alpha", alpha)
    log_p = log_probabilities(logits)
    softly = (soft.to(log_p.dtype)[labels] * log_p).sum(dim=1)  # [B]
    return -averaged(alpha * of_label(log_p, labels) + (1 - alpha) * softly, weights)


class OnlineSmoothing:
    """Online label smoothing: a class's soft label is the mean of its right predictions in the epoch before.

    In the first epoch soft labels are even. During an epoch the predictions p for examples whose label is the most
    likely class are summed by label; their mean is that class's soft label in the next epoch. A class of which none was
    right keeps its soft label (the paper leaves that open).
    """

    def __init__(self, alpha: float, facts: Facts) -> None:
        self.alpha = alpha
        K = facts.classes
        self.soft = torch.full((K, K), 1 / K, device=facts.device)
        self.sums = torch.zeros(K, K, device=facts.device)
        self.counts = torch.zeros(K, device=facts.device)

    def __call__(self, logits: Tensor, labels: Tensor, step: Step) -> Tensor:
        with torch.no_grad():
            p = widened(logits).softmax(dim=1).to(self.sums.dtype)
            right = p.argmax(dim=1) == labels
            # A product of matrices, since `index_add_` sums in any order on a GPU.
            of_class = functional.one_hot(labels, len(self.counts)).to(p.dtype) * right[:, None]  # [B, K]
            self.sums += of_class.T @ p
            self.counts += of_class.sum(dim=0)
        return online_smoothing_loss(logits, labels, self.soft, self.alpha, step.weights)

    def end_epoch(self) -> None:
        seen = self.counts[:, None] > 0
        self.soft = torch.where(seen, self.sums / self.counts.clamp(min=1)[:, None], self.soft)
        self.sums = torch.zeros_like(self.sums)
        self.counts = torch.zeros_like(self.counts)

    def state(self) -> dict[str, Any]:
        return {"soft": self.soft, "sums": self.sums, "counts": self.counts}

    def load(self, state: dict[str, Any]) -> None:
        self.soft = restored("soft", state["soft"], self.soft)
        self.sums = restored("sums", state["sums"], self.sums)
        self.counts = restored("counts", state["counts"], self.counts)

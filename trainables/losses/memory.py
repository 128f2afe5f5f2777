"""Losses that trust the network's own predictions: those of now (bootstrapping), or of the epochs before (ELR)."""

from typing import Any

import torch
from torch import Tensor

from tosmooth.trainables import rules
from tosmooth.trainables.losses.common import Reduction, averaged, log_probabilities, of_label, restored, widened
from tosmooth.trainables.losses.interface import Facts, Step

CLAMP = 1e-4  # how far ELR keeps probabilities from 0 and 1, as its authors' code does: no logarithm of 0


def bootstrap_soft_loss(
    logits: Tensor, labels: Tensor, beta: float, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Mean cross-entropy [] against `beta * onehot(y) + (1 - beta) * p`, in nats; the gradient flows through p, too.

    logits [B, K], labels [B]; beta in [0, 1]. Source: Reed et al., "Training Deep Neural Networks on Noisy Labels with
    Bootstrapping", ICLR 2015 workshop (arXiv 1412.6596), section 3; beta = 0.95.
    """
    rules.share("beta", beta)
    log_p = log_probabilities(logits)
    own = (log_p.exp() * log_p).sum(dim=1)  # [B], minus the entropy
    return -averaged(beta * of_label(log_p, labels) + (1 - beta) * own, weights, reduction)


def bootstrap_hard_loss(
    logits: Tensor, labels: Tensor, beta: float, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Mean cross-entropy [] against `beta * onehot(y) + (1 - beta) * onehot(argmax p)`, in nats.

    logits [B, K], labels [B]; beta in [0, 1]. Source: Reed et al. 2015 (arXiv 1412.6596), section 3; beta = 0.8.
    """
    rules.share("beta", beta)
    log_p = log_probabilities(logits)
    return -averaged(beta * of_label(log_p, labels) + (1 - beta) * log_p.amax(dim=1), weights, reduction)


def elr_loss(logits: Tensor, labels: Tensor, targets: Tensor, lam: float, weights: Tensor | None = None) -> Tensor:
    """Mean [] of `-log p_y + lam * log(1 - <p, t>)`, p kept `CLAMP` from 0 and 1 in the second term.

    logits [B, K], labels [B]; `targets` t [B, K], without gradient (`elr_targets`); lam >= 0. The second term falls as
    the prediction nears its target. Source: Liu et al., "Early-Learning Regularization Prevents Memorization of Noisy
    Labels", NeurIPS 2020 (arXiv 2007.00151), section 4; lambda = 3 on CIFAR-10, 7 on CIFAR-100.
    """
    rules.weight("lam", lam)
    log_p = log_probabilities(logits)
    agreement = (log_p.exp().clamp(CLAMP, 1 - CLAMP) * targets.to(log_p.dtype)).sum(dim=1)  # [B]
    return averaged(-of_label(log_p, labels) + lam * (-agreement).log1p(), weights)


def elr_targets(targets: Tensor, logits: Tensor, beta: float) -> Tensor:
    """Move the targets [B, K] towards the predictions: `beta * t + (1 - beta) * p`; beta in [0, 1).

    Source: Liu et al. 2020, section 4.2: beta = 0.7 on CIFAR-10, 0.9 on CIFAR-100.
    """
    rules.momentum("beta", beta)
    p = widened(logits.detach()).softmax(dim=1).clamp(CLAMP, 1 - CLAMP)
    return beta * targets + (1 - beta) * (p / p.sum(dim=1, keepdim=True)).to(targets.dtype)


class EarlyLearning:
    """Early-learning regularisation with its targets [n, K]: 0 at first, moved before they are used, as published.

    They begin at the end of the warm-up, whose plain cross-entropy is the early learning that they are to keep.
    """

    def __init__(self, beta: float, lam: float, facts: Facts) -> None:
        self.beta, self.lam = beta, lam
        self.targets = torch.zeros(facts.examples, facts.classes, device=facts.device)

    def __call__(self, logits: Tensor, labels: Tensor, step: Step) -> Tensor:
        moved = elr_targets(self.targets[step.index], logits, self.beta)
        self.targets[step.index] = moved
        return elr_loss(logits, labels, moved, self.lam, step.weights)

    def end_epoch(self) -> None:
        """Do nothing: targets move with each step."""

    def state(self) -> dict[str, Any]:
        return {"targets": self.targets}

    def load(self, state: dict[str, Any]) -> None:
        self.targets = restored("targets", state["targets"], self.targets)

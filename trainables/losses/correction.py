"""Losses that correct for label noise: by its transition matrix, or by peers where that is not known.

A transition matrix T [K, K] holds P(noisy label = column | clean label = row).
"""

import math

import torch
from torch import Tensor

from tosmooth.trainables import rules
from tosmooth.trainables.errors import require
from tosmooth.trainables.losses.common import Reduction, averaged, log_probabilities, of_label

LARGEST_CONDITION = 1e6  # of a matrix that is inverted: beyond it the inverse is noise more than anything else
SUM_TOLERANCE = 1e-4  # of a row's sum: matrices are estimated in float32, and written down with few digits
FLOOR = 1e-5  # added to a probability in a peer loss


def checked_transition(transition: Tensor, classes: int) -> Tensor:
    """Check a transition matrix and return it. Raises `InputError` if it is none, or could not yield some label."""
    key, T = "transition", transition
    require(T.shape == (classes, classes), key, list(T.shape), f"a matrix of {classes} x {classes} probabilities")
    least, most = T.min().item(), T.max().item()
    require(bool(((T >= 0) & (T <= 1 + SUM_TOLERANCE)).all()), key, [least, most], "its entries lie in [0, 1]")
    sums = T.sum(dim=1)
    worst = int((sums - 1).abs().argmax())
    ok = abs(sums[worst].item() - 1) <= SUM_TOLERANCE
    require(ok, f"{key}[{worst}]", T[worst].tolist(), "a row, of one clean label, sums to 1")
    empty = (T.sum(dim=0) == 0).nonzero().flatten().tolist()
    require(not empty, key, empty, "columns of zeros: each label must come from some class")
    return T


def inverse_of(transition: Tensor) -> Tensor:
    """Invert a transition matrix [K, K], in float64 on the CPU. Raises `InputError` if it is nearly singular."""
    T = transition.cpu().double()
    condition = torch.linalg.cond(T).item()
    ok = math.isfinite(condition) and condition <= LARGEST_CONDITION
    rule = f"backward correction inverts it: its condition number must be at most {LARGEST_CONDITION:g}"
    require(ok, "transition", f"a matrix of condition number {condition:.3g}", rule)
    inverse: Tensor = torch.linalg.inv(T)
    return inverse


def forward_loss(
    logits: Tensor, labels: Tensor, transition: Tensor, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Mean [] of `-log (T^T p)_y`: the likelihood of the noisy label by the prediction p of the clean one, in nats.

    logits [B, K], labels [B], transition [K, K]. In logarithms, so that no certainty underflows. Source: Patrini et
    al., "Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach", CVPR 2017 (arXiv 1609.03683),
    theorem 2.
    """
    log_p = log_probabilities(logits)
    towards = transition.to(log_p.dtype).log().T[labels]  # [B, K]: log P(label | clean label k)
    return -averaged((log_p + towards).logsumexp(dim=1), weights, reduction)


def backward_loss(
    logits: Tensor, labels: Tensor, inverse: Tensor, weights: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Mean [] of `-sum_k (T^-1)_yk log p_k`, in nats: in expectation over the noise the clean cross-entropy.

    logits [B, K], labels [B]; `inverse` [K, K] of the transition matrix (`inverse_of`). Unbounded below, as negative
    smoothing is. Source: Patrini et al. 2017 (arXiv 1609.03683), theorem 1.
    """
    log_p = log_probabilities(logits)
    return -averaged((inverse.to(log_p.dtype)[labels] * log_p).sum(dim=1), weights, reduction)


def peer_pairs(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw two peers for each of a batch's `size` examples, evenly: one for its prediction [B], one for its label [B].

    The two of a pair differ, unless the batch has one example alone.
    """
    first = torch.randint(size, (size,), generator=generator, device=generator.device)
    further = 1 + torch.randint(max(1, size - 1), (size,), generator=generator, device=generator.device)
    return first, (first + further) % size


def peer_loss(
    logits: Tensor,
    labels: Tensor,
    first: Tensor,
    second: Tensor,
    alpha: float,
    floor: float = FLOOR,
    reduction: Reduction = "mean",
) -> Tensor:
    """Mean [] of `l(z, y) - alpha * l(z_first, y_second)`, where `l = -log(p_y + floor)`, in nats.

    logits [B, K], labels [B]; `first` and `second` [B] index the batch (`peer_pairs`); alpha >= 0. Source: Liu & Guo,
    "Peer Loss Functions: Learning from Noisy Labels without Knowing Noise Rates", ICML 2020 (arXiv 1910.03346). There l
    is any loss; the floor, without which the loss has no lower bound, is that of the authors' code for many classes.
    """
    rules.weight("alpha", alpha)
    log_p = log_probabilities(logits)
    if floor > 0:
        log_p = torch.logaddexp(log_p, log_p.new_tensor(math.log(floor)))
    return -averaged(of_label(log_p, labels) - alpha * of_label(log_p[first], labels[second]), None, reduction)

"""Generalised label smoothing: one loss for smoothing (r > 0), cross-entropy (r = 0) and negative smoothing (r < 0)."""

import torch
from torch import Tensor

from trainables.config import require


def gls_loss(logits: Tensor, labels: Tensor, rate: float) -> Tensor:
    """Mean cross-entropy [] of `logits` [B, K] against `(1 - rate) * onehot(labels [B]) + rate / K`, in nats.

    `logsumexp(z) - (1 - r) * z_y - r * mean(z)`, in float32 or the logits' own wider type. For r < 0 it is unbounded
    below. `torch.nn.functional.cross_entropy(label_smoothing=r)` would silently return plain cross-entropy there.
    Raises `InputError` for rate > 1. Source: Wei et al., "To Smooth or Not? When Label Smoothing Meets Noisy Labels",
    ICML 2022 (arXiv 2106.04149), equation 2.
    """
    require(rate <= 1, "rate", rate, "a smoothing rate of at most 1")
    z = logits.to(torch.promote_types(logits.dtype, torch.float32))
    z_label = z.gather(1, labels[:, None])[:, 0]  # [B]
    return (z.logsumexp(dim=1) - (1 - rate) * z_label - rate * z.mean(dim=1)).mean()

"""Helpers that the losses share: the precision they compute in, and the entry of each example's label."""

from typing import Literal

import torch
from torch import Tensor

from tosmooth.trainables.errors import require

Reduction = Literal["mean", "none"]  # of the examples' losses: their mean [], or each of them [B]


def widened(logits: Tensor) -> Tensor:
    """Convert `logits` to float32; a wider type stays."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def log_probabilities(logits: Tensor) -> Tensor:
    """Logarithms of the softmax [B, K], in float32 or wider."""
    return widened(logits).log_softmax(dim=1)


def of_label(values: Tensor, labels: Tensor) -> Tensor:
    """Pick the entry [B] of each row of `values` [B, K] that belongs to its label; of soft labels [B, K] the mean."""
    if labels.is_floating_point():
        return (labels.to(values.dtype) * values).sum(dim=1)
    return values.gather(1, labels[:, None])[:, 0]


def averaged(values: Tensor, weights: Tensor | None = None, reduction: Reduction = "mean") -> Tensor:
    """Mean [] of a batch's `values` [B]; with `weights` [B], 0 or more, `sum(w v) / sum(w)`, and 0 where all are 0.

    Without `reduction` they stay as they are, [B], each times its weight.
    """
    if reduction == "none":
        return values if weights is None else weights.to(values.dtype) * values
    if weights is None:
        return values.mean()
    weights = weights.to(values.dtype)
    return (weights * values).sum() / weights.sum().clamp(min=torch.finfo(values.dtype).tiny)


def restored(key: str, value: Tensor, own: Tensor) -> Tensor:
    """Copy a state's `value`, to take the place of `own`: on its device. Raises `InputError` for another shape."""
    require(value.shape == own.shape, key, list(value.shape), f"a state of the shape {list(own.shape)}")
    return value.to(own.device, copy=True)

"""Base of the losses for training code of one's own: warm-up, soft targets, ignored labels, weights, reduction."""

import math
from typing import Any, Literal, TypedDict, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.losses.common import of_label, widened

Reduction = Literal["mean", "sum", "none"]


class Settings(TypedDict, total=False):
    """What all of these losses take, as `torch.nn.CrossEntropyLoss` does."""

    weight: Tensor | None  # [K], of the classes, 0 or more
    ignore_index: int  # label that counts nothing, by default -100
    reduction: Reduction  # by default mean


class WarmedLoss(nn.Module):
    """Loss that is cross-entropy before the epoch `warmup`, and a method's own from then on.

    It takes what `torch.nn.CrossEntropyLoss` takes, and weighs and reduces as that does: logits [B, K] or
    [B, K, d1, ...] or [K], with labels of that shape without K, or with soft targets of all of it. Computed in float32
    or wider, whatever the logits are, and also under autocast.
    """

    weight: Tensor | None
    soft = False  # takes soft targets after the warm-up, too

    def __init__(
        self,
        warmup: int = 0,
        *,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        """Take the epochs of plain cross-entropy, the weights [K] of the classes, and the label that counts nothing.

        Raises `InputError` naming parameter, value and rule.
        """
        super().__init__()
        whole = float(warmup).is_integer() and warmup >= 0
        require(whole, "warmup", warmup, "a whole number of epochs, 0 or more")
        require(reduction in get_args(Reduction), "reduction", reduction, "mean, sum or none")
        if weight is not None:
            ok = weight.dim() == 1 and bool((weight >= 0).all()) and bool(weight.isfinite().all())
            require(ok, "weight", weight.tolist(), "a finite number, 0 or more, for each class")
        self.warmup, self.ignore_index, self.reduction = warmup, ignore_index, reduction
        self.register_buffer("weight", weight)
        self._epoch: float | None = None

    @property
    def epoch(self) -> float | None:
        """Epoch that is being trained, from 0; 1.5 is the middle of the second one. `None`: it was not set yet.

        With a warm-up or a ramp, set it before each epoch.
        """
        return self._epoch

    @epoch.setter
    def epoch(self, value: float) -> None:
        require(0 <= value < math.inf, "epoch", value, "epochs that were trained before, 0 or more")
        self._epoch = value

    def step_epoch(self) -> None:
        """Begin the next epoch: the first call begins epoch 0."""
        self._epoch = 0 if self._epoch is None else math.floor(self._epoch) + 1

    def get_extra_state(self) -> dict[str, Any]:
        """Epoch, for `state_dict`: a run that goes on from a checkpoint is where it was."""
        return {"epoch": self._epoch}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on at the epoch of a checkpoint."""
        self._epoch = state["epoch"]

    def extra_repr(self) -> str:
        """Parameters, for `repr`."""
        return f"warmup={self.warmup}, reduction={self.reduction!r}"

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss, in nats where it is a likelihood: [] for the reductions mean and sum, else of each label.

        Ignored labels count 0, also in a batch that has no others. `mean` is over labels by the weights of their
        classes, over soft targets by their number, as torch has it. Raises `InputError` for shapes that do not fit, for
        soft targets where the method takes labels, and where the epoch matters and was never told.
        """
        logits, target, shape = _flat(logits, target)
        soft = target.is_floating_point()
        require(
            not soft or self.ignore_index < 0, "ignore_index", self.ignore_index, "for labels, not for soft targets"
        )
        if self.weight is not None:
            fits = len(self.weight) == logits.shape[1]
            require(fits, "weight", list(self.weight.shape), f"one for each of the {logits.shape[1]} classes")
        ignored = torch.zeros(len(target), dtype=torch.bool, device=target.device)
        if not soft:
            ignored = target == self.ignore_index
            target = target.long().masked_fill(ignored, 0)
        losses = self._losses(logits, target, ignored).masked_fill(ignored, 0)
        if self.reduction == "none":
            return losses.reshape(shape)
        if self.reduction == "sum":
            return losses.sum()
        if soft:
            return losses.mean()
        counted = self._weights(target, losses.dtype).masked_fill(ignored, 0).sum()
        return losses.sum() / counted.clamp(min=torch.finfo(losses.dtype).tiny)

    def _losses(self, logits: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
        if self._in_warmup():
            return self._cross_entropy(logits, target)
        rule = "labels: this method has no meaning for soft targets"
        require(self.soft or not target.is_floating_point(), "target", list(target.shape), rule)
        return self._after(logits, target, ignored)

    def _after(self, logits: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
        """Weighted losses [N] after the warm-up: logits [N, K], labels [N] or soft targets [N, K]."""
        return self._method(logits, target) * self._weights(target, torch.promote_types(logits.dtype, torch.float32))

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        """Losses [N] of the method, without weights."""
        raise NotImplementedError

    def _cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.to(torch.promote_types(logits.dtype, torch.float32))
        if target.is_floating_point():
            target = target.to(torch.promote_types(logits.dtype, torch.float32))
        return functional.cross_entropy(widened(logits), target, weight, reduction="none")

    def _weights(self, target: Tensor, kind: torch.dtype) -> Tensor:
        """Weights [N] of examples: that of the label's class, of a soft target the mean."""
        if self.weight is None:
            return torch.ones(len(target), dtype=kind, device=target.device)
        if target.is_floating_point():
            return of_label(self.weight.to(kind).expand(len(target), -1), target)
        return self.weight.to(kind)[target]

    def _in_warmup(self) -> bool:
        return self.warmup > 0 and self._known_epoch("warmup", self.warmup) < self.warmup

    def _known_epoch(self, key: str, value: float) -> float:
        """Epoch, where it matters: never told, it would stay cross-entropy without a word."""
        if self._epoch is None:
            rule = "the loss is to be told of each epoch before it begins: `loss.epoch = e`, or `loss.step_epoch()`"
            raise InputError(f"{key}: {value:g} is refused: {rule}")
        return self._epoch


def _flat(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, torch.Size]:
    """Logits [N, K] with labels [N] or soft targets [N, K], and the shape of the losses, from torch's shapes."""
    require(logits.dim() >= 1, "logits", list(logits.shape), "[K], [B, K] or [B, K, d1, ...]")
    axis = 0 if logits.dim() == 1 else 1
    kept = torch.Size([*logits.shape[:axis], *logits.shape[axis + 1 :]])
    classes = logits.shape[axis]
    if target.is_floating_point():
        require(target.shape == logits.shape, "target", list(target.shape), f"soft targets {list(logits.shape)}")
        target = target.movedim(axis, -1).reshape(-1, classes)
    else:
        kind = target.dtype != torch.bool and not target.is_complex()
        require(kind, "target", str(target.dtype), "labels as whole numbers, or soft targets as floats")
        require(target.shape == kept, "target", list(target.shape), f"labels {list(kept)}, or soft targets")
        target = target.reshape(-1)
    return logits.movedim(axis, -1).reshape(-1, classes), target, kept

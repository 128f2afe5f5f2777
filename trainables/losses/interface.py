"""Interface between the training loop and a loss."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the data, known before training starts, that a loss may use."""

    classes: int  # K
    examples: int  # in the training set, n
    device: torch.device
    transition: Tensor | None = None  # [K, K], P(noisy label = column | clean label = row): given, measured, estimated


@dataclass(frozen=True, slots=True)
class Mixed:
    """Partners with which the examples of a batch were mixed."""

    labels: Tensor  # [B], of the partners
    share: Tensor  # [], of the example itself; the partner's is the rest


@dataclass(frozen=True, slots=True)
class Step:
    """Training step that a loss is computed in."""

    epoch: int  # from 0
    since: float  # epochs since the end of the warm-up; 1.5 in the middle of the second one after it
    index: Tensor  # [B], the batch's examples by their place in the training set
    generator: torch.Generator  # all that a loss draws comes from it, so that a run that goes on draws the same
    mixed: Mixed | None = None  # where the method mixes its inputs
    weights: Tensor | None = None  # [B], of the examples in the mean; None: all alike


class Loss(Protocol):
    def __call__(self, logits: Tensor, labels: Tensor, step: Step, /) -> Tensor:
        """Compute the mean loss [] of a batch, in nats where it is a likelihood: logits [B, K], labels [B]."""


@runtime_checkable
class StatefulLoss(Loss, Protocol):
    """Loss with a state, which belongs into every checkpoint.

    The state begins with the loss, at the end of the warm-up, so that trials share their trunk across methods.
    """

    def end_epoch(self) -> None:
        """Finish an epoch: called after each one that this loss trained."""

    def state(self) -> dict[str, Any]:
        """State as tensors and plain values, for `torch.load(weights_only=True)`; not copies."""

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned, on this loss's own device."""


@runtime_checkable
class MixingLoss(Loss, Protocol):
    """Loss for inputs that are mixed before the network sees them; `Step.mixed` must then say how."""

    def mix(self, inputs: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Mixed]: ...

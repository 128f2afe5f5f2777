"""Predictions on the training set that change from one epoch to the next (Yuan et al. 2025, arXiv 2502.07551)."""

import torch
from torch import Tensor

UNSEEN = -1


class Changes:
    """Class that each of `n` training examples was last predicted as, in the steps that trained on it.

    As in the authors' code these are the predictions of the training steps themselves: they cost no further pass.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self._last = torch.full((n,), UNSEEN, device=device)  # int64 [n], of the epoch before

    def after(self, order: Tensor, predicted: Tensor) -> Tensor:
        """Take an epoch's examples [m] and their predictions [m]: share of those seen in both epochs that changed [].

        NaN where there are none. Of an example that was drawn several times the highest class counts.
        """
        now = torch.full_like(self._last, UNSEEN)
        now.scatter_reduce_(0, order, predicted, "amax")  # the same in whatever order a GPU writes
        both = (now != UNSEEN) & (self._last != UNSEEN)
        changed = (both & (now != self._last)).sum().double() / both.sum()
        self._last = now
        return changed

    def state(self) -> Tensor:
        """State that the next epoch needs."""
        return self._last.cpu().int()

    def load(self, state: Tensor | None) -> None:
        """The inverse of `state`; `None`: of an earlier version, which kept none."""
        if state is not None:
            self._last = state.to(self._last)

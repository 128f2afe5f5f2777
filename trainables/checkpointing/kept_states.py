"""States that a run may begin from and that it keeps: its own checkpoint, and the trunks that it shares with others."""

from collections.abc import Callable

import torch

from tosmooth.trainables.checkpointing.checkpoints import Checkpoint, checkpoint_key
from tosmooth.trainables.checkpointing.states import State
from tosmooth.trainables.checkpointing.trunks import Trunks, trunk_key, unchanged
from tosmooth.trainables.config import TrialConfig


class KeptStates:
    """Checkpoint and trunks of one run, as far as it is given any."""

    def __init__(
        self,
        config: TrialConfig,
        digest: str,
        device: torch.device,
        dtype: torch.dtype,
        trunks: Trunks | None,
        checkpoints: tuple[str, float] | None,
    ) -> None:
        """Take the `digest` of the level's data; `checkpoints`: a place, and the seconds between two."""
        self.shared = unchanged(config)  # epochs from the start that other runs train alike
        self._trunks = trunks
        self._trunk_key = "" if trunks is None else trunk_key(config, digest, device, dtype)
        self._checkpoint: Checkpoint | None = None
        if checkpoints is not None:
            place, seconds = checkpoints
            self._checkpoint = Checkpoint(place, checkpoint_key(config, digest, device, dtype), seconds)

    def checkpoint(self) -> State | None:
        """State in which the same run was stopped; None where there is none."""
        return None if self._checkpoint is None else self._checkpoint.load()

    def trunk(self) -> State | None:
        """State after the most warm-up epochs that some run trained before; None where there is none."""
        return None if self._trunks is None else self._trunks.longest(self._trunk_key, self.shared)

    def may_share(self, epoch: int) -> bool:
        """True if the state after `epoch` epochs is one that others may branch from."""
        return self._trunks is not None and epoch <= self.shared

    def keep(self, epoch: int, state: Callable[[], State]) -> None:
        """Keep the state after `epoch` epochs, made by `state`, where others may branch from it or a checkpoint is due.

        Not of a run that diverged.
        """
        if self._trunks is not None and self.may_share(epoch):
            self._trunks.keep(self._trunk_key, epoch, state())
        if self._checkpoint is not None and self._checkpoint.due:
            self._checkpoint.keep(state())

    def forget_checkpoint(self) -> None:
        """Remove the checkpoint: the run has ended, and whoever asked for it knows."""
        if self._checkpoint is not None:
            self._checkpoint.remove()

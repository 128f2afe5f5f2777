"""Checkpoints: a trial that is stopped, by whatever, goes on from its last one when it is run again."""

import contextlib
import logging
import posixpath
import time
from dataclasses import dataclass, field

import torch

from tosmooth.trainables.checkpointing.states import State, key_of, read_state, setting, write_state
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.files.filesystems import TROUBLE, open_place, remove_file
from tosmooth.trainables.former_words import former

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Checkpoint:
    """Checkpoint file of one trial, replaced at most every `seconds`, and deleted when the trial has ended.

    Its name is a hash of all that shapes the trial, so a trial that differs in anything begins anew. `place`: a path
    that every node sees, or any URI of pyarrow's file systems.
    """

    place: str
    key: str
    seconds: float
    _since: float = field(default_factory=lambda: time.monotonic())

    def load(self) -> State | None:
        """Read the state that was kept last; `None` where there is none to use."""
        with contextlib.suppress(*TROUBLE):  # nothing can be read there: `keep` says so
            files, folder = open_place(self.place)
            return read_state(files, self._name(folder))
        return None

    def keep(self, state: State) -> None:
        """Keep a state. A full disk or a store that is away is logged, and costs what would be trained again."""
        try:
            files, folder = open_place(self.place)
            files.create_dir(folder)
            write_state(files, self._name(folder), state)
        except TROUBLE as error:
            log.warning("the checkpoint of %d epochs is not kept: %s", state["epoch"], error)
        self._since = time.monotonic()

    @property
    def due(self) -> bool:
        """True if `seconds` have passed since the last checkpoint, or since the start of the trial."""
        return time.monotonic() - self._since >= self.seconds

    def remove(self) -> None:
        """Delete the file: the trial has ended."""
        with contextlib.suppress(*TROUBLE):
            files, folder = open_place(self.place)
            remove_file(files, self._name(folder))

    def _name(self, folder: str) -> str:
        return posixpath.join(folder, f"{self.key}.checkpoint")


def checkpoint_key(config: TrialConfig, digest: str, device: torch.device, dtype: torch.dtype) -> str:
    """Hash all that shapes a trial; `digest` is that of the level's data."""
    return key_of([former(config.to_dict()), digest, *setting(device, dtype)])

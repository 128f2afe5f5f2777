"""Trunks: the warm-up epochs that trials of one level and training seed share, trained once and kept by content.

A trunk's key is a hash of all that shapes it; under the key lies one file for each epoch that was kept. Files appear
whole or not at all and carry a digest, so trials on any node may make and read the same trunk at once: at worst two
train it, to the same end.
"""

import logging
import posixpath
from dataclasses import dataclass

import torch
from pyarrow import fs

from tosmooth.trainables.checkpointing.layout import trunk_files
from tosmooth.trainables.checkpointing.states import State, key_of, read_state, setting, write_state
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.files.filesystems import TROUBLE, open_place, remove_file

log = logging.getLogger(__name__)

# Fields of a trial that act after its warm-up alone.
BRANCH = {"rate", "warmup", "lr_after_warmup", "method", "parameters", "transition", "bounded"}


@dataclass(frozen=True, slots=True)
class Trunks:
    """Folder of trunks: a path that every node sees, or any URI of pyarrow's file systems (s3://, gs://, hdfs://)."""

    place: str
    epochs: frozenset[int]  # the lengths worth keeping: warm-ups that some trial may ask for
    limit: int = 20 * 2**30  # bytes; beyond it the oldest files go

    def longest(self, key: str, epochs: int) -> State | None:
        """Read the state after the most epochs, at most `epochs`, that is kept under `key`."""
        for length in sorted((length for length in self._held(key) if length <= epochs), reverse=True):
            files, folder = open_place(self.place)
            if (state := read_state(files, _name(folder, key, length), length)) is not None:
                return state
        return None

    def keep(self, key: str, epochs: int, state: State) -> None:
        """Keep the state after `epochs` under `key`, unless it is there or no trial could ask for it.

        A full disk or a store that is away is logged: this trial goes on, others train what they could have shared.
        """
        if epochs not in self.epochs:
            return
        try:
            files, folder = open_place(self.place)
            name = _name(folder, key, epochs)
            if files.get_file_info(name).type == fs.FileType.File:
                return
            files.create_dir(posixpath.dirname(name))
            write_state(files, name, state)
            self._bound(files, folder)
        except TROUBLE as error:
            log.warning("trunk %s of %d epochs is not kept: %s", key, epochs, error)

    def _held(self, key: str) -> list[int]:
        """List the lengths that are there: one request, which counts where the place is an object store."""
        try:
            files, folder = open_place(self.place)
            selector = fs.FileSelector(posixpath.join(folder, key), allow_not_found=True)
            names = [posixpath.splitext(posixpath.basename(each.path)) for each in files.get_file_info(selector)]
        except TROUBLE as error:
            log.warning("trunk %s cannot be looked for, and is trained again: %s", key, error)
            return []
        return [int(name) for name, kind in names if kind == ".trunk" and name.isdecimal()]

    def _bound(self, files: fs.FileSystem, folder: str) -> None:
        kept = sorted(trunk_files(files, folder), key=lambda each: each.mtime_ns or 0)
        excess = sum(each.size for each in kept) - self.limit
        for each in kept:
            if excess <= 0:
                return
            remove_file(files, each.path)
            excess -= each.size


def trunk_key(config: TrialConfig, digest: str, device: torch.device, dtype: torch.dtype) -> str:
    """Hash all that shapes a trial's warm-up; `digest` is that of the level's data.

    What acts after the warm-up alone is left out: rate, warm-up, learning-rate factor and method, and the second
    optimizer of the two-phase recipe. A method that acts from the first epoch has no warm-up, so no trunk of it is
    looked for or kept.
    """
    values = {key: value for key, value in config.to_dict().items() if key not in BRANCH}
    values["training"] = {k: v for k, v in values["training"].items() if k not in ("recipe", "second_optimizer")}
    return key_of([values, digest, *setting(device, dtype)])


def is_plain(config: TrialConfig) -> bool:
    """True if a run trains plain cross-entropy from its first epoch to its last."""
    return config.method == "gls" and config.rate == 0


def unchanged(config: TrialConfig) -> int:
    """Epochs from the start that are plain cross-entropy's: the warm-up, or all where nothing changes after it."""
    alike = is_plain(config) and config.lr_after_warmup == 1 and config.training.recipe == "single"
    return config.training.epochs if alike else config.warmup


def _name(folder: str, key: str, epochs: int) -> str:
    return posixpath.join(folder, key, f"{epochs}.trunk")

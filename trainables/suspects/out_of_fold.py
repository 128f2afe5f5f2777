"""Predictions of networks for the fold that they were not trained on."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tosmooth.trainables.checkpointing.trunks import Trunks
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.files.atomic_write import replacing
from tosmooth.trainables.networks.device import EVALUATION_BATCH, default_device
from tosmooth.trainables.networks.prepare import Prepared
from tosmooth.trainables.suspects.folds import Folds, part_of, without
from tosmooth.trainables.training.batches import Batches
from tosmooth.trainables.training.trainer import train

Logits = NDArray[np.float32]  # [n, K]


@dataclass(frozen=True, slots=True, eq=False)
class FoldLogits:
    """What one network says of the fold that it has not seen, in the order of the splits."""

    train: Logits
    validation: Logits
    diverged: int = 0  # networks of other training seeds that diverged before

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, alone=True) as partial, partial.open("wb") as file:  # the study is locked
            np.savez(file, train=self.train, validation=self.validation, diverged=self.diverged)

    @classmethod
    def read(cls, path: Path) -> "FoldLogits | None":
        """Read what `save` wrote; `None` where there is no such file, or a damaged one: a zip has checksums."""
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return cls(file["train"], file["validation"], int(file["diverged"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


class FoldDivergedError(Exception):
    """Error for a network that diverged: it says nothing of its fold."""


def fold_logits(
    ready: Prepared,
    folds: Folds,
    fold: int,
    trunks: Trunks | None = None,
    checkpoints: tuple[str, float] | None = None,
) -> FoldLogits:
    """Train a trial without a fold of its level, and predict that fold. Raises `FoldDivergedError`.

    `ready` has the whole level, of which `folds` were drawn. `trunks`, `checkpoints`: as `Trainer` has them.
    """
    device = default_device()
    data = without(ready.data, folds, fold)
    trainer = train(ready.config, data, lambda report: None, device, trunks, checkpoints=checkpoints, start=ready.start)
    trainer.forget_checkpoint()
    if trainer.diverged is not None:
        raise FoldDivergedError(trainer.diverged)
    train_part = part_of(ready.data.train, folds.train == fold)
    validation_part = part_of(ready.data.validation, folds.validation == fold)
    found = FoldLogits(
        train=_predict(trainer.network, train_part, ready.data, device),
        validation=_predict(trainer.network, validation_part, ready.data, device),
    )
    if not (np.isfinite(found.train).all() and np.isfinite(found.validation).all()):
        raise FoldDivergedError("its logits are not finite")
    return found


@torch.inference_mode()
def _predict(network: nn.Module, split: Split, data: LevelData, device: torch.device) -> Logits:
    """Logits for a split in float32: in bfloat16, which has 8 bits, many of them would be equal."""
    network.eval()
    batches = Batches(split, data, device, torch.float32)
    parts = torch.arange(len(batches), device=device).split(EVALUATION_BATCH[device.type])
    logits = [network(batches.take(index)[0]).float().cpu() for index in parts if len(index)]
    return torch.cat(logits).numpy() if logits else np.zeros((0, data.classes), np.float32)

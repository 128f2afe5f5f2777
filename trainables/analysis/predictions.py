"""Predictions of a trained network for a split, and networks read back from saved weights."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tosmooth.trainables.checkpointing.weights import read_weights
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.former_words import renewed
from tosmooth.trainables.networks.device import EVALUATION_BATCH, compute_dtype
from tosmooth.trainables.training.batches import Batches
from tosmooth.trainables.training.setup import fitting_network


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Predictions for one split, in its order."""

    logits: Tensor  # float32 [n, K], on the CPU
    labels: Tensor  # int64 [n], as the split has them

    @property
    def predicted(self) -> Tensor:
        """Predicted classes, int64 [n]."""
        return self.logits.argmax(dim=1)


@torch.inference_mode()
def predict(
    network: nn.Module, config: TrialConfig, data: LevelData, split: Split, device: torch.device
) -> Predictions:
    """Predict a `split` of `data`, not augmented, in the precision in which the trial was evaluated."""
    dtype = compute_dtype(config, device)
    batches = Batches(split, data, device, dtype)
    network.eval()
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        parts = torch.arange(len(batches), device=device).split(EVALUATION_BATCH[device.type])
        logits = [network(batches.take(index)[0]).float() for index in parts]
    return Predictions(torch.cat(logits).cpu(), split.labels.cpu())


def test_set(data: LevelData) -> Split:
    """Clean test set of a level. Raises `InputError` where there is none."""
    if data.test is None:
        raise InputError("dataset.test: None is refused: an analysis needs a clean test set")
    return data.test


def saved_trial(weights: Path) -> TrialConfig:
    """Read the trial whose network `Trainer.save_weights` wrote to `weights`. Raises `ValueError` if it is damaged."""
    return _trial(read_weights(weights).trial)


def saved_network(weights: Path, data: LevelData, device: torch.device) -> nn.Module:
    """Read the network that `Trainer.save_weights` wrote to `weights`, for the data it was trained on, set to predict.

    Raises `ValueError` where the file is damaged: its digest is checked.
    """
    saved = read_weights(weights)
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and replaced
        network = fitting_network(_trial(saved.trial), data)
    network.load_state_dict({name: torch.tensor(array) for name, array in saved.state.items()})
    network = network.to(device).eval()
    return network.to(memory_format=torch.channels_last) if data.train.inputs.ndim == 4 else network


def _trial(text: str) -> TrialConfig:
    if not text:  # files of weights that were made elsewhere have none
        raise ValueError("it does not say which trial it is of")
    values = json.loads(text)
    return TrialConfig.from_dict(renewed(values) if isinstance(values, dict) else values)

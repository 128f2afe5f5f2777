"""Predictions that change from epoch to epoch: counted by example, whatever the order in which an epoch sees them."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tosmooth.trainables.config import DataConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.changes import Changes
from tosmooth.trainables.training.trainer import Trainer

CPU = torch.device("cpu")


def test_share_is_of_the_examples_that_both_epochs_saw() -> None:
    changes = Changes(5, CPU)
    assert math.isnan(changes.after(torch.tensor([0, 1, 2, 3]), torch.tensor([7, 0, 1, 2])))
    # 0 and 1 stay, 3 changes; 4 is new, and 2 is left out.
    assert float(changes.after(torch.tensor([4, 3, 1, 0]), torch.tensor([9, 0, 0, 7]))) == pytest.approx(1 / 3)
    kept = changes.state()
    # Example 0 comes twice: its highest class, 7, is what it was.
    assert float(changes.after(torch.tensor([0, 1, 0]), torch.tensor([3, 1, 7]))) == pytest.approx(1 / 2)
    other = Changes(5, CPU)
    other.load(kept)
    assert float(other.after(torch.tensor([0, 1, 0]), torch.tensor([3, 1, 7]))) == pytest.approx(1 / 2)


def test_a_trial_reports_what_its_own_steps_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_level(DataConfig(dataset="twonorm", noise="symmetric-0.2", size=600), Folders(Path(), Path()))
    trainer = Trainer(TrialConfig(data=DataConfig(dataset="twonorm"), training=TrainingConfig(epochs=3)), data, CPU)
    epochs: list[Tensor] = []
    step = trainer._step

    def watch(inputs: Tensor, labels: Tensor, number: int, index: Tensor) -> tuple[Tensor, Tensor]:
        loss, predicted = step(inputs, labels, number, index)
        epochs[-1][index] = predicted
        return loss, predicted

    monkeypatch.setattr(trainer, "_step", watch)
    told = []
    while not trainer.done:
        epochs.append(torch.full((len(data.train),), -1))
        told.append(trainer.run_epoch().metrics["train_changed"])
    expected = [100 * float((a != b).double().mean()) for a, b in pairwise(epochs)]
    assert told == [None, *map(pytest.approx, expected)]
    assert 0 < expected[0] < 100

"""What is predicted of flipped training examples, and the two accuracies that every epoch reports of them."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tosmooth.trainables.analysis.memorisation import memorisation
from tosmooth.trainables.config import DataConfig, OptimizerConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.trainer import Trainer

CPU = torch.device("cpu")


def level(noise: str) -> LevelData:
    config = DataConfig(dataset="digits", noise=noise)
    return load_level(config, Folders(Path("unused"), Path("unused")))


def trial(batch_size: int, epochs: int = 1) -> TrialConfig:
    recipe = TrainingConfig(epochs=epochs, batch_size=batch_size, optimizer=OptimizerConfig(lr=0.1))
    return TrialConfig(data=DataConfig(dataset="digits"), training=recipe)


def test_shares_of_hand_made_predictions() -> None:
    clean = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])
    given = torch.tensor([0, 0, 1, 2, 1, 0, 1, 0])  # the last five are flipped
    predicted = torch.tensor([0, 1, 1, 2, 2, 1, 0, 0])
    assert memorisation(predicted, given, clean) == {
        "clean_accuracy": pytest.approx(200 / 3),
        "memorised": 40.0,  # the fourth and the last
        "corrected": 40.0,
        "other": 20.0,
    }


def test_nothing_flipped_or_all_of_it_leaves_the_others_empty() -> None:
    labels = torch.tensor([0, 1])
    empty = {"memorised": None, "corrected": None, "other": None}
    assert memorisation(labels, labels, labels) == {"clean_accuracy": 100.0, **empty}
    assert memorisation(labels, 1 - labels, labels)["clean_accuracy"] is None


def test_clean_labels_of_a_level_are_those_before_its_noise() -> None:
    noisy, clean = level("symmetric-0.4"), level("clean")
    assert noisy.train.clean is not None
    assert torch.equal(noisy.train.clean, clean.train.labels)
    flipped = noisy.train.flipped, noisy.validation.flipped
    assert flipped[0] is not None
    assert flipped[1] is not None
    share = torch.cat([flipped[0], flipped[1]]).double().mean().item()
    assert share == pytest.approx(noisy.noise_rate)
    assert clean.train.flipped is not None
    assert not clean.train.flipped.any()


@pytest.mark.parametrize("batch_size", [7, 10_000])
def test_an_epoch_reports_the_accuracies_of_its_predictions_one_step_after_another(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = level("symmetric-0.4")
    trainer = Trainer(trial(batch_size), data, CPU)
    predicted = torch.full_like(data.train.labels, -1)
    take = trainer.train_set.take
    seen: list[Tensor] = []

    def watch(index: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        seen.append(index)
        return take(index, *others)

    def note(network: nn.Module, _: object, logits: Tensor) -> None:
        if network.training:
            predicted[seen[-1]] = logits.argmax(dim=1)

    monkeypatch.setattr(trainer.train_set, "take", watch)
    trainer.network.register_forward_hook(note)
    metrics = trainer.run_epoch().metrics
    clean = data.train.clean
    assert clean is not None
    found = memorisation(predicted, data.train.labels, clean)
    assert (predicted >= 0).all()
    assert metrics["train_accuracy_clean"] == pytest.approx(found["clean_accuracy"])
    assert metrics["train_accuracy_flipped"] == pytest.approx(found["memorised"])


def test_what_is_not_known_or_not_there_is_none() -> None:
    data = level("symmetric-0.4")
    unknown = dataclasses.replace(data, train=dataclasses.replace(data.train, clean=None))
    metrics = Trainer(trial(64), unknown, CPU).run_epoch().metrics
    assert (metrics["train_accuracy_clean"], metrics["train_accuracy_flipped"]) == (None, None)
    metrics = Trainer(trial(64), level("clean"), CPU).run_epoch().metrics
    assert metrics["train_accuracy_clean"] == pytest.approx(metrics["train_accuracy"])
    assert metrics["train_accuracy_flipped"] is None


def test_known_clean_labels_change_no_other_number() -> None:
    data = level("symmetric-0.4")
    unknown = dataclasses.replace(data, train=dataclasses.replace(data.train, clean=None))
    known, bare = (Trainer(trial(64), each, CPU).run_epoch().metrics for each in (data, unknown))
    apart = {"seconds", "train_accuracy_clean", "train_accuracy_flipped"}
    assert {k: v for k, v in known.items() if k not in apart} == {k: v for k, v in bare.items() if k not in apart}


def test_wrong_labels_are_learned_after_the_right_ones() -> None:
    trainer = Trainer(trial(32, epochs=6), level("symmetric-0.4"), CPU)
    early = trainer.run_epoch().metrics
    while not trainer.done:
        late = trainer.run_epoch().metrics
    assert (early["train_accuracy_clean"] or 0) > (early["train_accuracy_flipped"] or 0) + 40
    assert (late["train_accuracy_flipped"] or 0) < 40  # so few epochs do not learn them by heart

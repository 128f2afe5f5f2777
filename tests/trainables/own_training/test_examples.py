"""The examples of docs/tutorials/own_code train, each by the library that it is for; nothing is downloaded."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.user_code.conftest import forgotten
from tosmooth.trainables.config import DataConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.own_training import OwnRun
from tosmooth.trainables.user_code import collect, resolve, use

__all__ = ["forgotten"]

EXAMPLES = Path(__file__).parents[3] / "docs" / "tutorials" / "own_code"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "my_loop": {"lr": 0.01, "layers": 1},
    "my_forest": {"lr": 0.1, "depth": 2, "features": "sqrt"},
    "my_lightning": {"lr": 0.01},
    "my_hugging_face": {"lr": 0.01},
}
LIBRARIES = {"my_lightning": "lightning", "my_hugging_face": "transformers"}


def run_of(name: str, cache: Path, **changes: Any) -> OwnRun:
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name])
    reference = f"{name}:train"
    use(collect({"trainable": reference}, EXAMPLES), cache)
    values: dict[str, Any] = {"rate": 0.2, "warmup": 1} if name != "my_forest" else {"method": "ce"}
    config = TrialConfig(
        data=DataConfig(dataset="twonorm", noise="symmetric-0.2", size=3000, test_size=50, validation_fraction=0.5),
        training=TrainingConfig(epochs=4),
        trainable=reference,
        arguments=ARGUMENTS[name],
        **values | changes,
    )
    data = load_level(config.data, Folders(cache, cache))
    return OwnRun(config, data, resolve(reference, "trainable"), torch.device("cpu"))


def accuracies(run: OwnRun) -> list[float]:
    found: list[float] = []
    while not run.done:
        report = run.run_epoch()
        assert report.epoch == len(found) + 1
        assert report.diverged is None
        found.append(report.metrics["val_accuracy"] or 0.0)
    return found


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_example_learns_and_repeats_itself(name: str, tmp_path: Path) -> None:
    first = accuracies(run_of(name, tmp_path))
    assert len(first) == 4
    assert max(first) > 60  # of noisy labels 80 % can be right
    assert accuracies(run_of(name, tmp_path)) == first
    other = {"warmup": 4} if name != "my_forest" else {"train_seed": 5}
    assert accuracies(run_of(name, tmp_path, **other)) != first


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_example_that_is_pruned_ends(name: str, tmp_path: Path) -> None:
    run = run_of(name, tmp_path)
    run.run_epoch()
    assert run.stop()

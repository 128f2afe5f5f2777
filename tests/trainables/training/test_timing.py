"""Time of an epoch told by a few steps, beside that of real ones; size of what is kept, beside that of its file."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tosmooth.trainables.checkpointing.trunks import Trunks
from tosmooth.trainables.config import DataConfig, NetworkConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.timing import pace_of
from tosmooth.trainables.training.trainer import train

CPU = torch.device("cpu")
DATA = DataConfig(dataset="twonorm", noise="symmetric-0.2", size=4000, test_size=2000)
CONFIG = TrialConfig(data=DATA, network=NetworkConfig(width=256), training=TrainingConfig(epochs=3), warmup=2)


@pytest.fixture(scope="module")
def data() -> LevelData:
    return load_level(DATA, Folders(Path("unused"), Path("unused")))


def test_an_epoch_takes_about_as_long_as_is_told(data: LevelData, tmp_path: Path) -> None:
    seconds: list[float] = []
    train(CONFIG, data, lambda report: seconds.append(report.metrics["seconds"] or 0.0), CPU)
    told = pace_of(CONFIG, data).epoch_seconds
    assert min(seconds) / 4 < told < 4 * max(seconds), "other processes may take the cores from either"


def test_states_are_of_the_size_that_is_told(data: LevelData, tmp_path: Path) -> None:
    train(CONFIG, data, lambda report: None, CPU, Trunks(str(tmp_path), frozenset({2})))
    (trunk,) = tmp_path.rglob("*.trunk")
    told = pace_of(CONFIG, data)
    assert told.state_bytes == pytest.approx(trunk.stat().st_size, rel=0.25)  # besides, torch names what it stores
    weights = 4 * (20 * 256 + 256 + 256 * 2 + 2)
    assert told.network_bytes == weights
    assert told.state_bytes > 2 * weights, "momentum is kept, too"


@pytest.mark.parametrize("method", ["gls", "mixup", "forward", "elr"])
def test_every_method_can_be_timed(method: str, data: LevelData) -> None:
    warmup = {"mixup": 0, "forward": 1}.get(method, 0)
    assert pace_of(replace(CONFIG, method=method, parameters={}, warmup=warmup), data, 0.1).epoch_seconds > 0


def test_a_large_network_is_timed_by_a_part_of_its_batch(data: LevelData) -> None:
    huge = replace(CONFIG, network=NetworkConfig(width=8192, depth=3), training=TrainingConfig(batch_size=4000))
    start = time.perf_counter()
    told = pace_of(huge, data, 0.2).epoch_seconds
    assert told > 1
    assert time.perf_counter() - start < 20, "an epoch takes minutes"

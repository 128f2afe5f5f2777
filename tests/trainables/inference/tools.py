"""Networks that are trained in a moment, with what was recorded of them."""

from typing import Any

import pyarrow as pa
import torch

from tosmooth.trainables.config import DataConfig, NetworkConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, find_dataset, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.prepare import prepared
from tosmooth.trainables.training.trainer import Report, Trainer, train

CPU = torch.device("cpu")
TABLE = {
    "age": [31, 45, 27, 60, 38, 52, 41, 29, 33, 48] * 6,
    "colour": ["blue", "red", "red", "green", "blue"] * 12,
    "since": pa.array([1_600_000_000 + 3600 * i for i in range(60)], pa.timestamp("s")),
    "x": [[0.1 * i, 1.0 - 0.01 * i] for i in range(60)],
}


def trained(config: TrialConfig, folders: Folders) -> tuple[Trainer, LevelData, float]:
    """A trained network, its data as they were read, and the accuracy on the test set that was recorded."""
    data = load_level(config.data, folders)
    ready = prepared(config, data, folders, CPU)
    reports: list[Report] = []
    trainer = train(ready.config, ready.data, reports.append, CPU, start=ready.start)
    accuracy = reports[-1].metrics["test_accuracy"]
    assert accuracy is not None
    return trainer, data, accuracy


def short(config: DataConfig, network: NetworkConfig | None = None, **training: Any) -> TrialConfig:
    settings = {"epochs": 2, "batch_size": 16, "precision": "float32", **training}
    return TrialConfig(data=config, network=network or NetworkConfig(), training=TrainingConfig(**settings))


def raw_test(config: DataConfig, data: LevelData, folders: Folders) -> torch.Tensor:
    """Test examples as the source has them, before anything is standardised or normalised."""
    source = find_dataset(config).read(config, folders)
    assert source.test is not None
    assert data.test is not None
    return source.test.inputs[data.test.rows]

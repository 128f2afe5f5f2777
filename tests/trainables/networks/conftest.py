"""A data set of 120 small pictures of three classes that a network can tell apart, and a backbone for them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.tools import encoded
from tests.trainables.networks.nets import TinyNet
from tosmooth.trainables.config import (
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    TableSource,
    TrainingConfig,
    TrialConfig,
)
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.files.folders import Folders

N, SIDE = 120, 12
NAME = "tests.trainables.networks.nets"


@pytest.fixture
def data_config(folders: Folders) -> DataConfig:
    """Pictures in Parquet: noise, with one channel brighter by class; 90 for training, 30 for testing."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % 3
    pixels = rng.integers(0, 120, (N, SIDE, SIDE, 3)).astype(np.uint8)
    for k in range(3):
        pixels[labels == k, :, :, k] += 100
    folders.data.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", slice(0, 90)), ("test", slice(90, N))):
        images = [{"bytes": encoded(each), "path": None} for each in pixels[rows]]
        table = pa.table({"image": images, "label": labels[rows]})
        pq.write_table(table, folders.data / f"{name}.parquet")
    table = TableSource(train="train.parquet", test="test.parquet", image="image")
    return DataConfig(dataset="mine", noise="symmetric-0.2", table=table)


@pytest.fixture
def data(data_config: DataConfig, folders: Folders) -> LevelData:
    return load_level(data_config, folders)


@pytest.fixture
def weights(folders: Folders) -> Path:
    """Weights of a tiny network of 7 classes, as torch.save writes a state dict."""
    torch.manual_seed(11)
    folders.data.mkdir(parents=True, exist_ok=True)
    path = folders.data / "tiny.pth"
    torch.save(TinyNet(7).state_dict(), path)
    return path


@pytest.fixture
def trial(data_config: DataConfig) -> TrialConfig:
    """A trial of the tiny network, made by a factory, with weights from a file."""
    network = NetworkConfig(factory=f"{NAME}:tiny", weights="tiny.pth", mode="frozen")
    training = TrainingConfig(epochs=3, batch_size=16, optimizer=OptimizerConfig(lr=0.05), precision="float32")
    return TrialConfig(data=data_config, network=network, training=training)

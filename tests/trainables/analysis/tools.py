"""Data and trained networks for the tests of the analysis."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tosmooth.trainables.config import DataConfig, NetworkConfig, OptimizerConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.trainer import Trainer, train

CPU = torch.device("cpu")
NETWORKS: tuple[Any, ...] = ("mlp", "cnn", "fastcnn", "resnet18")


def features(noise: str = "symmetric-0.2", dataset: str = "twonorm", **values: Any) -> LevelData:
    config = DataConfig(dataset=dataset, noise=noise, **values)
    return load_level(config, Folders(Path("unused"), Path("unused")))


def images(n: int = 48, side: int = 18, classes: int = 3) -> LevelData:
    """Random pictures that are brighter the higher their class is; a fifth of the training labels is wrong."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    pixels = torch.randint(0, 100, (n, side, side, 3), dtype=torch.uint8, generator=generator)
    pixels += (50 * labels).to(torch.uint8)[:, None, None, None]
    given = torch.where(torch.arange(n) % 5 == 0, (labels + 1) % classes, labels)
    split, clean = Split(pixels, torch.arange(n), given, labels), Split(pixels, torch.arange(n), labels)
    return LevelData(split, split, clean, classes, 0.2, False, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), "pictures")


def trial(name: Any = "mlp", epochs: int = 1, rate: float = 0.0, width: int | None = 8, **recipe: Any) -> TrialConfig:
    network = NetworkConfig(name=name, width=None if name.startswith("resnet") else width)
    recipe.setdefault("optimizer", OptimizerConfig(lr=0.05))
    training = TrainingConfig(epochs=epochs, batch_size=recipe.pop("batch_size", 16), **recipe)
    return TrialConfig(data=DataConfig(dataset="twonorm"), network=network, training=training, rate=rate)


def trained(config: TrialConfig, data: LevelData) -> Trainer:
    return train(config, data, lambda report: None, CPU)


def by_hand(data: LevelData, split: Split) -> Tensor:
    """Network inputs [n, ...] of a split in float32."""
    x = split.inputs[split.rows].float()
    if x.ndim == 2:
        return x
    mean, std = (torch.tensor(value) for value in (data.mean, data.std))
    return ((x / 255 - mean) / std).permute(0, 3, 1, 2)

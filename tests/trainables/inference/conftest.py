"""The small pictures and backbones of the networks' tests, and code of a user's."""

from pathlib import Path

import pytest

from tests.trainables.conftest import Save
from tests.trainables.inference.tools import TABLE, short, trained
from tests.trainables.networks.conftest import data, data_config, trial, weights
from tests.trainables.user_code.conftest import forgotten, write
from tosmooth.trainables.config import AllBut, DataConfig, TableSource
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.files.folders import Folders

__all__ = ["data", "data_config", "forgotten", "trial", "weights", "write"]


@pytest.fixture
def own(folders: Folders, save: Save, tmp_path: Path) -> tuple[Path, LevelData, float]:
    """A network of a table with every kind of column; its data, and the accuracy that was recorded."""
    labels = ["yes" if i % 3 else "no" for i in range(60)]
    save(folders.data / "train.parquet", **TABLE, label=labels)
    save(folders.data / "test.parquet", **TABLE, label=labels)
    source = TableSource(
        train="train.parquet", test="test.parquet", features=AllBut(all_but=()), label="label", categorical="onehot"
    )
    config = short(DataConfig(dataset="mine", noise="given", table=source), epochs=5)
    trainer, data, recorded = trained(config, folders)
    trainer.save_weights(tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors", data, recorded

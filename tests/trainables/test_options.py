"""Every option of a trial changes its numbers: none is read and forgotten."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.networks.nets import TinyNet
from tosmooth.trainables.config import DataConfig, OptimizerConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.prepare import prepared
from tosmooth.trainables.training.trainer import Trainer

CPU = torch.device("cpu")
Changes = dict[str, Any]
FEATURES: Changes = {"training.epochs": 3, "training.batch_size": 64, "rate": -0.4, "warmup": 1}
IMAGES: Changes = {"training.epochs": 1, "training.batch_size": 8, "network.name": "cnn", "network.width": 4}
PLAIN: Changes = FEATURES | {"rate": 0.0}
TWO_PHASE: Changes = FEATURES | {"training.recipe": "two-phase"}
ADAMW: Changes = FEATURES | {"training.optimizer.name": "adamw", "training.optimizer.lr": 0.01}
STEP: Changes = FEATURES | {"training.schedule.name": "step", "training.schedule.milestones": [1]}
SECOND = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
SECOND_PHASE: Changes = TWO_PHASE | {"training.second_optimizer": SECOND}
NETS = "tests.trainables.networks.nets"
SIZED: Changes = {"training.epochs": 1, "training.batch_size": 8, "network.factory": f"{NETS}:sized"}
TUNED: Changes = SIZED | {"network.factory": f"{NETS}:tiny", "network.weights": "tiny.pth"}
SCALED: Changes = TUNED | {"network.mean": [0.5, 0.4, 0.3], "network.std": [0.2, 0.3, 0.4], "network.input_size": 12}
AUGMENTED: Changes = TUNED | {"network.mode": "frozen", "training.augment": "crop-flip"}

CASES: list[tuple[Changes, str, Any]] = [  # what is trained, which key is changed, to what
    (FEATURES, "rate", -0.5),
    (FEATURES, "rate", 0.4),
    (FEATURES, "warmup", 2),
    (FEATURES, "lr_after_warmup", 0.5),
    (TWO_PHASE, "lr_after_warmup", 0.5),
    (FEATURES, "train_seed", 1),
    (FEATURES, "parameters.ramp", 1.5),
    (PLAIN, "method", "gce"),
    (PLAIN | {"method": "gce"}, "parameters.q", 0.3),
    (PLAIN | {"method": "forward", "warmup": 1}, "transition", "measured"),
    (FEATURES, "network.width", 63),
    (FEATURES, "network.depth", 2),
    (FEATURES, "training.epochs", 2),
    (FEATURES, "training.batch_size", 63),
    (FEATURES, "training.recipe", "two-phase"),  # the momentum starts anew
    (FEATURES, "training.precision", "bfloat16"),
    (FEATURES, "training.optimizer.name", "adamw"),
    (FEATURES, "training.optimizer.lr", 0.11),
    (FEATURES, "training.optimizer.momentum", 0.8),
    (FEATURES, "training.optimizer.nesterov", True),
    (FEATURES, "training.optimizer.weight_decay", 0.01),
    (FEATURES, "training.class_weights", {"1": 3.0}),
    (PLAIN, "training.class_weights", {"1": 3.0}),
    (FEATURES, "training.sampler", "balanced"),
    (ADAMW, "training.optimizer.lr", 0.011),
    (ADAMW, "training.optimizer.weight_decay", 0.01),
    (FEATURES, "training.schedule.name", "cosine"),
    (FEATURES, "training.schedule.lr_rampup", 0.5),
    (STEP, "training.schedule.milestones", [2]),
    (STEP, "training.schedule.gamma", 0.2),
    (TWO_PHASE, "training.schedule.lr_rampup", 1.0),
    (TWO_PHASE, "training.second_optimizer", SECOND | {"lr": 0.01}),
    (SECOND_PHASE, "training.second_optimizer.name", "adamw"),
    (SECOND_PHASE, "training.second_optimizer.lr", 0.11),
    (SECOND_PHASE, "training.second_optimizer.momentum", 0.8),
    (SECOND_PHASE, "training.second_optimizer.nesterov", True),
    (SECOND_PHASE, "training.second_optimizer.weight_decay", 0.01),
    (IMAGES, "network.width", 5),
    (IMAGES, "training.augment", "crop-flip"),
    (IMAGES | {"training.augment": "crop-flip"}, "training.augment", "crop-altflip"),
    (IMAGES | {"training.augment": "crop-flip"}, "training.augment", "trivial"),
    (IMAGES | {"training.augment": "trivial"}, "training.augment", "randaugment"),
    (IMAGES | {"training.augment": "crop-flip"}, "training.crop_padding", 2),
    (IMAGES | {"training.precision": "float32"}, "training.precision", "bfloat16"),
    (IMAGES | {"network.width": None, "network.name": "resnet18"}, "network.name", "resnet34"),
    (SIZED, "network.factory", f"{NETS}:tiny"),
    (SIZED, "network.arguments", {"width": 5}),
    (TUNED, "network.weights", "other.pth"),
    (TUNED, "network.mode", "train"),
    (TUNED, "network.mode", "frozen"),
    (TUNED, "network.backbone_lr", 0.2),
    (TUNED, "network.depth", 1),
    (TUNED | {"network.depth": 1}, "network.width", 7),
    (TUNED, "network.input_size", 12),
    (SCALED, "network.interpolation", "bicubic"),
    (SCALED, "network.mean", [0.5, 0.4, 0.4]),
    (SCALED, "network.std", [0.2, 0.3, 0.3]),
    (AUGMENTED | {"network.views": 2}, "network.views", 3),
    (AUGMENTED | {"network.views": 2}, "training.augment", "trivial"),
]


def configured(changes: Changes) -> TrialConfig:
    values: dict[str, Any] = {"data": {"dataset": "twonorm"}}
    for path, value in changes.items():
        *sections, key = path.split(".")
        target = values
        for section in sections:
            target[section] = dict(target.get(section, {}))
            target = target[section]
        target[key] = value
    return TrialConfig.from_dict(values)


def leaves(values: Mapping[str, Any], path: str = "") -> set[str]:
    """The keys of nested mappings as `key.path`."""
    below = [leaves(v, f"{path}{k}.") if isinstance(v, Mapping) else {f"{path}{k}"} for k, v in values.items()]
    return set().union(*below)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Folders, with two files of weights of a tiny network in that of the data."""
    place = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(("tiny.pth", "other.pth")):
        torch.manual_seed(seed)
        torch.save(TinyNet(5).state_dict(), place / name)
    return Folders(data=place, cache=place / "cache")


@pytest.fixture(scope="module")
def levels() -> dict[bool, LevelData]:
    """Data of features (False) and of images (True)."""
    config = DataConfig(dataset="twonorm", noise="symmetric-0.2", size=400, test_size=200)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 16, 16, 3), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(24), torch.arange(24) % 3)
    pictures = LevelData(split, split, split, 3, 0.0, True, (0.5,) * 3, (0.3,) * 3, "")
    return {False: load_level(config, Folders(Path("unused"), Path("unused"))), True: pictures}


def last_numbers(changes: Changes, levels: Mapping[bool, LevelData], folders: Folders) -> dict[str, float | None]:
    """The metrics of the last epoch but for those that an option may change without training otherwise."""
    config = configured(changes)
    ready = prepared(config, levels[config.network.name != "mlp"], folders, CPU)
    trainer = Trainer(ready.config, ready.data, CPU, start=ready.start)
    while not trainer.done:
        metrics = trainer.run_epoch().metrics
    return {key: value for key, value in metrics.items() if key not in ("lr", "seconds")}


@pytest.mark.parametrize(("base", "key", "value"), CASES, ids=[f"{key}={value}" for _, key, value in CASES])
def test_option_changes_the_numbers(
    base: Changes, key: str, value: Any, levels: dict[bool, LevelData], folders: Folders
) -> None:
    before, after = last_numbers(base, levels, folders), last_numbers({**base, key: value}, levels, folders)
    assert before != after
    assert before == last_numbers(base, levels, folders)  # and not by chance


def test_no_option_is_left_out() -> None:
    second = TrainingConfig(recipe="two-phase", second_optimizer=OptimizerConfig())
    trial = TrialConfig(data=DataConfig(dataset="twonorm"), training=second).to_dict()
    del trial["data"]  # data have tests of their own
    del trial["training"]["test_every"]  # shapes no number: see test_trainer.py
    del trial["bounded"]  # ends a run, and shapes no number: see training/test_trainer.py
    del trial["code"], trial["trainable"], trial["arguments"]  # a user's code: see own_training/ and user_code/
    del trial["network"]["sha256"]  # nor does what weights are held to: see test_prepare.py
    assert leaves(trial) <= {key for _, key, _ in CASES}

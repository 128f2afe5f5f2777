"""What a trial's configuration accepts, and the messages for what it refuses."""

import dataclasses
import json
import re
from typing import Any

import pytest

from tosmooth.trainables.config import (
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    ScheduleConfig,
    TableSource,
    TrainingConfig,
    TrialConfig,
)
from tosmooth.trainables.errors import InputError

DATA = {"dataset": "twonorm"}
FULL = TrialConfig(
    data=DataConfig(
        dataset="mine", noise="given", table=TableSource(train="a.parquet", features=("x", "y")), size=100, test_size=5
    ),
    network=NetworkConfig(width=16, depth=2),
    training=TrainingConfig(
        recipe="two-phase",
        second_optimizer=OptimizerConfig(lr=1e-6, nesterov=True, weight_decay=1e-4),
        schedule=ScheduleConfig(name="step", milestones=(4, 8), gamma=0.5),
    ),
    rate=-0.8,
    warmup=8,
    lr_after_warmup=0.1,
    train_seed=3,
)


def build(**values: Any) -> TrialConfig:
    return TrialConfig.from_dict({"data": DATA} | values)


def test_configuration_survives_json() -> None:
    assert TrialConfig.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL


def test_configuration_can_be_a_key_and_cannot_change() -> None:
    assert {FULL: 1}[TrialConfig.from_dict(FULL.to_dict())] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.rate = 0.0  # type: ignore[misc]


def test_defaults_are_cross_entropy_without_a_warmup() -> None:
    config = build()
    assert (config.method, config.rate, config.warmup, config.lr_after_warmup, config.train_seed) == ("gls", 0, 0, 1, 0)
    assert (config.training.recipe, config.training.schedule.name) == ("single", "constant")


def test_whole_numbers_are_taken_where_a_float_is_meant() -> None:
    rate = build(rate=-8).rate
    assert (rate, type(rate)) == (-8.0, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": 0.1}, "rat: unknown key; did you mean 'rate'?"),
        ({"training": {"epoch": 3}}, "training.epoch: unknown key; did you mean 'epochs'?"),
        (
            {"training": {"optimizer": {"learning": 1}}},
            "training.optimizer.learning: unknown key; known keys: name, lr",
        ),
        ({"data": {}}, "data.dataset: missing; it has no default"),
        ({"data": 5}, "data: 5 is refused: a mapping of keys to values"),
        ({"data": DATA | {"noise": 0.4}}, "data.noise: 0.4 is refused: a text"),
        ({"rate": "a"}, "rate: 'a' is refused: a number"),
        ({"rate": "0,1"}, "rate: '0,1' is refused: a number, with a point: 0.1"),
        ({"rate": "10%"}, "rate: '10%' is refused: a number, not a percentage: 0.1"),
        ({"rate": True}, "rate: True is refused: a number"),
        ({"rate": None}, "rate: None is refused: a number"),
        ({"warmup": 1.5}, "warmup: 1.5 is refused: a whole number"),
        ({"warmup": True}, "warmup: True is refused: a whole number"),
        ({"method": "forwards"}, "method: 'forwards' is refused: one of gls"),
        ({"training": {"schedule": {"milestones": 3}}}, "training.schedule.milestones: 3 is refused: a list"),
        ({"training": {"schedule": {"milestones": ["a"]}}}, "milestones[0]: 'a' is refused: a whole number"),
    ],
)
def test_unknown_key_or_wrong_type_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        build(**values)


def test_what_is_no_mapping_is_refused() -> None:
    with pytest.raises(InputError, match=r"TrialConfig: \[\] is refused: a mapping of keys to values"):
        TrialConfig.from_dict([])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("rate", 1.1, "a finite smoothing rate of at most 1"),
        ("rate", float("-inf"), "a finite smoothing rate of at most 1"),
        ("rate", float("nan"), "a finite smoothing rate of at most 1"),
        ("warmup", -1, "0 to 10, the epochs of the run"),
        ("warmup", 11, "0 to 10, the epochs of the run"),
        ("lr_after_warmup", 0.0, "above 0"),
        ("lr_after_warmup", float("inf"), "above 0"),
        ("train_seed", -1, "0 to 2**64 - 1, as torch takes a seed"),
        ("train_seed", 2**64, "0 to 2**64 - 1, as torch takes a seed"),
        ("network.name", "vgg", "one of mlp, cnn, fastcnn, resnet18, resnet34"),
        ("network.width", 0, "at least 1"),
        ("network.depth", -1, "at least 0 (a linear model), at most 1000"),
        ("training.epochs", 0, "at least 1"),
        ("training.batch_size", 0, "at least 1"),
        ("training.recipe", "three-phase", "one of single, two-phase"),
        ("training.precision", "float16", "one of auto, float32, bfloat16"),
        ("training.augment", "crop-flip", "features are not augmented; images are"),
        ("training.augment", "cutout", "one of none, crop-flip, crop-altflip, trivial, randaugment"),
        ("training.crop_padding", 2, "for images that are augmented"),
        ("training.test_every", 0, "at least 1 epoch"),
        ("training.optimizer.name", "adam", "one of sgd, adamw"),
        ("training.optimizer.lr", 0.0, "above 0"),
        ("training.optimizer.lr", float("inf"), "above 0"),
        ("training.optimizer.momentum", 1.0, "in [0, 1)"),
        ("training.optimizer.weight_decay", -0.1, "0 or more"),
        ("training.optimizer.weight_decay", float("nan"), "0 or more"),
        ("training.schedule.lr_rampup", -1.0, "0 epochs or more"),
        ("training.schedule.lr_rampup", 10.5, "at most 10 epochs"),
        ("training.schedule.gamma", 0.2, "for the schedule step alone"),
    ],
)
def test_value_outside_its_bounds_is_refused_with_key_value_and_rule(key: str, value: Any, rule: str) -> None:
    values: Any = value
    for part in reversed(key.split(".")[1:]):
        values = {part: values}
    with pytest.raises(InputError, match=re.escape(f"{key}: {value!r} is refused: {rule}")):
        build(**{key.split(".")[0]: values})


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (
            NetworkConfig,
            {"name": "resnet18", "width": 8},
            "network.width: 8 is refused: for mlp, cnn, fastcnn and heads",
        ),
        (NetworkConfig, {"name": "cnn", "depth": 2}, "network.depth: 2 is refused: for mlp and heads alone"),
        (OptimizerConfig, {"name": "adamw", "momentum": 0.8}, "momentum: 0.8 is refused: for sgd alone"),
        (OptimizerConfig, {"name": "adamw", "nesterov": True}, "Nesterov's method needs sgd with momentum"),
        (OptimizerConfig, {"momentum": 0.0, "nesterov": True}, "Nesterov's method needs sgd with momentum"),
        (ScheduleConfig, {"name": "step"}, "milestones: [] is refused: for the schedule step, and for it alone"),
        (ScheduleConfig, {"milestones": (3,)}, "milestones: [3] is refused: for the schedule step, and for it alone"),
        (ScheduleConfig, {"name": "step", "milestones": (3, 2)}, "positive epochs in rising order"),
        (ScheduleConfig, {"name": "step", "milestones": (2, 2)}, "positive epochs in rising order"),
        (ScheduleConfig, {"name": "step", "milestones": (0, 2)}, "positive epochs in rising order"),
        (ScheduleConfig, {"name": "step", "milestones": (2,), "gamma": 1.0}, "gamma: 1.0 is refused: in (0, 1)"),
        (TrainingConfig, {"second_optimizer": OptimizerConfig()}, "for the recipe two-phase alone"),
        (DataConfig, {**DATA, "validation_fraction": 1.0}, "dataset.validation_fraction: 1.0 is refused: in (0, 1)"),
        (DataConfig, {**DATA, "size": 9}, "dataset.size: 9 is refused: at least 10 examples"),
        (DataConfig, {**DATA, "test_size": 0}, "dataset.test_size: 0 is refused: at least 1"),
        (DataConfig, {**DATA, "noise_seed": -1}, "dataset.noise_seed: -1 is refused: a seed is 0 or more"),
        (TableSource, {"train": "a.parquet"}, "dataset.table: {'image': None, 'features': None} is refused: give one"),
        (TableSource, {"train": "a.parquet", "image": "img", "features": ("x",)}, "give one of the two"),
        (TableSource, {"train": "a.parquet", "features": ()}, "dataset.table.features: [] is refused: not empty"),
    ],
)
def test_options_that_do_not_go_together_are_refused(section: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        section(**values)

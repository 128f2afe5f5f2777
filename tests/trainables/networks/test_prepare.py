"""Backbones with weights: what is trained, what stays, and features that are computed once."""

import importlib
import logging
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from tests.trainables.networks.conftest import NAME
from tests.trainables.networks.nets import TinyNet
from tosmooth.trainables.analysis.analyse import Options, analyse
from tosmooth.trainables.analysis.predictions import predict, saved_network
from tosmooth.trainables.checkpointing.trunks import Trunks, trunk_key
from tosmooth.trainables.config import DataConfig, NetworkConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.methods import METHODS
from tosmooth.trainables.networks import feature_cache
from tosmooth.trainables.networks.heads import without_head
from tosmooth.trainables.networks.prepare import Prepared, prepared
from tosmooth.trainables.training.setup import check_network
from tosmooth.trainables.training.trainer import Report, Trainer, train

CPU = torch.device("cpu")


def network(trial: TrialConfig, **changes: Any) -> TrialConfig:
    return replace(trial, network=replace(trial.network, **changes))


def viewed(trial: TrialConfig, views: int) -> TrialConfig:
    """The trial with so many augmented copies of each picture."""
    training = replace(trial.training, augment="crop-flip", crop_padding=2)
    return replace(trial, network=replace(trial.network, views=views), training=training)


def trained(ready: Prepared, trunks: Trunks | None = None) -> tuple[Trainer, list[Report]]:
    reports: list[Report] = []
    trainer = train(ready.config, ready.data, reports.append, CPU, trunks, start=ready.start)
    return trainer, reports


@pytest.mark.usefixtures("weights")
def test_features_are_those_of_the_backbone(trial: TrialConfig, data: LevelData, folders: Folders) -> None:
    ready = prepared(trial, data, folders, CPU)
    whole = TinyNet(7)
    whole.load_state_dict(torch.load(folders.data / "tiny.pth", weights_only=True))
    backbone, _ = without_head(whole.eval(), "tiny")
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (data.mean, data.std))
    for split, features in ((data.train, ready.data.train), (data.test, ready.data.test)):
        assert split is not None
        assert features is not None
        pixels = split.inputs[split.rows].permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            expected = backbone((pixels - mean) / std)
        found = features.inputs[features.rows]
        assert found.dtype == torch.float16
        torch.testing.assert_close(found.float(), expected, rtol=2e-3, atol=2e-3)
        assert torch.equal(split.labels, features.labels)
    of_all = ready.data.train.inputs.double()
    torch.testing.assert_close(torch.tensor(ready.data.mean).double(), of_all.mean(dim=0), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        torch.tensor(ready.data.std).double(), of_all.std(dim=0, correction=0), rtol=1e-2, atol=1e-3
    )


@pytest.mark.usefixtures("weights")
def test_a_head_on_frozen_features_learns_the_colours(trial: TrialConfig, data: LevelData, folders: Folders) -> None:
    trainer, reports = trained(prepared(trial, data, folders, CPU))
    assert (reports[-1].metrics["test_accuracy"] or 0) > 90
    assert [tuple(p.shape) for p in trainer.network.parameters()] == [(3, 8), (3,)]
    deep = trained(prepared(network(trial, depth=1, width=5), data, folders, CPU))[0]
    assert [tuple(p.shape) for p in deep.network.parameters()] == [(5, 8), (5,), (3, 5), (3,)]


@pytest.mark.usefixtures("weights")
def test_features_are_computed_once(
    trial: TrialConfig, data: LevelData, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(trial, data, folders, CPU)
    files = {path: path.stat().st_mtime_ns for path in folders.cache.glob("features-*.arrow")}
    assert len(files) == 2  # training set, test set

    def never(*_: object) -> None:
        raise AssertionError("they are there")

    monkeypatch.setattr(feature_cache, "_compute", never)
    other = replace(network(trial, depth=1), rate=-1.0, warmup=1, train_seed=4)
    again = prepared(other, load_level(data_of(trial, noise="symmetric-0.4"), folders), folders, CPU)
    assert {path: path.stat().st_mtime_ns for path in folders.cache.glob("features-*.arrow")} == files
    assert again.config.rate == -1.0


def data_of(trial: TrialConfig, **changes: Any) -> DataConfig:
    return replace(trial.data, **changes)


@pytest.mark.parametrize(
    "changes",
    [{"input_size": 16}, {"mean": (0.5,) * 3, "std": (0.5,) * 3}, {"interpolation": "bicubic", "input_size": 16}],
)
@pytest.mark.usefixtures("weights")
def test_what_shapes_features_has_them_computed_anew(
    trial: TrialConfig, data: LevelData, folders: Folders, changes: dict[str, Any]
) -> None:
    first = prepared(trial, data, folders, CPU).data
    second = prepared(network(trial, **changes), data, folders, CPU).data
    assert not torch.equal(first.train.inputs, second.train.inputs)
    assert len(list(folders.cache.glob("features-*.arrow"))) == 4


def test_other_weights_are_other_features(trial: TrialConfig, data: LevelData, folders: Folders, weights: Path) -> None:
    first = prepared(trial, data, folders, CPU)
    torch.manual_seed(12)
    torch.save(TinyNet(7).state_dict(), folders.data / "other.pth")
    second = prepared(network(trial, weights="other.pth"), data, folders, CPU)
    assert first.config.network.sha256 != second.config.network.sha256
    assert not torch.equal(first.data.train.inputs, second.data.train.inputs)
    with pytest.raises(InputError, match=r"other\.pth: these are others than before: SHA-256 \w+ was asked for"):
        prepared(network(first.config, weights="other.pth"), data, folders, CPU)


@pytest.mark.usefixtures("weights")
def test_an_interrupted_computation_goes_on(
    trial: TrialConfig, data: LevelData, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = viewed(trial, 3)
    whole = prepared(views, data, folders, CPU).data.train.inputs.clone()
    for path in folders.cache.glob("features-*.arrow"):
        path.unlink()

    class Killed(BaseException):
        pass

    isfinite, calls = np.isfinite, []

    def killed(block: Any) -> Any:
        calls.append(len(block))
        if len(calls) == 6:
            raise Killed
        return isfinite(block)

    monkeypatch.setattr(np, "isfinite", killed)
    fresh = load_level(trial.data, folders)
    with pytest.raises(Killed):
        prepared(views, fresh, folders, CPU)

    def counted(block: Any) -> Any:
        calls.append(len(block))
        return isfinite(block)

    monkeypatch.setattr(np, "isfinite", counted)
    (spool,) = folders.cache.glob("*.rows")
    with spool.open("ab") as file:
        file.write(b"half")  # of a row
    calls.clear()
    again = prepared(views, fresh, folders, CPU).data.train.inputs
    assert torch.equal(again, whole)
    assert sum(calls) < len(whole) + 30  # of the training set those that lacked, and the test set


def test_an_installed_factory_that_was_changed_has_its_features_computed_anew(
    trial: TrialConfig, data: LevelData, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from torch import nn\n\ndef make(shape, classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.{}(), nn.Flatten(), nn.Linear(400, classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    own = replace(trial, network=NetworkConfig(factory="changed_net:make", mode="frozen"))
    found = []
    for layer in ("ReLU", "Tanh"):
        (tmp_path / "changed_net.py").write_text(code.format(layer), encoding="utf-8")
        sys.modules.pop("changed_net", None)
        importlib.invalidate_caches()
        found.append(prepared(own, load_level(trial.data, folders), folders, CPU))
    first, second = found
    assert first.config.network.sha256 == second.config.network.sha256
    assert not torch.equal(first.data.train.inputs, second.data.train.inputs)


@pytest.mark.usefixtures("weights")
def test_a_disk_that_fills_up_is_one_message_and_what_was_computed_stays(
    trial: TrialConfig, data: LevelData, folders: Folders
) -> None:
    views = viewed(trial, 20)
    whole = prepared(views, data, folders, CPU).data.train.inputs.clone()
    for path in folders.cache.glob("features-*.arrow"):
        path.unlink()
    # A limit on the size of a file fails as a full disk does.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handled = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"features-\w+\.arrow: .*; --cache-dir names another folder"):
            prepared(views, load_level(trial.data, folders), folders, CPU)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handled)
    (spool,) = folders.cache.glob("*.rows")
    assert spool.stat().st_size > 0
    assert torch.equal(prepared(views, load_level(trial.data, folders), folders, CPU).data.train.inputs, whole)


@pytest.mark.usefixtures("weights")
def test_a_damaged_file_is_computed_again_and_said(
    trial: TrialConfig, data: LevelData, folders: Folders, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepared(trial, data, folders, CPU).data.train.inputs.clone()
    for path in folders.cache.glob("features-*.arrow"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
    with caplog.at_level(logging.WARNING):
        again = prepared(trial, load_level(trial.data, folders), folders, CPU).data.train.inputs
    assert torch.equal(first, again)
    assert "damaged, and computed again" in caplog.text


def test_features_that_float16_would_spoil_stay_float32(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for offset, kind in ((0.0, torch.float16), (1000.0, torch.float32), (1e5, torch.float32)):
        values = (offset + rng.normal(size=(50, 3))).astype(np.float32)
        found = feature_cache.kept_features(tmp_path / f"{offset}.arrow", 50, 3, blocks(values), "tiny")
        assert found.values.dtype == kind
        np.testing.assert_allclose(found.values.numpy().astype(np.float32), values, rtol=1e-3)


def blocks(values: NDArray[np.float32]) -> Callable[[int], Iterator[NDArray[np.float32]]]:
    """Features that are known, as those that are computed from a row on."""
    return lambda start: iter([values[start:]])


def test_features_that_are_not_finite_are_named(tmp_path: Path) -> None:
    values = np.zeros((5, 3), np.float32)
    values[3, 1] = np.inf
    with pytest.raises(InputError, match="tiny gives features that are not finite, of picture 3"):
        feature_cache.kept_features(tmp_path / "f.arrow", 5, 3, blocks(values), "tiny")


def test_no_room_is_said_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"features of tiny take up to [\d.]+ GiB, and twice that"):
        feature_cache.kept_features(tmp_path / "f.arrow", 10**12, 1000, blocks(np.zeros((0, 1), np.float32)), "tiny")


@pytest.mark.usefixtures("weights")
def test_of_a_few_pictures_of_many_the_others_are_left_alone(trial: TrialConfig, folders: Folders) -> None:
    small = replace(trial, data=data_of(trial, size=20, test_size=5))
    ready = prepared(small, load_level(small.data, folders), folders, CPU)
    assert len(ready.data.train.inputs) == 20
    whole = prepared(trial, load_level(trial.data, folders), folders, CPU)
    rows = load_level(small.data, folders).train.rows
    found = ready.data.train.inputs[ready.data.train.rows]
    torch.testing.assert_close(found.float(), whole.data.train.inputs[rows].float(), rtol=2e-3, atol=2e-3)


@pytest.mark.usefixtures("weights")
def test_views_are_drawn_for_training_and_not_for_testing(
    trial: TrialConfig, data: LevelData, folders: Folders
) -> None:
    views = viewed(trial, 4)
    ready = prepared(views, data, folders, CPU)
    assert len(ready.data.train.inputs) == 4 * len(data.train.inputs)
    plain = prepared(trial, data, folders, CPU)
    torch.testing.assert_close(ready.data.train.inputs[:90], plain.data.train.inputs, rtol=2e-3, atol=2e-3)
    trainer, _ = trained(ready)
    index = torch.arange(10)
    unaugmented = trainer.train_set.take(index)[0]
    augmented = trainer.train_set.take(index, torch.Generator().manual_seed(1))[0]
    assert (unaugmented != augmented).any(dim=1).sum() >= 4
    mean, std = (torch.tensor(each) for each in (ready.data.mean, ready.data.std))
    as_they_are = (ready.data.train.inputs[ready.data.train.rows[:10]].float() - mean) / std
    torch.testing.assert_close(unaugmented, as_they_are)


@pytest.mark.usefixtures("weights")
def test_tuning_begins_with_the_weights_and_trains_the_backbone_at_its_own_rate(
    trial: TrialConfig, data: LevelData, folders: Folders
) -> None:
    loaded = torch.load(folders.data / "tiny.pth", weights_only=True)
    moved = {}
    for factor in (0.0, 0.01, 1.0):
        ready = prepared(network(trial, mode="finetune", backbone_lr=factor), data, folders, CPU)
        trainer = Trainer(ready.config, ready.data, CPU, start=ready.start)
        before = trainer.network.state_dict()
        for key in ("stem.0.weight", "stem.1.running_var", "stem.3.bias"):
            assert torch.equal(before[f"backbone.{key}"], loaded[key])
        while not trainer.done:
            trainer.run_epoch()
        moved[factor] = float((trainer.network.state_dict()["backbone.stem.0.weight"] - loaded["stem.0.weight"]).norm())
    assert moved[0.0] == 0
    assert 0 < 10 * moved[0.01] < moved[1.0]


@pytest.mark.usefixtures("weights")
def test_a_checkpoint_keeps_the_backbone_s_own_rate(
    trial: TrialConfig, data: LevelData, folders: Folders, tmp_path: Path
) -> None:
    ready = prepared(network(trial, mode="finetune", backbone_lr=0.01), data, folders, CPU)
    whole = train(ready.config, ready.data, lambda report: None, CPU, start=ready.start)
    kept = (str(tmp_path / "kept"), 0.0)
    first = Trainer(ready.config, ready.data, CPU, checkpoints=kept, start=ready.start)
    first.run_epoch()
    second = Trainer(ready.config, ready.data, CPU, checkpoints=kept, start=ready.start)
    while not second.done:
        second.run_epoch()
    for key, value in whole.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[key], value)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("mode", ["frozen", "finetune", "train"])
def test_trunks_are_shared_and_change_nothing(
    trial: TrialConfig, data: LevelData, folders: Folders, tmp_path: Path, mode: Any
) -> None:
    smoothed = replace(network(trial, mode=mode), rate=-0.5, warmup=2)
    ready = prepared(smoothed, data, folders, CPU)
    alone, _ = trained(ready)
    trunks = Trunks(str(tmp_path / "trunks"), frozenset({2}))
    trained(replace(ready, config=replace(ready.config, rate=-1.0)), trunks)
    shared, reports = trained(ready, trunks)
    assert [report.metrics.get("spared") for report in reports] == [1.0, 1.0, None]
    for key, value in alone.network.state_dict().items():
        assert torch.equal(shared.network.state_dict()[key], value)
    other = replace(ready.config, network=replace(ready.config.network, sha256="0" * 64))
    keys = [trunk_key(config, data.digest, CPU, torch.float32) for config in (ready.config, other)]
    assert keys[0] != keys[1]


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_a_kept_network_predicts_the_same_and_can_be_analysed(
    trial: TrialConfig, data: LevelData, folders: Folders, tmp_path: Path, mode: Any
) -> None:
    ready = prepared(network(trial, mode=mode), data, folders, CPU)
    trainer, _ = trained(ready)
    path = tmp_path / "kept.safetensors"
    trainer.save_weights(path)
    assert any(key.startswith("backbone.") for key in load_file(path)) == (mode == "finetune")
    if mode == "finetune":
        (folders.data / "tiny.pth").unlink()  # all that is needed is in the kept file
    again = prepared(ready.config, load_level(trial.data, folders), folders, CPU, trained=True)
    kept = saved_network(path, again.data, CPU)
    assert again.data.test is not None
    found = predict(kept, ready.config, again.data, again.data.test, CPU)
    expected = predict(trainer.network, ready.config, again.data, again.data.test, CPU)
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=0)
    told = analyse(kept, ready.config, again.data, CPU, Options(attacked=10, student=True))
    assert told.numbers["accuracy"] is not None
    assert told.numbers["student_accuracy"] is not None


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("mode", ["frozen", "finetune"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_a_network_with_a_backbone(
    trial: TrialConfig, data: LevelData, folders: Folders, method: str, mode: Any
) -> None:
    warmup = 0 if METHODS[method].from_start else 1
    ready = prepared(
        replace(network(trial, mode=mode), method=method, parameters={}, warmup=warmup), data, folders, CPU
    )
    trainer, reports = trained(ready)
    plain, _ = trained(
        replace(ready, config=replace(ready.config, method="gls", parameters={}, transition=None, warmup=3))
    )
    assert len(reports) == 3
    assert all(report.metrics["train_loss"] is not None for report in reports)
    state = trainer.network.state_dict()
    assert all(bool(value.isfinite().all()) for value in state.values())
    # It is not plain cross-entropy's network, where the method has anything to say in 3 epochs.
    same = all(torch.equal(value, plain.network.state_dict()[key]) for key, value in state.items())
    assert not same or method in ("gls", "ce", "logit-clip")  # at rate 0; where no logit is so large


def test_features_of_a_network_whose_head_stands_elsewhere_are_refused(
    trial: TrialConfig, data: LevelData, folders: Folders
) -> None:
    own = replace(trial, network=NetworkConfig(factory=f"{NAME}:head_before", mode="frozen"))
    with pytest.raises(InputError, match="3 is refused: 8 features, which its last linear layer took"):
        prepared(own, data, folders, CPU)


@pytest.mark.parametrize("size", [1, 80])
def test_a_batch_of_one_that_a_network_refuses_is_refused_before_training(
    trial: TrialConfig, data: LevelData, size: int
) -> None:
    training = replace(trial.training, batch_size=size)
    own = replace(trial, network=NetworkConfig(factory=f"{NAME}:normalised"), training=training)
    assert len(data.train) == 81
    with pytest.raises(InputError, match=rf"training\.batch_size: {size} is refused: .* of one example"):
        check_network(own, data)
    check_network(replace(own, training=replace(training, batch_size=70)), data)


@pytest.mark.usefixtures("weights")
def test_padding_beyond_the_pictures_is_refused_for_copies(
    trial: TrialConfig, data: LevelData, folders: Folders
) -> None:
    wide = viewed(trial, 2)
    wide = replace(wide, training=replace(wide.training, crop_padding=12))
    with pytest.raises(InputError, match=r"training\.crop_padding: 12 is refused: less than the images' 12 x 12"):
        prepared(wide, data, folders, CPU)


@pytest.mark.parametrize("changes", [{"input_size": 8}, {"mean": (0.5,) * 3, "std": (0.5,) * 3}])
def test_what_is_said_of_pictures_is_refused_for_features(folders: Folders, changes: dict[str, Any]) -> None:
    network = NetworkConfig(factory=f"{NAME}:sized", mode="frozen", **changes)
    config = TrialConfig(data=DataConfig(dataset="digits"), network=network)
    with pytest.raises(InputError, match=r"network\.\w+: .* is refused: for pictures, and digits has features"):
        prepared(config, load_level(config.data, folders), folders, CPU)


def test_a_factory_that_brings_weights_needs_no_file(trial: TrialConfig, data: LevelData, folders: Folders) -> None:
    own = replace(trial, network=NetworkConfig(factory=f"{NAME}:tiny", mode="frozen"))
    first, second = (prepared(own, data, folders, CPU) for _ in range(2))
    assert first.config.network.sha256 == second.config.network.sha256 is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "frozen"}, r"network\.mode: 'frozen' is refused: with weights: nothing was learnt"),
        ({"weights": "default", "factory": f"{NAME}:tiny"}, "a factory brings its own weights"),
        ({"name": "cnn", "weights": "w.pth"}, r"network\.weights: .* for torchvision/NAME"),
        ({"weights": "w.pth", "mode": "train", "views": 2}, r"network\.views: 2 is refused"),
        ({"weights": "w.pth", "mode": "frozen", "backbone_lr": 0.1}, "for the mode finetune alone"),
        ({"weights": "w.pth", "mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}, "not in 0 to 255"),
        ({"weights": "w.pth", "mean": (0.5, 0.5, 0.5)}, r"network\.std"),
        ({"weights": "w.pth", "mean": (0.5,) * 3, "std": (0, 1, 1)}, r"network\.std: .* is refused: above 0"),
        ({"weights": "w.pth", "width": 9}, "there are none: set network.depth"),
        ({"name": "torchvison/resnet18"}, "or torchvision/NAME, timm/NAME"),
        ({"factory": "models.make"}, "network.factory"),
        ({"name": "mlp", "depth": 0, "width": 3}, "there are none: set network.depth"),
        ({"weights": "w.pth", "sha256": "ABC"}, "64 hexadecimal digits"),
        ({"input_size": 0}, "1 to 4096 pixels"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str) -> None:
    named = {} if "factory" in changes else {"name": "torchvision/resnet18"}
    with pytest.raises(InputError, match=message):
        NetworkConfig(**{**named, **changes})


def test_copies_need_augmentation_and_the_other_way_round() -> None:
    frozen = NetworkConfig(name="torchvision/resnet18", weights="w.pth", mode="frozen")
    with pytest.raises(InputError, match="features are not augmented"):
        TrialConfig(data=DataConfig(dataset="any"), network=frozen, training=TrainingConfig(augment="crop-flip"))
    with pytest.raises(InputError, match=r"network\.views: 2 is refused: copies differ by training\.augment"):
        TrialConfig(data=DataConfig(dataset="any"), network=replace(frozen, views=2))

"""Checkpoints: a trial that was stopped ends as if it had not been; what is damaged is never used."""

import dataclasses
import hashlib
import json
import time
from pathlib import Path

import pytest
import torch

from tests.trainables.checkpointing.test_trunks import (
    CASES,
    CPU,
    FEATURES,
    assert_same,
    files_of,
    levels,
    ran,
    trunks_in,
)
from tests.trainables.test_options import Changes, configured
from tosmooth.trainables.checkpointing.checkpoints import Checkpoint, checkpoint_key
from tosmooth.trainables.checkpointing.states import setting
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.training.trainer import Report, Trainer

__all__ = ["levels"]  # a fixture
ALWAYS = 0.0  # seconds between two


def trainer(config: TrialConfig, data: dict[bool, LevelData], place: Path, seconds: float = ALWAYS) -> Trainer:
    return Trainer(config, data[config.network.name != "mlp"], CPU, checkpoints=(str(place), seconds))


def some(run: Trainer, epochs: int) -> list[Report]:
    """The reports of so many epochs; then the run is left as a crash leaves it."""
    return [run.run_epoch() for _ in range(epochs)]


def rest(run: Trainer) -> list[Report]:
    reports = []
    while not run.done:
        reports.append(run.run_epoch())
    return reports


MIXUP = FEATURES | {"rate": 0.0, "warmup": 0, "method": "mixup"}  # has no trunk


@pytest.mark.parametrize("stopped", [1, 3])
@pytest.mark.parametrize("changes", [*CASES.values(), MIXUP], ids=[*CASES, "mixup"])
def test_trial_that_was_stopped_ends_as_if_it_had_not_been(
    changes: Changes, stopped: int, levels: dict[bool, LevelData], tmp_path: Path
) -> None:
    config = configured(changes)
    before = some(trainer(config, levels, tmp_path), stopped)
    again = trainer(config, levels, tmp_path)
    assert again.epoch == stopped
    reports = rest(again)
    assert reports[:stopped] == before  # times included: they were not trained a second time
    plain = [{name: value for name, value in r.metrics.items() if name != "seconds"} for r in reports]
    weights = {name: value.cpu() for name, value in again.network.state_dict().items()}
    assert_same((plain, weights, 0), ran(config, levels, None))


def test_trial_that_was_stopped_after_its_trunk_says_again_what_was_spared(
    levels: dict[bool, LevelData], tmp_path: Path
) -> None:
    config = configured(FEATURES)
    ran(dataclasses.replace(config, rate=0.3), levels, trunks_in(tmp_path / "trunks"))
    for _ in range(2):  # a crash after the third epoch, and one after the fourth
        run = Trainer(config, levels[False], CPU, trunks_in(tmp_path / "trunks"), checkpoints=(str(tmp_path), ALWAYS))
        reports = rest(run) if run.epoch == 3 else some(run, 3)
        assert [report.metrics.get("spared") for report in reports[:3]] == [1.0, 1.0, None]
    assert len(reports) == 4


def test_trial_that_ended_unnoticed_is_not_trained_again(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    config = configured(FEATURES)
    first = rest(trainer(config, levels, tmp_path))
    assert files_of(tmp_path) == [f"{key_of(config, levels)}.checkpoint"]
    again = trainer(config, levels, tmp_path)
    assert again.epoch == config.training.epochs
    assert rest(again) == first
    again.forget_checkpoint()
    assert files_of(tmp_path) == []


def key_of(config: TrialConfig, data: dict[bool, LevelData]) -> str:
    return checkpoint_key(config, data[False].digest, CPU, torch.float32)


def test_checkpoint_is_found_under_the_name_that_the_version_before_gave_it(levels: dict[bool, LevelData]) -> None:
    config = configured(FEATURES | {"lr_after_warmup": 0.5})
    values = json.loads(json.dumps(config.to_dict()).replace("lr_after_warmup", "lr_factor"))
    parts = [values, levels[False].digest, *setting(CPU, torch.float32)]
    name = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()
    assert key_of(config, levels) == name


@pytest.mark.parametrize(
    "changes",
    [{"rate": 0.3}, {"warmup": 1}, {"lr_after_warmup": 0.5}, {"training.epochs": 5}],
    ids=lambda changes: str(changes),
)
def test_trial_that_differs_in_anything_begins_anew(
    changes: Changes, levels: dict[bool, LevelData], tmp_path: Path
) -> None:
    some(trainer(configured(FEATURES), levels, tmp_path), 3)
    assert trainer(configured(FEATURES | changes), levels, tmp_path).epoch == 0
    other = dataclasses.replace(configured(FEATURES), train_seed=7)
    assert trainer(other, levels, tmp_path).epoch == 0
    data = {False: dataclasses.replace(levels[False], digest="of other data")}
    assert trainer(configured(FEATURES), data, tmp_path).epoch == 0


@pytest.mark.parametrize("place", [0, 30, 90, 500, -1], ids=lambda place: f"byte {place}")
def test_damaged_checkpoint_is_dropped_and_the_trial_begins_anew(
    place: int, levels: dict[bool, LevelData], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configured(FEATURES)
    some(trainer(config, levels, tmp_path), 2)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    again = trainer(config, levels, tmp_path)
    assert again.epoch == 0
    assert file.name in caplog.text
    assert "damaged" in caplog.text
    assert files_of(tmp_path) == []
    assert len(rest(again)) == 4


def test_checkpoints_are_kept_every_so_many_seconds(
    levels: dict[bool, LevelData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    run = trainer(configured(FEATURES), levels, tmp_path, seconds=60)
    kept = []
    for passed in (30, 29, 1, 59):
        now[0] += passed
        run.run_epoch()
        kept.append(trainer(configured(FEATURES), levels, tmp_path, seconds=60).epoch)
    assert kept == [0, 0, 3, 3]  # after 60 seconds, and not again after 59 more


def test_none_is_kept_where_none_is_asked_for(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    run = Trainer(configured(FEATURES), levels[False], CPU)
    rest(run)
    run.forget_checkpoint()
    assert files_of(tmp_path) == []


def test_place_that_cannot_be_written_to_costs_the_checkpoint_alone(
    levels: dict[bool, LevelData], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    run = trainer(configured(FEATURES), levels, tmp_path / "file" / "below")
    assert len(rest(run)) == 4
    run.forget_checkpoint()
    assert "the checkpoint of 1 epochs is not kept" in caplog.text


def test_state_of_a_diverged_trial_is_not_kept(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    config = configured(FEATURES | {"rate": -1e6, "warmup": 0})
    reports = rest(trainer(config, levels, tmp_path))
    assert reports[-1].diverged is not None
    assert trainer(config, levels, tmp_path).epoch < reports[-1].epoch


def test_checkpoint_replaces_the_one_before(tmp_path: Path) -> None:
    checkpoint = Checkpoint(str(tmp_path), "0" * 32, ALWAYS)
    assert checkpoint.load() is None
    for epoch in (1, 2):
        checkpoint.keep({"epoch": epoch})
    assert checkpoint.load() == {"epoch": 2}
    assert files_of(tmp_path) == [f"{'0' * 32}.checkpoint"]

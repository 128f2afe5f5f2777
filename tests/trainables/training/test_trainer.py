"""The training loop: the same numbers again, what a report holds, divergence, saved weights."""

import dataclasses
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import ROOT
from tosmooth.trainables.config import DataConfig, NetworkConfig, OptimizerConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.build import build_network
from tosmooth.trainables.training.divergence import UNBOUNDED
from tosmooth.trainables.training.trainer import Report, Trainer, train

CPU = torch.device("cpu")
DATA = DataConfig(dataset="twonorm", noise="symmetric-0.2", size=600, test_size=400)
KEYS = {
    *("train_loss", "train_accuracy", "train_accuracy_clean", "train_accuracy_flipped", "train_changed"),
    *("val_loss", "val_accuracy"),
    *("test_loss", "test_accuracy", "test_ece"),
    *("test_brier", "test_confidence_right", "test_confidence_wrong", "lr", "seconds"),
    *("val_balanced_accuracy", "val_macro_f1", "val_mean_abs_logit", "test_balanced_accuracy", "test_macro_f1"),
}
CLASSES = {"test_accuracy_of.0", "test_accuracy_of.1"}  # of the last epoch
Numbers = list[dict[str, float | None]]


@pytest.fixture(scope="module")
def data() -> LevelData:
    return load_level(DATA, Folders(Path("unused"), Path("unused")))


def trial(rate: float = 0.0, epochs: int = 3, lr: float = 0.1, **values: Any) -> TrialConfig:
    recipe = TrainingConfig(epochs=epochs, batch_size=values.pop("batch_size", 64), optimizer=OptimizerConfig(lr=lr))
    return TrialConfig(data=DATA, training=values.pop("training", recipe), rate=rate, **values)


def reports(config: TrialConfig, data: LevelData) -> list[Report]:
    found: list[Report] = []
    train(config, data, found.append, CPU)
    return found


def numbers(config: TrialConfig, data: LevelData) -> Numbers:
    """The reported metrics of each epoch but for the seconds it took."""
    return [{k: v for k, v in report.metrics.items() if k != "seconds"} for report in reports(config, data)]


def weights(config: TrialConfig, data: LevelData) -> Tensor:
    trainer = train(config, data, lambda report: None, CPU)
    return torch.cat([parameter.detach().flatten() for parameter in trainer.network.parameters()])


def test_test_set_is_evaluated_every_so_many_epochs_and_at_the_last(data: LevelData) -> None:
    every = numbers(trial(epochs=5), data)
    recipe = dataclasses.replace(trial(epochs=5).training, test_every=2)
    some = numbers(dataclasses.replace(trial(epochs=5), training=recipe), data)
    assert [found["test_accuracy"] is not None for found in some] == [False, True, False, True, True]
    for epoch, (seldom, always) in enumerate(zip(some, every, strict=True), 1):
        expected = {k: None if epoch in (1, 3) and k.startswith("test_") else v for k, v in always.items()}
        assert seldom == expected  # nothing else changes


def test_whitening_network_trains_on_a_bare_batch_of_images_and_repeats() -> None:
    generator = torch.Generator().manual_seed(0)
    split = Split(
        torch.randint(0, 256, (96, 18, 18, 3), dtype=torch.uint8, generator=generator),
        torch.arange(96),
        torch.arange(96) % 3,
    )
    pictures = LevelData(split, split, split, 3, 0.0, True, (0.5,) * 3, (0.3,) * 3, "")
    config = trial(epochs=2, network=NetworkConfig(name="fastcnn", width=8))
    assert numbers(config, pictures) == numbers(config, pictures)
    trainer = Trainer(config, pictures, CPU)
    before = {name: weight.detach().clone() for name, weight in trainer.network.named_parameters()}
    trainer.run_epoch()
    after = dict(trainer.network.named_parameters())
    assert [name for name, weight in before.items() if torch.equal(weight, after[name])] == ["whitening.weight"]


def test_alternating_flips_show_every_image_both_ways_in_two_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.arange(16, dtype=torch.uint8)[None, None, :, None].expand(50, 16, 16, 3).contiguous()
    split = Split(images, torch.arange(50), torch.arange(50) % 2)
    pictures = LevelData(split, split, None, 2, 0.0, True, (0.0,) * 3, (1 / 255,) * 3, "")
    recipe = TrainingConfig(epochs=3, augment="crop-altflip", crop_padding=0)
    trainer = Trainer(trial(training=recipe, network=NetworkConfig(name="cnn", width=4)), pictures, CPU)
    seen: list[Tensor] = []
    take = trainer.train_set.take

    def watch(index: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        inputs, labels = take(index, *others)
        flipped = torch.zeros(50, dtype=torch.bool)
        flipped[index] = inputs[:, 0, 0, 0] > inputs[:, 0, 0, -1]
        seen.append(flipped)
        return inputs, labels

    monkeypatch.setattr(trainer.train_set, "take", watch)  # one batch an epoch
    while not trainer.done:
        trainer.run_epoch()
    assert 10 < seen[0].sum() < 40
    assert torch.equal(seen[1], ~seen[0])
    assert torch.equal(seen[2], seen[0])


class Waits(TorchDispatchMode):
    """Counts the operations for which the host of a GPU would have to wait, and the calls that bring numbers to it."""

    BRINGING = ("tolist", "cpu", "numpy", "item")
    WAITING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::unique")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0
        self.patches: list[Any] = []

    def __enter__(self) -> Any:
        for name in self.BRINGING:
            self.patches.append(mock.patch.object(Tensor, name, self._counted(getattr(Tensor, name))))
            self.patches[-1].start()
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for patch in self.patches:
            patch.stop()

    def _counted(self, method: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            return method(*arguments, **named)

        return call

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.name().split(".")[0].startswith(self.WAITING)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("network", ["cnn", "fastcnn"])
def test_no_step_makes_the_host_wait_for_the_device(network: Any) -> None:
    images = torch.randint(0, 256, (120, 18, 18, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    counts = []
    for batch_size in (60, 10):  # 2 and 12 steps
        split = Split(images, torch.arange(120), torch.arange(120) % 3)
        pictures = LevelData(split, split, split, 3, 0.0, True, (0.5,) * 3, (0.3,) * 3, "")
        recipe = TrainingConfig(epochs=2, batch_size=batch_size, augment="crop-altflip")
        trainer = Trainer(trial(-0.4, training=recipe, network=NetworkConfig(name=network, width=4)), pictures, CPU)
        with Waits() as waits:
            trainer.run_epoch()
        counts.append(waits.count)
    assert counts[0] == counts[1]
    assert 0 < counts[0] < 10
    with Waits() as waits:
        torch.ones(3).tolist()
        torch.nonzero(torch.ones(3))
    assert waits.count == 2  # it does count


def constant_level(labels: Tensor, classes: int) -> LevelData:
    """Inputs that say nothing about their labels."""
    split = Split(torch.zeros(len(labels), 4), torch.arange(len(labels)), labels)
    return LevelData(split, split, None, classes, None, False, (0.0,), (1.0,), "")


def test_trial_repeated_gives_the_same_numbers(data: LevelData) -> None:
    assert numbers(trial(-0.4), data) == numbers(trial(-0.4), data)


def test_trial_after_two_others_gives_the_numbers_of_a_fresh_process(data: LevelData, tmp_path: Path) -> None:
    config = trial(-0.4, warmup=1, train_seed=3)
    file = tmp_path / "trial.json"
    file.write_text(json.dumps(config.to_dict()))
    command = [sys.executable, "-m", "tosmooth.trainables", str(file), "--json", "--device", "cpu", "--threads", "1"]
    fresh = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    numbers(trial(0.1), data)
    numbers(trial(-8.0, lr=1e9), data)
    lines = [json.loads(line)["metrics"] for line in fresh[1:]]
    assert [{k: v for k, v in line.items() if k != "seconds"} for line in lines] == numbers(config, data)


def test_global_random_numbers_that_others_draw_change_nothing(data: LevelData) -> None:
    undisturbed = numbers(trial(), data)
    trainer, disturbed = Trainer(trial(), data, CPU), []
    while not trainer.done:
        torch.rand(3)
        disturbed.append(trainer.run_epoch().metrics["train_loss"])
    assert disturbed == [epoch["train_loss"] for epoch in undisturbed]


def test_train_seed_draws_the_first_weights_and_the_order_of_the_examples(data: LevelData) -> None:
    one, two = (Trainer(trial(train_seed=seed), data, CPU) for seed in (1, 2))
    first = one.network.state_dict()
    assert not torch.equal(first["0.weight"], two.network.state_dict()["0.weight"])
    two.network.load_state_dict(first)
    assert one.run_epoch().metrics["train_loss"] != two.run_epoch().metrics["train_loss"]


def test_negative_rate_trains_other_weights_than_cross_entropy(data: LevelData) -> None:
    assert not torch.equal(weights(trial(-0.4), data), weights(trial(0.0), data))


def test_warmup_as_long_as_the_run_is_cross_entropy_to_the_last_bit(data: LevelData) -> None:
    late, plain = trial(-8.0, warmup=3), trial(0.0)
    assert numbers(late, data) == numbers(plain, data)
    assert torch.equal(weights(late, data), weights(plain, data))


def test_warmup_epochs_are_those_of_cross_entropy_and_the_rest_are_not(data: LevelData) -> None:
    late, plain = numbers(trial(-0.4, warmup=2), data), numbers(trial(0.0), data)
    assert late[:2] == plain[:2]
    assert late[2] != plain[2]


def test_second_phase_from_the_start_is_a_run_of_its_own_optimizer(data: LevelData) -> None:
    second = OptimizerConfig(lr=0.02, momentum=0.5)
    two = TrainingConfig(epochs=2, recipe="two-phase", second_optimizer=second)
    single = TrainingConfig(epochs=2, optimizer=second)
    assert numbers(trial(-0.4, training=two), data) == numbers(trial(-0.4, training=single), data)


def test_every_epoch_is_reported_with_the_same_keys_and_the_last_with_every_class(data: LevelData) -> None:
    found = reports(trial(), data)
    assert [report.epoch for report in found] == [1, 2, 3]
    assert [report.metrics.keys() - KEYS for report in found] == [set(), set(), CLASSES]
    assert all(report.metrics.keys() >= KEYS for report in found)
    last = found[-1].metrics
    assert sum(last[key] or 0 for key in CLASSES) / 2 == pytest.approx(last["test_balanced_accuracy"])
    none = [{key for key, value in report.metrics.items() if value is None} for report in found]
    assert none == [{"train_changed"}, set(), set()]  # before the first epoch nothing was predicted
    values = [value for report in found for value in report.metrics.values() if value is not None]
    assert all(isinstance(value, float) for value in values)


def test_cross_entropy_learns_twonorm(data: LevelData) -> None:
    # From 540 examples, a fifth of them with wrong labels; 97.7 % is the best there is
    assert (reports(trial(epochs=5), data)[-1].metrics["test_accuracy"] or 0) > 80


def test_data_without_a_test_set_leave_its_metrics_empty(data: LevelData) -> None:
    found = reports(trial(epochs=1), dataclasses.replace(data, test=None))[0].metrics
    assert found.keys() == KEYS
    none = {key for key in KEYS if key.startswith("test_")} | {"train_changed"}  # of one epoch alone
    assert {key for key, value in found.items() if value is None} == none


def test_training_metrics_are_of_the_smoothed_loss_as_the_epoch_went(data: LevelData) -> None:
    config = trial(-0.4, epochs=1, batch_size=10_000)  # one step: its loss is that of the first weights
    trainer = Trainer(config, data, CPU)
    inputs, labels = trainer.train_set.take(torch.arange(len(data.train)))
    with torch.no_grad():
        logits = trainer.network(inputs)
    log_p = logits.log_softmax(dim=1)
    by_hand = -(1.4 * log_p[torch.arange(len(labels)), labels] - 0.2 * log_p.sum(dim=1)).mean()
    metrics = trainer.run_epoch().metrics
    assert metrics["train_loss"] == pytest.approx(by_hand.item(), rel=1e-5)
    assert metrics["train_accuracy"] == pytest.approx(100 * (logits.argmax(dim=1) == labels).double().mean().item())


def test_evaluation_normalises_by_what_was_seen_in_training() -> None:
    images = torch.randint(0, 256, (12, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    split = Split(images, torch.arange(12), torch.arange(12) % 2)
    level = LevelData(split, split, None, 2, None, False, (0.5,) * 3, (0.3,) * 3, "")
    recipe = TrainingConfig(epochs=1, batch_size=3, precision="float32")
    trainer = Trainer(trial(network=NetworkConfig(name="cnn", width=4), training=recipe), level, CPU)
    reported = trainer.run_epoch().metrics["val_loss"]
    inputs, labels = trainer.validation_set.take(torch.arange(12))
    by_mode = {}
    for training in (False, True):
        logits = trainer.network.train(training)(inputs)
        by_mode[training] = torch.nn.functional.cross_entropy(logits, labels).item()
    assert reported == pytest.approx(by_mode[False], rel=1e-5)
    assert reported != pytest.approx(by_mode[True], rel=1e-2)


def test_loss_that_is_not_finite_ends_the_trial_with_epoch_and_value(data: LevelData) -> None:
    found = reports(trial(-8.0, lr=1e9, epochs=5), data)
    assert len(found) == 1
    assert re.fullmatch(r"train_loss is (nan|-?inf) at epoch 1", found[0].diverged or "")
    assert found[0].metrics["train_loss"] is None


def test_weights_ruined_by_the_last_step_of_an_epoch_are_noticed(data: LevelData) -> None:
    found = reports(trial(-8.0, lr=1e38, epochs=5, batch_size=10_000), data)
    assert math.isfinite(found[0].metrics["train_loss"] or math.nan)
    assert re.fullmatch(r"val_loss is (nan|-?inf) at epoch 1", found[0].diverged or "")
    assert found[0].metrics["val_loss"] is None


@pytest.mark.parametrize(("classes", "limit"), [(10, "10.00 % at epoch 3, at most 12.00"), (2, "50.00.*52.00")])
def test_three_epochs_at_chance_level_end_the_trial(classes: int, limit: str) -> None:
    level = constant_level(torch.arange(400) % classes, classes)
    found = reports(trial(lr=1e-12, epochs=9), level)
    assert [report.diverged is None for report in found] == [True, True, False]
    assert re.search(f"train_accuracy is {limit} % for 3 epochs", found[-1].diverged or "")


def test_epoch_above_chance_starts_the_count_anew() -> None:
    trainer = Trainer(trial(lr=1e-12, epochs=9), constant_level(torch.arange(400) % 10, 10), CPU)
    labels = trainer.train_set.labels
    guess = trainer.network(torch.zeros(1, 4)).argmax()
    for epoch in range(1, 7):
        trainer.train_set.labels = guess.expand(400) if epoch == 3 else labels
        trainer.run_epoch()
        assert trainer.done == (epoch == 6)


def test_logits_that_run_away_are_reported_and_end_a_run_that_is_to_stay_bounded(data: LevelData) -> None:
    free = trial(-8.0, epochs=6, lr=0.02, warmup=1)
    sizes = [report.metrics["val_mean_abs_logit"] or 0.0 for report in reports(free, data)]
    assert len(sizes) == 6
    assert sizes[0] < 30
    first = next(epoch for epoch, size in enumerate(sizes, start=1) if size > UNBOUNDED)
    bounded = reports(replace(free, bounded=True), data)
    assert [report.diverged is None for report in bounded] == [True] * (first - 1) + [False]
    says = rf"mean \|logit\| is [\d.e+]+ at epoch {first}, above 1000 \(selection.bounded\)"
    assert re.fullmatch(says, bounded[-1].diverged or "")
    assert numbers(trial(0.1), data) == numbers(trial(0.1, bounded=True), data)


def test_two_classes_with_much_noise_are_not_taken_for_chance() -> None:
    level = constant_level((torch.arange(400) % 100 < 43).long(), 2)  # at most 57 % can be right
    found = reports(trial(epochs=6), level)
    assert found[-1].metrics["train_accuracy"] == pytest.approx(57, abs=1)
    assert [report.diverged for report in found] == [None] * 6


def test_saved_weights_load_and_give_the_reported_test_accuracy(data: LevelData, tmp_path: Path) -> None:
    config = trial(-0.4)
    found: list[Report] = []
    trainer = train(config, data, found.append, CPU)
    path = tmp_path / "new" / "best.safetensors"
    trainer.save_weights(path)
    with safe_open(path, "pt") as file:
        assert TrialConfig.from_dict(json.loads(file.metadata()["trial"])) == config
    network = build_network(config.network, (20,), data.classes).eval()
    network.load_state_dict(load_file(path))
    test = data.test
    assert test is not None
    right = network(test.inputs[test.rows]).argmax(dim=1) == test.labels
    assert 100 * right.double().mean().item() == found[-1].metrics["test_accuracy"]


def test_write_that_fails_leaves_the_old_weights_and_no_part_of_the_new(
    data: LevelData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, path = Trainer(trial(), data, CPU), tmp_path / "best.safetensors"
    trainer.save_weights(path)
    before = path.read_bytes()

    def fail(state: object, file: Path, metadata: object) -> None:
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    trainer.run_epoch()
    with pytest.raises(OSError, match="No space left"):
        trainer.save_weights(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]

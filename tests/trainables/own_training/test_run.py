"""A function of the user's is run epoch by epoch; what it reports wrongly is an error with its line, never a number."""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tosmooth.trainables.config import DataConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.own_training import OwnRun, StopTrial, Trial
from tosmooth.trainables.training.trainer import Report
from tosmooth.trainables.user_code import CodeError

DATA = DataConfig(dataset="twonorm", noise="symmetric-0.4", size=100, test_size=50, validation_fraction=0.5)


def config(epochs: int = 3, **changes: Any) -> TrialConfig:
    return TrialConfig(data=DATA, training=TrainingConfig(epochs=epochs), trainable="mine:train", **changes)


def own(function: Callable[[Trial], object], trial: TrialConfig | None = None, **options: Any) -> OwnRun:
    trial = trial or config()
    return OwnRun(trial, load_level(trial.data, Folders(Path(), Path())), function, torch.device("cpu"), **options)


def reports(run: OwnRun) -> list[Report]:
    found = []
    while not run.done:
        found.append(run.run_epoch())
    return found


def plain(trial: Trial) -> None:
    for epoch in range(1, trial.epochs + 1):
        trial.report(epoch, val_accuracy=50 + epoch, train_loss=1 / epoch)


def test_each_report_is_an_epoch_and_the_function_waits_for_the_next() -> None:
    told: list[int] = []

    def function(trial: Trial) -> None:
        for epoch in range(1, trial.epochs + 1):
            told.append(epoch)
            trial.report(epoch, val_accuracy=torch.tensor(60.0 + epoch), test_accuracy=np.float32(61), mine=epoch)
        told.append(99)

    run = own(function)
    first = run.run_epoch()
    assert (first.epoch, told, run.done, first.diverged) == (1, [1], False, None)
    assert first.metrics.pop("seconds") is not None
    assert first.metrics == {"val_accuracy": 61.0, "test_accuracy": 61.0, "mine": 1.0}
    assert [each.epoch for each in reports(run)] == [2, 3]
    assert told == [1, 2, 3, 99]  # after the last report it ends by itself
    assert run.stop()


def test_a_trial_says_what_to_train_with() -> None:
    found: list[Trial] = []

    def function(trial: Trial) -> None:
        found.append(trial)
        plain(trial)

    reports(own(function, config(rate=-0.5, warmup=1, train_seed=7, arguments={"lr": 0.1, "layers": 2})))
    (trial,) = found
    assert trial.params == {"lr": 0.1, "layers": 2, "rate": -0.5, "warmup": 1, "lr_after_warmup": 1.0}
    assert (trial.seed, trial.epochs, trial.classes, trial.noise) == (7, 3, 2, "symmetric-0.4")
    assert [trial.rate(epoch) for epoch in (1, 2, 3)] == [0, -0.5, -0.5]
    for epoch in (0, 4):
        with pytest.raises(ValueError, match="they count from 1 to 3"):
            trial.rate(epoch)
    logits, labels = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    assert torch.allclose(trial.loss(1)(logits, labels), functional.cross_entropy(logits, labels))
    smooth = -(trial.loss(3)(logits, labels) - 1.5 * functional.cross_entropy(logits, labels))
    assert torch.allclose(smooth, 0.5 * -logits.log_softmax(1).mean())
    assert not trial.folder.exists()


def test_labels_are_those_of_the_level_in_the_order_of_the_source() -> None:
    found: list[Trial] = []

    def function(trial: Trial) -> None:
        found.append(trial)
        plain(trial)

    reports(own(function))
    (trial,) = found
    data = load_level(DATA, Folders(Path(), Path()))
    assert (
        sorted([*trial.train.tolist(), *trial.validation.tolist()]) == (trial.labels >= 0).nonzero().flatten().tolist()
    )
    assert torch.equal(trial.labels[data.train.rows], data.train.labels)
    assert torch.equal(trial.labels[data.validation.rows], data.validation.labels)
    assert torch.equal(trial.inputs[data.train.rows], data.train.inputs[data.train.rows])
    assert trial.test_inputs is not None
    assert data.test is not None
    assert torch.equal(trial.test_inputs, data.test.inputs[data.test.rows])
    trial.inputs.zero_()  # a copy: the next trial of this process has the data as they are
    assert data.train.inputs.any()


def bad(text: str) -> Callable[[Trial], object]:
    """A function that does this at its second epoch."""

    def function(trial: Trial) -> None:
        trial.report(1, val_accuracy=50.0)
        exec(text, {"trial": trial, "np": np, "os": os})  # noqa: S102 - a test's own words
        trial.report(2, val_accuracy=50.0)
        trial.report(3, val_accuracy=50.0)

    return function


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trial.report(1, val_accuracy=51)", "report: epoch 1 after 1: each epoch from 1 to 3 is reported once"),
        ("trial.report(3, val_accuracy=51)", "report: epoch 3 after 1"),
        ("trial.report(2, val_accuracy=0.93)", "report: val_accuracy is 0.93: percent are wanted, 93 and not 0.93"),
        ("trial.report(2, val_accuracy=93, test_accuracy=0.9)", "report: test_accuracy is 0.9: percent are wanted"),
        ("trial.report(2, val_accuracy=101)", "report: val_accuracy is 101.0: a percentage, 0 to 100, is wanted"),
        ("trial.report(2, val_accuracy=-1)", "report: val_accuracy is -1.0: a percentage"),
        ("trial.report(2, accuracy=93)", "report: val_accuracy is missing: the study chooses by it"),
        ("trial.report(2, val_accuracy='93')", "report: val_accuracy is '93': a number is wanted"),
        ("trial.report(2, val_accuracy=True)", "report: val_accuracy is True: a number is wanted"),
        ("trial.report(2, val_accuracy=np.ones(2))", "report: val_accuracy is array([1., 1.]): a number is wanted"),
        ("trial.report(2, val_accuracy=93, seconds=1)", "report: 'seconds' is no name for a metric"),
        ("trial.report(2, val_accuracy=93, **{'a b': 1})", "report: 'a b' is no name for a metric"),
        ("trial.save(2, {})", "save: epoch 2 was not the last one reported, which was 1"),
        ("trial.load()", "load: to be asked before the first report"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(4)", "SystemExit: 4"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("from tosmooth.trainables.own_training import StopTrial; raise StopTrial", "StopTrial"),
    ],
)  # fmt: skip
def test_what_a_function_does_wrong_is_an_error(text: str, said: str) -> None:
    run = own(bad(text))
    assert run.run_epoch().epoch == 1
    with pytest.raises(CodeError) as caught:
        run.run_epoch()
    assert said in str(caught.value)
    assert run.stop()


def test_a_function_that_ends_early_or_goes_on_is_an_error() -> None:
    run = own(lambda trial: trial.report(1, val_accuracy=50.0))
    run.run_epoch()
    with pytest.raises(CodeError, match="trainable 'mine:train': it returned after epoch 1 of 3: every epoch"):
        run.run_epoch()
    with pytest.raises(CodeError, match="it returned after epoch 0 of 3"):
        own(lambda trial: None).run_epoch()

    def longer(trial: Trial) -> None:
        plain(trial)
        trial.report(4, val_accuracy=50.0)

    run = own(longer)
    run.run_epoch()
    run.run_epoch()
    with pytest.raises(CodeError, match="report: epoch 4 after 3"):
        run.run_epoch()


def test_numbers_that_are_not_finite_are_a_divergence() -> None:
    ended = []

    def function(trial: Trial) -> None:
        try:
            trial.report(1, val_accuracy=50.0)
            trial.report(2, val_accuracy=50.0, val_loss=float("nan"))
        except StopTrial:
            ended.append(True)
            raise

    run = own(function)
    found = reports(run)
    assert [each.diverged for each in found] == [None, "val_loss is nan at epoch 2"]
    assert found[1].metrics["val_loss"] is None
    assert ended == [True]


def test_a_trial_that_is_pruned_ends_at_its_next_report() -> None:
    ended = []

    def function(trial: Trial) -> None:
        try:
            plain(trial)
        except Exception:
            ended.append("swallowed")
        finally:
            ended.append("ended")

    run = own(function)
    run.run_epoch()
    assert run.stop()
    assert ended == ["ended"]
    assert not any(thread.name == "own training" for thread in threading.enumerate())


def test_a_function_that_cannot_be_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tosmooth.trainables.own_training.run.PATIENCE", 0.1)
    release = threading.Event()

    def function(trial: Trial) -> None:
        try:
            plain(trial)
        finally:
            release.wait(20)

    run = own(function)
    run.run_epoch()
    assert not run.stop()
    release.set()
    assert run.stop()


def test_what_the_process_shares_is_seeded_before_and_left_alone_after(tmp_path: Path) -> None:
    drawn: list[Any] = []

    def function(trial: Trial) -> None:
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))
        torch.set_default_dtype(torch.float64)
        os.environ["MINE"] = "1"
        os.chdir(tmp_path)
        plain(trial)

    before = Path.cwd()
    for seed in (3, 3, 4):
        reports(own(function, config(train_seed=seed)))
    assert drawn[0] == drawn[1] != drawn[2]
    assert (Path.cwd(), torch.get_default_dtype(), os.environ.get("MINE")) == (before, torch.float32, None)


def test_a_run_that_was_interrupted_goes_on_from_its_state(tmp_path: Path) -> None:
    seen: list[int] = []

    def function(trial: Trial) -> None:
        state = trial.load() or {"epoch": 0, "weight": torch.zeros(2)}
        for epoch in range(state["epoch"] + 1, trial.epochs + 1):
            seen.append(epoch)
            state = {"epoch": epoch, "weight": state["weight"] + epoch}
            trial.report(epoch, val_accuracy=50 + float(state["weight"][0]))
            trial.save(epoch, state)

    whole = [each.metrics["val_accuracy"] for each in reports(own(function, config(5)))]
    seen.clear()
    options = {"checkpoints": (str(tmp_path), 0.0)}
    run = own(function, config(5), **options)
    for _ in range(3):
        run.run_epoch()
    run.stop()
    again = own(function, config(5), **options)
    assert [each.metrics["val_accuracy"] for each in reports(again)] == whole
    assert seen == [1, 2, 3, 3, 4, 5]  # the state of epoch 3 would have been kept after its report
    again.forget_checkpoint()
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_another_metric_that_is_chosen_by_must_be_reported() -> None:
    run = own(plain, needed=("val_accuracy", "val_macro_f1"))
    with pytest.raises(CodeError, match="report: val_macro_f1 is missing: the study chooses by it"):
        run.run_epoch()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "gce"}, "method: 'gce' is refused: gls or ce beside `trainable`"),
        ({"arguments": {"rate": 1}}, "arguments: 'rate' is refused"),
        ({"arguments": {"a b": 1}}, "arguments: 'a b' is refused"),
        ({"training": TrainingConfig(batch_size=7)}, "training.batch_size: 7 is refused: epochs alone beside"),
        ({"trainable": "mine.train"}, "trainable: 'mine.train' is refused"),
        ({"trainable": None, "arguments": {"a": 1}}, "arguments: {'a': 1} is refused: for a `trainable`"),
        ({"parameters": {"ramp": 1.0}, "rate": 0.1}, "gls.ramp: 1.0 is refused"),
    ],
)
def test_what_a_function_is_not_given_is_refused(changes: dict[str, Any], said: str) -> None:
    values = {"data": DATA, "trainable": "mine:train", **changes}
    with pytest.raises(InputError) as caught:
        TrialConfig(**values)
    assert str(caught.value).startswith(said)

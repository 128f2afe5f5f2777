"""Learning rates and smoothing rates, number by number."""

from typing import Any

import pytest

from tosmooth.trainables.config import DataConfig, OptimizerConfig, ScheduleConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.training.schedule import learning_rate


def trial(epochs: int, schedule: ScheduleConfig | None = None, **values: Any) -> TrialConfig:
    """A trial with a peak learning rate of 1, so that its rates are the factors."""
    fields = TrainingConfig.__dataclass_fields__
    recipe = {key: values.pop(key) for key in list(values) if key in fields}
    optimizer = OptimizerConfig(lr=1.0)
    training = TrainingConfig(epochs=epochs, optimizer=optimizer, schedule=schedule or ScheduleConfig(), **recipe)
    return TrialConfig(data=DataConfig(dataset="twonorm"), training=training, **values)


def rates(config: TrialConfig, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step of the run."""
    steps = range(config.training.epochs * steps_per_epoch)
    return [learning_rate(config, step, steps_per_epoch) for step in steps]


def test_constant_learning_rate() -> None:
    assert rates(trial(2), 2) == [1, 1, 1, 1]


def test_step_schedule_drops_after_each_milestone() -> None:
    schedule = ScheduleConfig(name="step", milestones=(1, 3), gamma=0.1)
    assert rates(trial(4, schedule), 2) == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_schedule_would_reach_zero_one_step_after_the_last() -> None:
    # (1 + cos(k pi / 4)) / 2 for k = 0, 1, 2, 3
    assert rates(trial(2, ScheduleConfig(name="cosine")), 2) == pytest.approx([1, 0.8535534, 0.5, 0.1464466])


def test_rampup_rises_from_zero_and_reaches_the_peak_after_it() -> None:
    # Four steps that cut the way from 0 to 1 into five parts
    assert rates(trial(2, ScheduleConfig(lr_rampup=1)), 4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1])


def test_rampup_may_take_part_of_an_epoch() -> None:
    assert rates(trial(1, ScheduleConfig(lr_rampup=0.5)), 4) == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_cosine_begins_at_the_peak_after_the_rampup() -> None:
    schedule = ScheduleConfig(name="cosine", lr_rampup=1)
    assert rates(trial(3, schedule), 1) == pytest.approx([0.5, 1, 0.5])


def test_cosine_with_a_rampup_of_the_whole_run_only_rises() -> None:
    schedule = ScheduleConfig(name="cosine", lr_rampup=2)
    assert rates(trial(2, schedule), 2) == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_lr_after_warmup_applies_after_the_warmup_on_top_of_the_schedule() -> None:
    schedule = ScheduleConfig(name="step", milestones=(3,), gamma=0.5)
    config = trial(4, schedule, rate=-0.8, warmup=2, lr_after_warmup=0.01)
    assert rates(config, 1) == pytest.approx([1, 1, 0.01, 0.005])


def test_lr_after_warmup_without_a_warmup_applies_at_once() -> None:
    assert rates(trial(2, lr_after_warmup=0.1), 1) == pytest.approx([0.1, 0.1])


def test_second_phase_has_a_constant_learning_rate_of_its_own() -> None:
    # The paper's protocol in small: three rates for the warm-up, then 1e-6 to the end, whatever the milestones say
    schedule = ScheduleConfig(name="step", milestones=(1, 2, 4), gamma=0.1)
    second = OptimizerConfig(lr=1e-6, nesterov=True, weight_decay=1e-4)
    config = trial(5, schedule, recipe="two-phase", second_optimizer=second, warmup=3)
    assert rates(config, 1) == pytest.approx([1, 0.1, 0.01, 1e-6, 1e-6])


def test_second_phase_without_an_optimizer_of_its_own_starts_from_the_peak_again() -> None:
    config = trial(4, ScheduleConfig(name="cosine"), recipe="two-phase", warmup=2, lr_after_warmup=0.1)
    assert rates(config, 1) == pytest.approx([1, 0.8535534, 0.1, 0.1])


def test_second_phase_without_a_warmup_is_the_whole_run() -> None:
    config = trial(2, ScheduleConfig(name="cosine", lr_rampup=1), recipe="two-phase", warmup=0)
    assert rates(config, 2) == [1, 1, 1, 1]

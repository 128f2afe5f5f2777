"""Step -> learning rate, epoch -> optimizer. Pure functions of the configuration."""

import math

from tosmooth.trainables.config import OptimizerConfig, ScheduleConfig, TrialConfig


def in_second_phase(config: TrialConfig, epoch: int) -> bool:
    """True if `epoch` (from 0) trains with the fresh optimizer of the two-phase recipe."""
    return config.training.recipe == "two-phase" and epoch >= config.warmup


def optimizer_of(config: TrialConfig, epoch: int) -> OptimizerConfig:
    """The optimizer that trains `epoch` (from 0)."""
    second = config.training.second_optimizer
    return second if second is not None and in_second_phase(config, epoch) else config.training.optimizer


def learning_rate(config: TrialConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of `step` (from 0, over the whole run)."""
    epoch = step // steps_per_epoch
    lr = optimizer_of(config, epoch).lr * (config.lr_after_warmup if epoch >= config.warmup else 1.0)
    if in_second_phase(config, epoch):
        return lr  # constant, as in Wei et al. 2022
    return lr * _factor(config.training.schedule, step, steps_per_epoch, config.training.epochs)


def _factor(schedule: ScheduleConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    rampup = schedule.lr_rampup * steps_per_epoch
    if step < rampup:
        return (step + 1) / (rampup + 1)
    if schedule.name == "cosine":
        # Half a cosine that would reach 0 one step after the last, so that no step is wasted.
        return 0.5 * (1 + math.cos(math.pi * (step - rampup) / (epochs * steps_per_epoch - rampup)))
    passed = sum(step >= milestone * steps_per_epoch for milestone in schedule.milestones)
    return float(schedule.gamma**passed)

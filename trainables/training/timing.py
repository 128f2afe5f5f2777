"""Time an epoch of a run before it begins, by a few of its steps on this machine's CPU, and size the state it keeps."""

import math
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.networks.build import Weights
from tosmooth.trainables.networks.device import EVALUATION_BATCH
from tosmooth.trainables.training.trainer import Trainer

LIMIT = 0.8  # seconds for all steps
FIRST = 8  # examples of the first step: of a large network a whole batch would take many seconds
ENOUGH = 9  # steps


class Pace(NamedTuple):
    """Time and size of a run."""

    epoch_seconds: float  # training and evaluation
    state_bytes: int  # of network, optimizer and held-out logits, which a trunk keeps
    network_bytes: int


class _Timed(Trainer):
    """Run that is begun to be timed, and thrown away."""

    def step_seconds(self, examples: int) -> float:
        start = time.perf_counter()
        index = torch.arange(examples)
        augment = self.generator if self.config.training.augment != "none" else None
        inputs, labels = self.train_set.take(index, augment, self._mirrored())
        self._step(inputs, labels, 0, index)
        return time.perf_counter() - start

    def evaluation_seconds(self, examples: int) -> float:
        start = time.perf_counter()
        self.network.eval()
        with torch.inference_mode(), self._autocast():
            self.network(self.validation_set.take(torch.arange(examples))[0])
        return time.perf_counter() - start

    def state_bytes(self) -> int:
        return _bytes(self._state()) + 4 * len(self.validation_set) * self.objective.facts.classes


def pace_of(config: TrialConfig, data: LevelData, limit: float = LIMIT, start: Weights | None = None) -> Pace:
    """Time a run on these data in about `limit` seconds, with as many threads as torch has now."""
    run = _Timed(config, data, torch.device("cpu"), start=start)
    run.objective.begin(config.warmup - 1 if config.warmup else 0, lambda: None)
    examples, tests = len(run.train_set), 0 if run.test_set is None else len(run.test_set)
    step = _seconds(run.step_seconds, min(config.training.batch_size, examples), 0.7 * limit)
    evaluated = min(EVALUATION_BATCH["cpu"], len(run.validation_set))
    evaluation = _seconds(run.evaluation_seconds, evaluated, 0.3 * limit)
    tested = tests / config.training.test_every
    seconds = step * examples + evaluation * (len(run.validation_set) + tested)
    return Pace(seconds, run.state_bytes(), _bytes(run.network.state_dict()))


def _seconds(timed: Callable[[int], float], most: int, limit: float) -> float:
    """Seconds that an example takes in a batch of `most`, or of as many as can be timed within `limit` seconds.

    Of each size the first step is not counted: libraries prepare for its shape.
    """
    end, size = time.perf_counter() + limit, min(FIRST, most)
    while True:
        timed(size)
        steps = [timed(size)]
        left = end - time.perf_counter()
        larger = min(most, int(left * size / (2 * steps[0])))
        if larger < min(2 * size, most) or size == most:
            break
        size = larger
    while len(steps) < ENOUGH and time.perf_counter() + steps[0] < end:
        steps.append(timed(size))
    return median(steps) / size


def _bytes(value: object) -> int:
    """Bytes of all tensors in nested values."""
    if isinstance(value, Tensor):
        return math.prod(value.shape) * value.element_size()
    if isinstance(value, dict):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0

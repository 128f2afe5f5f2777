"""A cluster on paper: trials of simulated duration against the real searcher, as Tune would call it.

The clock is virtual: an epoch takes what a log-normal draw says, and nothing waits for it. So a thousand workers fit
into one process, and what is spent is the driver's work alone: searcher, sampler, pruner, Optuna's storage, history.
"""

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ray.tune.search import Searcher
from usual_trials import METRICS

from tosmooth.search.run.searcher import StudySearcher
from tosmooth.search.spec.scales import signed_log

EPOCH = 60.0  # seconds of an epoch in the median
SPREAD = 0.5  # of the logarithm of an epoch's duration, and of a worker's speed
UNIT = 80.0  # accuracy at the best rate, percent


@dataclass(slots=True)
class Running:
    """A trial on a worker."""

    settings: dict[str, Any]
    speed: float
    epoch: int = 0


@dataclass(slots=True)
class VirtualCluster:
    """As many workers as a searcher has slots, which take what it hands out."""

    searcher: StudySearcher
    ended: int = 0  # trials
    epochs: int = 0  # reported
    now: float = 0.0  # seconds on the virtual clock
    _running: dict[str, Running] = field(default_factory=dict)
    _events: list[tuple[float, str]] = field(default_factory=list)  # when the next epoch of a trial ends
    _rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def run(self, ended: Callable[[], None] = lambda: None) -> None:
        """Until the study is over; `ended` is called after each trial."""
        names = (f"trial{i}" for i in range(10**9))
        self._fill(names)
        while self._events:
            self.now, name = heapq.heappop(self._events)
            trial = self._running[name]
            trial.epoch += 1
            self.epochs += 1
            if not self._over(name, self._report(trial)):
                self._wait(name)
                continue
            del self._running[name]
            self.ended += 1
            ended()
            self._fill(names)
        assert self.searcher.finished, self.searcher.driver.trouble

    def _fill(self, names: Iterator[str]) -> None:
        """Give each idle worker a trial, as far as there are any."""
        while len(self._running) < self.searcher.slots:
            name = next(names)
            settings = self.searcher.suggest(name)
            if settings is None or isinstance(settings, str):
                assert settings is None or settings == Searcher.FINISHED
                return
            self._running[name] = Running(settings, self._draw())
            self._wait(name)

    def _wait(self, name: str) -> None:
        heapq.heappush(self._events, (self.now + EPOCH * self._running[name].speed * self._draw(), name))

    def _draw(self) -> float:
        return float(self._rng.lognormal(0.0, SPREAD))

    def _over(self, name: str, result: dict[str, Any]) -> bool:
        """Hand on a report as Tune and the scheduler do; returns whether the trial is over."""
        if not result["done"]:
            if not self.searcher.receive(name, result):
                return False
            self.searcher.prune(name)
        self.searcher.on_trial_complete(name, result)
        return True

    def _report(self, trial: Running) -> dict[str, Any]:
        """What a trial says after an epoch: of the form and size of real ones, best at the rate that undoes the noise.

        Rates far below diverge in their third epoch, the sooner without a warm-up.
        """
        config, epoch = trial.settings["trial"], trial.epoch
        rate, warmup, epochs = config["rate"], config["warmup"], config["training"]["epochs"]
        noise = float(config["data"]["noise"].rpartition("-")[2])
        best = signed_log(-2 * noise / (1 - 2 * noise))
        diverged = epoch == min(3, epochs) and signed_log(rate) < best - 0.7 - 0.1 * warmup
        accuracy = UNIT - 3 * abs(signed_log(rate) - best) - 8 / epoch + 0.3 * float(self._rng.standard_normal())
        metrics = {name: 1 / 3 + i + epoch for i, name in enumerate(METRICS)}
        metrics |= {"val_accuracy": accuracy, "test_accuracy": accuracy + 1 / 3, "seconds": EPOCH * trial.speed}
        done = diverged or epoch == epochs
        assert all(map(math.isfinite, metrics.values()))
        return {
            "epoch": epoch,
            "metrics": list(metrics.items()),
            "state": "diverged" if diverged else "complete" if done else "running",
            "reason": f"train_loss is nan at epoch {epoch}" if diverged else "",
            "done": done,
        }

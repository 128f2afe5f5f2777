"""A run of the user's function, epoch by epoch: it trains in a thread of its own, which waits at each report."""

import os
import queue
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tosmooth.trainables.checkpointing.kept_states import KeptStates
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.networks.device import default_device
from tosmooth.trainables.own_training.metrics import checked, why_diverged
from tosmooth.trainables.own_training.trial import StopTrial, Trial, make_trial
from tosmooth.trainables.training.trainer import Report
from tosmooth.trainables.user_code import CodeError

PATIENCE = 60.0  # seconds in which a function that is stopped ends

Function = Callable[[Trial], object]


class OwnRun:
    """A run of the user's function. Call `run_epoch` until `done`, and `stop` where it is ended before.

    `needed`: metrics that every report must have. `checkpoints`: a place, and the seconds between two.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: LevelData,
        function: Function,
        device: torch.device | None = None,
        checkpoints: tuple[str, float] | None = None,
        needed: Sequence[str] = ("val_accuracy",),
    ) -> None:
        self.config, self.device = config, device or default_device()
        self.diverged: str | None = None
        self._function, self._needed, self._classes = function, needed, data.classes
        self._folder = Path(tempfile.mkdtemp(prefix="tosmooth-trial-"))
        self._trial = make_trial(config, data, self.device, self._folder, self)
        self._kept = KeptStates(config, data.digest, self.device, torch.float32, None, checkpoints)
        self._thread = threading.Thread(target=self._work, name="own training", daemon=True)
        # From the thread: an epoch, whether the thread waits after it; None where the function has ended; its error.
        self._told: queue.SimpleQueue[tuple[Report, bool] | BaseException | None] = queue.SimpleQueue()
        self._go = threading.Semaphore(0)
        self._waits = False
        self._stopped = False
        self._since = 0.0
        self._curve: list[dict[str, float | None]] = []  # of the epochs reported
        self._handed_over = 0  # epochs

    @property
    def done(self) -> bool:
        return self._handed_over >= self.config.training.epochs or self.diverged is not None

    def run_epoch(self) -> Report:
        """Wait for the function's next epoch and return it; after the last one, for the function's end.

        Raises `CodeError`, with the user's line, for what the function raises, and where it ends too early.
        """
        if self._thread.ident is None:
            self._thread.start()
        found = self._next()
        if found is None:
            epochs = self.config.training.epochs
            done = f"it returned after epoch {self._handed_over} of {epochs}"
            raise CodeError(f"{self._name}: {done}: every epoch is to be reported, for trials to be compared")
        self._handed_over, self.diverged = found.epoch, found.diverged
        if self.done:
            self._stopped = found.diverged is not None
            while self._next() is not None:
                pass  # a report too many raises in the thread
            self._clean()
        return found

    def stop(self) -> bool:
        """End the function at its next report. False if it goes on all the same: its process is of no more use."""
        self._stopped = True
        self._go.release()
        if self._thread.ident is not None:
            self._thread.join(PATIENCE)
        self._clean()
        return not self._thread.is_alive()

    def save_weights(self, path: Path) -> None:
        """Refuse to keep a network: what the function made need not be one."""
        raise InputError(f"--weights: {str(path)!r} is refused: a function of your own keeps what it makes")

    def forget_checkpoint(self) -> None:
        """Remove the run's checkpoint: the trial has ended, and whoever asked for it knows."""
        self._kept.forget_checkpoint()

    def report(self, epoch: int, metrics: Mapping[str, object]) -> None:
        """Take a report, in the function's thread, and wait there until the next epoch is asked for."""
        if self._stopped:
            raise StopTrial
        last = len(self._curve)
        if epoch != last + 1 or epoch > self.config.training.epochs:
            rule = f"each epoch from 1 to {self.config.training.epochs} is reported once, in order"
            raise ValueError(f"report: epoch {epoch!r} after {last}: {rule}")
        found = checked(metrics, self._needed, self._classes)
        diverged = why_diverged(found, self._needed, epoch)
        finite = {name: value if value is None or abs(value) < float("inf") else None for name, value in found.items()}
        self._curve.append({**finite, "seconds": time.perf_counter() - self._since})
        self._told.put((Report(epoch, self._curve[-1], diverged), True))
        self._go.acquire()
        self._since = time.perf_counter()
        if self._stopped:
            raise StopTrial

    def save(self, epoch: int, state: Any) -> None:
        """Keep a state of the function's, where one is due."""
        if epoch != len(self._curve):
            raise ValueError(f"save: epoch {epoch!r} was not the last one reported, which was {len(self._curve)}")

        def kept() -> dict[str, Any]:
            return {"epoch": epoch, "curve": self._curve, "own": state() if callable(state) else state}

        self._kept.keep(epoch, kept)

    def load(self) -> Any:
        """Return the function's last state, and have the epochs before it told anew."""
        if self._curve:
            raise ValueError("load: to be asked before the first report")
        state = self._kept.checkpoint()
        if state is None:
            return None
        self._curve = state["curve"]
        for epoch, metrics in enumerate(self._curve, 1):
            self._told.put((Report(epoch, metrics), False))
        return state["own"]

    @property
    def _name(self) -> str:
        return f"trainable {self.config.trainable!r}"

    def _next(self) -> Report | None:
        if self._waits:
            self._go.release()
        found = self._told.get()
        self._waits = isinstance(found, tuple) and found[1]
        if isinstance(found, BaseException):
            self._clean()
            raise CodeError.of(found) from found
        return None if found is None else found[0]

    def _work(self) -> None:
        """Call the function: what the thread does."""
        end: BaseException | None = None
        with _surroundings(self.config.train_seed):
            self._since = time.perf_counter()
            try:
                self._function(self._trial)
            except StopTrial as error:
                end = None if self._stopped else error
            except BaseException as error:  # SystemExit, too
                end = error
        self._told.put(end)

    def _clean(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def _surroundings(seed: int) -> Iterator[None]:
    """Seed all generators, and leave what the whole process shares as it was for the trials that come after."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True  # the same seed gives the same numbers on a GPU too
    before = dict(os.environ), Path.cwd(), torch.get_default_dtype(), torch.get_num_threads()
    try:
        yield
    finally:
        environment, folder, dtype, threads = before
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)

"""Tune Trainable: a trial's configuration in, one report an epoch out. An actor runs many trials.

An actor imports torch and all that trains in its first epoch, not here, so that it starts fast. When a trial ends, Tune
hands its actor to the trial that waits for a new actor, and gives the new one up: with short trials no second actor
would ever run, unless it starts in less time than a trial takes.
"""

from __future__ import annotations

import faulthandler
import functools
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from tosmooth.trainables.config import DataConfig, TrialConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.filesystems import upload
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.user_code import CodeError, UserCode, resolve, use

if TYPE_CHECKING:
    from tosmooth.trainables.data.datasets import LevelData
    from tosmooth.trainables.own_training import OwnRun
    from tosmooth.trainables.training.trainer import Trainer


REASON_LENGTH = 500  # characters of an error kept as the reason of a failed trial
NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")  # as torch has it on a GPU, on a CPU


class TuneTrial(tune.Trainable):
    """Actor that runs one trial after another; data and imports survive between them, random states do not.

    Each `step` is one epoch. A result holds `epoch`, `metrics` (as pairs: Tune flattens mappings), `state`, `reason`.
    """

    def setup(self, config: dict[str, Any], code: bytes | None = None) -> None:
        """Take a trial's settings; `code`: archive of the user's code that the study names."""
        self.settings = config
        self.code = code
        self.trainer: Trainer | OwnRun | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self.trainer is not None:  # it ended, and the driver knows: it would not ask for another trial otherwise
            self.trainer.forget_checkpoint()
        if not self._stopped():
            return False
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """End what runs beside this process's main thread: Tune is done with it."""
        self._stopped()

    def _stopped(self) -> bool:
        """End what a pruned trial may have left running; False if it cannot be ended."""
        return self.trainer is None or self.trainer.stop()

    def step(self) -> dict[str, Any]:
        try:
            with _limited(self.settings["timeout"]):
                return self._epoch()
        except Exception as error:  # the actor lives on, and the reason gets into the record
            self.trainer = None  # its checkpoint stays for the next attempt
            return {"state": "failed", "reason": _reason(error)[:REASON_LENGTH], "done": True}

    def _epoch(self) -> dict[str, Any]:
        if self.trainer is None:
            self.trainer = _trainer(self.settings, self.code)
        report = self.trainer.run_epoch()
        done = self.trainer.done
        state = "diverged" if report.diverged else "complete" if done else "running"
        if state == "complete" and self.settings["weights"] is not None:
            _keep_weights(self.trainer, self.settings["weights"], self.settings["transit"])
        metrics = list(report.metrics.items())
        return {
            "epoch": report.epoch,
            "metrics": metrics,
            "state": state,
            "reason": report.diverged or "",
            "done": done,
        }


def _keep_weights(trainer: Trainer | OwnRun, path: str, transit: str | None) -> None:
    """Write the network into the home, or, if this machine does not share it, to where the driver will take it from."""
    if transit is None:
        trainer.save_weights(Path(path))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(path).name
        trainer.save_weights(file)
        upload(file, transit)


def _reason(error: Exception) -> str:
    """Reason of a failure: the error in one line, with where it was raised. A lack of memory has always one wording."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    reason = str(error) if isinstance(error, CodeError) else reason  # it has the user's line
    lacking = isinstance(error, MemoryError) or any(words in reason.lower() for words in NO_MEMORY)
    return f"out of memory: {reason}" if lacking else reason


@contextmanager
def _limited(seconds: float | None) -> Iterator[None]:
    """End this process if what follows takes longer: nothing gentler reaches a call that hangs outside of Python."""
    if seconds is not None:
        faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _trainer(settings: dict[str, Any], code: bytes | None) -> Trainer | OwnRun:
    from tosmooth.trainables.checkpointing.trunks import Trunks  # noqa: PLC0415
    from tosmooth.trainables.networks.prepare import prepared  # noqa: PLC0415
    from tosmooth.trainables.training.process import prepare  # noqa: PLC0415 - see above
    from tosmooth.trainables.training.trainer import Trainer  # noqa: PLC0415

    prepare(settings["threads"])
    config = TrialConfig.from_dict(settings["trial"])
    folders = Folders.at(settings["folders"][0], Path(settings["folders"][1]))
    if code is not None:
        use(UserCode.from_archive(code, "code"), folders.cache)
    given = settings["trunks"]
    trunks = None if given is None else Trunks(given["place"], frozenset(given["epochs"]), given["limit"])
    data = _level(config.data, folders)
    if (digest := settings.get("digest", data.digest)) != data.digest:
        raise InputError(f"the data are not those that the study measured (digest {digest} -> {data.digest})")
    if config.trainable is not None:
        from tosmooth.trainables.own_training import OwnRun  # noqa: PLC0415

        function = resolve(config.trainable, "trainable")
        return OwnRun(config, data, function, checkpoints=settings["checkpoints"], needed=settings["needed"])
    ready = prepared(config, data, folders)
    return Trainer(
        ready.config,
        ready.data,
        trunks=trunks,
        estimate_noise=settings["estimate_noise"],
        checkpoints=settings["checkpoints"],
        start=ready.start,
    )


@functools.lru_cache(maxsize=16)  # a study's levels: images are mapped, so that only labels take memory of each process
def _level(config: DataConfig, folders: Folders) -> LevelData:
    from tosmooth.trainables.data.datasets import load_level  # noqa: PLC0415

    return load_level(config, folders)

"""The Tune Trainable: a trial's configuration in, one report an epoch out. An actor runs many trials."""

import functools
import traceback
from pathlib import Path
from typing import Any

import torch
from ray import tune

from trainables.config import DataConfig, Folders, TrialConfig
from trainables.datasets import LevelData, load_level
from trainables.train import Trainer

REASON_LENGTH = 500  # characters of an error kept as the reason of a failed trial


class TuneTrial(tune.Trainable):
    """One trial after another in one process; data and imports survive between them, random states do not.

    Each `step` is one epoch. A result holds `epoch`, `metrics` (as pairs: Tune flattens mappings), `state`, `reason`.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self.settings = config
        self.trainer: Trainer | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        try:
            return self._epoch()
        except Exception as error:  # the actor lives on, and the reason gets into the record
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
            return {"state": "failed", "reason": reason[:REASON_LENGTH], "done": True}

    def _epoch(self) -> dict[str, Any]:
        if self.trainer is None:
            torch.set_num_threads(self.settings["threads"])
            config = TrialConfig.from_dict(self.settings["trial"])
            folders = Folders(*map(Path, self.settings["folders"]))
            self.trainer = Trainer(config, _level(config.data, folders))
        report = self.trainer.run_epoch()
        done = self.trainer.done
        state = "diverged" if report.diverged else "complete" if done else "running"
        if done and self.settings["weights"] is not None:
            self.trainer.save_weights(Path(self.settings["weights"]))
        metrics = list(report.metrics.items())
        return {
            "epoch": report.epoch,
            "metrics": metrics,
            "state": state,
            "reason": report.diverged or "",
            "done": done,
        }


@functools.lru_cache(maxsize=16)  # a study's levels: images are mapped, so that only labels take memory of each process
def _level(config: DataConfig, folders: Folders) -> LevelData:
    return load_level(config, folders)

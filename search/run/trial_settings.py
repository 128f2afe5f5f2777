"""Settings of a trial, plain values that its actor gets, and how its network comes into the home."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tosmooth.search.records import Level, TrialKey
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.trial_store import Job
from tosmooth.trainables.checkpointing.layout import lengths
from tosmooth.trainables.errors import first_line
from tosmooth.trainables.files.filesystems import TROUBLE, join, take
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.redact import masked


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """Builder of the settings of a study's trials, made once."""

    spec: StudySpec
    levels: Mapping[str, Level]
    folders: Folders
    weights: Callable[[TrialKey], Path]  # file in which the network of a confirmation run is kept
    states: str | None = None  # place of trunks and checkpoints; None: nowhere
    transit: str | None = None  # place where trials leave networks for the driver; None: in the home, which all share

    def of(self, job: Job) -> dict[str, Any]:
        """Settings of a trial, as `search.run.trainable.TuneTrial` reads them."""
        config = self.spec.trial_config(job.cell, job.params, job.train_seed, job.trained_as or None)
        if (weights := self.levels[job.key.level].weights) and config.network.has_backbone:
            config = replace(config, network=replace(config.network, sha256=weights))
        return {
            "trial": config.to_dict(),
            "digest": self.levels[job.key.level].digest,
            "folders": [self.folders.place, str(self.folders.cache)],
            "weights": str(self.weights(job.key).absolute()) if self._keeps_weights(job) else None,
            "transit": self._transit(job),
            "threads": max(1, int(self.spec.resources.cpus)),
            "trunks": self._trunks(job),
            "checkpoints": self._checkpoints(),
            "timeout": self.spec.trial_timeout,
            "estimate_noise": self._estimates_noise(job),
            "needed": sorted({"val_accuracy", self.spec.score.validation}),
        }

    def take_weights(self, job: Job) -> str:
        """Bring the network of a trial that completed into the home. Returns why that failed, "" where it did not."""
        if (place := self._transit(job)) is not None:
            try:
                take(place, self.weights(job.key))
            except TROUBLE as error:
                return f"its network did not arrive: {first_line(error).replace(place, masked(place))}"
        return ""

    def _keeps_weights(self, job: Job) -> bool:
        """True if the trained network is kept: of confirmation runs, on the first seed or on all if the study asks."""
        if self.spec.trainable is not None:  # what it makes need not be a network
            return False
        every = self.spec.confirmation.keep_weights == "all"
        return job.key.phase == "confirmation" and (every or job.train_seed == self.spec.confirmation_seeds()[0])

    def _transit(self, job: Job) -> str | None:
        """File in which the trial leaves its network for the driver; None where it is not kept, or written home."""
        if self.transit is None or not self._keeps_weights(job):
            return None
        name = hashlib.blake2b(repr(job.key).encode(), digest_size=16).hexdigest()
        return join(self.transit, f"{name}.network")

    def _estimates_noise(self, job: Job) -> bool:
        """True if the trial estimates the noise rate: cross-entropy does, in the search only if it was not measured.

        It costs each worker process an import of 2 s, which a short search with clean labels need not wait for.
        """
        unknown = self.levels[job.key.level].noise_rate is None
        wanted = self.spec.trainable is None and self.spec.search.estimate_noise and job.params.get("rate") == 0
        return bool(wanted) and (job.key.phase == "confirmation" or unknown)

    def _trunks(self, job: Job) -> dict[str, Any] | None:
        """Place, lengths and limit of the trunks that the trial shares; None where there is no other to share with.

        With a training seed for each trial (`search.training_seeds: own`) that is the whole search.
        """
        alone = job.key.phase == "search" and self.spec.search.training_seeds == "own"
        epochs = sorted(lengths(self.spec.space["warmup"].points()))
        own = self.spec.trainable is not None
        if own or self.states is None or not self.spec.trunks.share or alone or not epochs:
            return None
        return {"place": self.states, "epochs": epochs, "limit": int(self.spec.trunks.most_gb * 1e9)}

    def _checkpoints(self) -> tuple[str, float] | None:
        """Place of the trial's checkpoint, and the seconds between two; None for no checkpoints."""
        seconds = self.spec.trial_checkpoint
        return None if self.states is None or seconds is None else (self.states, seconds)

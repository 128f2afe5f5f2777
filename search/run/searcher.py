"""Adapter between Tune and a study's driver: a Tune Searcher that decides nothing itself."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray.tune.search import Searcher

from tosmooth.search.records import State
from tosmooth.search.run.study_driver import StudyDriver
from tosmooth.search.run.trial_settings import TrialSettings
from tosmooth.search.storage.trial_store import Job

DEATHS = {  # what Ray says when a worker process is gone, in our words
    "low on memory": "out of memory: Ray ended its worker process, since its machine was low on memory",
    "node has died": "the machine it ran on was lost",
}


@dataclass(slots=True)
class Running:
    """Trial that Tune runs."""

    job: Job
    heard: float  # time.monotonic when it was last heard of
    words: str = ""  # what Ray says of its crash


class StudySearcher(Searcher):
    """Searcher that hands Tune a study's trials, at most `slots` at once, and tells the driver what Tune says."""

    def __init__(self, driver: StudyDriver, settings: TrialSettings, slots: int) -> None:
        super().__init__()
        self.driver, self.settings, self.slots = driver, settings, slots
        self.running: dict[str, Running] = {}  # by Tune's trial id
        self.finished = False  # whether all that was to be run ended
        self.error: Exception | None = None  # the first of ours; with one nothing more is started

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override] # Ray's hint lacks FINISHED
        """Answer Tune with the settings of the next trial, None for not now, FINISHED for never again."""
        if self.error is not None:
            raise self.error
        if len(self.running) >= self.slots:
            return None
        with self._noted():
            job = self.driver.start()
        if job is None:
            if self.running:
                return None
            self.finished = self.driver.trouble is None
            return Searcher.FINISHED
        self.running[trial_id] = Running(job, time.monotonic())
        return self.settings.of(job)

    def receive(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Take one epoch's report. True if the trial is to be stopped early, as pruned."""
        trial = self.running.get(trial_id)
        if trial is None:
            return False
        trial.heard = time.monotonic()
        with self._noted():
            self.driver.report(trial.job, result["epoch"], dict(result["metrics"]))
            return result["state"] == "running" and self.driver.suggester.should_prune(trial.job, result["epoch"])

    def prune(self, trial_id: str) -> None:
        """End a trial that `receive` said is to be stopped."""
        with self._noted():
            self.driver.end(self.running.pop(trial_id).job, "pruned")

    def crashed(self, trial_id: str, words: str) -> None:
        """Note what Ray says of a crash: `on_trial_complete`, which follows, is not told of it."""
        if (trial := self.running.get(trial_id)) is not None:
            trial.words = words

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take Tune's word that a trial is over: at its end, by a crash, or because the study was interrupted."""
        trial = self.running.get(trial_id)
        if trial is None or self.error is not None:  # pruned: `prune` ended it; or what it says cannot be written
            return
        with self._noted():
            self._end(trial_id, trial, result, error)

    def _end(self, trial_id: str, trial: Running, result: dict[str, Any] | None, error: bool) -> None:
        result = {"state": "failed", "reason": self._death(trial)} if error else result or {}
        state: State = result.get("state", "running")
        if state in ("complete", "diverged"):
            self.receive(trial_id, result)
        del self.running[trial_id]
        lost = self.settings.take_weights(trial.job) if state == "complete" else ""
        if state == "failed" or lost:
            self.driver.retry(trial.job, lost or result["reason"])
        elif state in ("complete", "diverged"):
            self.driver.end(trial.job, state, result["reason"])
        # else it was interrupted: the storage keeps it running, and the next driver takes it up

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the scheduler has handed the result to `receive` already, to decide on it."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher; nothing of it is ever read again

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: a study's state lies in Optuna's storage, whose address must not get into Tune's files."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, see `save`."""

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Keep the first error: Tune swallows one at the end of a trial, and makes text of others."""
        try:
            yield
        except Exception as error:
            self.error = self.error or error
            raise

    def _death(self, trial: Running) -> str:
        """Reason why a worker died, as far as it is known here: from Ray's words, or from how long it was silent."""
        for theirs, ours in DEATHS.items():
            if theirs in trial.words:
                return ours
        limit = self.driver.spec.trial_timeout
        if limit is not None and time.monotonic() - trial.heard >= limit:
            return f"no epoch ended within {limit:g} seconds (trial_timeout)"
        return "its worker process died"

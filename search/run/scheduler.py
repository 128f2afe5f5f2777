"""Tune scheduler that asks Optuna's pruner after each report."""

from pathlib import Path
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from tosmooth.search.run.searcher import StudySearcher


class PruningScheduler(FIFOScheduler):
    """Scheduler, first in, first out, that ends a trial early when its cell's pruner says so.

    Tune hands every report but a trial's last to the scheduler first, so the searcher receives it from here.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.searcher = searcher

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        if not self.searcher.receive(trial.trial_id, result):
            return TrialScheduler.CONTINUE
        self.searcher.prune(trial.trial_id)
        return TrialScheduler.STOP

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        """Pass what Ray says of a crash to the searcher: Tune calls it next, but does not tell it the error."""
        if trial.error_file is not None:
            self.searcher.crashed(trial.trial_id, Path(trial.error_file).read_text(encoding="utf-8"))

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Have Tune forget the trials that ended: they are kept in Optuna's storage and the history.

        Otherwise Tune keeps every trial, looks through all of them, and writes all of them out at the end: hundreds of
        MB for a study of 5,000 trials. If another version of Tune keeps them elsewhere, fewer are forgotten, and
        everything still works.
        """
        trials = tune_controller.get_trials()
        ended = {each for each in trials if each.is_finished()}
        trials[:] = [each for each in trials if each not in ended]
        for kept in ("_stopped_trials", "_failed_trials", "_trials_to_cache"):
            getattr(tune_controller, kept, set()).difference_update(ended)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its scheduler; nothing of it is ever read again

"""A Tune scheduler that asks Optuna's pruner after each report."""

from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.searcher import StudySearcher


class OptunaPruning(FIFOScheduler):
    """First in, first out; stops a trial when its cell's pruner says so.

    Tune hands every report but a trial's last to the scheduler first, hence the searcher receives it from here.
    """

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.searcher = searcher

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        if not self.searcher.receive(trial.trial_id, result):
            return TrialScheduler.CONTINUE
        self.searcher.prune(trial.trial_id)
        return TrialScheduler.STOP

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its scheduler; nothing of it is ever read again

"""Early stopping: when a trial's curve is poor enough to stop it, by the rule that `search.pruner` names.

A curve is noisy at large learning rates, and dips right after its warm-up. What the rule below saves and costs, and
what others do, was measured on recorded curves (`docs/development/pruning-measured.md`). It compares the trials of one
cell alone, which is one Optuna study.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.cached_storage import PARAMS, CachedStorage, CachedTrials
from tosmooth.search.storage.frozen_records import DIVERGED
from tosmooth.search.suggest.plugins import make_plugin

LEAST = 4  # trials to compare with: a median of fewer is chance
IN_A_ROW = 2  # epochs below the median: a single one is often the noise of a large learning rate


@dataclass(slots=True)
class _Measure:
    """Values that complete trials of a study reported at each epoch, in rising order.

    It grows as they end: to go through thousands at each report would take longer than all else in the driver.
    """

    at: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))  # by epoch
    seen: int = 0  # trials that ended

    def update(self, trials: CachedTrials) -> None:
        """Take in what has ended since; trials that diverged are no measure: where they ended, nothing showed it."""
        for trial in trials.ended[self.seen :]:
            if trial.state == TrialState.COMPLETE and not trial.user_attrs.get(DIVERGED):
                for epoch in trial.intermediate_values:
                    if (value := _branched(trial, epoch)) is not None:
                        insort(self.at[epoch], value)
        self.seen = len(trials.ended)


class Grace(BasePruner):
    """Pruner that asks another, but not before `least` epochs, nor before `grace` epochs after the trial's warm-up."""

    def __init__(self, pruner: BasePruner, least: int, grace: int) -> None:
        self.pruner, self.least, self.grace = pruner, least, grace

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """True if the trial is to be stopped after its last report."""
        epoch = trial.last_step
        if epoch is None or epoch < max(self.least, _warmup(trial) + self.grace):
            return False
        return self.pruner.prune(study, trial)


class MedianOfBranches(BasePruner):
    """Pruner that stops a trial whose last two epochs both lie below the median of complete trials at the same epoch.

    Only epochs after a trial's own warm-up count, its own and those it is compared with. So a long warm-up is no head
    start, since all are at the same place of the learning-rate schedule, and no handicap, since none is judged by what
    is still plain cross-entropy. Trials that diverged are no measure.
    """

    def __init__(self) -> None:
        self._measures: dict[int, _Measure] = defaultdict(_Measure)  # by study

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """True if the trial is to be stopped after its last report."""
        last = trial.last_step
        if last is None:
            return False
        measure = self._measures[study._study_id]
        measure.update(_trials(study))
        return all(_poor(trial, epoch, measure.at.get(epoch, ())) for epoch in range(last - IN_A_ROW + 1, last + 1))


def make_pruner(spec: StudySpec) -> BasePruner:
    """Make the study's pruner; steps are epochs."""
    search = spec.search
    least, grace = search.pruner_min_epochs or 1, search.pruner_grace or 0
    if isinstance(search.pruner, Mapping):
        return Grace(make_plugin("search.pruner", search.pruner, BasePruner), least, grace)
    return Grace(MedianOfBranches(), least, grace) if search.pruner == "median" else NopPruner()


def _trials(study: optuna.Study) -> CachedTrials:
    """Trials of a study that `search.storage.trial_store` opened."""
    return cast(CachedStorage, study._storage).trials(study._study_id)


def _poor(trial: FrozenTrial, epoch: int, values: Sequence[float]) -> bool:
    """True if the trial lies below the median of the others' `values` at an epoch, which are in rising order.

    False if there are too few of them.
    """
    value, middle = _branched(trial, epoch), len(values) // 2
    if value is None or len(values) < LEAST:
        return False
    median = values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
    return value < median


def _branched(trial: FrozenTrial, epoch: int) -> float | None:
    """Value that the trial reported at an epoch, `None` for one of its warm-up, or where it reported nothing."""
    return trial.intermediate_values.get(epoch) if epoch > _warmup(trial) else None


def _warmup(trial: FrozenTrial) -> int:
    return int(trial.user_attrs[PARAMS].get("warmup", 0))

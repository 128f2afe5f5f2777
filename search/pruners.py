"""When a trial's curve is poor enough to stop it: what `search.pruner` of a study file names.

A curve is noisy at large learning rates, and dips right after its warm-up. `docs/pruning.md` says what the rules below
save and cost, measured on recorded curves. Each compares the trials of one cell alone, which is one Optuna study.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from search.kept import KeptStorage, KeptTrials
from search.study import StudySpec

PARAMS, DIVERGED = "params", "diverged"  # attributes of an Optuna trial that pruners read
LEAST = 4  # trials to compare with: a median of fewer is chance
IN_A_ROW = 2  # epochs below the median: a single one is often the noise of a large learning rate


@dataclass(slots=True)
class _Measure:
    """What trials of a study that ended in one of some states reported at each epoch, in rising order.

    It grows with them: to go through thousands at each report would take longer than all else in the driver.
    """

    states: tuple[TrialState, ...]
    at: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))  # by epoch
    seen: int = 0  # trials that ended

    def update(self, trials: KeptTrials) -> None:
        """Take in what has ended since; trials that diverged are no measure: where they ended, nothing showed it."""
        for trial in trials.ended[self.seen :]:
            if trial.state in self.states and not trial.user_attrs.get(DIVERGED):
                for epoch in trial.intermediate_values:
                    if (value := _branched(trial, epoch)) is not None:
                        insort(self.at[epoch], value)
        self.seen = len(trials.ended)


class Grace(BasePruner):
    """Another pruner, which is not asked before `least` epochs, nor before `grace` epochs after the trial's warm-up."""

    def __init__(self, pruner: BasePruner, least: int, grace: int) -> None:
        self.pruner, self.least, self.grace = pruner, least, grace

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to stop the trial after its last report."""
        epoch = trial.last_step
        if epoch is None or epoch < max(self.least, _warmup(trial) + self.grace):
            return False
        return self.pruner.prune(study, trial)


class MedianOfBranches(BasePruner):
    """Stops a trial whose last two epochs both lie below the median of complete trials at the same epoch.

    Only epochs after a trial's own warm-up count, its own and those it is compared with. So a long warm-up is no head
    start, since all are at the same place of the learning-rate schedule, and no handicap, since none is judged by what
    is still plain cross-entropy. Trials that diverged are no measure.
    """

    def __init__(self) -> None:
        self._measures: dict[int, _Measure] = defaultdict(lambda: _Measure((TrialState.COMPLETE,)))  # by study

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to stop the trial after its last report."""
        last = trial.last_step
        if last is None:
            return False
        measure = self._measures[study._study_id]
        measure.update(_trials(study))
        return all(_poor(trial, epoch, measure.at.get(epoch, ())) for epoch in range(last - IN_A_ROW + 1, last + 1))


class HalvingOfBranches(BasePruner):
    """At rungs of `least`, `least * factor`, ... epochs one trial in `factor` goes on: the best there at that moment.

    At least one does, and of equal ones all. Trials are compared at the same epoch of the run, so a long warm-up, which
    comes to its first rung later, has nothing ahead of those that are there. Where a rung lies in a trial's warm-up the
    trial is not judged, and is no measure; nor are trials that diverged or failed. Optuna's own rule would enter a
    trial into the first rung whenever it is first asked about it.
    """

    def __init__(self, least: int, factor: int) -> None:
        self.least, self.factor = least, factor
        ended = TrialState.COMPLETE, TrialState.PRUNED
        self._measures: dict[int, _Measure] = defaultdict(lambda: _Measure(ended))  # by study

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to stop the trial after its last report."""
        epoch = trial.last_step
        value = None if epoch is None or not self._rung(epoch) else _branched(trial, epoch)
        if epoch is None or value is None:
            return False
        trials, measure = _trials(study), self._measures[study._study_id]
        measure.update(trials)
        ended = measure.at.get(epoch, [])
        others = [each for each in trials.running.values() if each.number != trial.number]
        running = [
            known
            for other in others
            if not other.user_attrs.get(DIVERGED) and (known := _branched(other, epoch)) is not None
        ]
        better = len(ended) - bisect_right(ended, value) + sum(known > value for known in running)
        there = 1 + len(ended) + len(running)
        return better >= max(1, there // self.factor)

    def _rung(self, epoch: int) -> bool:
        rung = self.least
        while rung < epoch:
            rung *= self.factor
        return rung == epoch


def make_pruner(spec: StudySpec) -> BasePruner:
    """The study's pruner; steps are epochs."""
    search = spec.search
    least, grace = search.pruner_min_epochs or 1, search.pruner_grace or 0
    if search.pruner == "successive-halving":
        return Grace(HalvingOfBranches(least, search.reduction_factor or 4), least, grace)
    return Grace(MedianOfBranches(), least, grace) if search.pruner == "median" else NopPruner()


def _trials(study: optuna.Study) -> KeptTrials:
    """The trials of a study that `search.store` opened."""
    return cast(KeptStorage, study._storage).trials(study._study_id)


def _poor(trial: FrozenTrial, epoch: int, values: Sequence[float]) -> bool:
    """Whether it lies below the median of the others' `values` at an epoch, in rising order; of too few it does not."""
    value, middle = _branched(trial, epoch), len(values) // 2
    if value is None or len(values) < LEAST:
        return False
    median = values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
    return value < median


def _branched(trial: FrozenTrial, epoch: int) -> float | None:
    """What the trial reported at an epoch, `None` for one of its warm-up, or where it reported nothing."""
    return trial.intermediate_values.get(epoch) if epoch > _warmup(trial) else None


def _warmup(trial: FrozenTrial) -> int:
    return int(trial.user_attrs[PARAMS].get("warmup", 0))

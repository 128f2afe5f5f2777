"""When a trial's curve is poor enough to stop it: what `search.pruner` of a study file names.

A curve is noisy at large learning rates, and dips right after its warm-up. `docs/pruning.md` says what the rules below
save and cost, measured on recorded curves. Each compares the trials of one cell alone, which is one Optuna study.
"""

import statistics
from collections.abc import Sequence

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from search.study import StudySpec

PARAMS, DIVERGED = "params", "diverged"  # attributes of an Optuna trial that pruners read
LEAST = 4  # trials to compare with: a median of fewer is chance
COMPARED = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
IN_A_ROW = 2  # epochs below the median: a single one is often the noise of a large learning rate


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
    is still plain cross-entropy. Trials that diverged are no measure: where they ended, nothing showed it.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to stop the trial after its last report."""
        last = trial.last_step
        if last is None:
            return False
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        complete = [other for other in ended if not other.user_attrs.get(DIVERGED)]
        return all(_poor(trial, epoch, complete) for epoch in range(last - IN_A_ROW + 1, last + 1))


class HalvingOfBranches(BasePruner):
    """At rungs of `least`, `least * factor`, ... epochs one trial in `factor` goes on: the best there at that moment.

    At least one does, and of equal ones all. Trials are compared at the same epoch of the run, so a long warm-up, which
    comes to its first rung later, has nothing ahead of those that are there. Where a rung lies in a trial's warm-up the
    trial is not judged, and is no measure; nor are trials that diverged or failed. Optuna's own rule would enter a
    trial into the first rung whenever it is first asked about it.
    """

    def __init__(self, least: int, factor: int) -> None:
        self.least, self.factor = least, factor

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to stop the trial after its last report."""
        epoch = trial.last_step
        value = None if epoch is None or not self._rung(epoch) else _branched(trial, epoch)
        if epoch is None or value is None:
            return False
        others = [each for each in study.get_trials(deepcopy=False, states=COMPARED) if each.number != trial.number]
        known = [_branched(other, epoch) for other in others if not other.user_attrs.get(DIVERGED)]
        better = sum(other > value for other in known if other is not None)
        there = 1 + sum(other is not None for other in known)
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


def _poor(trial: FrozenTrial, epoch: int, others: Sequence[FrozenTrial]) -> bool:
    """Whether it lies below the median of the others at an epoch; of too few it does not."""
    value = _branched(trial, epoch)
    values = [known for other in others if (known := _branched(other, epoch)) is not None]
    return value is not None and len(values) >= LEAST and value < statistics.median(values)


def _branched(trial: FrozenTrial, epoch: int) -> float | None:
    """What the trial reported at an epoch, `None` for one of its warm-up, or where it reported nothing."""
    return trial.intermediate_values.get(epoch) if epoch > _warmup(trial) else None


def _warmup(trial: FrozenTrial) -> int:
    return int(trial.user_attrs[PARAMS].get("warmup", 0))

"""Optuna's samplers with their defaults, and its Hyperband."""

from collections.abc import Callable

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.pruners import HyperbandPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from samplers.interface import Asked, Dimension, Point, Task


class _Optuna:
    """A study in memory."""

    make: Callable[[int], BaseSampler]
    hyperband = False

    def __init__(self, task: Task) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.task = task
        pruner = HyperbandPruner(min_resource=1, max_resource=task.epochs) if self.hyperband else NopPruner()
        self.study = optuna.create_study(direction="maximize", sampler=type(self).make(task.seed), pruner=pruner)
        self.running: dict[str, optuna.Trial] = {}
        self.stopped: set[str] = set()

    def ask(self) -> Asked:
        """What to train next."""
        trial = self.study.ask({each.name: _distribution(each) for each in self.task.space})
        self.running[str(trial.number)] = trial
        return Asked(str(trial.number), trial.params, self.task.epochs)

    def goes_on(self, key: str, epoch: int, accuracy: float) -> bool:
        """Whether the run is to go on after this epoch."""
        if not self.hyperband:
            return True
        self.running[key].report(accuracy, epoch)
        if epoch < self.task.epochs and self.running[key].should_prune():
            self.stopped.add(key)
            return False
        return True

    def tell(self, key: str, epoch: int, accuracy: float) -> None:
        """The run has come to this epoch, and stands there."""
        if key in self.stopped:
            self.study.tell(self.running[key], state=TrialState.PRUNED)
        else:
            self.study.tell(self.running[key], accuracy)

    def best(self) -> Point | None:
        """The best trial that was not stopped."""
        complete = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return dict(self.study.best_params) if complete else None


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


class Random(_Optuna):
    """Random points."""

    make = staticmethod(lambda seed: RandomSampler(seed=seed))


class TPE(_Optuna):
    """Tree-structured Parzen estimator; its first 10 are random."""

    make = staticmethod(lambda seed: TPESampler(seed=seed, multivariate=True))


class GP(_Optuna):
    """Gaussian process with log expected improvement; its first 10 are random."""

    make = staticmethod(lambda seed: GPSampler(seed=seed))


class CMAES(_Optuna):
    """Covariance matrix adaptation; by the package cmaes."""

    make = staticmethod(lambda seed: CmaEsSampler(seed=seed))


class Hyperband(_Optuna):
    """Hyperband, which stops runs, over TPE's proposals."""

    make = staticmethod(lambda seed: TPESampler(seed=seed, multivariate=True))
    hyperband = True

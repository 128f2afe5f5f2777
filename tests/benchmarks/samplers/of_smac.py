"""SMAC3: random forest, log expected improvement, and an intensifier that gives the leading points more seeds."""

import math
import tempfile
from pathlib import Path

from ConfigSpace import ConfigurationSpace, Float, Integer
from ConfigSpace.hyperparameters import Hyperparameter
from smac import HyperparameterOptimizationFacade, Scenario
from smac.runhistory.dataclasses import TrialInfo, TrialValue

from samplers.interface import Asked, Dimension, Point, Task, WholeRuns


class SMAC(WholeRuns):
    """The facade for hyperparameters. It chooses each run's training seed, up to three a point."""

    deterministic = False

    def __init__(self, task: Task) -> None:
        self.task = task
        space = ConfigurationSpace(seed=task.seed)
        space.add([_hyperparameter(each) for each in task.space])
        self.folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            space,
            output_directory=Path(self.folder.name),
            deterministic=self.deterministic,
            n_trials=math.ceil(task.budget / task.epochs),
            seed=task.seed,
        )
        self.facade = HyperparameterOptimizationFacade(scenario, _never, overwrite=True, logging_level=False)
        self.running: dict[str, TrialInfo] = {}

    def ask(self) -> Asked:
        """What to train next."""
        info, key = self.facade.ask(), str(len(self.running))
        self.running[key] = info
        point = {each.name: float(info.config[each.name]) for each in self.task.space}
        return Asked(key, point, self.task.epochs, info.seed)

    def tell(self, key: str, epoch: int, accuracy: float) -> None:
        """The run has ended."""
        self.facade.tell(self.running[key], TrialValue(cost=100 - accuracy))

    def best(self) -> Point | None:
        """The incumbent."""
        found = self.facade.intensifier.get_incumbent()
        return None if found is None else {each.name: float(found[each.name]) for each in self.task.space}


class OneSeed(SMAC):
    """The same as most of its examples have it: every run takes one training seed, and each point is tried once."""

    deterministic = True


def _hyperparameter(dimension: Dimension) -> Hyperparameter:
    if dimension.integer:
        return Integer(dimension.name, (int(dimension.low), int(dimension.high)), log=dimension.log)
    return Float(dimension.name, (dimension.low, dimension.high), log=dimension.log)


def _never(config: object, seed: int = 0) -> float:
    raise AssertionError("it is asked and told")

"""HEBO: a Gaussian process on warped inputs and outputs, several acquisition functions at once."""

import math

import numpy as np
import pandas as pd
import torch
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers import hebo

from samplers.interface import Asked, Dimension, Point, Task, WholeRuns


class HEBO(WholeRuns):
    """HEBO with its defaults; log axes come as logarithms."""

    def __init__(self, task: Task) -> None:
        self.task = task
        np.random.seed(task.seed)
        torch.manual_seed(task.seed)
        space = DesignSpace().parse([_parameter(each) for each in task.space])
        self.optimizer = hebo.HEBO(space, scramble_seed=task.seed)
        self.running: dict[str, pd.DataFrame] = {}

    def ask(self) -> Asked:
        """What to train next."""
        key = str(len(self.running))
        self.running[key] = self.optimizer.suggest(n_suggestions=1)
        return Asked(key, self._point(self.running[key]), self.task.epochs)

    def tell(self, key: str, epoch: int, accuracy: float) -> None:
        """The run has ended."""
        self.optimizer.observe(self.running[key], np.array([[100 - accuracy]]))

    def best(self) -> Point | None:
        """The best observed."""
        return self._point(self.optimizer.best_x) if len(self.optimizer.y) else None

    def _point(self, row: pd.DataFrame) -> Point:
        found = {each.name: float(row[each.name].iloc[0]) for each in self.task.space}
        return {each.name: math.exp(found[each.name]) if each.log else found[each.name] for each in self.task.space}


def _parameter(each: Dimension) -> dict[str, object]:
    scale = math.log if each.log else float
    kind = "int" if each.integer else "num"
    return {"name": each.name, "type": kind, "lb": scale(each.low), "ub": scale(each.high)}

"""NePS: PriorBand and ifBO, which train a run some epochs and come back to it."""

import random
from typing import Any

import neps
import numpy as np
import torch

from samplers.interface import Asked, Dimension, Point, Task

EPOCHS = "epochs"  # the fidelity


class _NePS:
    """A search that is asked and told; a run goes on from where it stood."""

    algorithm = ""
    priors = False

    def __init__(self, task: Task) -> None:
        self.task = task
        for seeded in (random.seed, np.random.seed, torch.manual_seed):  # it takes no seed
            seeded(task.seed)
        members: dict[str, Any] = {each.name: _parameter(each, self.priors) for each in task.space}
        members[EPOCHS] = neps.IntegerFidelity(1, task.epochs)
        space = type("Space", (neps.PipelineSpace,), members)()
        self.search = neps.AskAndTell(getattr(neps.algorithms, self.algorithm)(space))
        self.trials: dict[str, Any] = {}  # the latest of each run
        self.told: dict[str, tuple[int, float]] = {}

    def ask(self) -> Asked:
        """What to train next, and how far."""
        trial = self.search.ask()
        key = trial.id.split("_")[0]
        self.trials[key] = trial
        return Asked(key, self._point(key), int(trial.config[EPOCHS]))

    def goes_on(self, key: str, epoch: int, accuracy: float) -> bool:
        """Whether the run is to go on after this epoch: as far as was asked."""
        return True

    def tell(self, key: str, epoch: int, accuracy: float) -> None:
        """The run has come to this epoch, and stands there."""
        self.search.tell(self.trials[key], 1 - accuracy / 100)
        self.told[key] = int(self.trials[key].config[EPOCHS]), accuracy

    def best(self) -> Point | None:
        """The best of those that were trained longest."""
        return self._point(max(self.told, key=lambda key: self.told[key])) if self.told else None

    def _point(self, key: str) -> Point:
        return {each.name: float(self.trials[key].config[each.name]) for each in self.task.space}


def _parameter(each: Dimension, prior: bool) -> Any:
    words: dict[str, Any] = {"log": each.log}
    if prior:
        words |= {"prior": int(each.usual) if each.integer else each.usual, "prior_confidence": "medium"}
    if each.integer:
        return neps.Integer(int(each.low), int(each.high), **words)
    return neps.Float(each.low, each.high, **words)


class PriorBand(_NePS):
    """Hyperband that draws from a prior, too: label smoothing of 0.1 without a warm-up, with medium confidence."""

    algorithm, priors = "priorband", True


class IfBO(_NePS):
    """Freeze-thaw: a network trained beforehand extrapolates the curves. It fetches its weights when first used."""

    algorithm = "ifbo"

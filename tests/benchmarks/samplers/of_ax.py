"""Ax on BoTorch: after five initial points a Gaussian process with (log) noisy expected improvement."""

import logging
from collections.abc import Mapping

from ax.api.client import Client
from ax.api.configs import RangeParameterConfig
from ax.utils.common.logger import set_stderr_log_level

from samplers.interface import Asked, Point, Task, WholeRuns


class Ax(WholeRuns):
    """Ax's client as its tutorial has it; each accuracy is told without a standard error, so that noise is inferred."""

    def __init__(self, task: Task) -> None:
        set_stderr_log_level(logging.ERROR)
        self.task, self.told = task, 0
        self.client = Client(random_seed=task.seed)
        self.client.configure_experiment(
            parameters=[
                RangeParameterConfig(
                    name=each.name,
                    bounds=(int(each.low), int(each.high)) if each.integer else (each.low, each.high),
                    parameter_type="int" if each.integer else "float",
                    scaling="log" if each.log else "linear",
                )
                for each in task.space
            ]
        )
        self.client.configure_optimization(objective="accuracy")

    def ask(self) -> Asked:
        """What to train next."""
        ((index, point),) = self.client.get_next_trials(max_trials=1).items()
        return Asked(str(index), _point(point), self.task.epochs)

    def tell(self, key: str, epoch: int, accuracy: float) -> None:
        """The run has ended."""
        self.client.complete_trial(trial_index=int(key), raw_data={"accuracy": accuracy})
        self.told += 1

    def best(self) -> Point | None:
        """What the client calls its best parameterization: by its model, once there is one."""
        return _point(self.client.get_best_parameterization()[0]) if self.told else None


def _point(values: Mapping[str, float | int | str | bool]) -> Point:
    return {name: float(value) for name, value in values.items()}

"""The usual platform, as Ray's documentation puts it together: Tune, OptunaSearch, MLflowLoggerCallback.

Optuna (TPE) and MLflow keep what they know in SQLite files; Tune has its defaults otherwise. OptunaSearch holds one
study, so that each noise level is a Tune run of its own. The local Ray has no dashboard, as ours has none.
"""

import os

# Read when they are imported. Nothing is to leave the machine.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch

from tosmooth.search.spec.parameters import Range
from tosmooth.search.spec.scales import symexp, symlog
from tosmooth.search.spec.study import StudySpec


@dataclass(frozen=True, slots=True)
class DefineByRun:
    """The space of a study as a define-by-run function of Optuna; an object, because OptunaSearch is pickled."""

    ranges: dict[str, Range]

    @classmethod
    def of(cls, spec: StudySpec) -> "DefineByRun":
        ranges = {name: parameter for name, parameter in spec.space.items() if isinstance(parameter, Range)}
        if len(ranges) != len(spec.space):
            raise ValueError("the benchmarks' studies search ranges alone")
        return cls(ranges)

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, each in self.ranges.items():
            if each.integer:
                values[name] = trial.suggest_int(name, int(each.low), int(each.high))
            elif each.scale == "symlog":
                values[name] = symexp(trial.suggest_float(f"symlog_{name}", symlog(each.low), symlog(each.high)))
            else:
                values[name] = trial.suggest_float(name, each.low, each.high, log=each.scale == "log")
        return values


class Ends(tune.Callback):
    """Notes when each trial was over. To come after MLflow's callback, which has written it by then."""

    def __init__(self) -> None:
        self.times: list[float] = []  # unix seconds

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        self.times.append(time.time())


@contextmanager
def local_ray() -> Iterator[None]:
    """Ray on this machine for as long as the context lasts."""
    ray.init(address="local", include_dashboard=False)
    try:
        yield
    finally:
        ray.shutdown()


def run(
    trainable: Callable[..., None],
    space: DefineByRun,
    name: str,
    trials: int,
    scratch: Path,
    *,
    concurrent: int,
    reuse_actors: bool = False,
) -> tuple[list[float], list[dict[str, Any]]]:
    """One Tune run: when each trial was over and in MLflow, in that order, and the trials' last results, in any.

    `RuntimeError` where a trial failed.
    """
    ends = Ends()
    mlflow = MLflowLoggerCallback(tracking_uri=f"sqlite:///{scratch / 'mlflow.db'}", experiment_name=name)
    storage = optuna.storages.RDBStorage(f"sqlite:///{scratch / 'optuna.db'}")
    search = OptunaSearch(space, metric="val_accuracy", mode="max", study_name=name, storage=storage)
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=search,
            num_samples=trials,
            max_concurrent_trials=concurrent,
            reuse_actors=reuse_actors,
        ),
        run_config=tune.RunConfig(name=name, storage_path=str(scratch / "results"), callbacks=[mlflow, ends]),
    )
    results = tuner.fit()
    if results.errors or len(ends.times) != trials:
        raise RuntimeError(f"{len(ends.times)} of {trials} trials ended; {results.errors}")
    return ends.times, [results[i].metrics or {} for i in range(len(results))]

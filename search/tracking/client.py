"""A client for a server that fails now and then, or does what is asked and cannot say so."""

import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

T = TypeVar("T")

IDENTITY = "tosmooth.identity"  # tag by which a run is found
PAUSES = (0.1, 0.4)  # seconds before a call is made again
REPEATABLE = (  # what may be done twice: a call that failed may have had its effect
    "delete_run", "delete_tag", "finalize_logged_model", "get_experiment", "get_experiment_by_name", "get_logged_model",
    "get_metric_history", "get_run", "log_artifact", "log_batch", "log_inputs", "log_model_artifact",
    "search_logged_models", "search_runs", "set_experiment_tag", "set_terminated", "update_run",
)  # fmt: skip


class PatientClient(MlflowClient):
    """Client that asks again at once: if one request in three fails, few things that take several would ever finish.

    `troubled`: whether a run was asked for again; the first request may yet be carried out.
    """

    troubled = False

    def create_run(self, experiment_id: str, *args: Any, **options: Any) -> Run:
        asked = False

        def create() -> Run:
            nonlocal asked
            again, asked = asked, True
            if again:
                self.troubled = True
                one = f"tags.`{IDENTITY}` = '{options['tags'][IDENTITY]}'"
                if made := self.search_runs([experiment_id], one, max_results=1):
                    return made[0]
            return super(PatientClient, self).create_run(experiment_id, *args, **options)

        return _patiently(create)

    def log_all(
        self, run_id: str, metrics: Sequence[Metric] = (), params: Sequence[Param] = (), tags: Sequence[RunTag] = ()
    ) -> None:
        """Log as much as there is, in as many calls as it takes; tags go last. Does nothing for nothing."""
        # A call takes 1000 of all, 100 of them parameters, 100 of them tags.
        calls = max(ceil(len(metrics) / 800), ceil(len(params) / 100), bool(tags))
        for i in range(calls):
            some, others = metrics[800 * i : 800 * (i + 1)], params[100 * i : 100 * (i + 1)]
            self.log_batch(run_id, some, others, tags if i == calls - 1 else (), synchronous=True)


def _repeatable(name: str) -> Callable[..., Any]:
    def patient(self: PatientClient, *args: Any, **kwargs: Any) -> Any:
        return _patiently(lambda: getattr(super(PatientClient, self), name)(*args, **kwargs))

    return patient


for _name in REPEATABLE:
    setattr(PatientClient, _name, _repeatable(_name))


def _patiently(call: Callable[[], T]) -> T:
    for pause in PAUSES:
        try:
            return call()
        except Exception as error:
            if is_refusal(error):
                raise
            time.sleep(pause)
    return call()


def is_refusal(error: Exception) -> bool:
    """True if an error concerns what was asked, false if the server is away."""
    if isinstance(error, MlflowException):
        return bool(error.get_http_status_code() < 500)
    return isinstance(error, FileNotFoundError)

"""A client for a server that fails now and then, or does what is asked and cannot say so."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

T = TypeVar("T")

PAUSES = (0.1, 0.4)  # seconds before a call is made again
REPEATABLE = (  # what may be done twice: a call that failed may have had its effect
    "delete_run", "get_experiment", "get_experiment_by_name", "get_metric_history", "log_artifact", "log_batch",
    "log_inputs", "search_runs", "set_terminated", "update_run",
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
                one = f"tags.identity = '{options['tags']['identity']}'"
                if made := self.search_runs([experiment_id], one, max_results=1):
                    return made[0]
            return super(PatientClient, self).create_run(experiment_id, *args, **options)

        return _patiently(create)


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

"""The runs of one study in MLflow: found, made, brought up to date, ended.

Every call here waits for MLflow; `tracker` makes them from a thread of its own.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow.entities import DatasetInput, Experiment, LifecycleStage, Metric, Param, RunTag

from tosmooth.search.records import Level, Record
from tosmooth.search.storage.home_id import home_id
from tosmooth.search.tracking.client import PatientClient, is_refusal
from tosmooth.search.tracking.run import (
    STATUS,
    KnownRun,
    dataset,
    git_commit,
    identity,
    known,
    milliseconds,
    state_tags,
)
from tosmooth.search.tracking.store import ARTIFACTS, HOME_TAG, connect, find_experiment, is_database
from tosmooth.trainables.files.atomic_write import replacing


class RefusedError(Exception):
    """MLflow is there, and refuses this one record."""


class Runs:
    """The experiment of one study, a parent run for each cell and a child run for each trial."""

    def __init__(
        self,
        home: Path,
        uri: str | None,
        study: str,
        description: str,
        levels: Mapping[str, Level],
        fixed: Mapping[str, Any],
    ) -> None:
        self._home, self._uri, self._study, self._description = home, uri, study, description
        self._levels, self._fixed = levels, fixed
        self._commit = git_commit()
        self._opened = False
        self._troubled = False  # whether a call ever failed
        self._found: dict[str, KnownRun] = {}  # by identity
        self._client: PatientClient
        self._experiment: Experiment

    def open(self) -> None:
        """Connect, and look once which runs there are. Does nothing where that is done."""
        if not self._opened:
            self._client = connect(self._home, self._uri)
            self._experiment = self._own_experiment()
            self._found = self._find()
            self._opened = True

    def forget(self) -> None:
        """Look anew at the next `open`: a call that failed may still have had its effect."""
        self._opened, self._troubled = False, True

    def settle(self) -> None:
        """Look anew where a call ever failed: one that was given up may be carried out late, and leave a second run."""
        if self._troubled or self._client.troubled:
            self.forget()
            self.open()

    def write(self, record: Record) -> None:
        """Bring the run of a trial up to date; there is one afterwards. Does nothing where it is.

        Raises `RefusedError`, or whatever MLflow raises where it cannot be reached.
        """
        with _refusals():
            self._write(record)

    def _write(self, record: Record) -> None:
        name = identity(record)
        times = tuple(milliseconds(metrics) for metrics in record.curve)
        run = self._found.get(name)
        if run is not None:
            if run.shows(record, times):
                return
            if not self._continues(run, times):  # a lost attempt's epochs, and MLflow cannot take points back
                self._client.delete_run(run.run_id)
                run = None
        if run is None:
            run = self._found[name] = self._create(record, times)
        elif record.state == "running" and run.status != "RUNNING":
            self._set_status(run, "RUNNING")
        if not run.has_inputs:
            self._log_inputs(run, record.level)
        self._log(run, record, times)
        if run.status != STATUS[record.state]:
            self._set_status(run, STATUS[record.state], times[-1] if times else None)

    def artifact(self, level: str, method: str, file: Path) -> None:
        """Put a file to the parent run of a cell, over one of the same name. Raises like `write`."""
        with _refusals():
            run = self._parent(level, method)
            place = urlsplit(run.artifact_uri)
            if place.scheme != ARTIFACTS or not is_database(self._uri):
                self._client.log_artifact(run.run_id, str(file))
                return
            # Without a server no one takes it: put it where one will look (see `ui_command`).
            folder = self._home / "artifacts" / place.path.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / file.name) as partial:
                shutil.copyfile(file, partial)

    def end(self, finished: bool) -> None:
        """Leave no run RUNNING: parents are FINISHED when the study is done; what was interrupted is KILLED."""
        for run in self._found.values():
            if finished and run.tags.get("kind") == "cell":
                status = "FINISHED"
            else:
                status = "KILLED" if run.status == "RUNNING" else run.status
            if run.status != status:
                self._set_status(run, status)

    def _own_experiment(self) -> Experiment:
        """Find the study's experiment; make it where there is none, restore it where someone deleted it by hand."""
        found, name = find_experiment(self._client, self._home, self._uri, self._study)
        if found is None:
            tags = {"mlflow.note.content": self._description}
            if self._uri is not None:
                tags[HOME_TAG] = home_id(self._home)
            # Relative to a server's artifact folder, so that the home can be moved; a server knows its own place.
            location = f"{ARTIFACTS}:/{name}" if is_database(self._uri) else None
            return self._client.get_experiment(self._client.create_experiment(name, location, tags))
        if found.lifecycle_stage == LifecycleStage.DELETED:
            self._client.restore_experiment(found.experiment_id)
        return found

    def _find(self) -> dict[str, KnownRun]:
        """Find the runs there are, by identity; those without one are not ours."""
        found: dict[str, KnownRun] = {}
        twice: list[str] = []  # made twice: a request timed out, and reached the server all the same
        token = None
        while token != "":
            page = self._client.search_runs(
                [self._experiment.experiment_id], max_results=1000, order_by=["start_time"], page_token=token
            )
            for run in page:
                name = run.data.tags.get("identity")
                if name is None:
                    continue
                other = found.get(name)
                if other is not None and other.status != "RUNNING":  # the one that came to its end is kept
                    twice.append(run.info.run_id)
                    continue
                if other is not None:
                    twice.append(other.run_id)
                found[name] = known(run)
            token = page.token or ""
        for run_id in twice:  # now, since the pages would shift
            self._client.delete_run(run_id)
        return found

    def _parent(self, level: str, method: str) -> KnownRun:
        name = f"{self._study}/{level}/{method}"
        run = self._found.get(name)
        if run is None:
            tags = {"identity": name, "kind": "cell", "study": self._study, "level": level, "method": method}
            created = self._client.create_run(
                self._experiment.experiment_id, tags=tags | self._commit, run_name=f"{level} {method}"
            )
            run = self._found[name] = known(created, times=())
        elif run.status != "RUNNING":
            self._set_status(run, "RUNNING")
        if not run.has_inputs:
            self._log_inputs(run, level)
        return run

    def _create(self, record: Record, times: tuple[int, ...]) -> KnownRun:
        parent = self._parent(record.level, record.method).run_id
        tags = {
            "mlflow.parentRunId": parent,
            "identity": identity(record),
            "kind": "trial",
            "study": record.study,
            "level": record.level,
            "method": record.method,
            "phase": record.phase,
            "seed": str(record.train_seed),
        }
        start = times[0] - round(1000 * (record.curve[0].get("seconds") or 0)) if times else None
        run = self._client.create_run(
            self._experiment.experiment_id,
            start_time=start,
            tags=tags | state_tags(record) | self._commit,
            run_name=f"{record.level} {record.method} {record.phase} {record.number}",
        )
        return known(run, times=())

    def _continues(self, run: KnownRun, times: tuple[int, ...]) -> bool:
        """True if all points of the run belong to this curve."""
        if run.times is not None:
            return run.times == times[: len(run.times)]
        points = self._client.get_metric_history(run.run_id, run.metric) if run.metric is not None else []
        return all(point.step <= len(times) and times[point.step - 1] == point.timestamp for point in points)

    def _log(self, run: KnownRun, record: Record, times: tuple[int, ...]) -> None:
        """Log what the run lacks. A point logged twice is the same row, since it keeps its time."""
        first = len(run.times or ())
        metrics = [
            Metric(name, value, times[epoch], epoch + 1)
            for epoch in range(first, len(times))
            for name, value in record.curve[epoch].items()
            if value is not None and name != "time"
        ]
        values = {**self._fixed, **record.params} | ({"method": record.trained_as} if record.trained_as else {})
        params = [Param(name, str(value)) for name, value in values.items() if name not in run.params]
        tags = [RunTag(name, text) for name, text in state_tags(record).items() if run.tags.get(name) != text]
        # A call takes 1000 of all, 100 of them parameters. Tags go last.
        calls = max(ceil(len(metrics) / 800), ceil(len(params) / 100), bool(tags))
        for i in range(calls):
            some, others = metrics[800 * i : 800 * (i + 1)], params[100 * i : 100 * (i + 1)]
            self._client.log_batch(run.run_id, some, others, tags if i == calls - 1 else (), synchronous=True)
        run.times = times
        run.params |= values.keys()
        run.tags |= state_tags(record)

    def _log_inputs(self, run: KnownRun, level: str) -> None:
        self._client.log_inputs(run.run_id, [DatasetInput(dataset(self._levels[level]))])
        run.has_inputs = True

    def _set_status(self, run: KnownRun, status: str, end_time: int | None = None) -> None:
        if status == "RUNNING":
            self._client.update_run(run.run_id, status)
        else:
            end = round(1000 * time.time()) if end_time is None else end_time
            self._client.set_terminated(run.run_id, status, max(end, run.start))  # clocks are set back
        run.status = status


@contextmanager
def _refusals() -> Iterator[None]:
    """Tell what concerns one record alone from a server that is away."""
    try:
        yield
    except Exception as error:
        if is_refusal(error):
            raise RefusedError(str(error)) from error
        raise

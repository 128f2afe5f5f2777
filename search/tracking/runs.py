"""The runs of one study in MLflow: found, made, brought up to date, ended.

Every call here waits for MLflow; `tracker` makes them from a thread of its own.
"""

import logging
import random
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow.entities import DatasetInput, Experiment, Metric, Param, RunTag

from tosmooth.search.records import Cell, Level, Record
from tosmooth.search.tracking import former
from tosmooth.search.tracking.client import IDENTITY, PatientClient, is_refusal
from tosmooth.search.tracking.finding import find_runs, own_experiment
from tosmooth.search.tracking.names import Names
from tosmooth.search.tracking.page import StudyPage
from tosmooth.search.tracking.pages import Pages
from tosmooth.search.tracking.run import (
    BOUND,
    STATUS,
    KnownRun,
    colour_of,
    dataset,
    drawn,
    git_commit,
    identity,
    known,
    milliseconds,
    state_tags,
)
from tosmooth.search.tracking.store import ARTIFACTS, connect, is_database
from tosmooth.search.tracking.winner import Winner
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.atomic_write import replacing

log = logging.getLogger(__name__)


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
        names: Names | None = None,
        bound: float | None = BOUND,
    ) -> None:
        """Take `fixed`: parameters of all trials; `bound`: a loss beyond is drawn at it (None: wherever it is)."""
        self._home, self._uri, self._study, self._description = home, uri, study, description
        self._levels, self._fixed, self._names, self._bound = levels, fixed, names or Names(), bound
        self._commit = git_commit()
        self._opened = False
        self._troubled = False  # whether a call ever failed
        self._found: dict[str, KnownRun] = {}  # by identity
        self._ends: dict[Cell, int] = {}  # when the last epoch of a cell was reported, in ms
        self._client: PatientClient
        self._experiment: Experiment
        self._pages: Pages

    def open(self) -> None:
        """Connect, and look once which runs there are. Does nothing where that is done."""
        if not self._opened:
            self._client = connect(self._home, self._uri)
            self._experiment = own_experiment(self._client, self._home, self._uri, self._study, self._description)
            place = self._experiment
            written = {run.run_id for run in self._found.values()}
            self._found = find_runs(self._client, place.experiment_id, self._study, written)
            made = place.creation_time or 0
            self._pages = Pages(self._client, place.experiment_id, made, self._description, self._fixed)
            self._opened = True

    def forget(self) -> None:
        """Look anew at the next `open`: a call that failed may still have had its effect."""
        self._opened, self._troubled = False, True

    def shift(self) -> None:
        """Ask up to twice for nothing in particular.

        Of several servers behind one address one may be away: the request that it failed may be another's next time.
        """
        with suppress(Exception):
            for _ in range(random.randrange(3)):
                self._client.search_experiments(max_results=1)

    def settle(self) -> None:
        """Look anew where a call ever failed: one that was given up may be carried out late, and leave a second run."""
        if self._troubled or self._client.troubled:
            self.forget()
            self.open()

    def write(self, record: Record, since: int | None = None) -> None:
        """Bring the run of a trial up to date; there is one afterwards. Does nothing where it is.

        `since`: when the trial began, in ms, where its epochs do not say so; else MLflow takes the time of its own.

        Raises `RefusedError`, or whatever MLflow raises where it cannot be reached.
        """
        with _refusals():
            self._write(record, since)

    def _write(self, record: Record, since: int | None) -> None:
        name, cell = identity(record), Cell(record.level, record.method)
        times = tuple(milliseconds(metrics) for metrics in record.curve)
        self._ends[cell] = max(self._ends.get(cell, 0), *times[-1:], 0)
        run, tags = self._found.get(name), state_tags(record, self._bound)
        if run is not None:
            if run.shows(record, tags, times):
                return
            if not self._continues(run, record, times):  # MLflow cannot take points back
                self._client.delete_run(run.run_id)
                run = None
            elif run.former:
                self._renew(run, cell, self._names.trial(record))
                if run.status == STATUS[record.state] != "RUNNING":
                    run.times = times  # that is set last
        if run is None:
            run = self._found[name] = self._create(record, tags, times, since)
        elif record.state == "running" and run.status != "RUNNING":
            self._set_status(run, "RUNNING")
        if not run.has_inputs:
            self._log_inputs(run, record.level)
        self._log(run, record, tags, times)
        if run.status != STATUS[record.state]:
            self._set_status(run, STATUS[record.state], times[-1] if times else None)

    def artifact(self, level: str, method: str, file: Path) -> None:
        """Put a file to the parent run of a cell, over one of the same name. Raises like `write`."""
        with _refusals():
            run = self._parent(Cell(level, method))
            place = urlsplit(run.artifact_uri)
            if place.scheme != ARTIFACTS or not is_database(self._uri):
                self._client.log_artifact(run.run_id, str(file))
                return
            # Without a server no one takes it: put it where one will look (see `ui_command`).
            folder = self._home / "artifacts" / place.path.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / file.name) as partial:
                shutil.copyfile(file, partial)

    def model(self, winner: Winner) -> None:
        """Log the network of a cell's winner as a model, unless it is there. Raises like `write`."""
        from tosmooth.search.tracking.models import artifacts_of, log_winner  # noqa: PLC0415 - seconds of a start

        with _refusals():
            run, place = self._parent(winner.cell), self._experiment.experiment_id
            folder = artifacts_of(self._home, self._uri, run.artifact_uri)
            try:
                log_winner(self._client, place, run.run_id, folder, winner)
            except InputError as error:  # which no try will mend
                log.warning("MLflow has no model of %s: %s", winner.cell.key, error)

    def page(self, page: StudyPage) -> None:
        """Bring what is to be read of the study and its cells up to date. Raises like `write`."""
        with _refusals():
            there = [cell for cell in page.cells if self._cell_identity(cell) in self._found]
            self._pages.write(page, {cell: self._parent(cell).run_id for cell in there})

    def end(self, finished: bool) -> None:
        """Leave no run RUNNING: parents are FINISHED when the study is done; what was interrupted is KILLED."""
        for name, run in list(self._found.items()):
            cell = Cell(run.tags.get("tosmooth.level", ""), run.tags.get("tosmooth.method", ""))
            is_cell = name == self._cell_identity(cell)
            status = "FINISHED" if finished and is_cell else "KILLED" if run.status == "RUNNING" else run.status
            if run.status != status:
                self._set_status(run, status, (self._ends.get(cell) or run.end) if is_cell else None)

    def _cell_identity(self, cell: Cell) -> str:
        return f"{self._study}/{cell.key}"

    def _parent(self, cell: Cell, start: int | None = None) -> KnownRun:
        """Run of a cell, made where there is none: as begun at `start`, in ms."""
        name = self._cell_identity(cell)
        run = self._found.get(name)
        if run is None:
            tags = self._tags(cell, "cell", name)
            created = self._client.create_run(
                self._experiment.experiment_id, start_time=start, tags=tags, run_name=self._names.cell(cell)
            )
            run = self._found[name] = known(created, times=())
        elif run.former:
            self._renew(run, cell, self._names.cell(cell))
        if not run.has_inputs:
            self._log_inputs(run, cell.level)
        return run

    def _create(self, record: Record, tags: dict[str, str], times: tuple[int, ...], since: int | None) -> KnownRun:
        cell = Cell(record.level, record.method)
        start = times[0] - round(1000 * (record.curve[0].get("seconds") or 0)) if times else since
        parent = self._parent(cell, start)
        if parent.status != "RUNNING":
            self._set_status(parent, "RUNNING")
        tags = {
            "mlflow.parentRunId": parent.run_id,
            **self._tags(cell, "trial", identity(record)),
            "tosmooth.phase": record.phase,
            "tosmooth.seed": str(record.train_seed),
            **tags,
        }
        run = self._client.create_run(
            self._experiment.experiment_id, start_time=start, tags=tags, run_name=self._names.trial(record)
        )
        return known(run, times=())

    def _tags(self, cell: Cell, kind: str, name: str) -> dict[str, str]:
        """Tags of a run that never change."""
        own = {"kind": kind, "study": self._study, "level": cell.level, "method": cell.method}
        tags = {IDENTITY: name, **{f"tosmooth.{key}": text for key, text in own.items()}}
        return tags | colour_of(cell.level, self._levels) | self._commit

    def _renew(self, run: KnownRun, cell: Cell, name: str) -> None:
        """Bring a run of an earlier version to today's form."""
        tags = colour_of(cell.level, self._levels) | former.renewed(run.former)
        self._client.log_all(run.run_id, tags=[RunTag(*tag) for tag in tags.items()])
        self._client.update_run(run.run_id, name=name)
        former.remove(self._client, run.run_id, run.former)
        run.tags |= tags
        run.former = {}

    def _continues(self, run: KnownRun, record: Record, times: tuple[int, ...]) -> bool:
        """True if all points of the run belong to this curve: not to a lost attempt, nor drawn otherwise."""
        if run.times is not None:
            return run.times == times[: len(run.times)]
        if run.former and "tosmooth.clipped" in state_tags(record, self._bound):
            return False
        points = self._client.get_metric_history(run.run_id, run.metric) if run.metric is not None else []
        return all(point.step <= len(times) and times[point.step - 1] == point.timestamp for point in points)

    def _log(self, run: KnownRun, record: Record, tags: dict[str, str], times: tuple[int, ...]) -> None:
        """Log what the run lacks. A point logged twice is the same row, since it keeps its time."""
        first = len(run.times or ())
        metrics = [
            Metric(name, drawn(name, value, self._bound), times[epoch], epoch + 1)
            for epoch in range(first, len(times))
            for name, value in record.curve[epoch].items()
            if value is not None and name != "time"
        ]
        values = {**self._fixed, **record.params} | ({"method": record.trained_as} if record.trained_as else {})
        params = [Param(name, str(value)) for name, value in values.items() if name not in run.params]
        changed = [RunTag(name, text) for name, text in tags.items() if run.tags.get(name) != text]
        self._client.log_all(run.run_id, metrics, params, changed)
        run.times = times
        run.params |= values.keys()
        run.tags |= tags

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

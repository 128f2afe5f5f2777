"""Driver of a study: decides which trial runs next or again, and records what trials report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tosmooth.search.records import Cell, Level, Metrics, Record, State, TrialKey
from tosmooth.search.run.study_state import StudyState
from tosmooth.search.selection.comparison import borrowed
from tosmooth.search.spec.parameters import Params
from tosmooth.search.storage.history import History
from tosmooth.search.storage.trial_store import Job
from tosmooth.search.suggest.allocation import Allocation
from tosmooth.search.suggest.asking import Suggester
from tosmooth.search.suggest.confirmation import next_run

FAILURES = 3  # trials of a cell that may fail before the study stops, or as many as run or ended in it


class StudyDriver:
    """Driver that starts trial after trial until every cell has its budget and its confirmation; knows nothing of Ray.

    All that must last is in Optuna's storage and the history; this object can be lost at any moment. `listen` is told
    of every trial that starts, reports or ends, as a `Record`.
    """

    def __init__(
        self,
        suggester: Suggester,
        history: History,
        levels: Mapping[str, Level],
        listen: Callable[[Record], None],
        prior: Mapping[str, Sequence[Params]] | None = None,
    ) -> None:
        """Take `prior`: findings of an earlier study by level, to be proposed early (`search.suggest.transfer`)."""
        self.suggester, self.store, self.spec = suggester, suggester.store, suggester.store.spec
        self.history, self.levels, self.listen = history, levels, listen
        self.trouble: str | None = None  # why the study cannot go on
        self.waiting = list(self.store.lost())  # trials to be started (again) before anything new
        self._state = StudyState(self.spec)
        self._failed: list[TrialKey] = []  # under this driver, in the order in which they did
        self._settled: dict[Cell, int] = {}  # as of how many trials of its level a cell's confirmation lacked nothing
        self._allocation = Allocation(self.spec, suggester, levels, self._state.searches, prior or {})
        for record in self.store.records(history.read):
            self._state.keep(record)

    def prepare(self) -> bool:
        """Queue the next trial if none waits. True if there is anything to run."""
        if not self.waiting and (job := self._next()) is not None:
            self.waiting.append(job)
        return bool(self.waiting)

    def start(self) -> Job | None:
        """Begin the next trial and return it; None if there is none at this moment, or if there is `trouble`."""
        job = self.waiting.pop(0) if self.waiting else self._next()
        if job is not None:
            self._update(job, curve=())
        return job

    def report(self, job: Job, epoch: int, metrics: Metrics) -> None:
        """Record what a trial reports after an epoch, counted from 1."""
        metrics = self.history.append(job.key, epoch, metrics)
        curve = (*self._state[job.key].curve[: epoch - 1], metrics)
        self._update(job, curve)
        self.store.report(job, epoch, metrics[self.spec.score.validation])

    def retry(self, job: Job, reason: str) -> None:
        """Queue a trial that crashed once more, with the same parameters, or fail it."""
        self.store.count_failure(job)
        if job.failures < self.spec.trial_attempts:
            self.waiting.append(job)
        else:
            self.end(job, "failed", reason)

    def end(self, job: Job, state: State, reason: str = "") -> None:
        """Record how a trial ended."""
        before = self._state[job.key]
        record = replace(before, state=state, reason=reason, attempts=job.failures + (state != "failed"))
        self.history.flush()  # before Optuna says that it ended: what has ended is never without its epochs
        value = self.spec.score.of(record)
        if state == "diverged":
            value = 100 / self.levels[job.key.level].classes
        if state == "failed":
            self.suggester.give_up(job)
        self.store.end(job, state, value, reason, record.curve)
        if state == "failed":
            self._failed.append(job.key)
        self._state.keep(record)
        self.listen(record)

    def _next(self) -> Job | None:
        """New trial: of the search, else a confirmation run, else none for now."""
        started = self._state.started()
        if (trouble := self._failing(started)) is not None:
            self.trouble = trouble
            return None
        job = self._allocation.next(started)
        if job is not None:
            return job
        searching = self._state.searching()
        for cell in self.spec.cells():
            if cell not in searching and (job := self._confirmation(cell)) is not None:
                return job
        return None

    def _failing(self, started: Mapping[Cell, int]) -> str | None:
        """Message about a cell in which more trials failed than allowed; None if there is no such cell."""
        for cell in started if self._failed else ():
            failed = [key for key in self._failed if (key.level, key.method) == cell]
            if len(failed) > max(FAILURES, started[cell]):
                return f"{cell.key}: {len(failed)} trials failed, the last with: {self._state[failed[-1]].reason}"
        return None

    def _confirmation(self, cell: Cell) -> Job | None:
        """Missing run of the cell's finalists and baselines on the confirmation seeds."""
        ended = self._state.ended(cell.level)
        if self._settled.get(cell) == ended:
            return None
        records = self._state.search(cell) + self._state.confirmation(cell)
        alike = (Cell(cell.level, method) for method in self.spec.method)
        records += borrowed(*cell, [record for other in alike for record in self._state.confirmation(other)])
        run = next_run(self.store.views[cell.method], self.levels[cell.level], records, self._failed)
        if run is None:
            self._settled[cell] = ended
            return None
        return self.store.add(
            cell, "confirmation", run.params, run.train_seed, trained_as="" if run.method == cell.method else run.method
        )

    def _update(self, job: Job, curve: tuple[Metrics, ...]) -> None:
        """Take in a running trial as it stands now, and tell `listen` of it."""
        key = job.key
        record = Record(
            study=self.spec.name,
            level=key.level,
            method=key.method,
            phase=key.phase,
            number=key.number,
            state="running",
            params=job.params,
            train_seed=job.train_seed,
            curve=curve,
            seconds=sum(metrics.get("seconds") or 0.0 for metrics in curve),
            attempts=job.failures + 1,
            trained_as=job.trained_as,
        )
        self._state.keep(record)
        self.listen(record)

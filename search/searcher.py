"""Which trial runs next, and what becomes of its reports: a Tune Searcher over one Optuna study per cell."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from search.allocation import Allocation
from search.confirmation import next_run
from search.history import History
from search.parameters import Params
from search.records import Level, Metrics, Phase, Record, State, TrialKey
from search.searched import Searched
from search.selection import borrowed, score
from search.store import Job, Store
from search.study import Cell, StudySpec
from trainables.errors import first_line
from trainables.folders import Folders
from trainables.masking import masked
from trainables.places import TROUBLE, join, lengths, take

FAILURES = 3  # trials of a cell that may fail before the study stops, if no more have ended well
DEATHS = {  # what Ray says when a worker process is gone, in our words
    "low on memory": "out of memory: Ray ended its worker process, since its machine was low on memory",
    "node has died": "the machine it ran on was lost",
}


class StudySearcher(Searcher):
    """Hands Tune one trial after another until every cell has its budget and its confirmation.

    All state is in Optuna's storage and the history; this object can be lost at any moment. `listen` is told of every
    trial that starts, reports or ends, as a `Record`; `weights` says where a confirmed network is kept.
    """

    def __init__(
        self,
        spec: StudySpec,
        store: Store,
        history: History,
        levels: Mapping[str, Level],
        folders: Folders,
        weights: Callable[[TrialKey], Path],
        listen: Callable[[Record], None],
        prior: Mapping[str, Sequence[Params]] | None = None,
    ) -> None:
        """`prior`: by level, what an earlier study found, to be proposed early (`search.prior`)."""
        super().__init__()
        self.spec, self.store, self.history, self.levels = spec, store, history, levels
        self.folders, self.weights, self.listen = folders, weights, listen
        self.slots = 1  # trials at once
        self.states: str | None = None  # where trials keep trunks and checkpoints; None: nowhere
        self.transit: str | None = None  # where they leave networks for us to take; None: in the home, which all share
        self.finished = False
        self.cells = spec.cells()
        self.running: dict[str, Job] = {}  # by Tune's trial id
        self.heard: dict[str, float] = {}  # when a trial was last heard of, by time.monotonic
        self.last_words: dict[str, str] = {}  # what Ray said of trials that crash just now
        self.again = list(store.lost())  # to be started (again) before anything new
        self.searches = {cell: Searched(spec.selection.epoch) for cell in self.cells}
        self.confirmations: dict[Cell, dict[int, Record]] = {cell: {} for cell in self.cells}  # by number
        self.views = {method: spec.of(method) for method in spec.method}
        self.versions: Counter[str] = Counter()  # of what ended in a level: grows with it
        self.settled: dict[Cell, int] = {}  # as of which version a cell's confirmation lacked nothing
        self.allocation = Allocation(spec, store, levels, self.searches, prior or {})
        for record in store.records(history.read()):
            self._keep(record)
        self.failed: dict[TrialKey, Record] = {}  # under this driver
        self.trouble: str | None = None  # why the study cannot go on

    def prepare(self) -> bool:
        """Whether there is anything to run."""
        if not self.again and (job := self._next()) is not None:
            self.again.append(job)
        return bool(self.again)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override] # Ray's hint lacks FINISHED
        """Tune's question: the settings of the next trial, None for not now, FINISHED for never again."""
        if len(self.running) >= self.slots:
            return None
        job = self.again.pop(0) if self.again else self._next()
        if job is None:
            if self.running:
                return None
            self.finished = self.trouble is None
            return Searcher.FINISHED
        self.running[trial_id] = job
        self.heard[trial_id] = time.monotonic()
        self._update(job, curve=())
        return self._settings(job)

    def receive(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """One epoch's report; returns whether the trial is to be stopped as pruned."""
        job = self.running.get(trial_id)
        if job is None:
            return False
        self.heard[trial_id] = time.monotonic()
        epoch, metrics = result["epoch"], dict(result["metrics"])
        metrics = self.history.append(job.key, epoch, metrics)
        curve = (*self._of(job.cell, job.key.phase)[job.key.number].curve[: epoch - 1], metrics)
        self._update(job, curve)
        self.store.report(job, epoch, metrics["val_accuracy"])
        return result["state"] == "running" and self.store.should_prune(job, epoch)

    def prune(self, trial_id: str) -> None:
        """End a trial that `receive` said is to be stopped."""
        self.heard.pop(trial_id)
        self._end(self.running.pop(trial_id), "pruned")

    def crashed(self, trial_id: str, words: str) -> None:
        """Take note of what Ray says of a crash: `on_trial_complete`, which follows, is told of none."""
        self.last_words[trial_id] = words

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tune's word that a trial is over: at its end, by a crash, or because the study was interrupted."""
        job = self.running.get(trial_id)
        if job is None:  # pruned: `prune` ended it
            return
        silent = time.monotonic() - self.heard.pop(trial_id)
        words = self.last_words.pop(trial_id, "")
        result = {"state": "failed", "reason": self._death(silent, words)} if error else result or {}
        state: State = result.get("state", "running")
        if state in ("complete", "diverged"):
            self.receive(trial_id, result)
            self.running.pop(trial_id)
            if state == "complete" and (lost := self._take_weights(job)):
                self._retry(job, lost)
            else:
                self._end(job, state, result["reason"])
            return
        self.running.pop(trial_id)
        if state == "failed":
            self._retry(job, result["reason"])
        # else it was interrupted: the storage keeps it running, and the next driver takes it up

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: the scheduler has handed the result to `receive` already, to decide on it."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its searcher; nothing of it is ever read again

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what a study is lies in Optuna's storage, whose address must not get into Tune's files."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see `save`."""

    def _next(self) -> Job | None:
        """A new trial: of the search, else a confirmation run, else none for now."""
        started = {cell: self.searches[cell].started for cell in self.cells}
        for cell in self.cells if self.failed else ():
            failed = [record for key, record in self.failed.items() if key[:2] == cell]
            if len(failed) > max(FAILURES, started[cell]):
                self.trouble = f"{cell.key}: {len(failed)} trials failed, the last with: {failed[-1].reason}"
                return None
        job = self.allocation.next(started)
        if job is not None:
            return job
        searching = {cell for cell in self.cells if self.searches[cell].running}
        if searching and self.spec.search.allocation == "adaptive":
            return None  # one that fails gives its place to any cell: the search must be over in all of them
        for cell in self.cells:
            if cell not in searching and (job := self._confirmation(cell)) is not None:
                return job
        return None

    def _confirmation(self, cell: Cell) -> Job | None:
        """A missing run of the cell's finalists and baselines on the confirmation seeds."""
        version = self.versions[cell.level]
        if self.settled.get(cell) == version:
            return None
        records = [*self._searched(cell), *self.confirmations[cell].values()]
        alike = (other for method in self.spec.method if (other := Cell(cell.level, method)) in self.confirmations)
        records += borrowed(*cell, [r for other in alike for r in self.confirmations[other].values()])
        run = next_run(self.views[cell.method], self.levels[cell.level], records, self.failed)
        if run is None:
            self.settled[cell] = version
            return None
        return self.store.add(cell, "confirmation", *run)

    def _retry(self, job: Job, reason: str) -> None:
        """Queue a trial that crashed once more, with the same parameters, or fail it."""
        self.store.count_failure(job)
        if job.failures < self.spec.trial_attempts:
            self.again.append(job)
        else:
            self._end(job, "failed", reason)

    def _end(self, job: Job, state: State, reason: str = "") -> None:
        before = self._of(job.cell, job.key.phase)[job.key.number]
        record = replace(before, state=state, reason=reason, attempts=job.failures + (state != "failed"))
        self.history.flush()  # before Optuna says that it ended: what has ended is never without its epochs
        value = score(record, self.spec.selection)
        if state == "diverged":
            value = 100 / self.levels[job.key.level].classes
        self.store.end(job, state, value, reason)
        if state == "failed":
            self.failed[job.key] = record
        self._keep(record)
        self.listen(record)

    def _settings(self, job: Job) -> dict[str, Any]:
        """What the trial's actor is given, plain values alone."""
        config = self.spec.trial_config(job.cell, job.params, job.train_seed)
        return {
            "trial": config.to_dict(),
            "digest": self.levels[job.key.level].digest,
            "folders": [self.folders.place, str(self.folders.cache)],
            "weights": str(self.weights(job.key).absolute()) if self._keeps_weights(job) else None,
            "transit": self._transit(job),
            "threads": max(1, int(self.spec.resources.cpus)),
            "trunks": self._trunks(job),
            "checkpoints": self._checkpoints(),
            "timeout": self.spec.trial_timeout,
            "estimate_noise": self._estimates_noise(job),
        }

    def _keeps_weights(self, job: Job) -> bool:
        """Whether the trained network is kept: of a confirmation run, and unless the study asks, of the first seed."""
        every = self.spec.selection.keep_weights == "all"
        return job.key.phase == "confirmation" and (every or job.train_seed == self.spec.confirmation_seeds()[0])

    def _transit(self, job: Job) -> str | None:
        """Where the trial leaves its network for us; None where it is not kept, or written into the home itself."""
        if self.transit is None or not self._keeps_weights(job):
            return None
        name = hashlib.blake2b(repr(job.key).encode(), digest_size=16).hexdigest()
        return join(self.transit, f"{name}.network")

    def _take_weights(self, job: Job) -> str:
        """Bring the trial's network into the home. Returns why that failed, where it did."""
        if (place := self._transit(job)) is not None:
            try:
                take(place, self.weights(job.key))
            except TROUBLE as error:
                return f"its network did not arrive: {first_line(error).replace(place, masked(place))}"
        return ""

    def _estimates_noise(self, job: Job) -> bool:
        """Whether the trial tells the noise rate: cross-entropy, in the search only where nothing else does.

        It costs each worker process an import of 2 s, which a short search with clean labels need not wait for.
        """
        unknown = self.levels[job.key.level].noise_rate is None
        wanted = self.spec.search.estimate_noise and job.params.get("rate") == 0
        return bool(wanted) and (job.key.phase == "confirmation" or unknown)

    def _trunks(self, job: Job) -> dict[str, Any] | None:
        """Where the trial finds and keeps its warm-up, and of which lengths; None where it has no other to share with.

        With a training seed for each trial (`search.seeds: own`) that is the whole search.
        """
        alone = job.key.phase == "search" and self.spec.search.seeds == "own"
        epochs = sorted(lengths(self.spec.space["warmup"].points()))
        if self.states is None or not self.spec.trunks.share or alone or not epochs:
            return None
        return {"place": self.states, "epochs": epochs, "limit": int(self.spec.trunks.most_gb * 1e9)}

    def _checkpoints(self) -> tuple[str, float] | None:
        """Where the trial keeps its checkpoint, and the seconds between two; None for no checkpoints."""
        seconds = self.spec.trial_checkpoint
        return None if self.states is None or seconds is None else (self.states, seconds)

    def _death(self, silent: float, words: str) -> str:
        """Why a worker process died, as far as that is known here.

        `silent`: seconds for which nothing was heard of its trial. `words`: what Ray says of it.
        """
        for theirs, ours in DEATHS.items():
            if theirs in words:
                return ours
        limit = self.spec.trial_timeout
        if limit is not None and silent >= limit:
            return f"no epoch ended within {limit:g} seconds (trial_timeout)"
        return "its worker process died"

    def _update(self, job: Job, curve: tuple[Metrics, ...]) -> None:
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
        )
        self._keep(record)
        self.listen(record)

    def _searched(self, cell: Cell) -> list[Record]:
        """The trials of a cell's search."""
        return list(self.searches[cell].records.values())

    def _of(self, cell: Cell, phase: Phase) -> dict[int, Record]:
        """The trials of a cell's phase by number."""
        return self.searches[cell].records if phase == "search" else self.confirmations[cell]

    def _keep(self, record: Record) -> None:
        cell = Cell(record.level, record.method)
        if record.phase == "search":
            self.searches[cell].keep(record)
        else:
            self.confirmations[cell][record.number] = record
        self.versions[record.level] += record.state != "running"

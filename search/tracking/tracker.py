"""Feed MLflow from a thread of the driver, so that no trial ever waits for it.

What the server misses while it is down, or the driver while it is dead, is written later: the record is Optuna's
storage and the history, and a run in MLflow is found by the trial's identity before it is made.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tosmooth.search.records import Level, Record, TrialKey
from tosmooth.search.tracking.names import Names
from tosmooth.search.tracking.page import StudyPage
from tosmooth.search.tracking.run import BOUND, identity
from tosmooth.search.tracking.runs import RefusedError, Runs
from tosmooth.search.tracking.store import reason
from tosmooth.search.tracking.winner import Winner

log = logging.getLogger(__name__)
LONGEST_WAIT = 30.0  # seconds between two tries while MLflow is away
PAGE = "the page of the study"  # among what is pending
PAGE_EVERY = 10.0  # seconds between two looks at what the trials come to, or more where a look takes long
PAGE_SHARE = 0.02  # of the time may be spent on that
TURN = 0.0005  # seconds that a thread of the driver runs before another may: Python's 5 ms are felt by every report


@dataclass(frozen=True, slots=True, eq=False)
class _Artifact:
    level: str
    method: str
    file: Path


Item = Record | _Artifact | StudyPage | Winner


class Tracker:
    """Tracker that shows one study in MLflow. No method but `close` waits for MLflow, and none raises if it is away.

    `uri`: any tracking URI; `None` is a database under the home, which can be moved with it. `fixed`: parameters that
    all trials of the study share. `interval`: seconds between two looks at what is new. `bound`: see `Runs`. `summary`:
    what the trials so far come to; called in a thread while the study runs, now and then.
    """

    def __init__(
        self,
        home: Path,
        uri: str | None,
        study: str,
        description: str,
        levels: Mapping[str, Level],
        fixed: Mapping[str, Any] | None = None,
        interval: float = 2.0,
        *,
        names: Names | None = None,
        bound: float | None = BOUND,
        summary: Callable[[list[Record]], StudyPage] | None = None,
    ) -> None:
        self._runs = Runs(home.resolve(), uri, study, description, levels, fixed or {}, names, bound)
        self._interval = interval
        self._pending: dict[str, Item] = {}  # what MLflow may lack; the newest of each
        self._refused: dict[str, Item] = {}  # what it did not take, kept from the rest until the end
        self._summary = summary
        self._since: dict[str, int] = {}  # ms at which a trial was first told of, before its first epoch
        self._records: dict[TrialKey, Record] = {}  # all that were shown, for the summary
        self._ended = 0  # updates about trials that ended
        self._summarised = -1  # how many of them the summary knows; none was asked for yet
        self._next_page = 0.0  # time.monotonic
        self._lock = threading.Lock()  # of what is pending and recorded
        self._closing = threading.Event()
        self._finished = False
        self._written = 0  # how much MLflow took
        self._settled = False  # whether every run shows how the study ended
        self._trouble = ""  # the last thing that went wrong
        self._timeout = self._deadline = float("inf")
        sys.setswitchinterval(TURN)
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def update(self, record: Record) -> None:
        """Show a trial as it now is. Of several updates between two looks the last is written."""
        if not record.curve:
            self._since.setdefault(identity(record), round(1000 * time.time()))
        self._put(identity(record), record)
        if self._summary is not None:
            with self._lock:
                self._records[record.key] = record
                self._ended += record.state != "running"

    def catch_up(self, records: Iterable[Record]) -> None:
        """Bring every trial that MLflow lacks, or has otherwise, up to date: at the start and at the end of a run."""
        for record in records:
            self.update(record)

    def artifacts(self, level: str, method: str, files: Iterable[Path]) -> None:
        """Show files (tables, plots) with a cell. They are read later, and must stay until `close`."""
        for file in files:
            self._put(f"{level}/{method}: {file.name}", _Artifact(level, method, file))

    def model(self, winner: Winner) -> None:
        """Show the network of a cell's winner as a model. It is read later, and must stay until `close`."""
        self._put(f"{winner.cell.key}: model", winner)

    def page(self, page: StudyPage) -> None:
        """Show what the trials come to in the end: no summary is asked for any more."""
        with self._lock:
            self._summary = None
            self._pending[PAGE] = page

    def close(self, timeout: float, finished: bool = True) -> int:
        """Write what is left and end all runs, within `timeout` seconds. Returns how much could not be written.

        `finished`: the study is done, and its cells are shown as FINISHED; a server that is slow, but takes something
        every `timeout` seconds, is waited for. Otherwise they and the trials that were running are KILLED, MLflow's
        word for "stopped from outside", until the study goes on: FAILED would say that something is wrong with them,
        and RUNNING that one should wait.
        """
        if not self._closing.is_set():
            self._begin_to_close(timeout, finished)
        while self._thread.is_alive() and (left := self._deadline - time.monotonic()) > 0:
            self._thread.join(left)
        with self._lock:
            return len(self._pending.keys() | self._refused) or int(not self._settled)

    def lacking(self, left: int) -> str:
        """Say that MLflow lacks `left` records when this was closed, why, and what to do."""
        why = self._trouble or f"it took nothing for {self._timeout:g} s"
        again = "run the command again to bring it up to date; `tosmooth doctor` looks for the cause"
        return f"MLflow lacks {left} records ({why}); {again}"

    @contextmanager
    def stopping(self, timeout: float) -> Iterator[None]:
        """Begin to close at an exception, while the caller still ends what else runs: seconds count."""
        try:
            yield
        except BaseException:
            self._begin_to_close(timeout, finished=False)
            raise

    def _begin_to_close(self, timeout: float, finished: bool) -> None:
        self._timeout, self._finished, self._deadline = timeout, finished, time.monotonic() + timeout
        self._closing.set()

    def _put(self, name: str, item: Item) -> None:
        with self._lock:
            self._pending[name] = item

    def _work(self) -> None:
        wait, away, closing = 0.0, False, False
        while True:
            if closing:  # and the last try failed
                time.sleep(min(wait, max(0.0, self._deadline - time.monotonic())))
            else:
                self._closing.wait(wait)
            closing = self._closing.is_set()  # before looking, so that nothing is put after the last look
            if time.monotonic() >= self._deadline:
                return
            written = self._written
            try:
                self._write(closing)
            except Exception as error:
                self._runs.forget()
                self._trouble = reason(error)
                if not away:
                    log.warning("MLflow lacks what is new, and gets it later; training goes on (%s)", self._trouble)
                stuck = away and self._written == written
                if stuck:
                    self._runs.shift()
                wait = min(2 * wait, LONGEST_WAIT) if stuck and not closing else 1.0
                away = True
                continue
            if away and time.monotonic() < self._deadline:
                log.warning("MLflow is back and has everything")
            if closing:
                return
            wait, away = self._interval, False
            if not self._refused:
                self._trouble = ""
            self._summarise()

    def _summarise(self) -> None:
        """Put what the trials come to: at the start, for the views, and where a trial has ended and it is time."""
        with self._lock:
            ended, records = self._ended, list(self._records.values())
        begin = time.monotonic()
        summary = self._summary
        if summary is None or ended == self._summarised or begin < self._next_page or self._closing.is_set():
            return
        try:
            page = summary(records)
        except Exception as error:  # the table at the end raises it where one sees it
            log.warning("MLflow shows what the trials come to at the end of the study alone (%s)", reason(error))
            self._summary = None
            return
        with self._lock:
            if self._summary is not None:  # else what they come to in the end is known by now
                self._pending[PAGE] = page
        self._summarised = ended
        if ended:  # the page of the start holds up none
            self._next_page = begin + max(PAGE_EVERY, (time.monotonic() - begin) / PAGE_SHARE)

    def _write(self, closing: bool) -> None:
        """Write what is pending, once; at the end also what MLflow has refused."""
        self._runs.open()
        with self._lock:
            if closing:
                self._pending = self._refused | self._pending
            pending = list(self._pending.items())
        # Last, when all else is there and the runs have ended: they take more requests than it, and are no record.
        models = [(name, item) for name, item in pending if isinstance(item, Winner)]
        # A page after the records, whenever it was put: cells that have no run yet are left out of it.
        others = [(name, item) for name, item in pending if not isinstance(item, Winner)]
        self._write_each(sorted(others, key=lambda one: isinstance(one[1], StudyPage)))
        if closing and not self._settled and time.monotonic() < self._deadline:
            self._runs.settle()
            self._runs.end(self._finished)
            self._settled = True
        self._write_each(models)

    def _write_each(self, pending: Sequence[tuple[str, Item]]) -> None:
        looked = False
        for name, item in pending:
            if time.monotonic() >= self._deadline:
                return
            try:
                self._show(item)
            except RefusedError:
                if not looked:  # someone may have deleted a run by hand: it is made again
                    self._runs.forget()
                    self._runs.open()
                    looked = True
                self._show_or_set_aside(name, item)
            else:
                self._refused.pop(name, None)
            self._written += 1
            if self._finished:
                self._deadline = time.monotonic() + self._timeout
            with self._lock:
                if self._pending[name] is item:  # else it was updated meanwhile
                    del self._pending[name]

    def _show_or_set_aside(self, name: str, item: Item) -> None:
        """Show a record, or set it aside if it is refused: that must not look like a server that is away."""
        try:
            self._show(item)
        except RefusedError as error:
            self._trouble = f"it refuses {name}: {reason(error)}"
            if name not in self._refused:
                log.warning("MLflow refuses %s; everything else goes on (%s)", name, reason(error))
            with self._lock:
                self._refused[name] = item
        else:
            self._refused.pop(name, None)

    def _show(self, item: Item) -> None:
        if isinstance(item, Record):
            self._runs.write(item, self._since.get(identity(item)))
            self._since.pop(identity(item), None)
        elif isinstance(item, StudyPage):
            self._runs.page(item)
        elif isinstance(item, Winner):
            self._runs.model(item)
        else:
            self._runs.artifact(item.level, item.method, item.file)

"""What does a trial cost the driver on a large cluster, the more trials there are?

Trials of simulated duration on 1,000 virtual workers (`virtual_cluster.py`) against the real searcher, sampler, pruner,
record and selection, as Tune would call them. Tune, Ray and MLflow are not in it: `bench_growth.py` has them.

    python tests/benchmarks/scale.py [--trials 20000] [--workers 1000] [--cells 1 5 500]
        [--samplers posterior tpe random] [--pruner median] [--storage URL]
        [--marks 1000 2000 5000 10000 20000] [--json FILE]

`--cells`: noise levels among which the trials are shared out; 1 is the worst case for whatever grows with its cell.
`--storage`: an empty database, such as postgresql://...; otherwise Optuna's journal is a file. A window's cost is the
CPU time of this process (and of a database, which is another, none) in the searcher, from one mark to the next, by the
trials that ended in between; seconds by the clock stand beside it, the disk's among them.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as the driver of a busy machine has; before numpy is loaded

import functools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from fresh import fresh
from harness import Measurement, arguments, report
from sqlalchemy import create_engine, text
from virtual_cluster import VirtualCluster

from tosmooth.search.records import Level
from tosmooth.search.report.results import study_rows
from tosmooth.search.run.searcher import StudySearcher
from tosmooth.search.run.study_driver import StudyDriver
from tosmooth.search.run.trial_settings import TrialSettings
from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.history import History
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.trial_store import Store
from tosmooth.search.suggest.allocation import Allocation
from tosmooth.search.suggest.asking import Suggester
from tosmooth.trainables.files.folders import Folders

MARKS = (1000, 2000, 5000, 10_000, 20_000)
EPOCHS = 10
PARTS: dict[str, list[tuple[type, str]]] = {  # each without what it calls of the others
    "sampling": [(Allocation, "next")],
    "storage": [(Store, name) for name in ("trials", "add", "report", "end")],
    "pruning": [(Suggester, "should_prune")],
    "history": [(History, "append"), (History, "flush")],
    "confirmation": [(StudyDriver, "_confirmation")],
    "searcher": [(StudySearcher, name) for name in ("suggest", "receive", "prune", "on_trial_complete")],
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What the driver had spent and held when so many trials had ended."""

    trials: int
    epochs: int
    cpu: float  # seconds
    wall: float
    parts: dict[str, float]  # CPU seconds
    resident: float  # MiB
    storage: float  # MB, the journal or the database
    history: float  # MB


@dataclass(frozen=True, slots=True)
class Run:
    """One replayed study."""

    marks: list[Mark]
    hours: float  # on the virtual clock
    table: float  # CPU seconds of the choice and its table, of all cells
    again: float  # seconds until it is open again, as after a kill
    peak: float  # MiB


@dataclass(slots=True)
class Clock:
    """CPU time by part; while one part calls another the outer clock stands."""

    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    wall: float = 0.0  # of the outermost
    _open: list[str] = field(default_factory=list)
    _since: float = 0.0

    def wrap(self, part: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            self._turn()
            self._open.append(part)
            try:
                return original(*arguments, **named)
            finally:
                self._turn()
                self._open.pop()
                self.wall += 0 if self._open else time.perf_counter() - start

        return call

    def _turn(self) -> None:
        now = time.process_time()
        if self._open:
            self.spent[self._open[-1]] += now - self._since
        self._since = now


def main() -> None:
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--trials", type=int, default=20_000, help="of the searches together (%(default)s)")
    parser.add_argument("--workers", type=int, default=1000, help="trials at once (%(default)s)")
    parser.add_argument("--cells", type=int, nargs="+", default=[1, 5, 500], help="noise levels, at most 500")
    parser.add_argument("--samplers", nargs="+", default=["posterior", "tpe", "random"])
    parser.add_argument("--pruner", default="median", help="as in a study file (%(default)s)")
    parser.add_argument("--storage", default="", metavar="URL", help="an empty database for Optuna")
    parser.add_argument("--marks", type=int, nargs="+", default=list(MARKS), help="trials after which to look")
    options = parser.parse_args()
    found: list[Measurement] = []
    for sampler in options.samplers:
        for cells in options.cells:
            spec = study(sampler, options.trials // cells, cells, options.pruner)
            runs = [fresh(replay, spec, options.workers, options.marks, options.storage)]
            title = f"{sampler}, {cells} cell{'s' if cells > 1 else ''}"
            found += measurements(title, runs[0])
            report(f"Driver of {options.workers} workers: {title}", measurements(title, runs[0]), None)
    report(f"Driver of {options.workers} workers, {options.trials} trials", found, options.json)


def study(sampler: str, trials: int, cells: int, pruner: str) -> StudySpec:
    """A study of so many cells, `trials` in each; its levels have noise rates up to 0.4."""
    noises = [f"symmetric-{0.4 * (i + 1) / cells:.4f}" for i in range(cells)]
    return load_study(
        "twonorm",
        [
            f"dataset.noise={json.dumps(noises)}",
            f"training.epochs={EPOCHS}",
            f"search={{sampler: {sampler}, trials: {trials}, pruner: {pruner}}}",
            "confirmation={seeds: 2}",
        ],
    )


def replay(scratch: Path, spec: StudySpec, workers: int, marks: Sequence[int], url: str) -> Run:
    """Run a study to its end, and look at the clocks at each mark."""
    files = scratch / "journal.log", scratch / "history.jsonl"
    store, history = Store(spec, open_storage(url or None, files[0])), History(files[1])
    searcher = opened(spec, store, history, scratch, workers)
    clock, found, start = Clock(), [], time.process_time()
    cluster = VirtualCluster(searcher)

    def ended() -> None:
        if cluster.ended in marks:
            seconds = sum(clock.spent.values())
            size = _size(url) if url else files[0].stat().st_size
            sizes = (size / 1e6, files[1].stat().st_size / 1e6)
            spent = dict(clock.spent)
            found.append(Mark(cluster.ended, cluster.epochs, seconds, clock.wall, spent, _memory("VmRSS"), *sizes))
            print(cluster.ended, f"{seconds:.1f} s", dict(clock.spent), f"{_memory('VmRSS'):.0f} MiB", flush=True)

    with _timed(clock):
        cluster.run(ended)
    start = time.process_time()
    study_rows(spec, levels(spec), store.records(history.read))
    table = time.process_time() - start
    history.close()
    start = time.perf_counter()
    again = Store(spec, open_storage(url or None, files[0]))
    opened(spec, again, History(files[1]), scratch, workers).driver.prepare()
    return Run(found, cluster.now / 3600, table, time.perf_counter() - start, _memory("VmHWM"))


def measurements(title: str, run: Run) -> list[Measurement]:
    """What a run says, a side for each mark."""
    zero = Mark(0, 0, 0.0, 0.0, {}, 0.0, 0.0, 0.0)
    windows = list(zip([zero, *run.marks], run.marks, strict=False))
    names = [f"trials {before.trials + 1} to {after.trials}" for before, after in windows]
    found = [
        _per_trial(f"{title}: driver CPU a trial", windows, names, lambda mark: mark.cpu),
        _per_trial(f"{title}: seconds by the clock a trial", windows, names, lambda mark: mark.wall),
    ]
    for part in PARTS:
        share = functools.partial(lambda name, mark: mark.parts.get(name, 0.0), part)
        found.append(_per_trial(f"{title}: of it, {part}", windows, names, share))
    at = [f"after {mark.trials} trials" for mark in run.marks]
    columns = {"resident memory": ("MiB", "resident"), "storage": ("MB", "storage"), "history": ("MB", "history")}
    found += [
        Measurement(
            what=f"{title}: {what}",
            unit=unit,
            values={name: [getattr(mark, key)] for name, mark in zip(at, run.marks, strict=True)},
        )
        for what, (unit, key) in columns.items()
    ]
    ends = {"table of all cells, CPU": [run.table], "opened again": [run.again]}
    facts = {"hours on the virtual clock": f"{run.hours:.1f}", "peak memory, MiB": f"{run.peak:.0f}"}
    facts |= {"epochs a trial": f"{run.marks[-1].epochs / run.marks[-1].trials:.1f}"}
    return [*found, Measurement(what=f"{title}: at its end", unit="s", values=ends, facts=facts)]


def _per_trial(
    what: str, windows: Sequence[tuple[Mark, Mark]], names: Sequence[str], spent: Callable[[Mark], float]
) -> Measurement:
    costs = [1000 * (spent(after) - spent(before)) / (after.trials - before.trials) for before, after in windows]
    return Measurement(what=what, unit="ms", values={name: [cost] for name, cost in zip(names, costs, strict=True)})


def opened(spec: StudySpec, store: Store, history: History, folder: Path, workers: int) -> StudySearcher:
    """The searcher of a study whose levels need not be measured."""
    driver = StudyDriver(Suggester(store), history, levels(spec), lambda record: None)
    folders = Folders(data=folder, cache=folder)
    return StudySearcher(driver, TrialSettings(spec, levels(spec), folders, lambda key: folder / "none"), workers)


def levels(spec: StudySpec) -> dict[str, Level]:
    """The levels of a study, with the noise rates that their names say."""
    return {cell.level: _level(spec, cell.noise) for cell in spec.cells()}


def _level(spec: StudySpec, noise: str) -> Level:
    return Level(
        dataset=spec.dataset.name,
        noise=noise,
        classes=2,
        train_size=1,
        validation_size=1,
        test_size=1,
        noise_rate=float(noise.rpartition("-")[2]),
        noise_rate_source="measured",
        symmetric=True,
        digest="",
    )


@contextmanager
def _timed(clock: Clock) -> Iterator[None]:
    with ExitStack() as stack:
        for part, places in PARTS.items():
            for owner, name in places:
                stack.enter_context(mock.patch.object(owner, name, clock.wrap(part, getattr(owner, name))))
        yield


def _memory(key: str) -> float:
    """MiB of this process, as Linux has it; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(key)), 0.0)


def _size(url: str) -> float:
    """Bytes of a database; 0 where it is not PostgreSQL."""
    engine = create_engine(url)
    with engine.connect() as connection:
        postgres = engine.dialect.name == "postgresql"
        found = connection.execute(text("select pg_database_size(current_database())")).scalar() if postgres else 0
    engine.dispose()
    return float(found or 0)


if __name__ == "__main__":
    main()

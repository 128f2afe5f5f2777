"""Does a trial cost more, the more trials there are? The first trials of a long study against its last.

5,000 trials that train nothing and report 12 metrics 10 times, over 5 noise levels, TPE, two at once: all of
`tosmooth run` on the embedded defaults (Optuna's journal file, history, MLflow on SQLite), in a fresh process.

    python tests/benchmarks/bench_growth.py [--trials 5000] [--window 500] [--repeats N] [--json FILE]

The confirmation is left out. A window's seconds are those between the ends of its first and its last trial, as Optuna
and the history have them; MLflow is written by a thread of the driver, whose time is in the windows as far as it keeps
the driver from its work. Shares are the time inside the calls, waiting for that thread included.
"""

import resource
import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import ours
from bench_overhead import PARTS
from empty_trial import EmptyTrial
from fresh import fresh
from harness import Measurement, arguments, report
from shares import Share, noted, timed

from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.trial_store import Job, Store

GROWTH = 1.3  # that the last trials may cost, times the first
OPTUNA = 30.0  # ms a trial that Optuna may take in the last window
MEMORY = 1024.0  # MiB that the driver may use


@dataclass(frozen=True, slots=True)
class Run:
    """One long study."""

    windows: list[float] = field(default_factory=list)  # ms a trial
    shares: list[dict[str, float]] = field(default_factory=list)  # the same of each part, a window each
    peak: float = 0.0  # MiB of the driver


def main() -> None:
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--trials", type=int, default=5000, help="of the searches together (%(default)s)")
    parser.add_argument("--window", type=int, default=500, help="trials of a window (%(default)s)")
    options = parser.parse_args()
    levels = len(load_study("twonorm").dataset.noise)
    changes = [f"search.trials={options.trials // levels}", "search.pruner=none", "resources.concurrent=2"]
    spec = load_study("twonorm", [*changes, "confirmation.seeds=1", "confirmation.finalists=1"])
    runs = [fresh(long_study, spec, options.window) for _ in range(options.repeats)]
    report(f"Cost of a trial in a study of {options.trials} trials", _measurements(runs, options.window), options.json)


def long_study(scratch: Path, spec: StudySpec, window: int) -> Run:
    """Run the study, and look at the clock whenever another `window` trials of the search have ended."""
    run, ended, seen = Run(), 0, dict.fromkeys(PARTS, 0.0)
    parts: dict[str, Share] = {}
    start = time.monotonic()

    def end(_: Store, job: Job, *__: Any) -> None:
        nonlocal ended, start
        ended += job.key.phase == "search"
        if job.key.phase == "search" and ended == 1:
            start = time.monotonic()  # what comes before is Ray's start
        if job.key.phase == "search" and ended % window == 0:
            now = time.monotonic()
            run.windows.append(1000 * (now - start) / (window - (ended == window)))
            run.shares.append({name: 1000 * (part.seconds - seen[name]) / window for name, part in parts.items()})
            seen.update({name: part.seconds for name, part in parts.items()})
            start = now

    with ExitStack() as stack:
        stack.enter_context(mock.patch("tosmooth.search.run.runner.TuneTrial", EmptyTrial))
        parts |= {name: stack.enter_context(timed(*place)) for name, place in PARTS.items()}
        stack.enter_context(noted(Store, "end", end))
        ours.run(spec, scratch / "home").complete()  # raises where MLflow lacks a trial
    return Run(run.windows, run.shares, _peak())


def _peak() -> float:
    """MiB that this process has had resident at most; `getrusage` would count its parent's, too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def _measurements(runs: list[Run], window: int) -> list[Measurement]:
    growth = [run.windows[-1] / run.windows[0] for run in runs]
    facts = {
        "last by first": f"{statistics.median(growth):.2f} (to be at most {GROWTH:g})",
        "all windows": ", ".join(f"{value:.0f}" for value in runs[-1].windows),
    }
    cost = {f"first {window}": [run.windows[0] for run in runs], f"last {window}": [run.windows[-1] for run in runs]}
    found = [Measurement(what="a trial's whole cost", unit="ms", values=cost, facts=facts)]
    for part in ("Optuna", "history", "MLflow"):
        sums = [[sum(v for name, v in share.items() if name.startswith(part)) for share in run.shares] for run in runs]
        values = {f"first {window}": [each[0] for each in sums], f"last {window}": [each[-1] for each in sums]}
        notes = {"to be under, in the last": f"{OPTUNA:g} ms"} if part == "Optuna" else {}
        found.append(Measurement(what=f"of it, {part}", unit="ms", values=values, facts=notes))
    rest = [_rest(run) for run in runs]
    values = {f"first {window}": [each[0] for each in rest], f"last {window}": [each[-1] for each in rest]}
    found.append(Measurement(what="of it, the rest: Tune and Ray", unit="ms", values=values))
    peaks = {"driver": [run.peak for run in runs]}
    limit = {"to be under": f"{MEMORY:g} MiB"}
    return [*found, Measurement(what="peak memory", unit="MiB", values=peaks, facts=limit)]


def _rest(run: Run) -> list[float]:
    """What is left of each window without Optuna and history, ms a trial; MLflow's thread runs beside."""
    known = [sum(v for name, v in share.items() if not name.startswith("MLflow")) for share in run.shares]
    return [whole - part for whole, part in zip(run.windows, known, strict=True)]


if __name__ == "__main__":
    main()

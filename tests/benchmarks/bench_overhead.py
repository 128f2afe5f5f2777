"""A trial's cost beyond its training: our platform against OptunaSearch + MLflowLoggerCallback, Tune's defaults.

Trials train nothing and report 12 metrics 10 times. Ours is all of `tosmooth run twonorm` on the embedded defaults
(Optuna's journal file, history, MLflow on SQLite); the other side keeps Optuna and MLflow on SQLite, with and without
`reuse_actors`. Each side runs in a fresh process, in turn, with as many trials at once.

    python tests/benchmarks/bench_overhead.py [--trials 100] [--concurrent 1 2] [--repeats N] [--json FILE]

Cost: the seconds from the end of the trial at 10 % to the last one's, by the number of trials between them, so that no
start counts. A trial has ended when Optuna and MLflow have all of it. Ours writes MLflow in a thread: the clock stops
when that has written the last trial, though it stood behind by some trials at the start of the span. Five noise levels
are one run for us; for the other side they are five Tune runs, whose spans are added, so that its starts do not count
either. Our trials include the few of the confirmation. With two trials at once it is still seconds by trials.
"""

import statistics
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import ours
import usual
from empty_trial import EmptyTrial
from fresh import fresh
from harness import OURS, Measurement, arguments, in_turn, report
from shares import timed
from usual_trials import empty

from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.history import History
from tosmooth.search.storage.trial_store import Store
from tosmooth.search.suggest.asking import Suggester
from tosmooth.search.tracking.runs import Runs

GOAL = 5.0
LIMIT = 0.15  # seconds a trial on an idle machine
PARTS = {
    "Optuna: sampler": (Suggester, "sampled"),  # with `add` all of `propose` that takes time
    "Optuna: add": (Store, "add"),
    "Optuna: report": (Store, "report"),
    "Optuna: should_prune": (Suggester, "should_prune"),
    "Optuna: end": (Store, "end"),
    "history: append": (History, "append"),
    "history: flush": (History, "flush"),
    "MLflow thread": (Runs, "write"),
}  # none within another
Shares = dict[str, tuple[float, float]]  # seconds and CPU seconds a trial


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--trials", type=int, default=100, help="trials of the searches together (%(default)s)")
    parser.add_argument("--concurrent", type=int, nargs="+", default=[1], help="trials at once (%(default)s)")
    options = parser.parse_args()
    measured = [measure(options.trials, concurrent, options.repeats) for concurrent in options.concurrent]
    report("Cost of a trial beyond its training", measured, options.json)


def measure(trials: int, concurrent: int, repeats: int) -> Measurement:
    """All sides with `concurrent` trials at once."""
    spec = _study(trials, concurrent)
    shares: list[Shares] = []

    def our_cost() -> float:
        cost, share = fresh(cost_of_ours, spec)
        shares.append(share)
        return cost

    sides = {
        OURS: our_cost,
        "usual, Tune's defaults": lambda: fresh(cost_of_usual, spec, concurrent, False),
        "usual, reuse_actors=True": lambda: fresh(cost_of_usual, spec, concurrent, True),
    }
    values = in_turn(sides, repeats)
    facts = {"trials a side": spec.budget * len(spec.cells()), "to be under, on an idle machine": f"{LIMIT} s"}
    what = f"cost of a trial, {concurrent} at once"
    goal = GOAL if concurrent == 1 else None
    return Measurement(
        what=what, unit="s", values=values, goal=goal, facts=facts | _medians(shares, statistics.median(values[OURS]))
    )


def cost_of_ours(scratch: Path, spec: StudySpec) -> tuple[float, Shares]:
    """Seconds a trial, and what of it each part takes."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch("tosmooth.search.run.runner.TuneTrial", EmptyTrial))
        parts = {name: stack.enter_context(timed(*place)) for name, place in PARTS.items()}
        ends = ours.run(spec, scratch / "home")
    times = sorted(ends.told.values())
    first = len(times) // 10
    shares = {name: (part.seconds / len(times), part.cpu_seconds / len(times)) for name, part in parts.items()}
    return (ends.complete() - times[first]) / (len(times) - 1 - first), shares


def cost_of_usual(scratch: Path, spec: StudySpec, concurrent: int, reuse_actors: bool) -> float:
    """The same on the usual platform, one noise level after the other."""
    space = usual.DefineByRun.of(spec)
    seconds, count = 0.0, 0
    with usual.local_ray():
        for noise in spec.dataset.noise:
            times, _ = usual.run(
                empty, space, noise, spec.budget, scratch, concurrent=concurrent, reuse_actors=reuse_actors
            )
            first = len(times) // 10
            seconds += times[-1] - times[first]
            count += len(times) - 1 - first
    return seconds / count


def _study(trials: int, concurrent: int) -> StudySpec:
    levels = len(load_study("twonorm").dataset.noise)
    changes = (f"search.trials={trials // levels}", "confirmation.seeds=1", "confirmation.finalists=1")
    return load_study("twonorm", [*changes, f"resources.concurrent={concurrent}"])


def _medians(shares: list[Shares], cost: float) -> dict[str, str]:
    """What of our cost each part takes, in words."""
    medians = {name: [statistics.median(each[name][i] for each in shares) for i in range(2)] for name in PARTS}
    facts = {f"of ours, {name}": f"{wall:.4f} s (CPU {cpu:.4f} s)" for name, (wall, cpu) in medians.items()}
    known = sum(wall for name, (wall, _) in medians.items() if name != "MLflow thread")
    return facts | {"of ours, the rest but for the MLflow thread: Tune and Ray": f"{cost - known:.4f} s"}


if __name__ == "__main__":
    main()

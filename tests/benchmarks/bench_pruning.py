"""What pruners save, and what they cost: searches replayed on recorded curves with and without each.

Its table is in docs/development/pruning-measured.md.

    python tests/benchmarks/bench_pruning.py [--study NAME] [--surface FILE] [--studies N] [--json FILE]

Every study sees three of the recorded seeds; the accuracy of what it chooses is the mean over the others. Proposals
come by chance (`sampler: random`), so that studies with and without a pruner try the same and differ in it alone.
`--sampler tpe` has the study's sampler, which other numbers send elsewhere: what is then seen is mostly luck.
"""

import math
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from harness import Measurement, arguments, report
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.trial import FrozenTrial, TrialState
from replay import replay
from surface import Surface
from surfaces import DATA, FAMILY

from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.cached_storage import PARAMS
from tosmooth.search.storage.frozen_records import DIVERGED
from tosmooth.search.suggest.pruners import LEAST, Grace, MedianOfBranches

SEEN = 3  # recorded seeds of a study
SPARE = 2  # for parameters that a sampler tries more often than that, as none does by chance
GOAL = 0.2  # points that pruning may cost
Make = Callable[[int], BasePruner]  # from the least epochs


@dataclass(frozen=True, slots=True)
class Tried(BasePruner):
    """Rules that were compared and not taken; each judges the last epoch alone.

    by: "epoch", the value against others at the same epoch; "age", at as many epochs after their warm-up; "like", at
    the same epoch after the same warm-up; "predicted", the value and the median gain from here to the end, plus
    `margin` robust standard deviations of that gain, against final values.
    """

    by: str
    margin: float = 0.0

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to stop the trial after its last report."""
        epoch, warmup = trial.last_step, trial.user_attrs[PARAMS]["warmup"]
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        others = [other for other in ended if not other.user_attrs.get(DIVERGED)]
        if epoch is None or len(others) < LEAST:
            return False
        now = trial.intermediate_values[epoch]
        if self.by == "like":
            others = [other for other in others if other.user_attrs[PARAMS]["warmup"] == warmup]
        values = np.array([self._value(other, epoch, epoch - warmup) for other in others])
        if len(values) < LEAST:
            return False
        if self.by != "predicted":
            return bool(now < np.median(values))
        finals = np.array([other.value for other in others])
        gains = finals - values
        spread = 1.4826 * np.median(np.abs(gains - np.median(gains)))
        return bool(now + np.median(gains) + self.margin * spread < np.median(finals))

    def _value(self, other: FrozenTrial, epoch: int, age: int) -> float:
        if self.by == "age":
            epoch = min(other.user_attrs[PARAMS]["warmup"] + age, max(other.intermediate_values))
        return other.intermediate_values[epoch]


VARIANTS: dict[str, Make] = {
    "none": lambda least: NopPruner(),
    "Optuna's median, same epoch": lambda least: MedianPruner(n_startup_trials=LEAST, n_warmup_steps=least),
    "median, same epoch, grace 1": lambda least: Grace(Tried("epoch"), least, 1),
    "median, same epoch, grace 2": lambda least: Grace(Tried("epoch"), least, 2),
    "median, same age of branch, grace 2": lambda least: Grace(Tried("age"), least, 2),
    "median, same warm-up, grace 2": lambda least: Grace(Tried("like"), least, 2),
    "predicted final value, grace 2": lambda least: Grace(Tried("predicted"), least, 2),
    "predicted, margin 1, grace 2": lambda least: Grace(Tried("predicted", 1.0), least, 2),
    "median, two epochs in a row, grace 2 (taken)": lambda least: Grace(MedianOfBranches(), least, 2),
    "median, two epochs in a row, grace 3": lambda least: Grace(MedianOfBranches(), least, 3),
}


def main() -> None:
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--study", default="twonorm", choices=FAMILY, help="a surface of the family (%(default)s)")
    parser.add_argument("--surface", type=Path, help="a Parquet file or a folder of parts (data/STUDY.parquet)")
    parser.add_argument("--studies", type=int, default=60, help="replayed, each with every pruner (%(default)s)")
    parser.add_argument("--trials", type=int, default=14, help="of each level (%(default)s)")
    parser.add_argument("--sampler", default="random", choices=("random", "tpe"))
    parser.add_argument("--readout", default="best", choices=("best", "posterior"))
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), help="pruners, `none` among them")
    options = parser.parse_args()
    path = options.surface or DATA / f"{options.study}.parquet"
    if not path.exists():
        sys.exit(f"{path} is not there: record_surface.py makes it")
    recorded = FAMILY[options.study]
    surface = Surface.read(path, recorded.classes)
    if len(surface.seeds) <= SEEN + SPARE:
        sys.exit(f"{path}: {len(surface.seeds)} seeds; {SEEN + SPARE} may be seen, and others are to judge")
    search = [f"search={{trials: {options.trials}, sampler: {options.sampler}, head_start: false}}"]
    chosen = ["confirmation={seeds: 1}", f"search.readout={options.readout}"]
    levels = [f"dataset.noise=[{', '.join(surface.noises)}]"]
    specs = [recorded.spec([*search, *chosen, *levels], seed=k) for k in range(options.studies)]
    found = {name: [_outcome(spec, surface, name) for spec in specs] for name in options.only}
    print(table(found, surface.noises))
    measurements = [_measurement(found, i, what, unit) for i, (what, unit) in enumerate(WHAT)]
    report(f"{options.studies} studies of {options.study} replayed, {options.sampler}", measurements, options.json)


WHAT = (("epochs trained", "of a level's search"), ("clean-test accuracy of the choice", "%"))
Outcome = list[tuple[float, float]]  # of each level: epochs, accuracy


def _outcome(spec: StudySpec, surface: Surface, name: str) -> Outcome:
    """One study with one pruner. Which seeds it sees is drawn from its own seed, the same for all pruners."""
    number = SEEN + (0 if spec.search.sampler == "random" else SPARE)
    seen = random.Random(spec.seed).sample(surface.seeds, number)
    fresh = [seed for seed in surface.seeds if seed not in seen]
    done = replay(spec, surface.restricted(seen), seen, pruner=VARIANTS[name](max(1, spec.training.epochs // 4)))
    outcome = []
    for cell in spec.cells():
        choice = done.choice(cell)
        accuracy = surface.truth(cell.noise, fresh).accuracy(choice) if choice else 100 / surface.classes
        outcome.append((float(done.epochs(cell)), accuracy))
    return outcome


def table(found: dict[str, list[Outcome]], noises: list[str]) -> str:
    """In Markdown: the share of epochs saved, and accuracy minus that without a pruner, with 95 % intervals."""
    base = np.array(found["none"])  # [studies, levels, 2]
    head = ["pruner", "epochs saved", "accuracy, all levels", *noises]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name, outcomes in found.items():
        values = np.array(outcomes)
        saved = 1 - values[..., 0].sum() / base[..., 0].sum()
        difference = values[..., 1] - base[..., 1]
        cells = [_interval(difference.mean(axis=1).tolist()), *(_interval(each.tolist()) for each in difference.T)]
        lines.append(f"| {name} | {100 * saved:.0f} % | {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(values: list[float]) -> str:
    """The mean, and half of its 95 % interval."""
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):+.2f} ± {half:.2f}"


def _measurement(found: dict[str, list[Outcome]], i: int, what: str, unit: str) -> Measurement:
    values = {
        name: [statistics.fmean(level[i] for level in one) for one in outcomes] for name, outcomes in found.items()
    }
    facts = {"pruning may cost": f"{GOAL:g} points"} if i == 1 else {}
    return Measurement(what=what, unit=unit, values=values, more_is_better=i == 1, facts=facts)


if __name__ == "__main__":
    main()

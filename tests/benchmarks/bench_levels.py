"""Accuracy of studies/cifar10n-fast.yaml's recipe on human labels, on a GPU: CE, LS and the two best of a few rates.

Run it alone: python tests/benchmarks/bench_levels.py [--repeats N] [--json FILE] [--data-dir DIR] [--seconds S]
On a bare machine with torch, torchvision, numpy, pyarrow and scikit-learn: PYTHONPATH=. before it.

On each level every rate of CANDIDATES trains once, and the two whose last epoch is best on the noisy validation go on:
they, CE and LS 0.1 train on fresh seeds, in turn, as many as there is time for, and these alone count. So no clean
label chooses a rate. Each run is tested after every epoch, and counted by three rules: its last epoch, the epoch that
is best on the noisy validation, and the one that is best on the test set, which nobody knows who has no clean labels.
The file has the numbers of every epoch, and is written after each run.
"""

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import torch
from bench_speedrun import NETWORK, RECIPE, recipe
from cifar import add_options, cifar10, cut
from harness import Measurement, arguments, keep, report
from scipy import stats

from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.networks.device import default_device
from tosmooth.trainables.training.process import prepare
from tosmooth.trainables.training.trainer import Report, train

LEVELS = ("aggre", "worst")
FIRST_SEED = 0  # chooses the rates; the seeds after it compare them
BEST = 2  # of the candidates
RULES = ("last epoch", "epoch best on the noisy validation", "epoch best on the test set (oracle)")


@dataclass(frozen=True, slots=True)
class Arm:
    """A smoothing rate, and the epochs of cross-entropy before it, of the recipe's."""

    rate: float
    warmup: int = 0

    @property
    def name(self) -> str:
        return f"r = {self.rate:g}" + (f" after {self.warmup} of {RECIPE.epochs} epochs" if self.warmup else "")

    def of(self, config: TrialConfig) -> TrialConfig:
        """A trial like `config`, by this arm; a shorter run has as short a warm-up."""
        return replace(config, rate=self.rate, warmup=self.warmup * config.training.epochs // RECIPE.epochs)


CE, LS = Arm(0.0), Arm(0.1)
# The paper's range from the first epoch on, and where the search begins: high or very negative, late.
CANDIDATES = (Arm(0.4), Arm(0.8), Arm(-0.4), Arm(0.6, 4), Arm(-1.0, 4), Arm(-4.0, 8))


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended, with the metrics of its epochs."""

    level: str
    arm: Arm
    seed: int
    seconds: float
    epochs: tuple[Mapping[str, float | None], ...]
    diverged: str | None

    def metrics(self, rule: str) -> Mapping[str, float | None]:
        """Those of the epoch that a rule picks, the first where several are as good."""
        if rule == RULES[0]:
            return self.epochs[-1]
        key = "val_accuracy" if rule == RULES[1] else "test_accuracy"
        return max(self.epochs, key=lambda epoch: epoch[key] or 0)

    def value(self, rule: str, metric: str = "test_accuracy") -> float:
        return float(self.metrics(rule)[metric] or 0)


class Levels:
    """The runs, and the file that is written after each."""

    def __init__(self, options: argparse.Namespace, config: TrialConfig, data: Mapping[str, LevelData]) -> None:
        self.options, self.config, self.data = options, config, data
        self.device = torch.device(options.device) if options.device else default_device()
        self.title = f"the recipe of cifar10n-fast on {self.device.type}"
        self.facts: dict[str, Any] = {}
        self.runs: list[Run] = []
        self.end = time.monotonic() + options.seconds

    def run(self) -> None:
        """Train all of the first seed, then what there is time for."""
        for arm, level in product((CE, LS, *CANDIDATES), self.data):
            self.train(arm, level, FIRST_SEED)
        for seed, level in product(range(FIRST_SEED + 1, FIRST_SEED + 1 + self.options.repeats), self.data):
            for arm in self.compared(level):
                if time.monotonic() + max(each.seconds for each in self.runs) > self.end:
                    self.facts["stopped"] = f"at seed {seed}: the {self.options.seconds:g} s were over"
                    return
                self.train(arm, level, seed)

    def train(self, arm: Arm, level: str, seed: int) -> None:
        config, reports, start = arm.of(self.config), list[Report](), time.perf_counter()
        config = replace(config, data=replace(config.data, noise=level), train_seed=seed)
        train(config, self.data[level], reports.append, self.device)
        epochs = tuple(each.metrics for each in reports)
        self.runs.append(Run(level, arm, seed, time.perf_counter() - start, epochs, reports[-1].diverged))
        details = [asdict(each) for each in self.runs]
        keep(self.title, self.measurements(), self.options.json, runs=details)

    def compared(self, level: str) -> tuple[Arm, ...]:
        """CE, LS and the best of the candidates by the noisy validation of the first seed."""
        scores = {arm: self.of(level, arm)[0].value(RULES[0], "val_accuracy") for arm in CANDIDATES}
        return (CE, LS, *sorted(scores, key=lambda arm: -scores[arm])[:BEST])

    def of(self, level: str, arm: Arm) -> list[Run]:
        return [each for each in self.runs if (each.level, each.arm) == (level, arm)]

    def measurements(self) -> list[Measurement]:
        """What the fresh seeds say, of those that all arms of a level have trained on."""
        found = []
        for level in self.data:
            if any(not self.of(level, arm) for arm in (CE, LS, *CANDIDATES)):
                continue
            chosen = {arm.name: self.of(level, arm) for arm in self.compared(level)}
            seeds = min(map(len, chosen.values())) - 1
            if seeds >= 1:
                found += self._of_level(level, {arm: runs[1 : 1 + seeds] for arm, runs in chosen.items()})
        seconds = {level: [run.seconds for run in self.runs if run.level == level] for level in self.data}
        runs = {level: each for level, each in seconds.items() if each}
        return [*found, Measurement(what="a run", unit="s", values=runs, facts=self.facts)]

    def _of_level(self, level: str, chosen: Mapping[str, Sequence[Run]]) -> list[Measurement]:
        found = []
        for rule in RULES:
            values = {arm: [run.value(rule) for run in runs] for arm, runs in chosen.items()}
            ce, *others = values
            gains = {arm: [a - b for a, b in zip(values[arm], values[ce], strict=True)] for arm in others}
            facts = {f"{arm}, less {ce}": interval(gains[arm]) for arm in others}
            what = f"{level}: test accuracy, {rule}"
            found.append(Measurement(what=what, unit="percent", values=values, more_is_better=True, facts=facts))
        metric = "train_accuracy_flipped"
        values = {arm: [run.value(RULES[0], metric) for run in runs] for arm, runs in chosen.items()}
        return [*found, Measurement(what=f"{level}: wrong labels that were learnt", unit="percent", values=values)]


def interval(values: Sequence[float]) -> str:
    """Mean with its 95 % interval by Student's t, where there are two values or more."""
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:+.2f}, one seed"
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}], 95 %, {len(values)} seeds"


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    add_options(parser)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="[a GPU; without one, nothing is measured]")
    parser.add_argument("--seconds", type=float, default=600, metavar="S", help="no new run after these [%(default)s]")
    parser.add_argument("--levels", nargs="+", default=LEVELS, metavar="LEVEL", help="[aggre worst]")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs, metavar="N", help="[%(default)s]")
    parser.add_argument("--width", type=int, default=NETWORK.width, metavar="N", help="of the network [%(default)s]")
    parser.add_argument("--size", type=int, metavar="N", help="training images [all]")
    options = parser.parse_args()
    if options.device is None and default_device().type == "cpu":
        print("There is no GPU here, so no level is measured; `--device cpu` tries it out.")
        return
    prepare()
    with cifar10(options) as pictures:
        network, training = replace(NETWORK, width=options.width), replace(recipe(options.epochs), test_every=1)
        config = TrialConfig(data=cut(pictures.config, options.size), network=network, training=training)
        levels = {level: replace(config.data, noise=level) for level in options.levels}
        data = {level: load_level(each, pictures.folders) for level, each in levels.items()}
        found = Levels(options, config, data)
        found.facts["data"] = pictures.about.partition(",")[0]
        found.run()
    report(found.title, found.measurements(), options.json, runs=[asdict(each) for each in found.runs])


if __name__ == "__main__":
    main()

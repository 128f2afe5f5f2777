"""The family of recorded surfaces: studies small enough that every point of a grid was trained, many seeds each.

They differ in data, noise, network, optimizer, recipe and length, so that a figure about the search is one about more
than the data it was tuned on. `record_surface.py NAME` makes each; the file lies in `data/`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.study import StudySpec

DATA = Path(__file__).with_name("data")
GRID = (0.8, 0.6, 0.4, 0.2, 0.0, -0.2, -0.4, -0.6, -0.8, -1.0, -2.0, -4.0, -6.0, -8.0)  # the paper's, for CIFAR
RATES = (*GRID, 0.1)  # and what every search tries
BETWEEN = (0.7, 0.3, -0.1, -0.5, -1.4, -3.0, -5.0, -7.0)  # to check what is interpolated
CHOSEN = ("rate", "warmup")
FACTOR = "lr_after_warmup"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A study whose every point was trained: one of tosmooth's own, with changes, on a grid of its space."""

    study: str
    classes: int
    warmups: tuple[int, ...]
    seeds: int
    changes: tuple[str, ...] = ()
    factors: tuple[float, ...] = ()  # of `lr_after_warmup`, where it is searched, too
    judges: bool = False  # recorded when all else was chosen: nothing is tuned on it

    def spec(self, changes: Sequence[str] = (), seed: int | None = None) -> StudySpec:
        """The study, of whose space only what was recorded is left."""
        kept = (*CHOSEN, FACTOR) if self.factors else CHOSEN
        others = [key for key in load_study(self.study).space if key not in kept]
        return load_study(self.study, [*(f"space.{key}=null" for key in others), *self.changes, *changes], seed=seed)


def _changed(name: str, noise: Sequence[str], warmups: Sequence[int], *changes: str) -> tuple[str, ...]:
    levels, high = f"dataset.noise=[{','.join(noise)}]", f"space.warmup={{low: 0, high: {max(warmups)}}}"
    return (f"name={name}", levels, high, "search={sampler: posterior, trials: 12}", *changes)


def _family() -> dict[str, Recorded]:
    adamw = "training.optimizer={name: adamw, lr: 0.003, weight_decay: 0.01}"
    tabular = ("dataset.size=6000", "dataset.validation_fraction=0.5", "dataset.test_size=5000")
    two_phase = ("training.recipe=two-phase", "training.second_optimizer={name: sgd, lr: 0.01, momentum: 0.9}")
    short, long = (0, 1, 2), (0, 7, 15)
    found = {
        "twonorm": Recorded("twonorm", 2, short, 8),
        "ringnorm": Recorded("twonorm", 2, short, 8, ("name=ringnorm", "dataset.name=ringnorm")),
        "cifar10n-cpu": Recorded("cifar10n-cpu", 10, (0, 4, 8), 5),
    }
    more = {  # name: (study, classes, warm-ups, seeds, levels, changes)
        "waveform": ("twonorm", 3, short, 10, ("clean", "symmetric-0.2", "symmetric-0.4", "symmetric-0.6"),
                     ("dataset.name=waveform", *tabular)),
        "waveform-instance": ("twonorm", 3, (0, 2, 5), 10, ("instance-0.1", "instance-0.2", "instance-0.4"),
                              ("dataset.name=waveform", *tabular, adamw)),
        "twonorm-two-phase": ("twonorm", 2, (2, 5, 8), 10, ("symmetric-0.1", "symmetric-0.3"),
                              (*tabular, *two_phase)),
        "digits": ("digits", 10, long, 12, ("symmetric-0.3", "symmetric-0.6", "pairflip-0.3"), ()),
        "digits-wide-adamw": ("digits", 10, (0, 5, 10), 12, ("clean", "symmetric-0.2", "symmetric-0.5", "pairflip-0.4"),
                              ("network.width=128", adamw)),
        "digits-memorised": ("digits", 10, (0, 10, 40), 9, ("symmetric-0.2", "symmetric-0.4", "pairflip-0.2"),
                             ("network.width=256", "training.epochs=50", "training.schedule={name: constant}")),
        "breast-cancer": ("digits", 2, long, 12, ("clean", "symmetric-0.1", "symmetric-0.2", "symmetric-0.3"),
                          ("dataset.name=breast_cancer", "training.optimizer.lr=0.02")),
        "wine": ("digits", 3, (0, 10, 20), 12, ("symmetric-0.2", "symmetric-0.4", "instance-0.2"),
                 ("dataset.name=wine", "dataset.validation_fraction=0.4", "training.epochs=30", adamw)),
        "cifar10-small": ("cifar10n-cpu", 10, (0, 2, 5), 8, ("symmetric-0.2", "symmetric-0.5"),
                          ("dataset.name=cifar10", "dataset.size=2500", "dataset.test_size=2000",
                           "dataset.validation_fraction=0.2", "network.width=16", "training.epochs=8",
                           "training.test_every=8")),
    }  # fmt: skip
    head = ("dataset.size=10000", "dataset.validation_fraction=0.2", "training.test_every=10")
    more["cifar10n-head"] = ("cifar10n-features", 10, (0, 4, 8), 8, ("worst", "symmetric-0.4", "pairflip-0.4"), head)
    for name, (study, classes, warmups, seeds, noise, changes) in more.items():
        judges = name == "cifar10n-head"
        found[name] = Recorded(study, classes, warmups, seeds, _changed(name, noise, warmups, *changes), judges=judges)
    searched, factors = "space.lr_after_warmup={low: 0.01, high: 1, scale: log}", (0.01, 0.1, 1.0)
    with_factor = {
        "digits-factor": ("digits", 10, ("symmetric-0.4", "pairflip-0.2"), ()),
        "breast-cancer-factor": ("digits", 2, ("symmetric-0.1", "symmetric-0.3"),
                                 ("dataset.name=breast_cancer", "network.depth=2")),
    }  # fmt: skip
    for name, (study, classes, noise, changes) in with_factor.items():
        found[name] = Recorded(study, classes, long, 9, _changed(name, noise, long, *changes, searched), factors)
    return found


FAMILY = _family()

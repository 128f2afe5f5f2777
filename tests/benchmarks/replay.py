"""Runs the search of a study on recorded curves: the real driver and store, with answers instead of training."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from surface import Surface

from tosmooth.search.records import Cell, Level, Metrics, Record, TrialKey
from tosmooth.search.run.study_driver import StudyDriver
from tosmooth.search.selection.choice import chosen
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.history import History
from tosmooth.search.storage.trial_store import Job, Store
from tosmooth.search.suggest.asking import Suggester
from tosmooth.trainables.checkpointing.layout import lengths

HUMAN = {"clean": 0.0, "aggre": 0.0901, "worst": 0.40208}  # noise rates of CIFAR-10N (Wei et al. 2022)


class OutOfSeedsError(ValueError):
    """A study wants one more seed of some parameters than were recorded."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replayed search left."""

    spec: StudySpec
    records: list[Record]  # of the search, and of the confirmation as far as it was answered
    classes: int
    seen: Mapping[Cell, Sequence[int]]  # recorded seeds that answered

    def of(self, cell: Cell) -> list[Record]:
        """The runs of a cell."""
        return [r for r in self.records if (r.level, r.method) == cell]

    def choice(self, cell: Cell) -> Params | None:
        """The parameters that the study chooses for a cell, by its readout; `None` where no trial completed."""
        return chosen(MethodSpec.of(self.spec, "gls"), self.of(cell))

    def epochs(self, cell: Cell) -> int:
        """Epochs trained for a cell until its choice is made, without those that trunks spared.

        Those of the search, and of a finalist that was not chosen: the rest of the confirmation every search needs.
        """
        best = self.choice(cell)
        baselines = MethodSpec.of(self.spec, "gls").baselines(best)
        needed = (best, baselines.ce, baselines.ls)
        return sum(r.trained for r in self.of(cell) if r.phase == "search" or r.params not in needed)


def replay(
    spec: StudySpec,
    surface: Surface,
    seeds: Sequence[int],
    confirming: Sequence[int] = (),
    pruner: BasePruner | None = None,
    slots: int = 1,
) -> Replayed:
    """Run the search of a study whose levels are all on the surface, and its confirmation where there are seeds for it.

    seeds: the recorded ones that answer; within a cell each training seed gets the next of them. Parameters that come
    again beyond `search.training_seeds` get further training seeds: give more recorded ones for these. Raises
    `ValueError` where they run out, since a run answered twice alike would be a copy.
    confirming: the recorded seeds that answer the confirmation, as many as the study's fresh ones; none: there is none.
    pruner: instead of the study's. slots: trials at once, which take turns epoch by epoch.
    """
    with _quiet():
        store, history = Store(spec, InMemoryStorage()), MemoryHistory()
        levels = {cell.level: _level(spec, cell, surface.classes) for cell in spec.cells()}
        driver = StudyDriver(Suggester(store, pruner), history, levels, lambda record: None)
        answers = _Answers(spec, surface, list(seeds), dict(zip(spec.confirmation_seeds(), confirming, strict=False)))
        _drive(driver, answers, slots)
        records = [r for r in store.records(history.read) if r.key.phase == "search" or confirming]
    return Replayed(
        spec, records, surface.classes, {cell: list(given.values()) for cell, given in answers.given.items()}
    )


class MemoryHistory(History):
    """A history that keeps its curves and writes nothing."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self._kept: dict[TrialKey, list[Metrics]] = defaultdict(list)

    def append(self, key: TrialKey, epoch: int, metrics: Metrics) -> Metrics:
        """Add what a trial reported."""
        self._kept[key][epoch - 1 :] = [metrics]
        return metrics

    def flush(self) -> None:
        """Nothing is on its way."""

    def read(self) -> dict[TrialKey, tuple[Metrics, ...]]:
        """The curve of every trial."""
        return {key: tuple(curve) for key, curve in self._kept.items()}


@dataclass(slots=True)
class _Trial:
    """A run that is being answered."""

    cell: Cell
    curve: tuple[float, ...]
    diverged: bool
    test: float
    kept: set[int]  # lengths of the trunk that it shares with others
    plain: int  # epochs that it trains as cross-entropy does
    spared: int
    epoch: int = 0


@dataclass(slots=True)
class _Answers:
    """What trials report, and which trunks there are."""

    spec: StudySpec
    surface: Surface
    seeds: list[int]
    confirming: dict[int, int] = field(default_factory=dict)  # fresh training seed -> recorded
    given: dict[Cell, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))  # training seed -> recorded
    trunks: dict[tuple[Cell, int], set[int]] = field(default_factory=lambda: defaultdict(set))

    def start(self, cell: Cell, params: Mapping[str, Any], train_seed: int) -> _Trial:
        """A run with these parameters."""
        seed = self._recorded(cell, params, train_seed)
        curve, diverged, test = self.surface.curve(cell.noise, params, seed)
        kept = self.trunks[cell, train_seed] if self.spec.trunks.share else set()
        never = params["rate"] == 0 and params.get("lr_after_warmup", 1) == 1 and self.spec.training.recipe == "single"
        plain = self.surface.epochs if never else int(params["warmup"])  # nothing changes after the warm-up
        spared = max((length for length in kept if length <= plain), default=0)
        return _Trial(cell, curve, diverged, test, kept, plain, spared)

    def _recorded(self, cell: Cell, params: Mapping[str, Any], train_seed: int) -> int:
        """The recorded seed that stands for a training seed."""
        if train_seed in self.confirming:
            return self.confirming[train_seed]
        given = self.given[cell]
        if train_seed not in given:
            if len(given) == len(self.seeds):
                raise OutOfSeedsError(
                    f"{cell.key}: no recorded seed is left of {self.seeds} for {dict(params)}; give more"
                )
            given[train_seed] = self.seeds[len(given)]
        return given[train_seed]

    def report(self, trial: _Trial) -> dict[str, Any]:
        """Its next epoch."""
        trial.epoch += 1
        done = trial.epoch == len(trial.curve)
        if trial.epoch <= trial.plain and trial.epoch in self.lengths:
            trial.kept.add(trial.epoch)
        metrics: Metrics = {
            "val_accuracy": trial.curve[trial.epoch - 1],
            "test_accuracy": trial.test if done else None,  # only the last epoch's was recorded
            "spared": float(trial.epoch <= trial.spared),
            "seconds": float(trial.epoch > trial.spared),
        }
        state = ("diverged" if trial.diverged else "complete") if done else "running"
        reason = f"recorded to diverge in epoch {trial.epoch}" if done and trial.diverged else ""
        return {"epoch": trial.epoch, "metrics": list(metrics.items()), "state": state, "reason": reason, "done": done}

    @property
    def lengths(self) -> frozenset[int]:
        """The trunks that the study keeps."""
        return lengths(self.spec.space["warmup"].points())


def _drive(driver: StudyDriver, answers: _Answers, slots: int) -> None:
    """Run the trials that a driver starts, `slots` at once, until its search is over."""
    running: dict[TrialKey, tuple[Job, _Trial]] = {}
    for _ in range(1_000_000):
        job = driver.start() if len(running) < slots else None
        if job is None:
            if not running:
                return
            for started, trial in list(running.values()):
                if _step(driver, started, answers.report(trial)):
                    del running[started.key]
        elif job.key.phase == "search" or answers.confirming:
            running[job.key] = job, answers.start(job.cell, job.params, job.train_seed)
        # else a confirmation run, which is never answered: there are no seeds for it
    raise AssertionError("the study does not end")


def _step(driver: StudyDriver, job: Job, result: dict[str, Any]) -> bool:
    """One epoch of one trial; returns whether it is over."""
    driver.report(job, result["epoch"], dict(result["metrics"]))
    if result["done"]:
        driver.end(job, result["state"], result["reason"])
    elif driver.suggester.should_prune(job, result["epoch"]):
        driver.end(job, "pruned")
    else:
        return False
    return True


def noise_rate(noise: str) -> float:
    """The share of wrong labels of a level: CIFAR-N's as published, of synthetic noise what its name says."""
    return HUMAN[noise] if noise in HUMAN else float(noise.rpartition("-")[2])


def _level(spec: StudySpec, cell: Cell, classes: int) -> Level:
    return Level(
        dataset=spec.dataset.name,
        noise=cell.noise,
        classes=classes,
        train_size=1,
        validation_size=1,
        test_size=1,
        noise_rate=noise_rate(cell.noise),
        noise_rate_source="measured",
        symmetric=cell.noise.startswith("symmetric"),
        digest="",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's word on every trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)

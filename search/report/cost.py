"""Cost of a study before it is run, at most: trials, epochs, time on this machine, and disk space."""

from dataclasses import dataclass

from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import method_of
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.checkpointing.layout import lengths
from tosmooth.trainables.methods import METHODS

START_SECONDS = 15.0  # Ray's start, the workers' imports, table and pictures
TRIAL_SECONDS = 0.1  # around a trial (docs/development/performance.md)
RECORD_BYTES = 5000  # of an epoch in journal, history and MLflow's database
BASE_BYTES = 3_000_000  # of that database when it is empty, and of tables and pictures
LONG = 30 * 24 * 3600.0  # seconds beyond which a study is warned of
MANY = 10_000_000  # and epochs, however short
LESS = "lower search.trials, confirmation.seeds or training.epochs, unless you mean it"
UNITS = (("years", 365 * 24 * 3600.0), ("days", 24 * 3600.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


@dataclass(frozen=True, slots=True)
class Pace:
    """Measures of a run on the study's own data, by a few steps on this CPU (`trainables.training.timing`)."""

    epoch_seconds: float
    state_bytes: int
    network_bytes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Most that a study takes. `None`: not known."""

    confirmation_runs: int  # fewer where cross-entropy is the best, or under `auto`
    epochs: int  # fewer where trials share their warm-up
    seconds: float | None
    disk_bytes: float | None  # in the home, or, of warm-ups, where `trunks.folder` says
    at_once: int | None  # trials
    why_not: str = ""  # the time is not known

    @property
    def time(self) -> str:
        """Expected time in words."""
        if self.seconds is None:
            return f"time not estimated: {self.why_not}"
        trials = "1 trial" if self.at_once == 1 else f"{self.at_once} trials"
        return f"at most about {duration(self.seconds)} of training on this machine's CPUs when idle, {trials} at once"

    @property
    def warning(self) -> str:
        """Words on a budget that no one means; "" where it is none."""
        long = self.epochs > MANY or (self.seconds is not None and self.seconds > LONG)
        return f"budget: at most {self.epochs:,} epochs of training, {self.time}: {LESS}" if long else ""


def cost_of(spec: StudySpec, pace: Pace | None, at_once: int | None, why_not: str = "") -> Cost:
    """Estimate the cost of a study. `at_once`: trials on this machine; `why_not`: the reason if its time is unknown."""
    searched, confirmed = spec.budget * len(spec.cells()), _confirmation_runs(spec)
    epochs = (searched + confirmed) * spec.training.epochs
    seconds = None
    if pace is not None and at_once and not why_not:
        seconds = START_SECONDS + (epochs * pace.epoch_seconds + (searched + confirmed) * TRIAL_SECONDS) / at_once
    disk = None if pace is None else _trunk_bytes(spec, pace) + _kept_bytes(spec, pace, confirmed, epochs)
    return Cost(confirmed, epochs, seconds, disk, at_once, "" if seconds is not None else why_not or "not measured")


def _confirmation_runs(spec: StudySpec) -> int:
    confirmation = spec.confirmation
    first = MethodSpec.of(spec, spec.method[0])
    baselines = 2 * len(spec.dataset.noise) * first.is_compared  # of a level's first method: they are common to all
    return confirmation.most_seeds * (confirmation.most_finalists * len(spec.cells()) + baselines)


def _trunk_bytes(spec: StudySpec, pace: Pace) -> float:
    """Bytes of the warm-ups that trials share: for each level and training seed a state of each length."""
    if not spec.trunks.share:
        return 0
    pool = spec.search.training_seeds
    own = any("." in name and method_of(name) is None for name in spec.space)  # the recipe is searched, too
    sharing = sum(not METHODS[method].from_start for method in spec.method)
    runs = spec.budget * sharing if own else 0 if pool == "own" else min(pool, spec.budget * sharing)
    confirmed = spec.confirmation.most_seeds * (1 + sharing * spec.confirmation.most_finalists if own else 1)
    states = len(lengths(spec.space["warmup"].points())) * (runs + confirmed) * len(spec.dataset.noise)
    return min(states * pace.state_bytes, spec.trunks.most_gb * 1e9)


def _kept_bytes(spec: StudySpec, pace: Pace, confirmed: int, epochs: int) -> float:
    kept = confirmed if spec.confirmation.keep_weights == "all" else confirmed // spec.confirmation.most_seeds
    return BASE_BYTES + RECORD_BYTES * epochs + kept * pace.network_bytes


def counted(number: int, noun: str) -> str:
    """Write a number of things, of one in the singular."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Time in the unit that fits."""
    unit, length = next(((u, n) for u, n in UNITS if seconds >= 1.5 * n), UNITS[-1])
    return f"{seconds / length:,.0f} {unit}"


def space(size: float) -> str:
    """Disk space in the unit that fits."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if size >= length:
            return f"{size / length:,.1f} {unit}" if size < 10 * length else f"{size / length:,.0f} {unit}"
    return f"{size / 1e3:.0f} kB"

"""Records of trials, plain: selection, tables, plots and MLflow read them. Parquet in and out.

A record joins what Optuna's storage says of a trial (parameters, seed, state) with what the history says of its epochs.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tosmooth.trainables.former_words import renewed


class Cell(NamedTuple):
    """Noise level and method: one row of the table."""

    level: str  # "cifar10n/worst"
    method: str  # "gls", "peer", ...

    @property
    def noise(self) -> str:
        return self.level.partition("/")[2]

    @property
    def key(self) -> str:
        """Name of the cell in storages, seeds and messages: "cifar10n/worst/gls"."""
        return f"{self.level}/{self.method}"


Phase = Literal["search", "confirmation"]
Rule = Literal["last", "best"]  # the last epoch, or that of the highest score by noisy validation
Measure = Literal["accuracy", "balanced_accuracy", "macro_f1"]
MEASURES: dict[str, str] = {  # in words
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}
State = Literal["running", "complete", "pruned", "diverged", "failed"]
PHASES: tuple[Phase, ...] = ("search", "confirmation")
ENDED: tuple[State, ...] = ("complete", "pruned", "diverged")  # what counts towards the budget

# Fields of a record that are columns of a file as they are.
PLAIN = (
    *("study", "level", "method", "trained_as", "phase", "number"),
    *("state", "train_seed", "seconds", "attempts", "reason"),
)

# One epoch's metrics as a trial reports them. Accuracies in percent, losses in nats; ece, brier and confidences as
# fractions. `None` where the data has no clean test set, and for a non-finite number.
Metrics = dict[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Facts about a noise level that are known before anything is trained."""

    dataset: str  # "cifar10n"
    noise: str  # "worst"
    classes: int
    train_size: int
    validation_size: int
    test_size: int  # 0 where there is no test set
    noise_rate: float | None  # share of wrong labels, in [0, 1]; None where clean labels are unknown
    noise_rate_source: str  # "measured", or "" where it is unknown
    symmetric: bool  # whether the noise is symmetric by construction, as the theory assumes
    digest: str  # of the arrays it trains on
    # What a row must say of the data. Levels that were measured before these were do without.
    copies: float = 0.0  # share of the training and validation examples that equal an earlier one, in [0, 1]
    shared: float = 0.0  # share of the validation examples that equal a training example
    test_shared: float = 0.0  # likewise of the test set
    commonest: float = 0.0  # share of the most frequent label in the validation
    test_commonest: float = 0.0  # likewise in the test set
    balanced_size: float = 0.0  # validation examples of equal classes that would tell balanced accuracy as closely
    untrained: str = ""  # classes that have no training example, such as "3, 8"
    class_names: tuple[str, ...] = ()  # of a user's own data; otherwise classes are called by their numbers
    class_counts: tuple[int, ...] = ()  # examples of each class in training and validation, by the level's labels
    clean_rows: int | None = None  # examples by which the noise rate is measured; None: by all
    clean_validation: bool = False  # the validation has clean labels
    remarks: tuple[str, ...] = ()  # what was done to the data: notes of each row
    weights: str = ""  # SHA-256 of the weights that the study's network begins with, where there are some

    def __post_init__(self) -> None:
        for key in ("class_names", "class_counts", "remarks"):  # lists where JSON was read
            object.__setattr__(self, key, tuple(getattr(self, key)))

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.noise}"

    @property
    def identity(self) -> str:
        """Digest of the data, and the SHA-256 of the weights where there are some."""
        return f"{self.digest} {self.weights}".rstrip()

    def name_of(self, k: int) -> str:
        """Name of class `k`."""
        return self.class_names[k] if self.class_names else f"class {k}"


class TrialKey(NamedTuple):
    """Identity of a trial within its study."""

    level: str
    method: str
    phase: Phase
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Record of one trial. Its identity is its study and `key`."""

    study: str
    level: str  # "cifar10n/worst"
    method: str  # "gls"
    phase: Phase
    number: int
    state: State
    params: dict[
        str, Any
    ]  # "rate", "warmup", and what else the space searches ("lr_after_warmup", "training.batch_size")
    train_seed: int
    curve: tuple[Metrics, ...] = field(default=())  # one entry an epoch, in order; entry i is epoch i + 1
    seconds: float = 0.0  # spent training
    attempts: int = 1  # times it was started
    reason: str = ""  # why it failed, or where it diverged and at what value
    trained_as: str = ""  # method of its loss where that is not the cell's: "gls", a baseline beside another method

    @property
    def key(self) -> TrialKey:
        """Identity of the trial within its study."""
        return TrialKey(self.level, self.method, self.phase, self.number)

    @property
    def loss(self) -> str:
        """Method of its loss."""
        return self.trained_as or self.method

    @property
    def epochs(self) -> int:
        """Epochs reported: trained, or spared by a trunk."""
        return len(self.curve)

    @property
    def spared(self) -> int:
        """Epochs of the curve that a trunk spared the trial."""
        return sum(bool(metrics.get("spared")) for metrics in self.curve)

    @property
    def trained(self) -> int:
        """Epochs of the curve that the trial trained itself."""
        return self.epochs - self.spared

    def last(self, metric: str) -> float | None:
        """Metric at the last epoch; `None` where it has none."""
        return self.curve[-1].get(metric) if self.curve else None


class Score(NamedTuple):
    """What a trial is judged by, and configurations are compared by: the one place that names these metrics."""

    measure: Measure = "accuracy"
    epoch: Rule = "last"

    @property
    def words(self) -> str:
        return MEASURES[self.measure]

    @property
    def plain(self) -> bool:
        """True if it is accuracy, as everywhere where nothing else is said."""
        return self.measure == "accuracy"

    @property
    def validation(self) -> str:
        """Metric of the noisy validation that scores a trial."""
        return f"val_{self.measure}"

    def compared(self, level: Level) -> str:
        """Metric by which a gain is told: on the clean test set, where there is none on the noisy validation."""
        return f"test_{self.measure}" if level.test_size else self.validation

    def of(self, record: Record) -> float | None:
        """Score of a trial in percent; `None` where it has none."""
        return self.at(record, self.validation)

    def at(self, record: Record, metric: str) -> float | None:
        """Metric at the epoch that scores the trial."""
        return at_epoch(record, metric, self.epoch, self.validation)


def best_epoch(record: Record, by: str = "val_accuracy") -> int | None:
    """First epoch (from 1) at which the metric `by` is highest; `None` where it was never reported."""
    values = [metrics.get(by) for metrics in record.curve]
    known = [value for value in values if value is not None]
    return values.index(max(known)) + 1 if known else None


def at_epoch(record: Record, metric: str, rule: Rule, by: str = "val_accuracy") -> float | None:
    """Metric by the epoch's `rule`: at the last one, or at that where the metric `by` is highest."""
    if rule == "last":
        return record.last(metric)
    epoch = best_epoch(record, by)
    return record.curve[epoch - 1].get(metric) if epoch else None


def to_parquet(records: Sequence[Record]) -> bytes:
    """Write one row a trial; `params` and `curve` as JSON text, the last epoch's metrics as columns of their own.

    `trained_as` is the method of the loss; `epochs` are those reported, `spared` how many of them a trunk spared.
    """
    metrics = sorted({key for record in records for key in (record.curve[-1] if record.curve else ())})
    columns: dict[str, list[Any]] = {name: [getattr(r, name) for r in records] for name in PLAIN}
    columns["trained_as"] = [record.loss for record in records]
    columns |= {name: [getattr(record, name) for record in records] for name in ("epochs", "spared")}
    columns |= {f"last_{name}": [record.last(name) for record in records] for name in metrics}
    columns["params"] = [json.dumps(record.params) for record in records]
    columns["curve"] = [json.dumps(record.curve) for record in records]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, write_page_checksum=True)
    return buffer.getvalue()


def read_parquet(path: Path) -> list[Record]:
    """Read the records that `to_parquet` wrote, in this version or before."""
    return [_record(row) for row in pq.read_table(path, page_checksum_verification=True).to_pylist()]


def _record(row: Mapping[str, Any]) -> Record:
    params = renewed(json.loads(row["params"]))
    trained_as = row.get("trained_as", params.pop("method", row["method"]))  # stood there before
    plain = {name: row[name] for name in PLAIN if name in row}
    plain["trained_as"] = "" if trained_as == row["method"] else trained_as
    return Record(**plain, params=params, curve=tuple(json.loads(row["curve"])))


def of_cell(cell: Cell, records: Sequence[Record]) -> list[Record]:
    """Records of one cell."""
    return [record for record in records if (record.level, record.method) == cell]

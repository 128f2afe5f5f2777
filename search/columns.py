"""Columns of the tables, each declared once: rows, files, the terminal, MLflow and the documentation read that.

Those of the best-rate table annotate the fields of `search.report.row.Row`; those of the trials are `TRIAL` here.
"""

import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from tosmooth.search.records import Record, at_epoch, best_epoch

DIGITS = 8  # significant ones of a measured number in a file: more than any measurement has


@dataclass(frozen=True, slots=True)
class Column:
    """Column of a table. As the annotation of a field it has that field's name and type."""

    says: str  # to a reader of the table; Markdown
    name: str = ""
    kind: type = float  # str, int or float; unknown values are None, or "" of a text
    unit: str = ""  # "%", "epochs", ...; "": a text, a count or a plain number
    decimals: int | None = None  # of a float that is to be read; None: three significant digits
    heading: str = ""  # over it on the terminal, which has room for some columns alone
    wraps: bool = False  # a long text: it must wrap, or it pushes a table off the page
    exact: bool = False  # a hyperparameter: a file has all digits, which train the same again

    def written(self, value: object) -> object:
        """Value as a file of text has it: measured numbers without the digits that floating point adds."""
        return value if self.exact else meaningful(value)

    def text(self, value: object) -> str:
        """Value rounded to be read; "" where it is unknown."""
        if not isinstance(value, float):
            return "" if value is None else str(value)
        return short(value) if self.decimals is None else fixed(value, self.decimals)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialColumn(Column):
    """Column of the table of trials, with how it is read from a record."""

    read: Callable[[Record], Any]


def columns_of(table: type) -> dict[str, Column]:
    """Columns of a dataclass whose fields are annotated with them, by name and in order."""
    hints = typing.get_type_hints(table, include_extras=True)
    found = {}
    for field in fields(table):
        kind, about = typing.get_args(hints[field.name])
        found[field.name] = replace(about, name=field.name, kind=_known(kind))
    return found


def documented(columns: Iterable[Column]) -> str:
    """Markdown table of the columns, as the documentation has it."""
    told = [(column, column.says.replace("|", "\\|")) for column in columns]  # a bare one would end the cell: |logit|
    rows = [f"| `{column.name}` | {column.unit or '-'} | {says} |" for column, says in told]
    return "\n".join(["| column | unit | what it says |", "|---|---|---|", *rows, ""])


def meaningful(value: object) -> object:
    """Number without the digits that floating point adds; anything else as it is."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def fixed(value: float | None, digits: int = 2) -> str:
    """Number with so many decimals, never "-0.00"; "" where it is unknown."""
    return "" if value is None else f"{value:z.{digits}f}"


def short(value: float | None) -> str:
    """Number of three significant digits; "" where it is unknown."""
    return "" if value is None else f"{value:.3g}"


def _known(kind: Any) -> type:
    """Type of a column without its `None`: `float` of `float | None`."""
    parts = [part for part in typing.get_args(kind) if part is not type(None)] or [kind]
    return typing.cast(type, parts[0])


Read = Callable[[Record], Any]


def _last(metric: str) -> Read:
    return lambda record: record.last(metric)


def _best(metric: str) -> Read:
    return lambda record: at_epoch(record, metric, "best")


def _highest_test_accuracy(record: Record) -> float | None:
    return max((a for metrics in record.curve if (a := metrics.get("test_accuracy")) is not None), default=None)


def _text(name: str, says: str, read: Read) -> TrialColumn:
    return TrialColumn(says, name, str, read=read)


def _count(name: str, says: str, read: Read, unit: str = "") -> TrialColumn:
    return TrialColumn(says, name, int, unit, read=read)


def _percent(name: str, says: str, read: Read) -> TrialColumn:
    return TrialColumn(says, name, float, "%", 2, read=read)


SEARCHED = "after it a column for each other hyperparameter that was searched, by its name in the study file"
_TRIAL_COLUMNS = (
    _text("study", "name of the study", lambda r: r.study),
    _text("dataset", "name of the dataset", lambda r: r.level.partition("/")[0]),
    _text("noise", "noise level", lambda r: r.level.partition("/")[2]),
    _text("method", "method of its cell", lambda r: r.method),
    _text("trained_as", "method of its loss: the cell's, or `gls` for a baseline beside another", lambda r: r.loss),
    _text("phase", "`search`, or `confirmation` on a fresh seed", lambda r: r.phase),
    _count("number", "number of the trial, from 0, within its level, method and phase", lambda r: r.number),
    _text("state", "`running`, `complete`, `pruned`, `diverged` or `failed`", lambda r: r.state),
    TrialColumn(
        "smoothing rate; empty for a method without one", "rate", exact=True, read=lambda r: r.params.get("rate")
    ),
    _count("warmup", f"warm-up; {SEARCHED}", lambda r: r.params.get("warmup"), "epochs"),
    _count("train_seed", "seed of the training", lambda r: r.train_seed),
    _count("epochs", "trained by the trial itself", lambda r: r.trained, "epochs"),
    _count("epochs_spared", "taken from a shared warm-up instead", lambda r: r.spared, "epochs"),
    TrialColumn("spent training", "seconds", float, "s", 2, read=lambda r: r.seconds),
    _percent("train_accuracy", "accuracy on the noisy training labels at the last epoch", _last("train_accuracy")),
    _percent("val_accuracy", "accuracy on the noisy validation at the last epoch", _last("val_accuracy")),
    _percent("test_accuracy", "accuracy on the clean test set at the last epoch", _last("test_accuracy")),
    *(
        _percent(f"{split}_{name}", says.format(where), _last(f"{split}_{name}"))
        for split, where in (("val", "noisy validation"), ("test", "clean test set"))
        for name, says in (
            ("balanced_accuracy", "mean accuracy of the classes of the {} at the last epoch"),
            ("macro_f1", "mean F1 of the classes of the {} at the last epoch"),
        )
    ),
    _count("best_epoch", "first epoch (from 1) of highest accuracy on the noisy validation", best_epoch),
    _percent("best_epoch_val_accuracy", "accuracy on the noisy validation at that epoch", _best("val_accuracy")),
    _percent(
        "best_epoch_test_accuracy",
        "accuracy on the clean test set at that epoch; empty where `training.test_every` left it out",
        _best("test_accuracy"),
    ),
    _percent(
        "oracle_test_accuracy",
        "highest accuracy on the clean test set at any epoch that was tested: known to an oracle alone",
        _highest_test_accuracy,
    ),
    _count("attempts", "times that it was started", lambda r: r.attempts),
    _text("reason", "why it failed, or where it diverged and at what value", lambda r: r.reason),
)
TRIAL = {column.name: column for column in _TRIAL_COLUMNS}  # in the order of the table

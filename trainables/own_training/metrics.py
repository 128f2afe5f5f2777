"""What a user's function reports of an epoch, checked: a number that is taken for another is worse than an error."""

import math
import re
from collections.abc import Mapping, Sequence

NAME = re.compile(r"[A-Za-z_][\w./-]{0,99}", re.ASCII)
OURS = ("seconds", "spared", "time")  # are measured, not told
LOSSES = ("train_loss", "val_loss")
MANY = 50  # classes from which on an accuracy of at most 1 % may be one


def checked(metrics: Mapping[str, object], needed: Sequence[str], classes: int) -> dict[str, float | None]:
    """Return the metrics as numbers. Raises `ValueError` where one is missing, is no number, or is no percentage.

    `needed`: metrics that the study chooses by. Accuracies and F1 are percentages: 93, not 0.93.
    """
    found: dict[str, float | None] = {}
    for name, value in metrics.items():
        if NAME.fullmatch(name) is None or name in OURS:
            raise ValueError(f"report: {name!r} is no name for a metric: letters, digits, _ and ., none of {OURS}")
        found[name] = None if value is None else _number(name, value)
    for name in needed:
        if found.get(name) is None:
            raise ValueError(f"report: {name} is missing: the study chooses by it")
    for name, number in found.items():
        if number is not None and _is_percentage(name) and math.isfinite(number):
            _check_percentage(name, number, classes)
    return found


def why_diverged(metrics: Mapping[str, float | None], needed: Sequence[str], epoch: int) -> str | None:
    """Reason why a run has diverged by what it reported of an epoch, or `None`."""
    for name in (*needed, *LOSSES):
        value = metrics.get(name)
        if value is not None and not math.isfinite(value):
            return f"{name} is {value} at epoch {epoch}"
    return None


def _number(name: str, value: object) -> float:
    """Number that a value is: also one of NumPy's, or a tensor of one element."""
    item = getattr(value, "item", None)
    try:
        plain = item() if callable(item) else value
    except (TypeError, ValueError, RuntimeError):
        plain = value
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise ValueError(f"report: {name} is {value!r:.60}: a number is wanted")
    return float(plain)


def _is_percentage(name: str) -> bool:
    return name.endswith(("accuracy", "macro_f1")) or "accuracy_of." in name


def _check_percentage(name: str, value: float, classes: int) -> None:
    if not 0 <= value <= 100:
        raise ValueError(f"report: {name} is {value}: a percentage, 0 to 100, is wanted")
    if 0 < value <= 1 and classes < MANY and not name.startswith("train_") and "accuracy_of." not in name:
        raise ValueError(f"report: {name} is {value}: percent are wanted, 93 and not 0.93")

"""Measures of an analysis as its files have them, and how they are told; loads no PyTorch."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tosmooth.trainables.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Measure of one arm: a line of the CSV, whose columns are the fields."""

    level: str
    method: str
    arm: str
    parameters: str
    measure: str
    mean: float  # over the seeds; bias and variance are of all of them together
    std: float | None  # sample standard deviation over the seeds
    seeds: int
    difference: float | None  # to cross-entropy, over the seeds both have
    difference_low: float | None  # its paired 95 % t interval
    difference_high: float | None


class Line(NamedTuple):
    """A line of the terminal's table."""

    measure: str
    words: str
    decimals: int


LARGEST = 1000  # that is shown: what lies beyond is a loss that grows without bound
BEYOND = (f">{LARGEST}", f"<-{LARGEST}")
UNBOUNDED = f"{BEYOND[0]}: the loss of a network that is sure and wrong has no bound; the CSV has the number"
LINES = (
    Line("accuracy", "test accuracy (%)", 2),
    Line("error_bias", "bias of the error (%)", 2),
    Line("error_variance", "variance (%)", 2),
    Line("ece", "ECE", 3),
    Line("scaled_ece", "... scaled", 3),
    Line("brier", "Brier score", 3),
    Line("scaled_brier", "... scaled", 3),
    Line("nll", "NLL (nats)", 3),
    Line("scaled_nll", "... scaled", 3),
    Line("temperature", "temperature", 2),
    Line("confidence_right", "confidence if right", 3),
    Line("confidence_wrong", "... if wrong", 3),
    Line("aurc", "AURC", 3),
    Line("memorised", "wrong labels learnt (%)", 2),
    Line("noise_rate_estimate", "noise rate, estimated", 3),
    Line("transition_distance", "... matrix, distance", 3),
    Line("tightness", "tightness of classes", 3),
    Line("student_accuracy", "student's accuracy (%)", 2),
    Line("fgsm_accuracy", "accuracy, FGSM (%)", 2),
    Line("pgd_accuracy", "... PGD-20", 2),
    Line("worst_accuracy", "... worst attack", 2),
)


def told(row: Measured | None, line: Line, joint: str) -> str:
    """Mean and spread of a measure, joined by `joint`; "" where there is none."""
    if row is None:
        return ""
    spread = "" if row.std is None else f"{joint}±{_number(row.std, line)}"
    return f"{_number(row.mean, line)}{spread}"


def difference_told(row: Measured | None, line: Line, joint: str) -> str:
    """Difference to cross-entropy and its interval, likewise."""
    if row is None or row.difference is None:
        return ""
    low, high = row.difference_low, row.difference_high
    interval = "" if low is None or high is None else f"{joint}[{_number(low, line)}, {_number(high, line)}]"
    return _number(row.difference, line, "+") + interval


def _number(value: float, line: Line, sign: str = "") -> str:
    """Write a number with so many decimals; of an unbounded loss, how large it is at least."""
    if abs(value) <= LARGEST:
        return f"{value:{sign}.{line.decimals}f}"
    return BEYOND[value < 0]


def pooled(diagrams: Sequence[Mapping[str, Any]]) -> tuple[Array, Array, Array]:
    """Examples, right ones among them, and the sum of confidences by bin, over the diagrams of all seeds."""
    count, right = (np.sum([np.asarray(each[name]) for each in diagrams], axis=0) for name in ("count", "right"))
    sure = np.sum([_filled(each["confidence"]) * np.asarray(each["count"]) for each in diagrams], axis=0)
    return count, right, sure


def _filled(values: Sequence[float | None]) -> Array:
    return np.asarray([0.0 if value is None else value for value in values])


def read_measures(file: Path) -> list[Measured]:
    """Read `analysis.csv`. Raises `InputError` where it is damaged."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return [_measured(row) for row in csv.DictReader(lines)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file, error) from error


def read_cells(file: Path) -> list[dict[str, Any]]:
    """Read the cells of `analysis.json`. Raises `InputError` where it is damaged."""
    try:
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        return [{**cell, "arms": list(cell["arms"])} for cell in cells]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file, error) from error


def _measured(row: Mapping[str, str]) -> Measured:
    texts = ("level", "method", "arm", "parameters", "measure")
    numbers: dict[str, Any] = {field.name: row[field.name] for field in fields(Measured)}
    for name, value in numbers.items():
        if name not in texts:
            numbers[name] = None if value == "" else int(value) if name == "seeds" else float(value)
    return Measured(**numbers)


def _damaged(file: Path, error: Exception) -> InputError:
    return InputError(f"{file}: damaged ({error}): `tosmooth analyse` makes it anew")

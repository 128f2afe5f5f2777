"""Rules for the values of a method's parameters, used by both its loss function and its place in the registry."""

import math
from collections.abc import Callable

from tosmooth.trainables.errors import require

Rule = Callable[[str, float], None]  # (key, value); raises `InputError` for a value that is refused


def smoothing_rate(key: str, value: float) -> None:
    require(math.isfinite(value) and value <= 1, key, value, "a finite smoothing rate of at most 1")


def weight(key: str, value: float) -> None:
    require(0 <= value < math.inf, key, value, "a finite number, 0 or more")


def positive(key: str, value: float) -> None:
    require(0 < value < math.inf, key, value, "a finite number above 0")


def share(key: str, value: float) -> None:
    require(0 <= value <= 1, key, value, "in [0, 1]")


def momentum(key: str, value: float) -> None:
    require(0 <= value < 1, key, value, "in [0, 1)")


def exponent(key: str, value: float) -> None:
    require(0 < value <= 1, key, value, "in (0, 1]")

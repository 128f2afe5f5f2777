"""What a column of features becomes: exact numbers of its kind, and the origins from which float32 can count them."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tosmooth.trainables.errors import InputError

Place = Callable[[int], str]  # names file and row
Floats = NDArray[np.float64]

LOST = 1e-3  # of a feature's spread: rounding beyond it is worse than what counting from another origin costs
BLOCK = 2**16  # numbers that are worked on at once: they fit into the processor's cache
EPS = float(np.finfo(np.float64).eps)
LEAST = float(np.finfo(np.float32).tiny) / LOST  # a spread below it is rounded away in float32, origin or not


@dataclass(frozen=True, slots=True)
class Column:
    """What one column of the training set became, to be done to that of the test set likewise."""

    name: str
    kind: str  # "numbers", "dates and times", ..., "categories": columns of one kind have one unit
    shape: tuple[int, ...] = ()  # of the list in each row; (): one number
    categories: tuple[str, ...] = ()  # "categories": one for each feature
    origins: tuple[Fraction, ...] = ()  # exact number from which each feature counts, in its unit: 0 but for a few
    fine: bool = False  # numbers of float64 have too few digits beside some of them
    fill: float | None = None  # what a gap becomes, beyond its origin; None: gaps are refused
    indicated: bool = False  # one feature more is 1 where there is a gap

    @property
    def features(self) -> tuple[str, ...]:
        """Name of each feature."""
        return (*self.values, f"{self.name}=missing") if self.indicated else self.values

    @property
    def values(self) -> tuple[str, ...]:
        """Name of each feature that is a value of a row: all but the one that says where it has none."""
        if self.kind == "categories":
            return tuple(f"{self.name}={category}" for category in self.categories)
        return tuple(self.name + index_words(index) for index in np.ndindex(self.shape))


def index_words(index: Iterable[object]) -> str:
    return "".join(f"[{i}]" for i in index)


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """The categories of a training set, and which one each row has [N]: -1 for none of them."""

    categories: tuple[str, ...]
    positions: NDArray[np.int64]

    @property
    def width(self) -> int:
        return len(self.categories)

    def fit(self, name: str, where: Place) -> Column:
        return Column(name, "categories", (), self.categories, (Fraction(0),) * self.width)

    def write(self, out: NDArray[np.float32], column: Column, where: Place, unseen: NDArray[np.bool_]) -> None:
        out[:] = 0
        rows = np.flatnonzero(self.positions >= 0)
        out[rows, self.positions[rows]] = 1
        unseen |= self.positions < 0


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Numbers of a column, `width` to a row, as Arrow has them."""

    kind: str
    shape: tuple[int, ...]
    # [n, w] of what float64 holds exactly, or of whole numbers [n, w, words] of 32 bits in two's complement.
    chunks: list[NDArray[Any]]
    per_unit: Fraction  # what one of a feature's unit is as whole number: of milliseconds 1000

    @property
    def width(self) -> int:
        return math.prod(self.shape)

    def fit(self, name: str, where: Place) -> Column:
        return Column(name, self.kind, self.shape, (), *_origins(self, where))

    def write(self, out: NDArray[np.float32], column: Column, where: Place, unseen: NDArray[np.bool_]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            for row, beyond in self.beyond(column.origins):
                block = out[row : row + len(beyond)]
                block[:] = beyond
                if not np.isfinite(block).all():
                    _refuse_largest(self, column.origins, where)

    def beyond(self, origins: Sequence[Fraction]) -> Iterator[tuple[int, Floats]]:
        """What the numbers are beyond the origin of their position, [n, w], in blocks of rows that begin at a row."""
        words = None
        plain = np.array(origins, np.float64)
        if self.chunks[0].ndim == 3:
            whole, rest = zip(*(divmod(origin * self.per_unit, 1) for origin in origins), strict=True)
            words, rests = _words(whole, self.chunks[0].shape[2]), np.array(rest, np.float64)
        row = 0
        for chunk in self.chunks:
            step = max(1, BLOCK // chunk[0].size)
            for start in range(0, len(chunk), step):
                block = chunk[start : start + step]
                if words is None:
                    yield row + start, block.astype(np.float64) - plain
                else:
                    yield row + start, (_less(block, words) - rests) / float(self.per_unit)
            row += len(chunk)


def _words(whole: Sequence[int], words: int) -> Floats:
    """Whole numbers as words of 32 bits, the lowest first, the last with the sign [w, words]."""
    last = 32 * (words - 1)
    parts = [[number >> i & 0xFFFFFFFF for i in range(0, last, 32)] + [number >> last] for number in whole]
    return np.array(parts, np.float64)


def _less(block: NDArray[Any], words: Floats) -> Floats:
    """Whole numbers [n, w, words] less others [w, words]: exact where the difference is below 2**53, else rounded."""
    last = block.shape[2] - 1
    low = block.view(np.uint32)
    difference: Floats = block[..., last] - words[:, last]
    for i in reversed(range(last)):
        difference = difference * 2.0**32 + (low[..., i] - words[:, i])
    return difference


def _pivots(numbers: Numbers) -> list[Fraction]:
    """Numbers to count from while means are not known: the first row of whole numbers too large for float64, else 0."""
    first = numbers.chunks[0][0]
    if first.ndim == 1:
        return [Fraction(0)] * numbers.width
    bits = 32 * (first.shape[1] - 1)
    low = [sum(int(word) << 32 * i for i, word in enumerate(each[:-1])) for each in first.view(np.uint32)]
    whole = [(int(high) << bits) + part for high, part in zip(first[:, -1], low, strict=True)]
    return [Fraction(number) / numbers.per_unit for number in whole]


def _origins(numbers: Numbers, where: Place) -> tuple[tuple[Fraction, ...], bool]:
    """Numbers from which the features count, and whether float64 has too few digits for some of what counts from them.

    Raises `InputError` where values are too near to each other even so.
    """
    pivots = _pivots(numbers)
    near = np.array(pivots, np.float64)
    mean, ends, spread, rounding = _measured(numbers, pivots, near, where)
    middle = np.abs(mean + near)
    # 1e-9: of so little spread beside its mean `scale_of` takes a feature for constant
    moved = (ends[0] != ends[1]) & ~(np.maximum(rounding, 1e-9 * middle) <= LOST * spread)
    lost = np.abs(ends).max(axis=0) * EPS > LOST * spread
    wrong = np.flatnonzero(moved & (lost | (spread < LEAST)))
    if len(wrong):
        i = wrong[0]
        rule = "numbers of float64 keep 15 digits; subtract what all of them share before they are written"
        rule = rule if lost[i] else "too little for float32: multiply them before they are written"
        column = where(0) + index_words(np.unravel_index(i, numbers.shape))
        raise InputError(f"{column}: its values, near {mean[i] + near[i]:.17g}, differ by {spread[i]:.3g}: {rule}")
    each = zip(pivots, mean, moved, strict=True)
    origins = tuple(pivot + Fraction(beyond) if move else Fraction(0) for pivot, beyond, move in each)
    return origins, bool((moved & (middle * EPS > LOST * spread)).any())


def _measured(
    numbers: Numbers, pivots: Sequence[Fraction], near: Floats, where: Place
) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean [w] and ends [2, w] of the numbers beyond `pivots`, mean distance from it, what float32 rounds away."""
    rows = sum(map(len, numbers.chunks))
    mean, spread, rounding = np.zeros((3, numbers.width))
    ends = np.array([[np.inf], [-np.inf]]).repeat(numbers.width, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        for _, block in numbers.beyond(pivots):
            mean += block.sum(axis=0)
            np.minimum(ends[0], block.min(axis=0), out=ends[0])
            np.maximum(ends[1], block.max(axis=0), out=ends[1])
        mean /= rows
        if not np.isfinite(mean).all():
            _refuse_largest(numbers, pivots, where)
        for _, block in numbers.beyond(pivots):
            spread += np.abs(block - mean).sum(axis=0)
            block += near
            np.maximum(rounding, np.abs(block - block.astype(np.float32)).max(axis=0), out=rounding)
    return mean, ends, spread / rows, rounding


def _refuse_largest(numbers: Numbers, origins: Sequence[Fraction], where: Place) -> NoReturn:
    """Raise `InputError` naming the largest, or first NaN, of the numbers that are beyond float32."""
    most, row, index, value = -1.0, 0, 0, 0.0
    added = np.array(origins, np.float64)
    for start, block in numbers.beyond(origins):
        fits = np.abs(block) <= np.finfo(np.float32).max
        sizes = np.where(fits, -1, np.nan_to_num(np.abs(block + added), nan=np.inf, posinf=np.inf))
        i, j = divmod(int(sizes.argmax()), sizes.shape[1])
        if sizes[i, j] > most:
            most, row, index, value = float(sizes[i, j]), start + i, j, float(block[i, j] + added[j])
    place = where(row) + index_words(np.unravel_index(index, numbers.shape))
    raise InputError(f"{place}: {value:.9g} is refused: a finite number of float32; mend it, or leave out the row")

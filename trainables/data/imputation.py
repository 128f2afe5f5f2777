"""Imputation: a gap in a column becomes the training rows' median, and where the training set has gaps a feature more.

That feature is 1 where there is a gap and 0 elsewhere, as of scikit-learn's `SimpleImputer(strategy="median",
add_indicator=True)`: that a value is missing often tells something. Text without a value is none of the categories.
"""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tosmooth.trainables.data.column_numbers import Categories, Column, Numbers, Place
from tosmooth.trainables.data.tables.values import LONG, ZEROS
from tosmooth.trainables.errors import InputError

GAPS = r"|\?+|-+|\.+|#?n/?a|nan|null|none"  # what stands among numbers where one is missing
GAP = rf"(?i)^\s*({GAPS})\s*$"
NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


@dataclass(frozen=True, slots=True, eq=False)
class ImputedNumbers:
    """Numbers of a column of which some may be gaps."""

    numbers: Numbers | None  # any number in the place of a gap; None: all rows are gaps
    gaps: NDArray[np.bool_]  # [N]
    indicated: bool  # the training set has gaps

    @property
    def width(self) -> int:
        return 1 + self.indicated

    def fit(self, name: str, where: Place) -> Column:
        if self.numbers is None:
            raise InputError(f"{where(0)}: is empty in all rows: leave the column out")
        column = self.numbers.fit(name, where)
        values = np.empty((len(self.gaps), 1), np.float32)
        self.numbers.write(values, column, where, np.zeros(len(self.gaps), bool))
        origins = (*column.origins, *([Fraction(0)] if self.indicated else []))
        return replace(column, fill=float(np.median(values[~self.gaps])), indicated=self.indicated, origins=origins)

    def write(self, out: NDArray[np.float32], column: Column, where: Place, unseen: NDArray[np.bool_]) -> None:
        if self.numbers is not None:
            self.numbers.write(out[:, :1], replace(column, origins=column.origins[:1]), where, unseen)
        out[self.gaps, 0] = column.fill
        if self.indicated:
            out[:, 1] = self.gaps


@dataclass(frozen=True, slots=True, eq=False)
class ImputedCategories:
    """Categories of a column of which some rows have none."""

    categories: Categories | None  # any category in the place of a gap; None: all rows are gaps
    gaps: NDArray[np.bool_]  # [N]
    width: int

    def fit(self, name: str, where: Place) -> Column:
        if self.categories is None:
            raise InputError(f"{where(0)}: is empty in all rows: leave the column out")
        return replace(self.categories.fit(name, where), fill=0.0)

    def write(self, out: NDArray[np.float32], column: Column, where: Place, unseen: NDArray[np.bool_]) -> None:
        out[:] = 0
        if self.categories is not None:
            found = np.zeros(len(self.gaps), bool)
            self.categories.write(out, column, where, found)
            unseen |= found & ~self.gaps
        out[self.gaps] = 0


def without_gaps(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, NDArray[np.bool_]]:
    """Put any of a column's values into its gaps, and say where these are [N]; all of them: the column as it is.

    A gap is null, or NaN.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    gaps = np.asarray(column.is_null())
    if gaps.all() or not gaps.any():
        return column, gaps
    return column.fill_null(column.drop_null()[0]), gaps


def as_numbers(column: pa.ChunkedArray, test: bool = False) -> pa.ChunkedArray:
    """Numbers of a column of text that holds nothing but numbers and gaps, such as ?; else the column as it is.

    Text that has no gap is text, but in a `test` set, whose column is one of numbers in the training set.
    """
    texts = column.cast(pa.large_string())
    gaps, numbers = (pc.match_substring_regex(texts, pattern) for pattern in (GAP, NUMBER))
    alone = pc.all(pc.or_(gaps, numbers)).as_py()  # null, where all rows are
    codes = pc.any(pc.match_substring_regex(texts, f"{ZEROS}|{LONG}")).as_py()  # 007 is a name
    if codes or not (alone and (test or pc.any(gaps).as_py()) and pc.any(numbers).as_py()):
        return column
    plain = pc.if_else(gaps, pa.scalar(None, pa.large_string()), texts)
    return pc.utf8_trim_whitespace(plain).cast(pa.float64())

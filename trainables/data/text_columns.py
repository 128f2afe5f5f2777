"""Columns of text that are features: a category each, and what of such columns is refused."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tosmooth.trainables.data.column_numbers import Categories, Column, Place
from tosmooth.trainables.data.imputation import GAPS, NUMBER
from tosmooth.trainables.data.tables.values import LONG, THOUSANDS, ZEROS
from tosmooth.trainables.errors import InputError, shown

MOST_CATEGORIES = 1000
# What stands among numbers where one is missing, or was written for people to read.
MARKS = "may be thousands, or a fraction: write thousands without a mark"
STRAY = rf"(?i)^\s*({GAPS}|[+-]?\d{{1,3}}(,\d{{3}})+(\.\d*)?)\s*$"


def is_text(kind: pa.DataType) -> bool:
    """True for a type of text, and for a dictionary of it."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def categories_of(column: pa.ChunkedArray, where: Place, known: Column | None, onehot: bool) -> Categories:
    """Categories of a column of text. Raises `InputError` where text is no category."""
    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    empty = _by_value(column, pc.is_null)
    if empty.any():
        raise InputError(f"{where(int(empty.argmax()))}: {on_gap()}")
    if known is None or not onehot:
        _refuse_text(column, where, onehot, "" if known is None else known.kind)
    categories = _distinct(column, where) if known is None else known.categories
    positions = _by_value(column, lambda values: pc.index_in(values, pa.array(categories, pa.large_string())))
    return Categories(categories, positions)


def _by_value(column: pa.ChunkedArray, answer: Callable[[pa.Array], pa.Array]) -> NDArray[Any]:
    """What `answer` says of the value in each row, asked once for each of a dictionary; -1 where it says nothing."""
    answers = []
    for chunk in column.chunks:
        said = pc.fill_null(answer(_values(chunk)).cast(pa.int32()), -1)
        answers.append(np.asarray(said)[np.asarray(chunk.indices)])
    return np.concatenate(answers)


def _values(chunk: pa.DictionaryArray) -> pa.Array:
    return chunk.dictionary.cast(pa.large_string())  # which Arrow can do everything with


def _matches(column: pa.ChunkedArray, pattern: str) -> NDArray[np.bool_]:
    matches: NDArray[np.bool_] = _by_value(column, lambda values: pc.match_substring_regex(values, pattern)) == 1
    return matches


def _refuse_text(column: pa.ChunkedArray, where: Place, onehot: bool, wanted: str = "") -> None:
    """Raise `InputError` for text that is no category: unless `onehot` any, and numbers with some stray text.

    `wanted`: kind of the column in the training set, where this is another.
    """
    numbers = _matches(column, NUMBER)
    codes = _matches(column, f"{ZEROS}|{LONG}").any()  # such as 007, which are names; what is missing is one of them
    if onehot and (numbers.all() or codes or not (numbers | _matches(column, STRAY)).all()):
        return
    thousands = _matches(column, THOUSANDS)
    if thousands.any() and (numbers | thousands).all() and not (onehot and numbers.all()):
        row = int(thousands.argmax())
        raise InputError(f"{where(row)}: {shown(column[row].as_py())} {MARKS}")
    row = int(numbers.argmin())
    if 2 * numbers.sum() > len(numbers) > numbers.sum():
        value = shown(column[row].as_py())
        raise InputError(f"{where(row)}: {value} is no number, most of the column are: mend it, or leave out the row")
    if onehot:
        return
    if wanted:
        raise InputError(f"{where(0)}: text, in the training set {wanted}: the two are alike")
    kind = f"{where(0)}: {of_type(column.type.value_type)}: features are numbers"
    if numbers.all():
        raise InputError(f"{kind}: store them as such, or with `categorical: onehot` each is a category")
    raise InputError(f"{kind}: leave it out, or with `categorical: onehot` each value is a category")


def _distinct(column: pa.ChunkedArray, where: Place) -> tuple[str, ...]:
    """The values that occur, sorted: numbers as such."""
    found: set[str] = set()
    for chunk in column.chunks:
        found.update(_values(chunk).take(np.unique(chunk.indices)).to_pylist())
    if len(found) > MOST_CATEGORIES:
        rule = f"at most {MOST_CATEGORIES}: it looks like an id, or free text: leave it out"
        raise InputError(f"{where(0)}: {len(found)} categories: {rule}")
    if all(re.match(NUMBER, value) for value in found):
        return tuple(sorted(found, key=lambda value: (float(value), value)))
    return tuple(sorted(found))


def on_gap(imputable: bool = True) -> str:
    """What to do about a gap."""
    return "is empty: fill it, or leave out the row" + ("; or take `impute: median`" if imputable else "")


def of_type(kind: pa.DataType) -> str:
    return "of type " + shown(str(kind)).strip("'")

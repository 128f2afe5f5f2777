"""Numbers of the columns of a user's own table that are features, whatever their type.

| column of the table | features |
|---|---|
| whole numbers, floats, decimals, bool (0 or 1), dictionaries of these | its values |
| timestamp, date | seconds since 1970, in UTC where it has a zone |
| time of day | seconds since midnight |
| duration | seconds |
| lists of any of these, nested too, and tensors; all rows of one length | one for every position: `x[0]`, `x[1]`, ... |
| text that holds such lists, as JSON writes them | the same |
| text, and dictionaries of it, with `categorical: onehot` | one for every category, 1 or 0: `colour=blue`, ... |
| one of these with gaps, but for lists, with `impute: median` | as `data.imputation` says: `age`, `age=missing` |

All is worked out in float64, whole numbers and decimals exactly before that. Whatever is wrong with a column is an
`InputError` that names place, column, value and rule.
"""

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tosmooth.trainables.data.column_numbers import BLOCK, Categories, Column, Numbers, Place, index_words
from tosmooth.trainables.data.imputation import ImputedCategories, ImputedNumbers, as_numbers, without_gaps
from tosmooth.trainables.data.tables.memory import EXPANSION, HARMLESS
from tosmooth.trainables.data.text_columns import categories_of, is_text, of_type, on_gap
from tosmooth.trainables.errors import InputError, first_line, shown

EXACT = 2**53  # whole numbers up to this one are exact in float64
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
LIST = r"^\s*((array|tensor)\()?\["
NO_LIST = "no list of numbers as JSON has it, [0.1, 0.2]: write it so, with tolist() and not as numpy prints it"

Read = Numbers | Categories | ImputedNumbers | ImputedCategories


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the columns of a training set became, in the table's order."""

    columns: tuple[Column, ...]
    unseen: int = 0  # rows of the table just read that have a category which the training set does not have
    gaps: tuple[tuple[str, int], ...] = ()  # columns of that table that have some, and in how many rows

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each of the D features."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def origins(self) -> tuple[Fraction, ...]:
        """Number from which each of the D features counts."""
        return tuple(origin for column in self.columns for origin in column.origins)


def features_of(
    table: pa.Table,
    place: Place,
    fitted: Fitted | None = None,
    categorical: Literal["refuse", "onehot"] = "refuse",
    impute: Literal["refuse", "median"] = "refuse",
) -> tuple[NDArray[np.float32], Fitted]:
    """Make features, float32 [N, D], of all columns of a table of N > 0 rows, as the table of this module says.

    Also returns what is to be done to a test set, which is read with that as `fitted`: it must fit, and `unseen` of
    what comes back says how many of its rows have a category that the training set lacks (all of its features are 0).
    A feature counts from its origin: 0, or its mean where float32 would lose its spread, as of times since 1970.
    `place` names file and row in messages. Beside table and features this takes room for a few blocks of numbers, and
    for those that text holds. Columns that are no features, are empty or not finite in a row, or whose values float64
    does not tell apart, raise `InputError`.
    """
    _check_table(table, place, fitted)
    known = [None] * table.num_columns if fitted is None else fitted.columns
    places = [_of_column(place, name) for name in table.column_names]
    read = [_read(*each, categorical, impute) for each in zip(table.columns, known, places, strict=True)]
    width = sum(each.width for each in read)
    _check_memory(table.num_rows * width, table, f"{place(0)}: {width} features of {table.num_rows} rows")
    inputs = np.empty((table.num_rows, width), np.float32)
    unseen = np.zeros(table.num_rows, bool)
    columns, start = [], 0
    for name, where, each, column in zip(table.column_names, places, read, known, strict=True):
        column = column or each.fit(name, where)
        each.write(inputs[:, start : start + each.width], column, where, unseen)
        columns.append(column)
        start += each.width
    gaps = [
        (name, int(each.gaps.sum()))
        for name, each in zip(table.column_names, read, strict=True)
        if isinstance(each, ImputedNumbers | ImputedCategories) and each.gaps.any()
    ]
    return inputs, Fitted(tuple(columns), int(unseen.sum()), tuple(gaps))


def numbers_of(table: pa.Table, place: Place) -> tuple[NDArray[np.float32], Fitted]:
    """Read numbers, float32 [N, D], as they stand in the table; otherwise as `features_of`."""
    values, fitted = features_of(table, place)
    origins = np.array([float(origin) for origin in fitted.origins], np.float32)
    if origins.any():
        values += origins
    return values, fitted


def _of_column(place: Place, name: str) -> Place:
    return lambda row: f"{place(row)}, column {name!r}"


def _check_table(table: pa.Table, place: Place, fitted: Fitted | None) -> None:
    if table.num_rows == 0:
        raise InputError(f"columns {shown(', '.join(table.column_names))}: no rows: a row for every example")
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise InputError(f"{place(0)}: damaged: bring it anew ({first_line(error)})") from error
    if fitted is not None and (names := [column.name for column in fitted.columns]) != table.column_names:
        has, had = shown(", ".join(table.column_names)), shown(", ".join(names))
        raise InputError(f"{place(0)}: its features are {has}, those of the training set {had}: the two are alike")


def _check_memory(numbers: int, held: pa.Table | pa.ChunkedArray, what: str) -> None:
    """Refuse what takes memory out of proportion to what is there: lists that share one, a feature a category."""
    most = max(HARMLESS, EXPANSION * held.get_total_buffer_size())
    if 4 * numbers > most:
        raise InputError(f"{what}: {4 * numbers} bytes in memory: at most {most}")


def _read(column: pa.ChunkedArray, known: Column | None, where: Place, categorical: str, impute: str) -> Read:
    imputed = impute == "median" if known is None else known.fill is not None
    try:
        column = _decoded(column)
        if imputed and not _is_list(column.type):
            return _imputed(column, known, where, categorical)
        return _read_as_known(column, known, where, categorical)
    except pa.ArrowNotImplementedError as error:  # some of Arrow's functions lack some of its types
        raise InputError(f"{where(0)}: {of_type(column.type)}: store it as numbers ({first_line(error)})") from error


def _imputed(column: pa.ChunkedArray, known: Column | None, where: Place, categorical: str) -> Read:
    """Read a column that may have gaps; as lists have none, they are read as they are."""
    if is_text(column.type) and (known is None or known.kind != "categories"):
        column = as_numbers(column, test=known is not None)
    column, gaps = without_gaps(column)
    if gaps.all():
        if known is not None and known.kind == "categories":
            return ImputedCategories(None, gaps, len(known.categories))
        return ImputedNumbers(None, gaps, known is not None and known.indicated)
    read = _read_as_known(column, known, where, categorical)
    if isinstance(read, Categories):
        return ImputedCategories(read, gaps, read.width)
    if read.shape:  # text that holds lists
        return read
    return ImputedNumbers(read, gaps, bool(gaps.any()) if known is None else known.indicated)


def _read_as_known(
    column: pa.ChunkedArray, known: Column | None, where: Place, categorical: str
) -> Numbers | Categories:
    _refuse_nulls(column, where, imputable=True)
    if is_text(column.type) and not _mostly_lists(column):
        onehot = categorical == "onehot" if known is None else known.kind == "categories"
        return categories_of(column, where, known, onehot)
    flat, shape = (_parsed if is_text(column.type) else _flat)(column, where)
    read = _numbers(flat, shape, where, known is not None and known.fine)
    if known is not None and (read.kind, read.shape) != (known.kind, known.shape):
        here, there = (each.kind + index_words(each.shape) for each in (read, known))
        raise InputError(f"{where(0)}: {here}, in the training set {there}: the two are alike")
    return read


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Column without what Arrow wraps values in: extensions, runs of equal ones, dictionaries but those of text."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _decoded(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if pa.types.is_run_end_encoded(kind):
        return _decoded(pc.run_end_decode(column))
    inner = kind.value_type if pa.types.is_dictionary(kind) else pa.string()
    return column.cast(inner) if pa.types.is_primitive(inner) or pa.types.is_decimal(inner) else column


def _refuse_nulls(column: pa.ChunkedArray, where: Place, shape: tuple[int, ...] = (), imputable: bool = False) -> None:
    if column.null_count:
        row, *index = np.unravel_index(pc.index(column.is_null(), True).as_py(), (len(column), *shape))
        raise InputError(f"{where(int(row))}{index_words(index)}: {on_gap(imputable and not _is_list(column.type))}")


def _flat(column: pa.ChunkedArray, where: Place) -> tuple[pa.ChunkedArray, tuple[int, ...]]:
    """The numbers of a column, one after the other, and the shape of the lists in its rows, which all have it."""
    rows, held = len(column), column
    shape: tuple[int, ...] = ()
    while _is_list(column.type):
        lengths = np.asarray(pc.list_value_length(column))
        other = np.flatnonzero(lengths != lengths[0])
        if len(other) or lengths[0] == 0:
            i = other[0] if len(other) else 0
            inside = "" if not shape else "within its list "
            row = where(int(i * rows // len(lengths)))
            before = f", those before of {lengths[0]}" if i else ""
            raise InputError(f"{row}: {inside}a list of {lengths[i]}{before}: all rows have one length, of 1 or more")
        shape = (*shape, int(lengths[0]))
        _check_memory(rows * math.prod(shape), held, f"{where(0)}: lists of {math.prod(shape)} numbers")
        column = pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
        column = _decoded(column)
        _refuse_nulls(column, where, shape)
    return column, shape


def _is_list(kind: pa.DataType) -> bool:
    views = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
    return bool(views or pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _numbers(column: pa.ChunkedArray, shape: tuple[int, ...], where: Place, fine: bool) -> Numbers:
    """Numbers of one after the other; `fine`: what they are to be compared with float64 does not hold."""
    kind, per_unit = _unit(column.type, where)
    if fine and pa.types.is_floating(column.type):
        rule = "floats keep 15 digits, too few beside those of the training set: store them as there"
        raise InputError(f"{where(0)}: of type {column.type}: {rule}")
    parts, width = [chunk for chunk in column.chunks if len(chunk)], math.prod(shape)
    if pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type) or _is_wide(column, fine):
        return Numbers(kind, shape, [_whole(chunk, width) for chunk in parts], per_unit)
    return Numbers(kind, shape, [np.asarray(chunk).reshape(-1, width) for chunk in parts], per_unit)


def _unit(kind: pa.DataType, where: Place) -> tuple[str, Fraction]:
    """What a type stands for, and how many of its whole numbers make one of a feature's unit."""
    types = pa.types
    if types.is_timestamp(kind):
        return "dates and times" + (" of a zone" if kind.tz else ""), Fraction(PER_SECOND[kind.unit])
    if types.is_date(kind):
        return "dates and times", Fraction(1, 86400) if types.is_date32(kind) else Fraction(1000)
    if types.is_time(kind) or types.is_duration(kind):
        return "times of day" if types.is_time(kind) else "durations", Fraction(PER_SECOND[kind.unit])
    if types.is_decimal(kind):
        return "numbers", Fraction(10) ** kind.scale
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return "numbers", Fraction(1)
    advice = ": flatten it, a column for each field" if types.is_struct(kind) else ""
    raise InputError(f"{where(0)}: {of_type(kind)}: features are numbers{advice}")


def _is_wide(column: pa.ChunkedArray, fine: bool) -> bool:
    """Whether these are whole numbers beyond what float64 holds exactly, or to be compared with such."""
    if not pa.types.is_integer(column.type) or column.type.bit_width < 64:
        return False
    ends = pc.min_max(column).as_py()
    return fine or bool(ends["min"] < -EXACT or ends["max"] > EXACT)


def _whole(chunk: pa.Array, width: int) -> NDArray[Any]:
    """Whole numbers where Arrow has them, as words of 32 bits [n, width, words]: unsigned ones of unsigned numbers."""
    words = chunk.type.bit_width // 32
    word = np.uint32 if pa.types.is_unsigned_integer(chunk.type) else np.int32
    read = np.frombuffer(chunk.buffers()[1], word, len(chunk) * words, chunk.offset * words * 4)
    return read.reshape(-1, width, words)


def _mostly_lists(column: pa.ChunkedArray) -> bool:
    if pa.types.is_dictionary(column.type):
        return False
    found = pc.sum(pc.match_substring_regex(column.cast(pa.large_string()), LIST)).as_py()
    return bool(2 * found > len(column))


def _parsed(column: pa.ChunkedArray, where: Place) -> tuple[pa.ChunkedArray, tuple[int, ...]]:
    """The numbers of a column of JSON lists, one after the other, and the shape of these."""
    rows: list[NDArray[Any]] = []
    blocks: list[NDArray[Any]] = []
    shape: tuple[int, ...] = ()
    for row, text in enumerate(column):
        numbers = _list(text.as_py())
        if numbers is None:
            raise InputError(f"{where(row)}: {shown(text.as_py())} is {NO_LIST}")
        shape = shape or numbers.shape
        if numbers.shape != shape:
            here, before = ("x".join(map(str, each)) for each in (numbers.shape, shape))
            raise InputError(f"{where(row)}: a list of {here}, those before of {before}: all rows have one length")
        rows.append(numbers)
        if len(rows) * numbers.size >= BLOCK or row == len(column) - 1:
            blocks.append(np.stack(rows).ravel())
            rows = []
    kind = np.result_type(*blocks)
    return pa.chunked_array([pa.array(block.astype(kind, copy=False)) for block in blocks]), shape


def _list(text: str) -> NDArray[Any] | None:
    try:
        numbers = np.array(json.loads(text))
    except (ValueError, RecursionError):  # ValueError: also of rows within that differ in length
        return None
    return numbers if numbers.ndim and numbers.size and numbers.dtype.kind in "biuf" else None

"""Columns of Parquet files, checked: whatever is wrong with a file is an `InputError` that names file, row and rule."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tosmooth.trainables.errors import InputError, first_line, shown
from tosmooth.trainables.noise.synthetic import Labels

Features = NDArray[np.float32]
LOST = 1e-3  # of a feature's spread: rounding beyond it is worse than what counting from another origin costs

# A few kilobytes of Parquet can stand for any number of gigabytes: one value said to be in every row, a page of zeros.
EXPANSION = 256  # bytes in memory to one in the file
HARMLESS = 2**30  # bytes of features and labels that are refused to no file: sparse ones are packed to next to nothing


@contextmanager
def readable(path: Path, columns: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """The open Parquet file, which has `columns`; what Arrow finds damaged, now or later, becomes an `InputError`."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            wrong = [column for column in columns if names.count(column) != 1]
            if wrong:
                has = "has no column" if wrong[0] not in names else "has more than once the column"
                there = shown(", ".join(names)).strip("'")
                raise InputError(f"{path}: {has} {', '.join(map(repr, wrong))}: its columns are {there}")
            _check_rows(file, path)
            yield file
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except MemoryError as error:
        raise InputError(f"{path}: damaged, or more than fits into the memory of this machine ({error})") from error
    except (pa.ArrowException, OSError, UnicodeError) as error:  # UnicodeError: of a name that is no text
        raise InputError(f"{path}: damaged, or no Parquet file: bring it anew ({first_line(error)})") from error


def _check_rows(file: pq.ParquetFile, path: Path) -> None:
    """Refuse a file whose parts do not agree on their rows, before room is made for as many as one of them claims."""
    rows = file.metadata.num_rows
    if rows == 0:
        raise InputError(f"{path}: is empty: a row for every example")
    groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    if rows < 0 or min(groups, default=-1) < 0 or sum(groups) != rows:
        raise InputError(f"{path}: damaged: {rows} rows in all, {sum(groups)} in its row groups: bring it anew")


def check_memory(path: Path, size: int, what: str, harmless: int = HARMLESS) -> None:
    """Raise `InputError` where reading a file would take `size` bytes of memory, out of proportion to its own."""
    most = max(harmless, EXPANSION * path.stat().st_size)
    if size > most:
        raise InputError(f"{path}: {what}: {size} bytes in memory of {path.stat().st_size} in the file: at most {most}")


def labels_of(column: pa.Array | pa.ChunkedArray, where: str, first_row: int = 0) -> Labels:
    """An integer column as int64 [n]; `where` names file and column and `first_row` its first row, for messages."""
    require_integers(column.type, where)
    refuse_nulls(column, where, first_row)
    return np.array(column.cast(pa.int64()), np.int64)


def require_integers(kind: pa.DataType, where: str) -> None:
    if not pa.types.is_integer(kind):
        raise InputError(f"{where}: of type {kind}: labels are integers 0..K-1")


def _require_numbers(kind: pa.DataType, where: str) -> None:
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"{where}: of type {kind}: features are numbers")


def refuse_nulls(column: pa.Array | pa.ChunkedArray, where: str, first_row: int = 0) -> None:
    """Raise `InputError` naming the first row without a value."""
    if column.null_count:
        row = first_row + pc.index(column.is_null(), True).as_py()
        raise InputError(f"{where}, row {row}: is empty: every row has a value")


def read_features(
    path: Path, features: Sequence[str], labels: Sequence[str], origins: Sequence[float] | None = None
) -> tuple[Features, list[Labels], list[float]]:
    """Numeric columns as float32 [N, D], the columns named in `labels`, each int64 [N], and the origin of each feature.

    A feature counts from its origin: 0, or its mean where float32 would lose its spread, as of times in seconds since
    1970. `origins`: of the training set, for what is read beside it.
    """
    with readable(path, [*features, *labels]) as file:
        for check, names in ((_require_numbers, features), (require_integers, labels)):
            for name in names:
                check(file.schema_arrow.field(name).type, f"{path}, column {name!r}")
        rows, columns = file.metadata.num_rows, len(features) + len(labels)
        check_memory(path, 8 * rows * columns, f"{rows} rows of {columns} columns")
        table = file.read(columns=[*features, *labels])
        inputs = np.empty((table.num_rows, len(features)), np.float32)
        known: list[float] = []
        for i, name in enumerate(features):
            where = f"{path}, column {name!r}"
            numbers = _numbers(table[name], where)
            known.append(_origin(numbers, where) if origins is None else origins[i])
            inputs[:, i] = numbers - known[-1]
        return inputs, [labels_of(table[name], f"{path}, column {name!r}") for name in labels], known


def _numbers(column: pa.ChunkedArray, where: str) -> NDArray[np.float64]:
    refuse_nulls(column, where)
    numbers = np.asarray(column, np.float64)
    wrong = np.flatnonzero(~(np.abs(numbers) <= np.finfo(np.float32).max))
    if len(wrong):
        raise InputError(f"{where}, row {wrong[0]}: {column[wrong[0]].as_py()} is refused: a finite number of float32")
    return numbers


def _origin(numbers: NDArray[np.float64], where: str) -> float:
    """Number from which a feature counts. Raises `InputError` where its values are too near to each other even so."""
    if len(numbers) == 0 or numbers.min() == numbers.max():
        return 0.0
    origin = float(numbers.mean())
    spread = float(np.abs(numbers - origin).mean())
    rounding = max(np.abs(numbers - numbers.astype(np.float32)).max(), 1e-9 * abs(origin))
    if rounding <= LOST * spread:  # the latter: of so little spread beside its mean `scale_of` takes it for constant
        return 0.0
    if np.spacing(np.abs(numbers).max()) > LOST * spread:
        rule = "numbers of float64 keep 15 digits; subtract what all of them share before they are written"
        raise InputError(f"{where}: its values, near {origin:.17g}, differ by {spread:.3g}: {rule}")
    return origin

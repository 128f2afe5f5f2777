"""Columns of Parquet files, checked: whatever is wrong with a file is an `InputError` that names file, row and rule."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.config import InputError
from trainables.noise import Labels

Features = NDArray[np.float32]


@contextmanager
def readable(path: Path, columns: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """The open Parquet file, which has `columns`; what Arrow finds damaged, now or later, becomes an `InputError`."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            missing = [column for column in columns if column not in file.schema_arrow.names]
            if missing:
                there = ", ".join(file.schema_arrow.names)
                raise InputError(f"{path}: has no column {', '.join(map(repr, missing))}: its columns are {there}")
            if file.metadata.num_rows == 0:
                raise InputError(f"{path}: is empty: a row for every example")
            yield file
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: damaged, or no Parquet file: bring it anew ({error})") from error


def labels_of(column: pa.Array | pa.ChunkedArray, where: str, first_row: int = 0) -> Labels:
    """An integer column as int64 [n]; `where` names file and column and `first_row` its first row, for messages."""
    if not pa.types.is_integer(column.type):
        raise InputError(f"{where}: of type {column.type}: labels are integers 0..K-1")
    refuse_nulls(column, where, first_row)
    return np.array(column.cast(pa.int64()), np.int64)


def refuse_nulls(column: pa.Array | pa.ChunkedArray, where: str, first_row: int = 0) -> None:
    """Raise `InputError` naming the first row without a value."""
    if column.null_count:
        row = first_row + pc.index(column.is_null(), True).as_py()
        raise InputError(f"{where}, row {row}: is empty: every row has a value")


def read_features(path: Path, features: Sequence[str], labels: Sequence[str]) -> tuple[Features, list[Labels]]:
    """Numeric columns as float32 [N, D], and the columns named in `labels`, each int64 [N]."""
    with readable(path, [*features, *labels]) as file:
        table = file.read(columns=[*features, *labels])
        inputs = np.empty((table.num_rows, len(features)), np.float32)
        for i, name in enumerate(features):
            inputs[:, i] = _numbers(table[name], f"{path}, column {name!r}")
        return inputs, [labels_of(table[name], f"{path}, column {name!r}") for name in labels]


def _numbers(column: pa.ChunkedArray, where: str) -> Features:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"{where}: of type {kind}: features are numbers")
    refuse_nulls(column, where)
    with np.errstate(over="ignore"):  # what does not fit is named below
        numbers = np.asarray(column, np.float64).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise InputError(f"{where}, row {wrong[0]}: {column[wrong[0]].as_py()} is refused: a finite number of float32")
    return numbers

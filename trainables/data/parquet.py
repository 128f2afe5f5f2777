"""Columns of Parquet files, checked: whatever is wrong with a file is an `InputError` that names file, row and rule."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tosmooth.trainables.data.tables.memory import check_memory
from tosmooth.trainables.data.tables.parquet import readable
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.noise.synthetic import Labels

Features = NDArray[np.float32]
LOST = 1e-3  # of a feature's spread: rounding beyond it is worse than what counting from another origin costs


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

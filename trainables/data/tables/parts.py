"""What every form of a table is read through: one file, and columns of it in batches of rows."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tosmooth.trainables.data.tables.memory import TEXTS, check_memory

MANY = 2**16  # rows read at once where whole columns are wanted


class Part(Protocol):
    """One file of a table. Raises `InputError` for all that is wrong with it."""

    @property
    def path(self) -> Path:
        """Its place."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """Names of all columns, as the file has them."""
        ...

    @property
    def kinds(self) -> Mapping[str, pa.DataType]:
        """Types of the columns that can be read."""
        ...

    @property
    def faults(self) -> Mapping[str, str]:
        """The other columns, and why they cannot be read."""
        ...

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """What its schema says besides."""
        ...

    def rows_of(self, columns: Sequence[str]) -> int:
        """Count the rows of these columns; of all columns if there are none."""
        ...

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read whole columns, of the types in `kinds`: all batches together fit into memory."""
        ...

    def batches(self, columns: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        """Read at most `most` rows at a time: each batch fits into memory."""
        ...


def plain_kind(kind: pa.DataType) -> pa.DataType:
    """Type of a column's values, without the ways to store them: dictionaries, views, types that a library adds."""
    if pa.types.is_dictionary(kind):
        return plain_kind(kind.value_type)
    if isinstance(kind, pa.ExtensionType):  # not one of Arrow's own: read as where that library is not loaded
        return plain_kind(kind.storage_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_long(kind: pa.DataType) -> bool:
    """Tell whether one value can take any number of bytes."""
    return bool(is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def width(kind: pa.DataType) -> int:
    """Bytes that a value takes at least."""
    return max(8, kind.byte_width) if pa.types.is_fixed_size_binary(kind) else 8


def plain(column: pa.Array, path: Path, name: str) -> pa.Array:
    """The column as `plain_kind` has it. Raises `InputError` where it stands for far more than the file holds."""
    kind = plain_kind(column.type)
    if kind == column.type:
        return column
    if isinstance(column.type, pa.ExtensionType):
        return plain(column.storage, path, name)
    if is_long(kind):
        check_memory(path, int(_lengths(column).sum()), f"column {name!r}", TEXTS)
    if pa.types.is_dictionary(column.type):
        return plain(column.dictionary_decode(), path, name)
    return column.cast(kind)


def _lengths(column: pa.Array) -> NDArray[np.int64]:
    """Bytes of each value, without making a copy of it for every row."""
    if pa.types.is_dictionary(column.type):
        of_values = _lengths(column.dictionary)
        return np.asarray(of_values[np.asarray(column.indices.drop_null(), np.int64)])
    if plain_kind(column.type) == column.type:
        return np.asarray(pc.fill_null(pc.binary_length(column), 0), np.int64)
    views = np.frombuffer(column.buffers()[1] or b"", np.int32).reshape(-1, 4)  # Arrow's layout: the length is first
    return np.asarray(views[column.offset :][: len(column), 0] * np.asarray(column.is_valid()), np.int64)


def sliced(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """Cut a batch into pieces of at most `most` rows, without a copy."""
    for start in range(0, batch.num_rows, most):
        yield batch.slice(start, most)

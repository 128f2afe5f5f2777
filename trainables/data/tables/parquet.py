"""Parquet files: columns, and rows at a time of what may be large, in memory bounded by what the file holds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tosmooth.trainables.data.tables.memory import TEXTS, check_columns, check_memory, sound
from tosmooth.trainables.data.tables.parts import MANY, is_long, plain, plain_kind, width
from tosmooth.trainables.errors import InputError, shown

SMALL = 2**24  # bytes of a file whose metadata are tried by reading a row
PACKED = 2**26  # bytes of pictures or text in a row group that are refused to no file: pictures are packed as it is
# Bytes that the rows read at once may take, were each the largest value: Arrow copies a value that is stored once for
# every row, before its size can be asked for.
BATCH = 2**26
LONG = ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")  # physical types of values of any size


@contextmanager
def readable(path: Path, columns: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """The open Parquet file, which has `columns`; what Arrow finds damaged, now or later, becomes an `InputError`."""
    with opened(path) as file:
        names = file.schema_arrow.names
        wrong = [column for column in columns if names.count(column) != 1]
        if wrong:
            has = "has no column" if wrong[0] not in names else "has more than once the column"
            there = shown(", ".join(names)).strip("'")
            raise InputError(f"{path}: {has} {', '.join(map(repr, wrong))}: its columns are {there}")
        if file.metadata.num_rows == 0:
            raise InputError(f"{path}: is empty: a row for every example")
        yield file


@contextmanager
def opened(path: Path, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """The open Parquet file, columns in `dictionaries` with each of their values once."""
    with sound(path, "Parquet"):
        names = list(dictionaries) or None
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=names) as file:
            _check_rows(file, path)
            yield file


def _check_rows(file: pq.ParquetFile, path: Path) -> None:
    """Refuse a file whose parts do not agree on their rows, before room is made for as many as one of them claims."""
    rows = file.metadata.num_rows
    groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    if rows < 0 or min(groups, default=0) < 0 or sum(groups) != rows:
        raise InputError(f"{path}: damaged: {rows} rows in all, {sum(groups)} in its row groups: bring it anew")


class Parquet:
    """A Parquet file as a part of a table."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened(path) as file:
            schema = file.schema_arrow
            check_columns(path, len(schema))
            self.names = schema.names
            self.kinds = {field.name: plain_kind(field.type) for field in schema}
            self.metadata = schema.metadata or {}
            self._rows = int(file.metadata.num_rows)
        self.faults: dict[str, str] = {}

    def rows_of(self, columns: Sequence[str]) -> int:
        """Count the rows, the same for all columns."""
        return self._rows

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read whole columns. A text that many rows share is measured before it is copied for each."""
        check_memory(self.path, 8 * self._rows * len(columns), f"{self._rows} rows of {len(columns)} columns")
        texts = [name for name in columns if is_long(self.kinds[name])]
        with opened(self.path, texts) as file:
            leaves = {name: _leaves(file, self.path, name) for name in columns}
            for name in columns:
                size = sum(width(self.kinds[name]) * chunk.num_values for chunk in leaves[name])
                check_memory(self.path, size, f"values of column {name!r}")
            nested = [name for name in columns if name not in texts]
            largest = max((_largest(leaves[name]) for name in nested), default=0)
            sizes = dict.fromkeys(texts, 0)
            for batch in self._batches(file, columns, max(1, min(MANY, BATCH // max(1, largest)))):
                for name in texts:
                    sizes[name] += batch.column(name).nbytes
                    check_memory(self.path, sizes[name], f"column {name!r}", TEXTS)
                yield batch

    def batches(self, columns: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        """Read rows of large values, as pictures are, few at a time."""
        with opened(self.path) as file:
            sizes = [_largest(_leaves(file, self.path, name)) for name in columns]
            fixed = sizes.count(0)
            check_memory(self.path, 8 * self._rows * fixed, f"{self._rows} rows of {fixed} columns")
            largest = max(sizes, default=0)
            check_memory(self.path, largest, f"a row group of the columns {', '.join(columns)}", PACKED)
            yield from self._batches(file, columns, max(1, min(most, BATCH // max(1, largest))))

    def _batches(self, file: pq.ParquetFile, columns: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        rows = 0
        for batch in file.iter_batches(most, columns=list(columns)):
            rows += batch.num_rows
            for name in columns:
                if is_long(self.kinds[name]):  # neither places in a dictionary nor UTF-8 were checked
                    batch.column(name).validate(full=True)
            yield pa.record_batch([plain(batch.column(name), self.path, name) for name in columns], list(columns))
        if rows != self._rows:  # Arrow ends where the column does, whatever the metadata say
            rule = f"damaged: {rows} rows where its metadata say {self._rows}: bring it anew"
            raise InputError(f"{self.path}: {rule}")


def _leaves(file: pq.ParquetFile, path: Path, name: str) -> list[pq.ColumnChunkMetaData]:
    """What the metadata say of a column: of each leaf in each row group."""
    paths = [file.schema.column(i).path for i in range(len(file.schema))]
    found = [i for i, leaf in enumerate(paths) if leaf == name or leaf.startswith(f"{name}.")]
    if not found or any(paths.count(paths[i]) != 1 for i in found):
        raise InputError(f"{path}, column {name!r}: damaged: its schemas differ: bring it anew")
    return column_chunks(file, path, found)


def column_chunks(file: pq.ParquetFile, path: Path, columns: Sequence[int]) -> list[pq.ColumnChunkMetaData]:
    """What the metadata say of some leaves, by their places in the schema, in each row group.

    Of a small file a row is read first: what Arrow finds wrong with these metadata it says as an error there, whereas
    to be asked for them ends the process (Cython's declaration of `ColumnChunk` has no `except +`). Damage to a large
    file ends the process that measures the data, which is told, too; a page of each column would take too long there.
    """
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    names = [file.schema.column(i).path for i in columns]
    if path.stat().st_size < SMALL and max((group.total_byte_size for group in groups), default=0) < PACKED:
        for i in range(len(groups)):
            next(file.iter_batches(1, row_groups=[i], columns=names), None)
    return [group.column(i) for group in groups for i in columns]


def _largest(leaves: Sequence[pq.ColumnChunkMetaData]) -> int:
    """Most bytes that a value of the column may have; 0 for numbers."""
    return max((chunk.total_uncompressed_size for chunk in leaves if chunk.physical_type in LONG), default=0)

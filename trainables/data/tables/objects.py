"""JSON: an object for each row, one a line or all in an array; they may be laid out in any way."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tosmooth.trainables.data.tables.memory import TEXTS, check_columns, check_memory
from tosmooth.trainables.data.tables.parts import sliced
from tosmooth.trainables.data.tables.streams import Codec, blocks, text_of
from tosmooth.trainables.errors import InputError, first_line, shown

LONGEST = 2**24  # characters of a row
ROWS, TEXT = 2**12, 2**22  # rows made columns at once, and characters of them
BETWEEN = re.compile(r"[\s,]*")
RECORDS = "a table in JSON is one object a row: pandas' to_json(orient='records', lines=True) writes that"


class Object:
    """An object of JSON: nothing that Arrow would take for a value."""

    __slots__ = ("values",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.values = dict(pairs)
        if len(self.values) != len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise InputError(f"has more than once the name {twice!r}")


class Objects:
    """A file of JSON as a part of a table. All its columns are in memory, as they take less than their text."""

    def __init__(self, path: Path, codec: Codec | None) -> None:
        self.path = path
        self.metadata: dict[bytes, bytes] = {}
        self.faults: dict[str, str] = {}
        self._rows = 0
        self._chunks: dict[str, list[pa.Array]] = {}
        with text_of(path, codec, "JSON") as text:
            for rows in _grouped(_Scanner(blocks(text, path), path)):
                self._add(rows)
        self._refuse_other_layouts()
        self._columns = {name: found for name in self._chunks if (found := self._joined(name)) is not None}
        del self._chunks
        self.names = [*self._columns, *self.faults]
        self.kinds = {name: column.type for name, column in self._columns.items()}

    def rows_of(self, columns: Sequence[str]) -> int:
        """Count the rows, the same for all columns."""
        return self._rows

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read whole columns."""
        yield from pa.table({name: self._columns[name] for name in columns}).to_batches()

    def batches(self, columns: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        """Read some rows at a time."""
        for batch in self.read(columns):
            yield from sliced(batch, most)

    def _add(self, rows: Sequence[dict[str, Any]]) -> None:
        names = dict.fromkeys(name for row in rows for name in row)
        for name in names:
            self._chunks.setdefault(name, [pa.nulls(self._rows)] if self._rows else [])
        check_columns(self.path, len(self._chunks))
        size = 8 * (self._rows + len(rows)) * len(self._chunks)
        check_memory(self.path, size, f"{len(self._chunks)} columns that few rows have", TEXTS)
        for name, chunks in self._chunks.items():
            if name in names and name not in self.faults:
                chunks.append(self._array(name, [row.get(name) for row in rows]))
            else:
                chunks.append(pa.nulls(len(rows)))
        self._rows += len(rows)

    def _array(self, name: str, values: list[Any]) -> pa.Array:
        """The values as a column; what has none is kept as a fault, and refused where it is asked for."""
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError, ValueError, RecursionError) as error:
            nested = next((i for i, value in enumerate(values) if isinstance(value, Object)), None)
            what = "an object inside the row" if nested is not None else first_line(error)
            self.faults[name] = (
                f"{self.path}, column {name!r}, among rows {self._rows} to {self._rows + len(values) - 1}"
            )
            self.faults[name] += f": values are numbers, texts, true or false, or lists of numbers ({what})"
            return pa.nulls(len(values))

    def _joined(self, name: str) -> pa.ChunkedArray | None:
        chunks, row = self._chunks[name], 0
        if name in self.faults:
            return None
        kind = pa.null()
        for chunk in chunks:
            try:
                kind = unified(kind, chunk.type)
            except pa.ArrowTypeError:
                rule = f"of type {chunk.type}, those before of type {kind}: a column is of one"
                self.faults[name] = f"{self.path}, column {name!r}, from row {row} on: {rule}"
                return None
            row += len(chunk)
        try:
            return pa.chunked_array([chunk.cast(kind) for chunk in chunks], kind)
        except pa.ArrowException as error:
            self.faults[name] = f"{self.path}, column {name!r}: as {kind}: {first_line(error)}"
            return None

    def _refuse_other_layouts(self) -> None:
        """Refuse a single object of columns, as pandas' `to_json` writes it if nothing else is asked for."""
        if self._rows == 1 and all(
            name in self.faults or pa.types.is_list(chunks[0].type) for name, chunks in self._chunks.items()
        ):
            raise InputError(f"{self.path}: one object, with the names {shown(list(self._chunks))}: {RECORDS}")


def unified(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that values of both types can have. Raises `pa.ArrowTypeError` if there is none."""
    schemas = [pa.schema([("", kind)]) for kind in (one, other)]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0).type


def _grouped(rows: "_Scanner") -> Iterator[list[dict[str, Any]]]:
    """Rows in groups that are small in memory."""
    group: list[dict[str, Any]] = []
    begin = rows.read
    for row in rows:
        group.append(row)
        if len(group) == ROWS or rows.read - begin > TEXT:
            yield group
            group, begin = [], rows.read
    if group:
        yield group


class _Scanner:
    """The objects of a text, one after another; of the text a block is in memory."""

    def __init__(self, text: Iterator[str], path: Path) -> None:
        self._text, self._path = text, path
        self._decoder = json.JSONDecoder(object_pairs_hook=Object)
        self._held, self._place = "", 0
        self.read, self._row = 0, 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        array = self._next() == "["
        if array:
            self._place += 1
        while (begin := self._next()) and not (array and begin == "]"):
            yield self._object()
            self._row += 1
        if array != (begin == "]"):
            raise InputError(f"{self._path}: damaged: its array is not closed: bring it anew")
        if array and self._skip():
            raise InputError(f"{self._path}: damaged: more after the end of its array")

    def _skip(self) -> str:
        self._place += 1
        return self._next()

    def _next(self) -> str:
        """The next character that is none between rows; empty at the end."""
        while True:
            self._place = BETWEEN.match(self._held, self._place).end()  # type: ignore[union-attr] # it always matches
            if self._place < len(self._held):
                return self._held[self._place]
            if not self._more():
                return ""

    def _more(self) -> bool:
        block = next(self._text, "")
        self._held, self._place = self._held[self._place :] + block, 0
        return bool(block)

    def _object(self) -> dict[str, Any]:
        where = f"{self._path}, row {self._row}"
        while True:
            try:
                found, end = self._decoder.raw_decode(self._held, self._place)
            except json.JSONDecodeError as error:
                if len(self._held) - self._place <= LONGEST and self._more():
                    continue
                raise InputError(f"{where}: no JSON, or longer than {LONGEST} characters: {error.msg}") from error
            except InputError as error:
                raise InputError(f"{where}: {error}") from error
            except (RecursionError, ValueError) as error:  # ValueError: of a number of thousands of digits
                raise InputError(f"{where}: nested too deeply, or no number ({first_line(error)})") from error
            if not isinstance(found, Object):
                raise InputError(f"{where}: {shown(found)}: {RECORDS}")
            self.read += end - self._place
            self._place = end
            return found.values

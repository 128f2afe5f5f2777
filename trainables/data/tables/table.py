"""A table of one or more files of any form, as one."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from tosmooth.trainables.data.tables import arrays, values
from tosmooth.trainables.data.tables.delimited import Delimited
from tosmooth.trainables.data.tables.files import Files
from tosmooth.trainables.data.tables.formats import format_of
from tosmooth.trainables.data.tables.ipc import Ipc
from tosmooth.trainables.data.tables.memory import sound
from tosmooth.trainables.data.tables.objects import Objects, unified
from tosmooth.trainables.data.tables.parquet import Parquet
from tosmooth.trainables.data.tables.parts import Part
from tosmooth.trainables.errors import InputError, first_line, shown
from tosmooth.trainables.files.digests import remembered_sha256


@contextmanager
def open_table(files: Sequence[Path], what: str = "") -> Iterator["Table"]:
    """Open the files that `files_of` found as one table.

    `what` is the part of the data they are wanted for, "train" or "test": an .npz has x_train as x, then. Raises
    `InputError` for what is damaged or no table, now or when it is read.
    """
    if isinstance(files, Files) and files.columns is not None:
        yield Table([arrays.arrays_of(files.columns)], list(files), {})
        return
    if not files:
        raise InputError("a table without files: name at least one")
    placed = files.values if isinstance(files, Files) else {}
    yield Table([_open(path, what) for path in files], list(files), placed)


def _open(path: Path, what: str) -> Part:
    form, codec = format_of(path)
    with sound(path, form):
        match form:
            case "Parquet":
                return Parquet(path)
            case "Arrow" | "Arrow stream":
                return Ipc(path, stream=form == "Arrow stream")
            case "npz":
                return arrays.npz(path, what)
            case "NumPy":
                return arrays.columns_of(path)
            case "CSV":
                return Delimited(path, codec)
            case "JSON":
                return Objects(path, codec)


class Table:
    """Columns of one or more files. What is wrong with a column is an `InputError` where that column is asked for."""

    def __init__(
        self,
        parts: Sequence[Part],
        files: Sequence[Path],
        placed: Mapping[Path, Mapping[str, str | None]],
        chosen: Sequence[str] = (),
    ) -> None:
        self.files = list(files)
        self._parts, self._placed, self._chosen = parts, placed, list(chosen)
        self._constants = _constants(parts, placed)
        self._counts = [Counter(part.names) for part in parts]
        self._faults: dict[str, str] = {}
        kinds: dict[str, pa.DataType] = {}
        for name in dict.fromkeys(itertools.chain(self._constants, *(part.names for part in parts))):
            try:
                kinds[name] = self._kind(name)
            except InputError as error:
                self._faults[name] = str(error)
        self.schema = pa.schema({name: kind for name, kind in kinds.items() if not chosen or name in chosen})
        self.names: tuple[str, ...] = tuple(self.schema.names)
        self.class_names = _class_names(parts, self._faults)

    @property
    def faults(self) -> Mapping[str, str]:
        """What is wrong with columns that cannot be read: one that stands there twice, say."""
        return self._faults

    @property
    def of_text(self) -> bool:
        """True if the first file is written as text, with a first line of names."""
        return isinstance(self._parts[0], Delimited)

    @property
    def rows(self) -> int:
        """Number of rows. Raises `InputError` where arrays of one .npz differ in it: ask for some of them first."""
        return sum(self._rows())

    def require(self, columns: Sequence[str], key: str) -> "Table":
        """The table of these columns alone. Raises `InputError` naming `key` for one that is missing or cannot be read.

        So does a column that stands there twice, and a table without rows.
        """
        for column in columns:
            if column in self._faults:
                raise InputError(f"{key}: {column!r} is refused: {self._faults[column]}")
            if column not in self.names:
                raise InputError(f"{key}: {self._files()} has no column {column!r}{self._hint(column)}")
        chosen = Table(self._parts, self.files, self._placed, columns)
        if chosen.rows == 0:
            raise InputError(f"{self._files()}: is empty: a row for every example")
        return chosen

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read whole columns, of the types in `schema`, in the order of the files."""
        schema = self._schema(columns)
        read = itertools.chain.from_iterable(self._read(part, columns, None) for part in self._parts)
        return pa.Table.from_batches(read, schema)

    def batches(self, columns: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        """Read at most `most` rows at a time: fewer where their values may be large."""
        self._schema(columns)
        for part in self._parts:
            yield from self._read(part, columns, most)

    def as_text(self, columns: Sequence[str]) -> None:
        """Have columns of files that are written as text be such for `require`, as they are written: 007 is 007."""
        for part in self._parts:
            for column in columns:
                if isinstance(part, Delimited) and column in part.kinds:
                    part.as_text(column)

    def place(self, row: int) -> str:
        """Name the file of a row, and the row in it, from 0."""
        before = 0
        for part, rows in zip(self._parts, self._rows(), strict=True):
            if row < before + rows:
                return f"{part.path}, row {row - before}"
            before += rows
        raise IndexError(row)

    def first_text(self, column: str) -> tuple[int, str] | None:
        """Row and value that make a column of a CSV one of text: the first that is no number; `None` if all are."""
        before = 0
        for part, rows in zip(self._parts, self._rows(), strict=True):
            found = part.first_text(column) if isinstance(part, Delimited) else None
            if found is not None:
                return before + found[0], found[1]
            before += rows
        return None

    def digests(self, cache: Path) -> list[str]:
        """SHA-256s of the files, in hex."""
        return [remembered_sha256(path, cache) for path in self.files]

    def _rows(self) -> list[int]:
        return [part.rows_of([name for name in self._chosen if name in part.kinds]) for part in self._parts]

    def _schema(self, columns: Sequence[str]) -> pa.Schema:
        for column in columns:
            if column not in self.names:
                raise InputError(f"{self._files()} has no column {column!r}{self._hint(column)}")
        return pa.schema([self.schema.field(column) for column in columns])

    def _read(self, part: Part, columns: Sequence[str], most: int | None) -> Iterator[pa.RecordBatch]:
        """Read columns of one file, of the types of the whole table, with those that its place says."""
        own = [name for name in columns if name in part.kinds]
        schema = self._schema(columns)
        with sound(part.path, "table"):
            for batch in self._own(part, own, most):
                yield pa.record_batch([self._column(batch, name, part) for name in columns], schema)

    def _own(self, part: Part, own: Sequence[str], most: int | None) -> Iterator[pa.RecordBatch]:
        if not own:
            rows = part.rows_of([])
            step = most or max(1, rows)
            for start in range(0, rows, step):
                yield pa.record_batch([pa.nulls(min(step, rows - start))], [""])
            return
        yield from part.read(own) if most is None else part.batches(own, most)

    def _column(self, batch: pa.RecordBatch, name: str, part: Part) -> pa.Array:
        kind = self.schema.field(name).type
        if name not in part.kinds:
            return pa.repeat(self._constants[name][part.path], batch.num_rows)
        column = batch.column(name)
        if column.type == kind:
            return column
        try:
            return column.cast(kind)
        except pa.ArrowException as error:
            said = f"of type {column.type}, as {kind}: {first_line(error)}"
            raise InputError(f"{part.path}, column {name!r}: {said}") from error

    def _kind(self, name: str) -> pa.DataType:
        """The type of a column over all files. Raises `InputError` where a file lacks it, or has it otherwise."""
        for part, counts in zip(self._parts, self._counts, strict=True):
            self._check(part, counts, name)
        if not all(name in part.kinds for part in self._parts):
            return next(iter(self._constants[name].values())).type
        kind, first = self._parts[0].kinds[name], self._parts[0]
        for part in self._parts[1:]:
            other = part.kinds[name]
            try:
                kind = unified(kind, other)
            except pa.ArrowException as error:
                if self._as_text(name):
                    return pa.string()
                there = f"{kind} in {first.path}, {other} in {part.path}"
                raise InputError(f"column {name!r} is of different types: {there}") from error
        return kind

    def _check(self, part: Part, counts: Mapping[str, int], name: str) -> None:
        if name in part.faults:
            raise InputError(part.faults[name])
        if counts.get(name, 0) > 1:
            raise InputError(f"{part.path}: has more than once the column {name!r}: {_there(part.names)}")
        constant = name in self._constants and part.path in self._constants[name]
        if name not in part.kinds and not constant:
            raise InputError(f"{part.path}: has no column {name!r}, which others have: {_there(part.names)}")

    def _as_text(self, name: str) -> bool:
        """Have the column read as text in all files, where they are written as such: 007 in one, cat in another."""
        others = [part for part in self._parts if part.kinds[name] != pa.string()]
        written = [part for part in others if isinstance(part, Delimited)]
        if len(written) < len(others):
            return False
        for part in written:
            part.as_text(name)
        return True

    def _files(self) -> str:
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"{self.files[0]}{more}"

    def _hint(self, column: str) -> str:
        names = list(dict.fromkeys([*self.names, *self._faults]))
        near = get_close_matches(column, names[:1000], n=1)
        hint = f"; the nearest is {near[0]!r}" if near else ""
        part = self._parts[0]
        if isinstance(part, Delimited) and values.are_numbers(names):
            hint = "; its first line holds values: write a line with the names of the columns above it"
        return f": {_there(names)}{hint}"


def _there(names: Sequence[str]) -> str:
    return "its columns are " + shown(", ".join(names)).strip("'")


def _constants(
    parts: Sequence[Part], placed: Mapping[Path, Mapping[str, str | None]]
) -> dict[str, dict[Path, pa.Scalar]]:
    """Columns that are in the names of folders, with the value of each file; those in the files go before."""
    found: dict[str, dict[Path, pa.Scalar]] = {}
    own = set(itertools.chain.from_iterable(part.names for part in parts))
    for name in dict.fromkeys(itertools.chain.from_iterable(placed.values())):
        paths = [path for path in placed if name in placed[path] and name not in own]
        texts = pa.array([placed[path][name] for path in paths], pa.string())
        read = values.read(texts, values.kind_of(texts, comma=False))
        if paths:
            found[name] = dict(zip(paths, read, strict=True))
    return found


def _class_names(parts: Sequence[Part], faults: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Names of classes by column, as Hugging Face writes them beside a schema; files that differ are a fault."""
    found: dict[str, tuple[str, ...]] = {}
    for part in parts:
        for column, names in _features(part.metadata):
            if found.setdefault(column, names) != names:
                other = f"{part.path} has the classes {shown(names)}, those before {shown(found[column])}"
                faults[column] = f"column {column!r}: {other}"
    return {column: names for column, names in found.items() if column not in faults}


def _features(metadata: Mapping[bytes, bytes]) -> Iterator[tuple[str, tuple[str, ...]]]:
    try:
        features: Any = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"].items()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return  # not written by it, or damaged: then its classes have no names
    for column, feature in features:
        names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            yield column, tuple(names)

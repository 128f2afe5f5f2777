"""CSV and what is like it: the delimiter, the heading and the types of the columns are found in the file.

A file is read twice: once to find what its columns are, over all its rows, and again for the columns that are wanted.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from tosmooth.trainables.data.tables import values
from tosmooth.trainables.data.tables.memory import check_columns, check_memory
from tosmooth.trainables.data.tables.parts import sliced
from tosmooth.trainables.data.tables.streams import Codec, blocks, text_of
from tosmooth.trainables.data.tables.values import THOUSANDS, Kind
from tosmooth.trainables.errors import InputError

DELIMITERS = ",;\t|"
SAMPLE = 2**22  # characters among which the heading ends
LOOKED_AT = 50  # rows by which the delimiter is found
BLOCK = 2**21  # characters read at once
LONGEST = 2**23  # characters of a row
# The last row, which is put there. A quotation that is not closed would take in what follows, without a word.
END = "\x03end"
# Numbers with a decimal comma that are no thousands in groups of three.
DECIMAL = r"^\s*[+-]?(0{0}[0-9]+|[0-9]+{0}([0-9]{{1,2}}|[0-9]{{4,}})|[0-9]{{4,}}{0}[0-9]+)([eE][+-]?[0-9]+)?\s*$"
DECIMAL_COMMA = re.compile(DECIMAL.format(","))
SMALL = r"^\s*[+-]?[0-9]{1,3}\s*$"


@dataclass(slots=True)
class Marks:
    """What commas and points are in a column of numbers."""

    comma: bool = False  # a comma is a decimal one beyond doubt
    point: bool = False  # a point is
    small: bool = False  # there are whole numbers below 1000, without a mark
    thousands: tuple[int, str] | None = None  # row and value of the first mark that may be one of thousands

    def add(self, texts: pa.Array, before: int, whole: bool) -> None:
        """Look at further values, `before` rows behind the first; `whole`: they are whole numbers."""
        self.small = self.small or _any(texts, SMALL)
        if whole or self.comma or self.point:  # there are no marks, or it is known what they are
            return
        self.comma, self.point = (_any(texts, DECIMAL.format(mark)) for mark in (",", r"\."))
        place = pc.index(pc.match_substring_regex(texts, THOUSANDS), True).as_py()
        if self.thousands is None and place >= 0:
            self.thousands = (before + place, texts[place].as_py())


def _any(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, pattern)).as_py())


@dataclass(frozen=True, slots=True)
class Heading:
    """Beginning of a file, and how the rest is to be read."""

    names: list[str]
    delimiter: str
    comma: bool  # there may be decimal commas
    rest: str  # of what was read, all after the heading
    skipped: int  # lines before the heading


class Delimited:
    """A CSV file as a part of a table."""

    def __init__(self, path: Path, codec: Codec | None) -> None:
        self.path, self._codec = path, codec
        self.faults: dict[str, str] = {}
        self.metadata: dict[bytes, bytes] = {}
        self._kinds: list[Kind] = []  # by the place of the column
        self._first_texts: dict[str, tuple[int, str]] = {}
        self._rows = 0
        self._marks: dict[int, Marks] = {}  # by the place of the column, where a comma may be a decimal one
        with self._opened() as (heading, batches):
            self.names = heading.names
            self._kinds = [Kind.NONE] * len(heading.names)
            for batch in batches:
                self._look_at(batch, heading.comma)
                if heading.comma:
                    self._look_at_marks(batch)
        if heading.comma:
            self._refuse_thousands()
        self.kinds = {name: kind.type for name, kind in zip(self.names, self._kinds, strict=True)}

    def rows_of(self, columns: Sequence[str]) -> int:
        """Count the rows, the same for all columns."""
        return self._rows

    def as_text(self, column: str) -> None:
        """Take a column for text from now on, as it is written."""
        self._kinds[self.names.index(column)] = Kind.TEXT
        self.kinds[column] = Kind.TEXT.type

    def first_text(self, column: str) -> tuple[int, str] | None:
        """Row and value that make this column one of text; `None` if it is none."""
        return self._first_texts.get(column)

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read whole columns."""
        check_memory(self.path, 8 * self._rows * len(columns), f"{self._rows} rows of {len(columns)} columns")
        places = [self.names.index(column) for column in columns]
        with self._opened(places) as (_, batches):
            for batch in batches:
                read = [values.read(batch.column(str(i)), self._kinds[i]) for i in places]
                yield pa.record_batch(read, list(columns))

    def texts(self) -> tuple[str, pa.Table]:
        """Delimiter, and all columns as they are written, by their places, as names may be the same."""
        with self._opened() as (heading, batches):
            names = [str(i) for i in range(len(heading.names))]
            return heading.delimiter, pa.Table.from_batches(list(batches), pa.schema(dict.fromkeys(names, pa.string())))

    def batches(self, columns: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        """Read some rows at a time."""
        return itertools.chain.from_iterable(sliced(batch, most) for batch in self.read(columns))

    def _look_at(self, batch: pa.RecordBatch, comma: bool) -> None:
        for known in set(self._kinds) - {Kind.TEXT}:
            self._look_at_columns([i for i, kind in enumerate(self._kinds) if kind is known], batch, comma)
        self._rows += batch.num_rows

    def _look_at_marks(self, batch: pa.RecordBatch) -> None:
        for i, kind in enumerate(self._kinds):
            if kind in (Kind.COMMA, Kind.REAL, Kind.WHOLE):
                self._marks.setdefault(i, Marks()).add(batch.column(i), self._rows - batch.num_rows, kind is Kind.WHOLE)

    def _refuse_thousands(self) -> None:
        """Take columns for text whose commas or points may be those of thousands: 1,935 beside 950.

        A value such as 0,5 or 12.57 says what its mark is, in its own column and, where that has none, in the others.
        """
        own = {i: marks for i, marks in self._marks.items() if self._kinds[i] in (Kind.COMMA, Kind.REAL)}
        commas = any(marks.comma for marks in own.values())
        points = any(marks.point for marks in own.values())
        for i, marks in own.items():
            comma = self._kinds[i] is Kind.COMMA
            told, other = (marks.comma, points) if comma else (marks.point, commas)
            if marks.thousands is not None and not told and (marks.small or other):
                self._kinds[i] = Kind.TEXT
                self._first_texts[self.names[i]] = marks.thousands

    def _look_at_columns(self, places: Sequence[int], batch: pa.RecordBatch, comma: bool) -> None:
        """Look at columns of one kind: all at once where they still are, as there may be tens of thousands."""
        known = self._kinds[places[0]]
        if known is Kind.NONE or len(places) == 1:
            for i in places:
                self._look_at_column(i, batch.column(i), comma)
        elif values.kind_of(pa.concat_arrays([batch.column(i) for i in places]), comma, known) is not known:
            half = len(places) // 2
            self._look_at_columns(places[:half], batch, comma)
            self._look_at_columns(places[half:], batch, comma)

    def _look_at_column(self, i: int, texts: pa.Array, comma: bool) -> None:
        self._kinds[i] = kind = values.kind_of(texts, comma, self._kinds[i])
        if kind is Kind.TEXT and self.names[i] not in self._first_texts:
            place = values.first_text(texts, comma)
            if place is not None:
                self._first_texts[self.names[i]] = (self._rows + place, texts[place].as_py())

    @contextmanager
    def _opened(self, places: Sequence[int] | None = None) -> Iterator[tuple[Heading, Iterator[pa.RecordBatch]]]:
        """The heading, and the rows as text: columns are named by their places, as their names may be the same."""
        with text_of(self.path, self._codec, "CSV") as text:
            heading = _heading(text, self.path)
            content = itertools.chain([heading.rest], blocks(text, self.path, BLOCK))
            yield heading, self._records(heading, content, places)

    def _records(
        self, heading: Heading, content: Iterator[str], places: Sequence[int] | None
    ) -> Iterator[pa.RecordBatch]:
        """Read the text in blocks of whole rows: Arrow's own way to do so calls Python from threads of its own."""
        held, more = "", True
        while more:
            if len(held) > LONGEST:
                rule = f"a row is longer than {LONGEST} characters, or a quotation that is opened is not closed"
                raise InputError(self._ragged(heading) or f"{self.path}: {rule}")
            block = next(content, None)
            held, more = held + (block or ""), block is not None
            for cut in _cuts(held) if more else [len(held)]:
                table = _parsed(held[:cut], heading, places)
                if table is not None:
                    held = held[cut:]
                    yield from table.to_batches()
                    break
        if table is None:
            rule = "damaged: a quotation that is opened is not closed"
            raise InputError(self._ragged(heading) or f"{self.path}: {rule}")

    def _ragged(self, heading: Heading) -> str | None:
        """What to say of the first row that has not as many values as the heading."""
        wanted = len(heading.names)
        with text_of(self.path, self._codec, "CSV") as text, suppress(csv.Error):
            reader = csv.reader(iter(lambda: text.readline(LONGEST), ""), delimiter=heading.delimiter)
            for record in itertools.islice(reader, heading.skipped, None):
                if record and len(record) != wanted:
                    rule = ": is the name of the first missing there?" if len(record) == wanted + 1 else ""
                    where = f"{self.path}, line {reader.line_num}"
                    return f"{where}: its values are {len(record)}, those of the heading {wanted}{rule}"
        return None


def _heading(text: TextIO, path: Path) -> Heading:
    """Read the names of the columns, and find how the values are delimited."""
    head = next(blocks(text, path, SAMPLE), "")
    whole = len(head) < SAMPLE
    told = re.match(r'"?sep=([,;|\t:~^])"?\n', head)  # Excel's, for itself
    start = told.end() if told else 0
    delimiter = told[1] if told else _delimiter(head, whole)
    records = _Records(head[start:], delimiter)
    names = next(records, None)
    if not names or (records.used == len(head) - start and not whole):
        raise InputError(f"{path}: no heading: the first line names the columns, in at most {SAMPLE} characters")
    check_columns(path, len(names))
    cells = itertools.chain.from_iterable(itertools.islice(_Records(head[start:], delimiter), LOOKED_AT))
    comma = delimiter == ";" or (delimiter != "," and any(map(DECIMAL_COMMA.match, cells)))
    return Heading(names, delimiter, comma, head[start + records.used :], skipped=1 if told else 0)


def _delimiter(head: str, whole: bool) -> str:
    """The delimiter by which the heading has several names, and the rows as many values."""

    def fits(delimiter: str) -> tuple[bool, float, int]:
        records = _Records(head, delimiter)
        rows = [len(record) for record in itertools.islice(records, LOOKED_AT)]
        if records.used == len(head) and not whole:  # the last is cut off
            rows = rows[:-1]
        names = rows[0] if rows else 0
        return names > 1, rows.count(names) / max(1, len(rows)), names

    return max(DELIMITERS, key=fits)


class _Records(Iterator[list[str]]):
    """Records of a text that are not blank, as far as they can be told apart, and how much of the text was used."""

    def __init__(self, text: str, delimiter: str) -> None:
        self.used = 0
        self._reader = csv.reader(self._lines(text), delimiter=delimiter)

    def _lines(self, text: str) -> Iterator[str]:
        for line in io.StringIO(text):
            self.used += len(line)
            yield line

    def __next__(self) -> list[str]:
        try:
            return next(record for record in self._reader if record)
        except csv.Error as error:  # of a value without end
            raise StopIteration from error


def _cuts(text: str) -> Iterator[int]:
    """Places after a newline, as late as can be, where a row may end: within quotations, or not, by their number."""
    tried: set[int] = set()
    cut, quotes = len(text), text.count('"')
    while len(tried) < 2 and (end := text.rfind("\n", 0, cut)) >= 0:
        quotes -= text.count('"', end, cut)
        cut = end
        if quotes % 2 not in tried:
            tried.add(quotes % 2)
            yield end + 1


def _parsed(text: str, heading: Heading, places: Sequence[int] | None) -> pa.Table | None:
    """Rows as text; `None` where a quotation is not closed at the end, or a row has not as many values as others."""
    names = [str(i) for i in range(len(heading.names))]
    content = f"{text}\n{heading.delimiter.join([END] * len(names))}\n".encode()
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            pa_csv.ReadOptions(use_threads=False, block_size=len(content), column_names=names),
            pa_csv.ParseOptions(delimiter=heading.delimiter, newlines_in_values=True),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=None if places is None else [str(i) for i in places],
            ),
        )
    except pa.ArrowInvalid:
        return None
    whole = all(column[-1].as_py() == END for column in table.columns)
    return table.slice(0, len(table) - 1) if whole else None

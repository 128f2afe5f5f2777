"""Arrow's own files: IPC files (Feather V2), and IPC streams as Hugging Face's `datasets` writes them.

Both are read as the stream of messages that they are, from a mapped file: what is not packed takes no memory.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from tosmooth.trainables.data.tables.memory import TEXTS, check_columns, check_memory, sound
from tosmooth.trainables.data.tables.parts import MANY, is_long, plain, plain_kind, sliced, width
from tosmooth.trainables.errors import InputError, first_line

MAGIC = b"ARROW1\0\0"
ENDS = (b"\xff\xff\xff\xff\0\0\0\0", b"\0\0\0\0")  # of a stream; the latter of those before 2019
DICTIONARIES, ROWS = 2, 3  # kinds of messages that have bodies


class Ipc:
    """An Arrow file or stream as a part of a table."""

    def __init__(self, path: Path, stream: bool) -> None:
        self.path, self._stream = path, stream
        self.faults: dict[str, str] = {}
        with self._reader() as reader:
            schema = reader.schema
        check_columns(path, len(schema))
        self.names = schema.names
        self._places = {field.name: i for i, field in enumerate(schema)}
        self.kinds = {field.name: plain_kind(field.type) for field in schema}
        for field in schema:
            if pa.types.is_run_end_encoded(field.type):
                del self.kinds[field.name]
                self.faults[field.name] = f"{path}, column {field.name!r}: of type {field.type}: write it without runs"
        self.metadata = schema.metadata or {}
        self._rows = self._count()

    def rows_of(self, columns: Sequence[str]) -> int:
        """Count the rows, the same for all columns."""
        return self._rows

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read whole columns. A text that many rows share is measured before it is copied for each."""
        rows = self._rows * sum(width(self.kinds[name]) for name in columns)
        check_memory(self.path, rows, f"{self._rows} rows of {len(columns)} columns")
        texts = [name for name in columns if is_long(self.kinds[name])]
        size = 0
        for batch in self.batches(columns, MANY):
            size += sum(batch.column(name).nbytes for name in texts)
            check_memory(self.path, size, f"columns {', '.join(texts)}", TEXTS)
            yield batch

    def batches(self, columns: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        """Read some rows at a time."""
        rows = 0
        with self._reader(sorted(self._places[name] for name in columns)) as reader:
            for batch in reader:
                batch.validate(full=True)
                rows += batch.num_rows
                for some in sliced(batch, most):
                    found = [plain(some.column(name), self.path, name) for name in columns]
                    yield pa.record_batch(found, list(columns))
        if rows != self._rows:
            raise InputError(f"{self.path}: damaged: {rows} rows where its messages say {self._rows}: bring it anew")

    @contextmanager
    def _mapped(self) -> Iterator[pa.NativeFile]:
        with sound(self.path, "Arrow"), pa.memory_map(str(self.path)) as file:
            if not self._stream:
                file.seek(len(MAGIC))
            yield file

    @contextmanager
    def _reader(self, places: Sequence[int] | None = None) -> Iterator[pa.ipc.RecordBatchStreamReader]:
        options = pa.ipc.IpcReadOptions(included_fields=places, use_threads=False)
        with self._mapped() as file, pa.ipc.open_stream(file, options=options) as reader:
            yield reader

    def _count(self) -> int:
        """Count the rows that the messages claim, and refuse those whose bodies are said to unpack to too much."""
        rows = size = 0
        with self._mapped() as file:
            for message in pa.ipc.MessageReader.open_stream(file):
                claimed, unpacked = _claims(message)
                rows, size = rows + claimed, size + unpacked
                check_memory(self.path, size, "unpacked")
            end = file.tell()
            self._check_end(file, end)
        return rows

    def _check_end(self, file: pa.NativeFile, end: int) -> None:
        """Refuse a file that was cut off between two messages: it looks whole."""
        file.seek(max(0, end - 8))
        if not file.read(min(8, end)).endswith(ENDS):
            raise InputError(f"{self.path}: damaged: it has no end: bring it anew")
        if not self._stream:
            file.seek(0)
            with pa.ipc.open_file(file):  # which checks what it says of itself at its end
                pass


def _claims(message: pa.ipc.Message) -> tuple[int, int]:
    """Rows of a message, and bytes that what is packed in its body is said to take.

    Arrow says neither before it has made room for it. Its flatbuffers are laid out as Message.fbs has them.
    """
    about = message.metadata.to_pybytes()
    try:
        table = struct.unpack_from("<I", about)[0]
        kind, header = _field(about, table, 1), _field(about, table, 2)
        kind = about[kind] if kind is not None else 0
        if header is None or kind not in (DICTIONARIES, ROWS):
            return 0, 0
        batch = header + struct.unpack_from("<I", about, header)[0]
        if kind == DICTIONARIES:
            header = _field(about, batch, 1)
            batch = header + struct.unpack_from("<I", about, header)[0] if header is not None else batch
        length = _field(about, batch, 0)
        rows = struct.unpack_from("<q", about, length)[0] if length is not None and kind == ROWS else 0
        return rows, _unpacked(about, batch, message.body)
    except (struct.error, IndexError) as error:
        raise pa.ArrowInvalid(f"a message is damaged: {first_line(error)}") from error


def _unpacked(about: bytes, batch: int, body: pa.Buffer | None) -> int:
    buffers, packed = _field(about, batch, 2), _field(about, batch, 3)
    if buffers is None or packed is None or body is None:
        return 0
    content, size = memoryview(body), 0
    vector = buffers + struct.unpack_from("<I", about, buffers)[0]
    for i in range(struct.unpack_from("<I", about, vector)[0]):
        offset, length = struct.unpack_from("<qq", about, vector + 4 + 16 * i)
        if length >= 8:
            size += max(0, struct.unpack_from("<q", content, offset)[0])  # -1: it is not packed
    return size


def _field(about: bytes, table: int, number: int) -> int | None:
    """Place of a field of a table of flatbuffers; `None` where it is left out."""
    fields = table - struct.unpack_from("<i", about, table)[0]
    size = struct.unpack_from("<H", about, fields)[0]
    if fields < 0 or 4 + 2 * number >= size:
        return None
    offset = struct.unpack_from("<H", about, fields + 4 + 2 * number)[0]
    return table + offset if offset else None

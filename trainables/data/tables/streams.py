"""Text files as people have them: packed or not, in UTF-8 or as Excel writes it, with lines ended in any way."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol, TextIO

import pyarrow as pa

from tosmooth.trainables.data.tables.memory import check_memory, sound
from tosmooth.trainables.errors import InputError

Codec = Literal["gzip", "zstd", "bz2", "xz", "lz4"]
BLOCK = 2**20  # characters read at once
MARKS = {  # what a text begins with that says how it is encoded; the longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
ADVICE = "save it as UTF-8 (Excel calls it CSV UTF-8; iconv -f WINDOWS-1252 -t UTF-8)"


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Bounded(io.RawIOBase):
    """Bytes of a file that is packed, as far as they are in proportion to it."""

    def __init__(self, source: Readable, path: Path) -> None:
        self._source, self._path, self._size = source, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview", /) -> int:  # type: ignore[override]
        """Fill some of the buffer. Raises `InputError` where the file stands for too much."""
        content = self._source.read(len(buffer))
        self._size += len(content)
        check_memory(self._path, self._size, "unpacked")
        buffer[: len(content)] = content
        return len(content)


@contextmanager
def opened(path: Path, codec: Codec | None) -> Iterator[io.BufferedReader]:
    """Open a file, and unpack it as it is read."""
    with path.open("rb") as file:
        if codec is None:
            yield file
        else:
            source = _Xz(file, path) if codec == "xz" else pa.CompressedInputStream(file, codec)
            yield io.BufferedReader(Bounded(source, path), BLOCK)


class _Xz:
    """Unpacks xz, where Python was built with it."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        try:
            import lzma  # noqa: PLC0415 - not in every build of Python
        except ImportError as error:
            raise InputError(f"{path}: xz, which this Python was built without: pack it with gzip") from error
        self._file, self._error = lzma.LZMAFile(file), lzma.LZMAError  # noqa: SIM115 - the file is closed where it was opened

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except self._error as error:
            raise OSError(str(error)) from error


@contextmanager
def text_of(path: Path, codec: Codec | None, kind: str) -> Iterator[TextIO]:
    """Open a text: its mark is gone, its lines end with a newline alone. Raises `InputError` for what is no text."""
    with _sound_text(path, kind), opened(path, codec) as raw:
        head = raw.peek(4)
        encoding = next((name for mark, name in MARKS.items() if head.startswith(mark)), "utf-8")
        yield io.TextIOWrapper(raw, encoding=encoding, newline=None)


@contextmanager
def _sound_text(path: Path, kind: str) -> Iterator[None]:
    with sound(path, kind):
        try:
            yield
        except UnicodeDecodeError as error:
            before = error.object[max(0, error.start - 20) : error.start].decode(error.encoding, "replace")
            what = f"byte 0x{error.object[error.start]:02x} after {before!r}"
            raise InputError(f"{path}: no {error.encoding.upper()}: {what}: {ADVICE}") from error


def blocks(text: TextIO, path: Path, size: int = BLOCK) -> Iterator[str]:
    """Yield the text in blocks. Raises `InputError` for characters 0, which no text has."""
    while block := text.read(size):
        if "\0" in block:
            rule = f"a file that is no text, or UTF-16 without the mark at its begin: {ADVICE}"
            raise InputError(f"{path}: holds characters 0: {rule}")
        yield block

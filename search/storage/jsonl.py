"""Files of JSON objects, one a line, each with a checksum: a line is there whole or not at all, and damage is noticed.

The last entry of a line is `crc`, the CRC-32 of the line before it. Any number of processes may read while one writes.
"""

import errno
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tosmooth.trainables.errors import InputError

CRC = len(',"crc":"00000000"}')  # bytes at the end of every line
BLOCK = 65536  # bytes read at a time in search of the last newline


class LineWriter:
    """Writer that appends to a file, after cutting off what a killed writer left of its last line."""

    def __init__(self, path: Path) -> None:
        self._path, self._fd = path, _open(path)

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a line. Certain only after `flush`. `OSError` where there is no room: then nothing is added."""
        body = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()[:-1]
        line = body + _crc(body) + b"\n"
        end = os.fstat(self._fd).st_size
        if os.write(self._fd, line) != len(line):  # the disk is full: take back the part that fitted
            os.ftruncate(self._fd, end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def flush(self) -> None:
        """Return once everything appended is on the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Flush and let go of the file."""
        self.flush()
        os.close(self._fd)


class LineReader:
    """Reader of a file that grows, which returns each line once.

    A torn last line is left for later: it is still being written, or never will be.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        """Take `remedy`: what to do about a damaged line, for the error."""
        self._path, self._remedy = path, remedy
        self._offset = 0  # bytes read so far, whole lines only
        self._lines = 0  # lines read so far

    def new(self) -> Iterator[dict[str, Any]]:
        """Read the lines that were not read before. Raises `InputError` at one that is damaged."""
        if self._path.exists() and not self._path.is_file():  # a pipe would be waited for
            raise InputError(f"{self._path}: is no file; {self._remedy}")
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return
        for line in content.split(b"\n")[:-1]:
            values = self._parse(line)
            self._offset += len(line) + 1
            self._lines += 1
            yield values

    @property
    def replaced(self) -> bool:
        """True if the file is not the one that was read before: it became shorter."""
        try:
            return self._path.stat().st_size < self._offset
        except FileNotFoundError:
            return self._offset > 0

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            if line[-CRC:] != _crc(line[:-CRC]):
                raise ValueError("its checksum does not fit")
            values: dict[str, Any] = json.loads(line)
            del values["crc"]
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{self._path}, line {self._lines + 1}: damaged ({error}): every line but the last must be as it was "
                f"written; {self._remedy}"
            ) from error
        return values


def _crc(body: bytes) -> bytes:
    """Checksum entry that ends the line that starts with `body`."""
    return b',"crc":"%08x"}' % zlib.crc32(body)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - BLOCK)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            end = start + newline + 1
            if newline >= 0:
                break
        file.truncate(end)
    if new and hasattr(os, "O_DIRECTORY"):  # a new file is durable once its folder is
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
    return os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))

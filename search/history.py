"""What every trial reported at every epoch: appended as it happens, durable, readable while it is written.

One JSON object a line, one line an epoch:
`{"level", "method", "phase", "number", "epoch" (from 1), "time" (unix seconds), "metrics": {...}, "crc"}`.
`crc` is the CRC-32 of the line before it, so that a flipped bit is noticed and not read as a result.
"""

import errno
import json
import math
import os
import sys
import time
import zlib
from pathlib import Path

from search.records import Metrics, TrialKey
from trainables.config import InputError

CRC = len(',"crc":"00000000"}')  # bytes at the end of every line
BLOCK = 65536  # bytes read at a time in search of the last newline


class History:
    """The history of one study. Any number of processes may read; one, the driver under the study's lock, writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._offset = 0  # bytes read so far, whole lines only
        self._lines = 0  # lines read so far
        self._curves: dict[TrialKey, tuple[Metrics, ...]] = {}

    def append(self, key: TrialKey, epoch: int, metrics: Metrics) -> Metrics:
        """Add what a trial reported after `epoch` (from 1), and return it as `read` will. Certain only after `flush`.

        A line is written whole or not at all: `OSError` where there is no room for it.
        """
        if self._fd is None:
            self._fd = _open(self._path)
        finite = {
            name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()
        }
        now = round(time.time(), 3)
        values = {**key._asdict(), "epoch": epoch, "time": now, "metrics": finite}
        body = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()[:-1]
        line = body + _crc(body) + b"\n"
        end = os.fstat(self._fd).st_size
        if os.write(self._fd, line) != len(line):  # the disk is full: take back the part that fitted
            os.ftruncate(self._fd, end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        return {**finite, "time": now}

    def flush(self) -> None:
        """Return once everything appended is on the disk. To be called before Optuna is told that a trial ended."""
        if self._fd is not None:
            os.fsync(self._fd)

    def close(self) -> None:
        """Flush and let go of the file; a later `append` opens it again."""
        if self._fd is not None:
            self.flush()
            os.close(self._fd)
            self._fd = None

    def read(self) -> dict[TrialKey, tuple[Metrics, ...]]:
        """The curve of every trial: entry i is what it reported after epoch i + 1, with its "time" (unix seconds).

        A trial that was run again reports from an epoch it had reached before: the later report stands, and what the
        earlier attempt reported after that epoch is gone. An epoch of which no report is left (power was lost before
        a flush, and the trial went on from its checkpoint) is an empty dict. Called again it parses only what is new.
        A torn last line is still being written, or never will be: it is ignored. `InputError` for damage before it.
        """
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:  # another file than before: start anew
                    self._offset, self._lines, self._curves = 0, 0, {}
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return {}
        for line in new.split(b"\n")[:-1]:
            key, epoch, metrics = self._parse(line)
            curve = self._curves.get(key, ())[: epoch - 1]
            self._curves[key] = (*curve, *({} for _ in range(len(curve), epoch - 1)), metrics)
            self._offset += len(line) + 1
            self._lines += 1
        return dict(self._curves)

    def _parse(self, line: bytes) -> tuple[TrialKey, int, Metrics]:
        try:
            if line[-CRC:] != _crc(line[:-CRC]):
                raise ValueError("its checksum does not fit")
            values = json.loads(line)
            key = TrialKey(sys.intern(values["level"]), values["method"], values["phase"], values["number"])
            # Interned, since a study of 5,000 trials holds each name half a million times.
            metrics = {sys.intern(name): value for name, value in values["metrics"].items()}
            return key, values["epoch"], {**metrics, "time": values["time"]}
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{self._path}, line {self._lines + 1}: damaged ({error}): every line but the last must be as it was "
                "written; bring the file back from a copy, or delete the line: its trial then lacks that epoch"
            ) from error


def _crc(body: bytes) -> bytes:
    """The end of the line that starts with `body`."""
    return b',"crc":"%08x"}' % zlib.crc32(body)


def _open(path: Path) -> int:
    """Open for appending, after cutting what a killed writer left of its last line."""
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

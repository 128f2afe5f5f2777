"""Optuna's journal of a study, a file of its own: every line has its number and a checksum.

A checksum shows a line that was changed, but not one that is missing or repeated. Optuna numbers trials by the lines
that create them, so everything after a missing or repeated line would be assigned to other trials. Only a lost end does
no harm: what it held is trained again. Optuna's own reader can read the file too: to it number and checksum are two
more entries of an object.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from tosmooth.search.storage.jsonl import LineReader, LineWriter
from tosmooth.trainables.errors import InputError

LINE = "line"  # the entry of a line that says which it is, from 1; homes of before have none
REMEDY = "bring it back from a copy, or cut it before this line: what it lacks is trained again"


class Journal(BaseJournalBackend):
    """Journal file that one process writes, the driver that holds the study's lock, and any number may read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader, self._read = LineReader(path, REMEDY), 0
        self._writer: LineWriter | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Read the lines from this one (from 0) on. Raises `InputError` if one is damaged, missing or repeated."""
        if log_number_from < self._read:
            self._reader, self._read = LineReader(self._path, REMEDY), 0
        for values in self._reader.new():
            self._read += 1
            if (number := values.pop(LINE, self._read)) != self._read:
                raise InputError(
                    f"{self._path}, line {self._read}: damaged (it was line {number}): lines before it are gone, or "
                    f"stand twice; {REMEDY}"
                )
            if self._read > log_number_from:
                yield values

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines, and return once they are on the disk."""
        if self._writer is None:
            self._writer = LineWriter(self._path)
        there = self._read + sum(1 for _ in self.read_logs(self._read))
        for number, values in enumerate(logs, there + 1):
            self._writer.append(values | {LINE: number})
        self._writer.flush()

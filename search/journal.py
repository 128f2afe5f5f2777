"""Optuna's journal of a study, a file of its own: every line has a checksum, and the last clean end has a copy.

Optuna's own reader takes the file too: to it the checksum is one more entry of an object.
"""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from search.lines import LineReader, LineWriter
from trainables.config import InputError

log = logging.getLogger(__name__)


class Journal(BaseJournalBackend):
    """One process writes, the driver that holds the study's lock; any number may read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        copy = copy_of(path)
        known = f"put {copy.name} in its place, the copy of the last clean end" if copy.exists() else "there is no copy"
        self._remedy = f"{known}; what it lacks is trained again"
        self._reader, self._read = LineReader(path, self._remedy), 0
        self._writer: LineWriter | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """What was appended, from this line (from 0) on."""
        if log_number_from < self._read:
            self._reader, self._read = LineReader(self._path, self._remedy), 0
        for values in self._reader.new():
            self._read += 1
            if self._read > log_number_from:
                yield values

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines, and return once they are on the disk."""
        if self._writer is None:
            self._writer = LineWriter(self._path)
        for values in logs:
            self._writer.append(values)
        self._writer.flush()


def check_journal(path: Path) -> None:
    """Raise `InputError` where a journal is shorter than its copy: lines were lost that ended trials."""
    copy = copy_of(path)
    size = path.stat().st_size if path.exists() else 0
    if copy.exists() and size < copy.stat().st_size:
        raise InputError(f"{path}: damaged: it is shorter than at the last clean end; put {copy.name} in its place")


def keep_copy(path: Path) -> None:
    """Copy a journal whose study came to a clean end, or was stopped by its user."""
    if not path.exists():
        return
    copy = copy_of(path)
    partial = copy.with_name(f".{copy.name}.partial")
    try:
        shutil.copyfile(path, partial)
        partial.replace(copy)
    except OSError as error:  # the study is none the worse
        log.warning("%s is not copied: %s", path, error.strerror)
        partial.unlink(missing_ok=True)


def copy_of(path: Path) -> Path:
    """Where the copy lies."""
    return path.with_name("journal.last.log")

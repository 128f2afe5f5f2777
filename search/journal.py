"""Optuna's journal of a study, a file of its own: every line has a checksum, and the last clean end has a copy.

Optuna's own reader takes the file too: to it the checksum is one more entry of an object.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from search.lines import LineReader, LineWriter
from search.tables import write
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
    """Raise `InputError` where a journal does not begin as its copy: lines were lost, or damaged, that ended trials.

    A reader would take a last line without its newline for one that is still being written.
    """
    copy = copy_of(path)
    known, there = _whole_lines(copy), path.read_bytes() if path.exists() else b""
    if there.startswith(known):
        return
    if not _sound(copy):
        log.warning("%s: damaged; the end of this run makes it anew", copy)
        return
    remedy = f"put {copy.name} in its place; what it lacks is trained again"
    if known.startswith(there):
        raise InputError(f"{path}: damaged: it is shorter than at the last clean end; {remedy}")
    first = next(i for i, (now, before) in enumerate(zip(there, known, strict=False)) if now != before)
    line = known.count(b"\n", 0, first) + 1
    raise InputError(f"{path}, line {line}: damaged: it is not as it was at the last clean end; {remedy}")


def keep_copy(path: Path) -> None:
    """Copy a journal's whole lines when a run of its study ends, however that came; a kill leaves the copy before."""
    if not path.exists():
        return
    try:
        write(_whole_lines(path), copy_of(path))
    except (OSError, InputError) as error:  # the study is none the worse
        log.warning("%s is not copied: %s", path, error)


def _whole_lines(path: Path) -> bytes:
    """What stands before the last newline, with it: what follows was torn by a kill."""
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def _sound(path: Path) -> bool:
    try:
        return all(True for _ in LineReader(path, "").new())
    except InputError:
        return False


def copy_of(path: Path) -> Path:
    """Where the copy lies."""
    return path.with_name("journal.last.log")

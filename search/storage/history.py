"""History of a study: the metrics of every epoch of every trial, appended as they come, readable meanwhile.

One line an epoch (`search.storage.jsonl`):
`{"level", "method", "phase", "number", "epoch" (from 1), "time" (unix seconds), "metrics": {...}, "crc"}`.
"""

import math
import sys
import time
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path

from tosmooth.search.records import Metrics, TrialKey
from tosmooth.search.storage.jsonl import LineReader, LineWriter

REMEDY = (
    "bring the file back from a copy, or, if the trials are not in a database, delete the line: `tosmooth run` then "
    "trains its trial again"
)


def curve_digest(curve: Sequence[Metrics]) -> str:
    """Number of epochs of a curve and a checksum of its values, such as "10-1c291ca3", by which it is known again.

    The names of the metrics do not count: they may be renamed.
    """
    values = (math.nan if value is None else value for metrics in curve for value in metrics.values())
    return f"{len(curve)}-{zlib.crc32(array('d', values).tobytes()):08x}"


class History:
    """History of one study. Any number of processes may read; one, the driver under the study's lock, writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: LineWriter | None = None
        self._reader = LineReader(path, REMEDY)
        self._curves: dict[TrialKey, tuple[Metrics, ...]] = {}

    def append(self, key: TrialKey, epoch: int, metrics: Metrics) -> Metrics:
        """Add what a trial reported after `epoch` (from 1), and return it as `read` will. Certain only after `flush`.

        A line is written whole or not at all: `OSError` where there is no room for it.
        """
        if self._writer is None:
            self._writer = LineWriter(self._path)
        finite = {
            name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()
        }
        now = round(time.time(), 3)
        self._writer.append({**key._asdict(), "epoch": epoch, "time": now, "metrics": finite})
        return {**finite, "time": now}

    def flush(self) -> None:
        """Return once everything appended is on the disk. To be called before Optuna is told that a trial ended."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Flush and let go of the file; a later `append` opens it again."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def read(self) -> dict[TrialKey, tuple[Metrics, ...]]:
        """Read the curve of every trial: entry i is what it reported after epoch i + 1, with its "time" (unix seconds).

        A trial that was run again reports from an epoch it had reached before: the later report counts, and what the
        earlier attempt reported after that epoch is dropped. An epoch of which no report is left (its line was deleted)
        is an empty dict. Called again it parses only what is new. A torn last line is still being written, or never
        will be: it is ignored. `InputError` for damage before it.
        """
        if self._reader.replaced:  # another file than before: start anew
            self._reader, self._curves = LineReader(self._path, REMEDY), {}
        for values in self._reader.new():
            # Interned, since a study of 5,000 trials holds each name half a million times.
            key = TrialKey(sys.intern(values["level"]), values["method"], values["phase"], values["number"])
            metrics = {sys.intern(name): value for name, value in values["metrics"].items()} | {"time": values["time"]}
            epoch = values["epoch"]
            curve = self._curves.get(key, ())[: epoch - 1]
            self._curves[key] = (*curve, *({} for _ in range(len(curve), epoch - 1)), metrics)
        return dict(self._curves)

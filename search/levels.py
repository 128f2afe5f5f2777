"""A study's noise levels, measured before anything is trained, by a process of its own.

It takes PyTorch and the data with it when it ends: half a gigabyte that the driver, which may run for days, has no use
for. And it works while the driver imports Ray and MLflow.
"""

import json
import logging
import signal
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Self

from search.records import Level
from search.study import StudySpec
from trainables.config import InputError
from trainables.folders import Folders

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds that it may take to end when it is told to


class Measuring:
    """Starts to load and measure each level of a study; used as a context, so that no process is left behind."""

    def __init__(self, spec: StudySpec, folders: Folders) -> None:
        trials = [
            spec.trial_config(cell, spec.of(cell.method).openers()[0], train_seed=0).to_dict() for cell in spec.cells()
        ]
        command = [sys.executable, "-P", "-m", "search.measure"]  # -P: no modules from wherever the user is
        with tempfile.TemporaryFile("w+") as request:  # no pipe: that would block until PyTorch is imported
            json.dump({"data": folders.place, "cache": str(folders.cache), "trials": trials}, request)
            request.seek(0)
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=request, stdout=pipe, stderr=pipe, text=True)
        self._levels: dict[str, Level] | None = None

    def levels(self) -> dict[str, Level]:
        """The levels by name, as soon as they are measured.

        Raises `InputError` for data that is missing or wrong, or that the study's network does not take.
        """
        if self._levels is None:
            answer, errors = self._process.communicate()
            if self._process.returncode != 0:
                raise RuntimeError(f"measuring the data failed with exit code {self._process.returncode}\n{errors}")
            found = json.loads(answer)
            for note in found["notes"]:
                log.warning("%s", note)
            if "refused" in found:
                raise InputError(found["refused"])
            self._levels = {level.name: level for level in (Level(**values) for values in found["levels"])}
        return self._levels

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # it takes back what it was writing
            try:
                self._process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.communicate()


def measure_levels(spec: StudySpec, folders: Folders) -> dict[str, Level]:
    """Load each level of the study and measure it, by name. Raises as `Measuring.levels` does."""
    with Measuring(spec, folders) as measuring:
        return measuring.levels()

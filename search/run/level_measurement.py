"""Measure a study's noise levels in a process of its own, before anything is trained.

When that process ends, PyTorch and the data leave memory with it: half a gigabyte that the driver, which may run for
days, does not need. And it works while the driver imports Ray and MLflow.
"""

import base64
import json
import logging
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

from tosmooth.search.records import Level
from tosmooth.search.report.cost import Pace
from tosmooth.search.report.data_notes import on_data
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.user_code import UserCode

log = logging.getLogger(__name__)

NOTE = "note: "  # so begins a line of the process that the user is to see at once, as JSON
PATIENCE = 2.0  # seconds that it may take to end when it is told to


class Measuring:
    """Process that loads and measures each level of a study; a context manager, so that it is never left behind."""

    def __init__(
        self,
        spec: StudySpec,
        folders: Folders,
        code: UserCode | None = None,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        """Start the process.

        `code`: what the study names of the user's, which it executes; `weights`: SHA-256 of a level's weights, by its
        name, where they are known: others are refused before their features are computed, which may take long.
        """
        views = MethodSpec.each(spec)
        trials = []
        for cell in spec.cells():
            trial = spec.trial_config(cell, views[cell.method].openers()[0], train_seed=0)
            if (sha256 := (weights or {}).get(cell.level)) and trial.network.has_backbone:
                trial = replace(trial, network=replace(trial.network, sha256=sha256))
            trials.append(trial.to_dict())
        command = [
            sys.executable,
            "-P",
            "-m",
            "tosmooth.search.run.measure_worker",
        ]  # -P: no modules from wherever the user is
        with tempfile.TemporaryFile("w+") as request:  # no pipe: that would block until PyTorch is imported
            places = {"data": folders.place, "cache": str(folders.cache)}
            archive = None if code is None else base64.b64encode(code.archive).decode()
            threads = max(1, int(spec.resources.cpus))
            json.dump({**places, "trials": trials, "threads": threads, "code": archive}, request)
            request.seek(0)
            self._answer = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed at the end
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                command, stdin=request, stdout=self._answer, stderr=pipe, encoding="utf-8", errors="replace"
            )
        self._levels: dict[str, Level] | None = None
        self.pace: Pace | None = None  # of a run; known with the levels, if at all
        self.gpu = False  # torch finds one here; likewise

    def levels(self, tell: bool = True) -> dict[str, Level]:
        """Wait for the levels and return them by name. `tell`: say what the user must know of the data.

        Raises `InputError` for data that is missing or wrong, or that the study's network does not take.
        """
        if self._levels is None:
            errors = self._wait()
            if (code := self._process.returncode) < 0:
                killed = code == -signal.SIGKILL
                advice = "perhaps for lack of memory; set dataset.size" if killed else errors.strip()[-500:]
                raise InputError(f"the process that measures the data was ended by signal {-code}, {advice}")
            if code != 0:
                raise RuntimeError(f"measuring the data failed with exit code {code}\n{errors}")
            self._answer.seek(0)
            text = self._answer.read()
            if not text:
                raise InputError("the process that reads the data ended without an answer: code of the study ended it")
            found = json.loads(text)
            if "refused" in found:
                raise InputError(found["refused"])
            self._levels = {level.name: level for level in (Level(**values) for values in found["levels"])}
            self.pace, self.gpu = found["pace"] and Pace(**found["pace"]), found["gpu"]
            notes = [note for level in self._levels.values() for note in on_data(level)] if tell else []
            for note in dict.fromkeys(notes):
                log.warning("the data: %s", note)
        return self._levels

    def _wait(self) -> str:
        """Wait for the process, saying what it has to say at once; returns what else it wrote."""
        errors = []
        for line in self._process.stderr or ():
            if line.startswith(NOTE):
                log.warning("%s", json.loads(line.removeprefix(NOTE)))
            else:
                errors.append(line)
        self._process.wait()
        return "".join(errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # it takes back what it was writing
            try:
                self._process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for file in (self._process.stderr, self._answer):
            if file is not None:
                file.close()


def measure_levels(spec: StudySpec, folders: Folders, code: UserCode | None = None) -> dict[str, Level]:
    """Load each level of the study and measure it, by name. Raises as `Measuring.levels` does."""
    with Measuring(spec, folders, code) as measuring:
        return measuring.levels()

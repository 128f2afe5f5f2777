"""The replay on a virtual cluster runs a study to its end, and its benchmark says what it measured."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import scale

SCRIPT = Path(scale.__file__)


@pytest.mark.parametrize(("sampler", "cells"), [("random", 4), ("tpe", 1)])
def test_a_study_on_many_workers_comes_to_its_end_and_every_part_is_counted(
    sampler: str, cells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    found = scale.replay(tmp_path, scale.study(sampler, 40 // cells, cells, "median"), 20, [10, 40], "")
    assert [mark.trials for mark in found.marks] == [10, 40]
    first, last = found.marks
    assert set(scale.PARTS) - {"confirmation"} <= last.parts.keys()
    assert math.isclose(sum(last.parts.values()), last.cpu)
    assert 0 < first.cpu < last.cpu
    assert 0 < first.storage < last.storage
    assert first.epochs < last.epochs <= 40 * scale.EPOCHS + 20 * scale.EPOCHS
    # 40 trials on 20 workers, each of up to 10 epochs of a minute or so.
    assert 0.05 < found.hours < 5


def test_time_of_a_part_is_without_what_it_calls_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr("time.process_time", lambda: next(now))
    clock = scale.Clock()
    inner = clock.wrap("inner", lambda: [next(now) for _ in range(10)])
    clock.wrap("outer", lambda: [next(now), inner(), next(now)])()
    assert clock.spent == {"outer": 2 + 2, "inner": 11}  # a second each, with the looks at the clock that end them


@pytest.mark.slow
def test_benchmark_runs_and_writes_finite_numbers(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    command = [sys.executable, str(SCRIPT), "--trials", "120", "--workers", "10", "--cells", "1", "3", "--marks", "60"]
    command += ["120", "--samplers", "posterior", "tpe", "--json", str(file)]
    done = subprocess.run(command, env=os.environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    measurements = json.loads(file.read_text(encoding="utf-8"))["measurements"]
    values = [value for each in measurements for side in each["values"].values() for value in side]
    assert values
    assert all(math.isfinite(value) for value in values)

"""A home and its copy on one database: one of them at a time, and none reads trials of which it lacks the history."""

import shutil
from pathlib import Path

import pytest

from tests.search.conftest import Finished
from tests.search.tools import start, tosmooth, wait_for_lines

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.faults, pytest.mark.ray, pytest.mark.timeout(600)]


def test_copy_of_a_home_is_refused_while_the_study_runs_and_where_its_history_is_another(
    finished: Finished, tmp_path: Path
) -> None:
    storage = ("--storage", f"sqlite:///{tmp_path}/optuna.db")
    longer = ("--set", "training.epochs=60", "--set", "search.trials=20")  # than the second command takes to start
    first = start("run", finished.file, *longer, "--home", "one", *storage, cwd=tmp_path)
    wait_for_lines(tmp_path / "one", 10, first)
    shutil.copytree(tmp_path / "one", tmp_path / "two")

    second = tosmooth("run", finished.file, *longer, "--home", "two", *storage, cwd=tmp_path)
    assert (second.returncode, second.stdout) == (2, "")
    assert f"study is running already: its driver is process {first.pid} on " in second.stderr

    out, err = first.communicate(timeout=200)
    assert first.returncode == 0, err
    assert "best smoothing rate, twonorm" in out
    for command in (("run", finished.file, *longer), ("export", "tiny"), ("status", "tiny")):
        other = tosmooth(*command, "--home", "two", *storage, cwd=tmp_path)
        assert (other.returncode, other.stdout) == (2, "")
        assert "history.jsonl lacks epochs of trial twonorm/" in other.stderr
    assert tosmooth("run", finished.file, *longer, "--home", "one", *storage, cwd=tmp_path).stdout == out

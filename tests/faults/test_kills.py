"""A study whose driver, workers or whole Ray session are killed, again and again: it ends as an undisturbed one."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.search.conftest import Finished
from tests.search.tools import (
    left_after,
    lines_of,
    mlflow_runs,
    numbers,
    records_of,
    session,
    start,
    table_of,
    tosmooth,
    wait_for_lines,
)
from tosmooth.search.records import TrialKey
from tosmooth.search.tracking.run import BOUND, STATUS, drawn

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(1200)]

# When a driver dies: so many seconds after its start, or after so many lines of the history, each a trial's epoch.
EARLY = (0.2, 1.0, 2.0, 3.5, 5.0, 7.0, 9.0)  # while it imports, measures, starts Ray and its first worker
LATE = (
    "Agent",
    "default_worker.py",
)  # idle agents, and workers that only start, look for their dead server for a minute
LINES = (1, 2, 3, 5, 8, 13, 19, 24, 26, 31, 37, 42, 45)  # 24 of the search, then the confirmation
ALL = (*EARLY, *LINES)


def check_ended_as(home: Path, undisturbed: Path) -> None:
    """The same trials, numbers and table; each trial once in MLflow, in a final state, with all its epochs."""
    assert numbers(records_of(home)) == numbers(records_of(undisturbed))
    assert table_of(home) == table_of(undisturbed)
    assert {run.info.status for run in mlflow_runs(home)} == {"FINISHED"}
    check_shown(home)


def check_shown(home: Path) -> None:
    """Each trial stands once in MLflow, in the state in which it ended, with all its epochs."""
    records, runs = records_of(home), mlflow_runs(home)
    trials = Counter(run.data.tags["tosmooth.identity"] for run in runs if run.data.tags["tosmooth.kind"] == "trial")
    expected = {f"tiny/{r.level}/{r.method}/{r.phase}/{r.number}": r for r in records}
    assert trials == Counter(expected.keys())
    for run in runs:
        if run.data.tags["tosmooth.kind"] == "trial":
            record = expected[run.data.tags["tosmooth.identity"]]
            assert (run.info.status, run.data.tags["tosmooth.state"]) == (STATUS[record.state], record.state)
            assert run.info.status != "RUNNING"
            assert run.data.tags.get("tosmooth.reason", "") == record.reason
            shown: dict[str, float] = {}  # the latest of each
            for metrics in record.curve:
                known = {name: value for name, value in metrics.items() if value is not None and name != "time"}
                shown |= {name: drawn(name, value, BOUND) for name, value in known.items()}
            assert run.data.metrics == pytest.approx(shown)


def epochs_reported(home: Path) -> Counter[TrialKey]:
    """How many lines of the history each trial has: more than its epochs where any was trained again."""
    whole = (home / "studies/tiny/history.jsonl").read_text().rpartition("\n")[0]  # without a torn line
    lines = [json.loads(line) for line in whole.splitlines()]
    return Counter(TrialKey(line["level"], line["method"], line["phase"], line["number"]) for line in lines)


@pytest.mark.parametrize("moments", [ALL[::3], pytest.param(ALL, marks=pytest.mark.long)], ids=["7", "20"])
def test_driver_killed_at_many_moments(moments: Sequence[float | int], finished: Finished, tmp_path: Path) -> None:
    home, command = tmp_path / "home", ("run", finished.file, "--home", "home")
    ended: list[Any] = []
    known: dict[TrialKey, int] = {}  # what had ended at a kill, and how many lines of the history it had then
    killed: list[subprocess.Popen[str]] = []
    for moment in moments:
        process = start(*command, cwd=tmp_path)
        killed.append(process)
        if isinstance(moment, float):
            time.sleep(moment)
        else:
            wait_for_lines(home, moment, process)
        process.kill()  # the driver alone: what Ray started must go by itself
        process.communicate()
        assert left_after(20, process, *LATE) == []
        if lines_of(home):
            before, ended = ended, [trial for trial in numbers(records_of(home)) if trial[1] != "running"]
            assert [trial for trial in ended if trial in before] == before
            reported = epochs_reported(home)
            known = {trial[0]: reported[trial[0]] for trial in ended} | known
    assert tosmooth(*command, cwd=tmp_path).returncode == 0
    check_ended_as(home, finished.home)
    reported = epochs_reported(home)
    assert {key: reported[key] for key in known} == known  # what had ended was not trained again
    assert len(known) > 5  # the kills came between the ends of trials
    assert [left_after(120, process) for process in killed] == [[]] * len(killed)  # `LATE` among them


def test_whole_ray_session_killed(finished: Finished, tmp_path: Path) -> None:
    home, command = tmp_path / "home", ("run", finished.file, "--home", "home")
    for lines in (4, 28):
        process = start(*command, cwd=tmp_path)
        wait_for_lines(home, lines, process)
        for pid in session(process):  # the driver among them
            os.kill(pid, signal.SIGKILL)
        process.communicate()
    assert tosmooth(*command, cwd=tmp_path).returncode == 0
    check_ended_as(home, finished.home)


@pytest.mark.parametrize(("process", "words"), [("raylet", "its node manager"), ("gcs_server", "its control service")])
def test_ray_that_lost_a_process_ends_the_run_at_once_and_the_next_goes_on(
    process: str, words: str, finished: Finished, tmp_path: Path
) -> None:
    home, command = tmp_path / "home", ("run", finished.file, "--home", "home")
    driver = start(*command, cwd=tmp_path)
    wait_for_lines(home, 4, driver)
    (pid,) = [pid for pid, started in session(driver).items() if Path(started.split("\0")[0]).name == process]
    os.kill(pid, signal.SIGKILL)
    out, err = driver.communicate(timeout=60)
    assert (driver.returncode, out) == (1, "")
    assert f"error: Ray ended in the middle: {words} was killed. What ended is kept; " in err
    assert "Traceback" not in err
    assert tosmooth(*command, cwd=tmp_path).returncode == 0
    check_ended_as(home, finished.home)


def test_worker_that_dies_costs_one_attempt(finished: Finished, tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = start("run", finished.file, "--home", "home", cwd=tmp_path)
    wait_for_lines(home, 10, process)
    workers = [pid for pid, command in session(process).items() if "TuneTrial" in command or "Trainable" in command]
    assert len(workers) == 1
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    stage = " ..."
    assert all(line.startswith(("trials ", "Table, ")) or line.endswith(stage) for line in err.splitlines()), err
    assert Counter(record.attempts for record in records_of(home))[2] == 1
    check_ended_as(home, finished.home)


def test_trial_goes_on_from_its_checkpoint_after_its_worker_died(finished: Finished, tmp_path: Path) -> None:
    home = tmp_path / "home"
    # Long trials, each epoch of which is kept.
    changes = ("training.epochs=40", "trial_checkpoint=0", "dataset.noise=[clean]", "search.trials=2")
    sets = [part for change in changes for part in ("--set", change)]
    process = start("run", finished.file, "--home", "home", *sets, cwd=tmp_path)
    wait_for_lines(home, 15, process)
    (worker,) = [pid for pid, command in session(process).items() if "TuneTrial" in command or "Trainable" in command]
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in (home / "studies/tiny/history.jsonl").read_text().splitlines()]
    first = [line for line in lines if line["phase"] == "search" and line["number"] == 0]
    again = [i for i, line in enumerate(first) if i and line["epoch"] == 1]
    assert len(again) == 1
    before, after = first[: again[0]], first[again[0] :]
    assert [line["epoch"] for line in after] == list(range(1, 41))
    # What it reports anew of the epochs before the kill are the same numbers, their times included: none was trained.
    assert [line["metrics"] for line in after[: len(before)]] == [line["metrics"] for line in before]
    assert Counter(record.attempts for record in records_of(home))[2] == 1
    assert list(home.rglob("*.checkpoint")) == []


@pytest.mark.parametrize("attempts", [1, pytest.param(2, marks=pytest.mark.long)])
def test_trial_that_hangs_is_tried_so_many_times_and_failed_with_the_reason(
    attempts: int, finished: Finished, tmp_path: Path
) -> None:
    home, kept = tmp_path / "home", tmp_path / "kept"
    sets = ["--set", "dataset.noise=[clean]", "--set", f"trunks={{keep: true, folder: {kept}}}"]
    assert tosmooth("run", finished.file, "--home", "first", *sets, cwd=tmp_path).returncode == 0
    # Files that no one writes to: whoever reads its trunk waits for ever, as on a file system that is away.
    trunks = list(kept.rglob("*.trunk"))
    assert trunks
    for trunk in trunks:
        trunk.unlink()
        os.mkfifo(trunk)
    home.mkdir()
    shutil.copy(tmp_path / "first" / "id", home)  # else it has a folder of its own there
    sets += ["--set", "trial_timeout=6", "--set", f"trial_attempts={attempts}"]
    done = tosmooth("run", finished.file, "--home", "home", *sets, cwd=tmp_path, seconds=280)
    assert done.returncode == 2, done.stderr
    reason = "no epoch ended within 6 seconds (trial_timeout)"
    failed = [record for record in records_of(home) if record.state == "failed"]
    assert len(failed) == 5
    assert f"error: twonorm/clean/gls: {len(failed)} trials failed, the last with: {reason}" in done.stderr
    assert {(record.attempts, record.reason) for record in failed} == {(attempts, reason)}

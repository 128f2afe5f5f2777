"""A home whose driver died, whose study file changed, that was moved, is read-only, or lost MLflow's database."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_kills import check_ended_as
from tests.search.conftest import Command, Finished
from tests.search.tools import (
    TINY,
    left_after,
    lines_of,
    mlflow_runs,
    numbers,
    records_of,
    start,
    tosmooth,
    wait_for_lines,
)
from tosmooth.search.records import ENDED
from tosmooth.search.storage.home import Home

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.fixture
def home(finished: Finished, tmp_path: Path) -> Path:
    """A home of one's own with the finished study."""
    return Path(shutil.copytree(finished.home, tmp_path / "home"))


def contents(home: Path) -> dict[str, bytes]:
    return {str(file.relative_to(home)): file.read_bytes() for file in home.rglob("*") if file.is_file()}


def artifacts(home: Path) -> Counter[str]:
    """The names of the files that MLflow finds with the cells."""
    cells = [run for run in mlflow_runs(home) if run.data.tags["tosmooth.kind"] == "cell"]
    folders = [home / "artifacts" / run.info.artifact_uri.removeprefix("mlflow-artifacts:/") for run in cells]
    return Counter(file.name for folder in folders for file in folder.iterdir())


def test_second_run_is_refused_saying_where_and_a_killed_one_blocks_no_one(finished: Finished, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = start("run", finished.file, "--home", "home", "--set", "search.trials=500", cwd=tmp_path)
    wait_for_lines(home, 3, first)
    second = tosmooth("run", finished.file, "--home", "home", cwd=tmp_path)
    assert second.returncode == 2
    where = f"process {first.pid} on {socket.gethostname()} since 20"
    assert f"\nerror: study 'tiny' is running already, by {where}" in second.stderr
    first.send_signal(signal.SIGKILL)
    first.wait()
    left = left_after(0, first)  # Ray's processes outlive their driver by seconds, and hold no lock
    before = time.monotonic()
    with Home(home).study("tiny").locked():
        assert time.monotonic() - before < 1
    assert left
    first.communicate()
    assert left_after(90, first) == []


# What finished trials were trained with. Each is refused, with the line that shows the difference.
OTHER = {
    "seed=1": "seed: 0 -> 1",
    "dataset={name: digits, noise: [clean, symmetric-0.4]}": "dataset.name: twonorm -> digits",
    "dataset.noise_seed=7": "dataset.noise_seed: ",
    "dataset.split_seed=7": "dataset.split_seed: ",
    "dataset.validation_fraction=0.4": "dataset.validation_fraction: 0.5 -> 0.4",
    "dataset.size=500": "dataset.size: 600 -> 500",
    "dataset.noise=[clean]": "dataset.noise: symmetric-0.4 is removed",
    "dataset.noise=[clean, symmetric-0.3]": "dataset.noise: symmetric-0.4 is removed",
    "network.width=16": "network.width: 8 -> 16",
    "training.epochs=4": "training.epochs: 3 -> 4",
    "training.batch_size=60": "training.batch_size: 50 -> 60",
    "training.optimizer.lr=0.5": "training.optimizer.lr: ",
    "training.recipe=two-phase": "training.recipe: single -> two-phase",
    "space.lr_after_warmup={low: 0.1, high: 1}": "space.lr_after_warmup: none -> ",
    "space={rate: {low: -2, high: 0.8, scale: symlog}, warmup: {values: [0, 1]}}": "space.warmup: ",
    "search.epoch=best": "search.epoch: last -> best",
    "search.sampler=gp; space.rate.low=-3": "bounds.rate: [-2.0, 0.8] -> [-3.0, 0.8]",
}


@pytest.mark.parametrize("change", OTHER)
def test_what_changes_the_meaning_of_finished_trials_is_refused_with_the_difference(
    change: str, home: Path, finished: Finished, command: Command
) -> None:
    before = contents(home)
    sets = [part for each in change.split("; ") for part in ("--set", each)]
    code, out, err = command("run", finished.file, "--home", home, *sets)
    assert (code, out) == (2, "")
    assert "study 'tiny' was run before and meant something else:\n  " in err
    assert f"\n  {OTHER[change]}" in err
    assert "Keep both: --name tiny-2" in err
    assert contents(home) == before


def test_what_extends_a_study_goes_on_to_its_exact_new_budget(home: Path, finished: Finished, tmp_path: Path) -> None:
    before = numbers(records_of(home))
    changed = TINY.replace("[clean, symmetric-0.4]", "[clean, symmetric-0.4, symmetric-0.2]")
    changed = changed.replace("low: -2, high: 0.8", "low: -4, high: 0.9").replace(
        "trials: 4", "trials: 7, sampler: random"
    )
    finished_again = tmp_path / "tiny.yaml"
    finished_again.write_text(changed.replace("seeds: 2", "seeds: 3"))
    done = tosmooth("run", finished_again, "--home", "home", cwd=tmp_path, seconds=400)
    assert done.returncode == 0, done.stderr
    records = records_of(home)
    assert [trial for trial in numbers(records) if trial in before] == before
    searched = Counter(r.level for r in records if r.phase == "search" and r.state in ENDED)
    assert searched == dict.fromkeys([f"twonorm/{noise}" for noise in ("clean", "symmetric-0.4", "symmetric-0.2")], 7)
    new = [r for r in records if r.phase == "search" and r.number >= 4]
    assert all(-4 <= r.params["rate"] <= 0.9 for r in new)
    assert any(not -2 <= r.params["rate"] <= 0.8 for r in new)


CLOCK = """
import os, time
real = time.time
def shifted():
    with open(os.environ["SHIFT"]) as file:
        return real() + float(file.read())
time.time, time.time_ns = shifted, lambda: int(1e9 * shifted())
"""


@pytest.mark.long
def test_clock_that_jumps_between_and_during_runs_changes_no_number(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the driver, of Ray and of its workers: each imports this before all else."""
    home, shift = tmp_path / "home", tmp_path / "shift"
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(CLOCK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "clock"))
    monkeypatch.setenv("SHIFT", str(shift))

    def set_clock(hours: float) -> None:
        (tmp_path / "new").write_text(str(3600 * hours))
        (tmp_path / "new").replace(shift)

    set_clock(0)
    process = start("run", finished.file, "--home", "home", cwd=tmp_path)
    for lines, hours in ((3, -5), (8, 30)):
        wait_for_lines(home, lines, process)
        set_clock(hours)
    wait_for_lines(home, 11, process)
    process.kill()
    process.communicate()
    assert left_after(90, process) == []
    set_clock(-100)
    begun = time.monotonic()
    done = tosmooth("run", finished.file, "--home", "home", cwd=tmp_path, seconds=400)
    took = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    check_ended_as(home, finished.home)
    records = records_of(home)
    times = [metrics["time"] or 0.0 for record in records for metrics in record.curve]
    assert max(times) - min(times) > 90 * 3600  # the clock did jump
    assert all(0 <= (metrics["seconds"] or 0) < 60 for record in records for metrics in record.curve)
    assert sum(record.seconds for record in records if record.phase == "confirmation") < took
    for run in mlflow_runs(home):
        assert run.info.end_time >= run.info.start_time


def test_home_that_is_moved_between_two_runs_goes_on_with_all_it_holds(finished: Finished, tmp_path: Path) -> None:
    old, new = tmp_path / "home", tmp_path / "else where" / "näw"
    process = start("run", finished.file, "--home", old, cwd=tmp_path)
    wait_for_lines(old, 13, process)
    process.kill()
    process.communicate()
    assert left_after(90, process) == []
    new.parent.mkdir()
    old.rename(new)
    done = tosmooth("run", finished.file, "--home", new, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not old.exists()
    check_ended_as(new, finished.home)
    assert artifacts(new) == artifacts(finished.home)
    assert [name for name, content in contents(new).items() if str(old).encode() in content] == []
    moved = new.rename(tmp_path / "again")
    again = tosmooth("run", "tiny", "--home", moved, cwd=tmp_path)  # by its name: the study is in the home
    assert again.returncode == 0, again.stderr
    check_ended_as(moved, finished.home)


@pytest.fixture
def read_only(home: Path, tmp_path: Path) -> Iterator[Path]:
    """The finished home again, on a file system that cannot be written to: rights do not bind root."""
    place = tmp_path / "read-only"
    place.mkdir()
    if subprocess.run(["mount", "--bind", home, place], capture_output=True, check=False).returncode != 0:
        pytest.skip("File systems cannot be mounted here.")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (place / "a").touch()
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def test_read_only_home_is_read_and_refuses_to_run(
    read_only: Path, finished: Finished, command: Command, tmp_path: Path
) -> None:
    for name, *rest in (
        ("export",),
        ("export", "--trials", "--format", "csv"),
        ("status",),
        ("show",),
        ("describe",),
        ("best", "--level", "clean", "--output", tmp_path / "best"),
        ("plot", "--output", tmp_path / "plots"),
    ):
        code, out, err = command(name, "tiny", *rest, "--home", read_only)
        assert (code, err) == (0, ""), name
        assert out
    assert "twonorm, finished" in command("status", "tiny", "--home", read_only).out
    assert any((tmp_path / "plots").glob("*.png"))
    assert any((tmp_path / "best").glob("*.safetensors"))
    for arguments in (("run", finished.file), ("run", "tiny", "--set", "search.trials=9"), ("plot", "tiny")):
        code, out, err = command(*arguments, "--home", read_only)
        assert (code, out) == (2, "")
        assert f"\nerror: {read_only}" in f"\n{err}"
        assert "Read-only file system" in " ".join(err.split())
        assert "name a folder you may" in " ".join(err.split())
    assert tosmooth("delete", "tiny", "--yes", "--home", read_only, cwd=tmp_path).returncode == 2
    assert lines_of(read_only) == lines_of(finished.home)


@pytest.mark.parametrize("lost", ["gone", "damaged"])
def test_database_of_mlflow_is_made_again_from_the_record(
    lost: str, home: Path, finished: Finished, command: Command, tmp_path: Path
) -> None:
    database = home / "mlflow.db"
    if lost == "damaged":
        content = bytearray(database.read_bytes())
        content[4096:200_000] = os.urandom(200_000 - 4096)
        database.write_bytes(content)
        before = contents(home)
        for arguments in (("run", finished.file), ("ui",), ("delete", "tiny", "--yes")):
            code, out, err = command(*arguments, "--home", home)
            assert (code, out) == (2, "")
            assert f"error: {database}: damaged (" in err
            assert "move it away: the next `tosmooth run` of each study shows it anew" in err
        assert contents(home) == before
    database.rename(tmp_path / "mlflow.damaged.db")
    done = tosmooth("run", finished.file, "--home", "home", cwd=tmp_path)
    said = [line for line in done.stderr.splitlines() if not line.endswith(" ...")]  # beside the stages
    assert (done.returncode, len(said)) == (0, 1), done.stderr
    assert lines_of(home) == lines_of(finished.home)  # nothing was trained
    check_ended_as(home, finished.home)
    assert artifacts(home) == artifacts(finished.home)

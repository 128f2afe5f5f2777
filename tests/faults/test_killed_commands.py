"""Commands that are killed in the middle: given again they do what they would have done, and nothing is half there."""

import shutil
import time
from pathlib import Path

import pytest

from tests.search.conftest import Finished
from tests.search.tools import numbers, records_of, start, tosmooth
from tosmooth.search.storage.home import Home

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.ray, pytest.mark.timeout(900)]

COMMANDS = {
    "export": ("export", "tiny", "--format", "csv", "--output", "out/table.csv"),
    "best": ("best", "tiny", "--level", "clean", "--output", "out"),
    "plot": ("plot", "tiny", "--output", "out"),
    "analyse": ("analyse", "tiny", "--attacked", "0", "--no-student"),
}


def files(folder: Path) -> dict[str, bytes]:
    """Files below a folder by name, but for MLflow's, which notes when each was made, and pictures' bytes."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: b"" if path.suffix == ".png" else path.read_bytes()
        for name, path in found.items()
        if "mlflow.db" not in name and not name.startswith("home/artifacts/") and not name.endswith(".lock")
    }


def place(finished: Finished, folder: Path) -> Path:
    """A folder of one's own with the finished study in its home."""
    shutil.copytree(finished.home, folder / "home")
    return folder


def killed_at(moments: list[float], command: tuple[str, ...], cwd: Path) -> list[bool]:
    """Kill the command so many seconds after its start, each time anew. Says which times it had ended before."""
    ended = []
    for moment in moments:
        process = start(*command, "--home", "home", cwd=cwd)
        time.sleep(moment)
        ended.append(process.poll() is not None)
        process.kill()
        process.communicate()
    return ended


@pytest.mark.parametrize("name", COMMANDS)
def test_command_that_was_killed_does_all_when_it_is_given_again(name: str, finished: Finished, tmp_path: Path) -> None:
    command = COMMANDS[name]
    undisturbed = place(finished, tmp_path / "undisturbed")
    begin = time.monotonic()
    done = tosmooth(*command, "--home", "home", cwd=undisturbed)
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - begin
    killed = place(finished, tmp_path / "killed")
    ended = killed_at([seconds * share / 10 for share in (4, 6, 8, 9)], command, killed)
    assert not all(ended), "it was never killed"
    again = tosmooth(*command, "--home", "home", cwd=killed)
    assert again.returncode == 0, again.stderr
    assert files(killed) == files(undisturbed)
    assert numbers(records_of(killed / "home")) == numbers(records_of(undisturbed / "home"))


def test_deletion_that_is_killed_leaves_a_whole_study_or_none_and_ends_when_it_is_given_again(
    finished: Finished, tmp_path: Path
) -> None:
    begin = time.monotonic()
    timed = place(finished, tmp_path / "timed")
    assert tosmooth("delete", "tiny", "--yes", "--home", "home", cwd=timed).returncode == 0
    seconds = time.monotonic() - begin
    whole = numbers(records_of(finished.home))
    there = []
    for share in (4, 6, 8, 9):
        folder = place(finished, tmp_path / str(share))
        killed_at([seconds * share / 10], ("delete", "tiny", "--yes"), folder)
        home = Home(folder / "home")
        there.append(bool(home.studies()))
        if there[-1]:
            assert numbers(records_of(home.root)) == whole
        again = tosmooth("delete", "tiny", "--yes", "--home", "home", cwd=folder)
        assert again.returncode == 0 or "is not in the home" in again.stderr
        assert list((home.root / "studies").iterdir()) == []
        assert list(home.root.rglob("*.partial")) == []
    assert any(there), "it was never killed before it began"

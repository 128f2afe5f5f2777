"""A disk that is full: a clear message, nothing torn, and the study goes on when there is room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_kills import check_ended_as
from tests.search.conftest import Finished
from tests.search.tools import tosmooth
from tosmooth.search.storage.history import History
from tosmooth.search.storage.journal import Journal

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("File systems cannot be mounted here.")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, but: int) -> Path:
    """Leave `but` bytes of a file system."""
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    ballast.write_bytes(b"\0" * max(0, free - but))
    return ballast


@pytest.mark.parametrize(
    "room",
    [0, 40_000, *(pytest.param(room, marks=pytest.mark.long) for room in (8_000, 120_000, 600_000))],
    ids=lambda room: f"{room // 1000} kB",
)
def test_study_stops_with_a_clear_message_and_goes_on(
    room: int, small_disk: Path, finished: Finished, tmp_path: Path
) -> None:
    home = small_disk / "home"
    ballast = fill(small_disk, room)
    stopped = tosmooth("run", finished.file, "--home", home, cwd=tmp_path)
    assert "Traceback" not in stopped.stderr
    if stopped.returncode != 0:  # the journal or the history did not fit; what else does not is told, and made up for
        assert stopped.returncode == 2
        assert "o space left on device" in stopped.stderr or "no room on the disk" in stopped.stderr
    history, journal = (home / "studies" / "tiny" / name for name in ("history.jsonl", "journal.log"))
    for file in (history, journal):
        content = file.read_bytes() if file.exists() else b""
        assert content == b"" or content.endswith(b"\n"), "a torn line"
    History(history).read()  # which raises where a line is not as it was written
    list(Journal(journal).read_logs(0))
    ballast.unlink()
    done = tosmooth("run", finished.file, "--home", home, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check_ended_as(home, finished.home)
    assert list(home.rglob("*.partial")) == []

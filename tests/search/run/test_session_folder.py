"""Folder of a Ray of our own: private, short, removed at the end, and after a kill at the next start."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import ray
from filelock import FileLock
from rich.console import Console

from tests.search.tools import apart
from tests.tools import wait_for
from tosmooth.search.run import ray_cluster, session_folder
from tosmooth.search.run.session_folder import LOCK, LONGEST, PREFIX, place, places, remove, remove_left
from tosmooth.trainables.errors import InputError

HOLD = """
import sys, time
from tosmooth.search.run.session_folder import session_folder
with session_folder() as session:
    print(session, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder, in which sessions are made."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(session_folder, "places", lambda: [folder])
    yield folder
    shutil.rmtree(folder)


def test_a_session_is_private_and_leaves_nothing(short: Path) -> None:
    with session_folder.session_folder() as session:
        assert session.parents[1] == short
        session.mkdir()
        remove_left(short)  # as another run would, which starts meanwhile
        assert session.is_dir()
        remove(session)
    assert list(short.iterdir()) == []


def test_what_a_killed_run_left_is_removed_at_the_next_start_and_nothing_else(short: Path) -> None:
    (short / f"{PREFIX}notes").mkdir()  # a user's own
    (short / f"{PREFIX}link").symlink_to(short / f"{PREFIX}notes")
    (short / f"{PREFIX}file").write_text("")
    command = [sys.executable, "-P", "-c", HOLD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        left = Path(killed.stdout.readline().strip()).parent
        remove_left(short)
        assert (left / LOCK).exists()
        killed.send_signal(signal.SIGKILL)
    (left / "session").mkdir()
    (left / "session" / "log").write_text("x")
    with session_folder.session_folder() as session:
        assert {file.name for file in short.iterdir()} == {
            session.parent.name,
            *(PREFIX + n for n in ("notes", "link", "file")),
        }


def test_another_users_folder_stays(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = short / f"{PREFIX}theirs"
    theirs.mkdir()
    (theirs / LOCK).write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 12345)
        remove_left(short)
    assert theirs.exists()
    with FileLock(theirs / LOCK):
        remove_left(short)
        assert theirs.exists()
    remove_left(short)
    assert not theirs.exists()


def test_the_first_short_folder_is_taken_and_none_is_refused_with_tmpdir(tmp_path: Path, short: Path) -> None:
    (long := tmp_path / ("x" * LONGEST)).mkdir()
    (closed := short / "closed").write_text("")
    assert place([long, closed, short / "missing", short]) == short
    with pytest.raises(InputError, match=rf"TMPDIR: '{long}', .* are refused: .* {LONGEST} bytes or less"):
        place([long, closed])


def test_places_are_those_of_the_environment_then_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", "/a")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert places() == [Path(each) for each in ("/a", tmp_path, "/tmp", "/run/user/1000")]  # noqa: S108


def ray_in(place: Path) -> None:
    """Start Ray with its session's folder in a place, and look at it."""
    cores = mock.patch.object(ray_cluster, "usable_cores", return_value=3)  # more than most test machines have
    here = mock.patch.object(session_folder, "places", return_value=[place])
    with here, cores, ray_cluster.cluster(None, Console(quiet=True)):
        assert ray.cluster_resources()["CPU"] == 3
        (folder,) = place.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700  # Ray's own may be written by everyone
        (session,) = (path for path in folder.glob("*/session_*") if not path.is_symlink())
        sockets = list((session / "sockets").iterdir())
        assert {re.sub(r"\.\d+$", "", socket.name) for socket in sockets} >= {"plasma_store", "raylet"}
        assert ray.get(ray.remote(lambda: 1).remote()) == 1


@pytest.mark.ray
def test_ray_fits_into_the_longest_place_and_leaves_nothing(short: Path) -> None:
    longest = short / ("x" * (LONGEST - len(str(short)) - 1))
    longest.mkdir()
    apart(ray_in, longest)
    wait_for("an empty folder", lambda: not list(longest.iterdir()))


@pytest.mark.ray
def test_ray_that_is_not_up_in_time_is_one_message(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(**settings: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", late)
    with (
        pytest.raises(
            InputError, match=r"^Ray cannot be started here: The current node timed out .*; the same command"
        ),
        ray_cluster.cluster(None, Console(quiet=True)),
    ):
        pass
    assert len(list(short.iterdir())) == 1  # what has started of it may still write there
    with session_folder.session_folder() as session:
        assert list(short.iterdir()) == [session.parent]

"""Locks of files: one holder at a time, and a file system without them is named."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from filelock import Timeout

from tosmooth.search.storage.home import Home
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.locks import held


def test_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path / "lock"), pytest.raises(Timeout), held(tmp_path / "lock", 0):
        pass
    with held(tmp_path / "lock", 0):
        pass


@pytest.mark.parametrize("answer", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_file_system_without_locks_is_named_and_nothing_is_left_there(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        """Answer as NFS without its lock service, or Lustre without the option `flock`, does."""
        number = getattr(errno, answer)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = Home(tmp_path / "home").study("tiny")
    says = r"home/studies/tiny: its file system has no locks \(.+\); name a folder on a local disk, or mount the share"
    with pytest.raises(InputError, match=says), folder.locked():
        pass
    assert list(tmp_path.iterdir()) == []
    assert folder.driver() is None  # which `tosmooth status` asks for: it goes on

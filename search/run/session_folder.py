"""Folder of a Ray that is started here: private, short enough for its sockets, and gone when it has ended.

Ray's own, /tmp/ray, may be written by every user of the machine, and whatever ran there stays.
"""

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.locks import held

PREFIX, NEW = "tosmooth-", ".tosmooth-"  # a folder has the first name once its lock is held
LOCK = "driver.lock"  # held for as long as the driver lives
SOCKET = 103 if sys.platform == "darwin" else 107  # bytes of a socket's path
OWN = "r"  # folder in it that Ray is given, which lets everyone into what it is given
LONGEST = SOCKET - len("/tosmooth-12345678/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")


def places() -> list[Path]:
    """Folders in which the session's may be made, in the order of preference."""
    named = [os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp", os.environ.get("XDG_RUNTIME_DIR")]  # noqa: S108
    return [Path(place).absolute() for place in dict.fromkeys(named) if place]


def place(candidates: Sequence[Path]) -> Path:
    """Choose the first that is short enough and can be written to. Raises `InputError` where there is none."""
    for each in candidates:
        if len(os.fsencode(each)) <= LONGEST and each.is_dir() and os.access(each, os.W_OK | os.X_OK):
            return each
    tried = ", ".join(map(repr, map(str, candidates)))
    rule = f"Ray's sockets need a folder that can be written to, of a path of {LONGEST} bytes or less"
    raise InputError(f"TMPDIR: {tried} are refused: {rule}; name one, such as TMPDIR=/tmp")


@contextmanager
def session_folder() -> Iterator[Path]:
    """Make a folder for one session, and remove what sessions left that were killed.

    Yields the name of a folder in it, which Ray makes, and `remove` takes away with it once Ray has ended. What did not
    come so far still writes there, until this process ends: the next start removes it.
    """
    candidates = places()
    chosen = place(candidates)
    for each in candidates:
        remove_left(each)
    made = Path(tempfile.mkdtemp(prefix=NEW, dir=chosen))  # for this user alone
    with held(made / LOCK):
        folder = made.rename(chosen / f"{PREFIX}{made.name.removeprefix(NEW)}")
        yield folder / OWN


def remove(session: Path) -> None:
    """Remove the folder of a session that has ended."""
    shutil.rmtree(session.parent, ignore_errors=True)


def remove_left(where: Path) -> None:
    """Remove this user's folders whose driver is dead, and so holds no lock."""
    for folder in where.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout, InputError):
            found = folder.lstat()
            ours = found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode) and (folder / LOCK).is_file()
            if ours:
                with held(folder / LOCK, 0):
                    shutil.rmtree(folder, ignore_errors=True)

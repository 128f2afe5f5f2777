"""Id of a home, by which services that several homes share tell them apart."""

import uuid
from contextlib import AbstractContextManager
from pathlib import Path

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.atomic_write import write
from tosmooth.trainables.files.locks import held

SETUP_TIMEOUT = 60.0  # seconds; the longest, a database of MLflow, is set up in 1 to 2


def home_id(home: Path) -> str:
    """Return a home's id, which is made when it is first asked for and stays when the home is moved."""
    file = home / "id"
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True)
        with setting_up(home):
            if not file.exists():
                write(uuid.uuid4().hex, file)
    return _read(file)


def known_id(home: Path) -> str:
    """Return a home's id, "" where none was made yet. Makes nothing."""
    file = home / "id"
    return _read(file) if file.exists() else ""


def _read(file: Path) -> str:
    try:
        known = file.read_text(encoding="utf-8").splitlines()[-1]  # in homes of before a comment stands above it
        return uuid.UUID(hex=known).hex
    except (ValueError, IndexError) as error:
        advice = "bring it back from a copy: as the tag 'tosmooth.home' of its experiments in MLflow it is known, too"
        raise InputError(f"{file}: damaged ({error}): {advice}") from error


def setting_up(home: Path) -> AbstractContextManager[None]:
    """Lock for making what all studies of a home share, so that two that begin at once make it once."""
    return held(home / ".setup.lock", SETUP_TIMEOUT)

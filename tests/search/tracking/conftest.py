"""Homes with a real MLflow database."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tosmooth.search.tracking.store import connect


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow as it is when new; to copy one is quicker than to make one."""
    home = tmp_path_factory.mktemp("empty")
    connect(home, None)
    return home / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home, with nothing but an empty database. Nothing may be written beside it."""
    # MLflow keeps its connection to a path for as long as the process lives, and pytest gives `tmp_path` out again.
    folder, elsewhere = tmp_path / f"my home {uuid.uuid4().hex}", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    shutil.copy(empty_database, folder)
    monkeypatch.chdir(elsewhere)
    yield folder
    assert list(elsewhere.iterdir()) == [], "something was written into the working directory"

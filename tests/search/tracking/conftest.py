"""Homes with a real MLflow database."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.tracking.store import connect


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow as it is when new; to copy one is quicker than to make one."""
    home = tmp_path_factory.mktemp("empty")
    connect(home, None)
    return home / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home, with nothing but an empty database. Nothing may be written beside it."""
    folder, elsewhere = tmp_path / "my home", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    shutil.copy(empty_database, folder)
    monkeypatch.chdir(elsewhere)
    yield folder
    assert list(elsewhere.iterdir()) == [], "something was written into the working directory"

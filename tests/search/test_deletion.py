"""What `tosmooth delete` must not delete: another home's trials, and half of a study."""

from pathlib import Path

import pytest

from search.deletion import delete_study
from search.home import Home, StudyFolder
from search.store import Store, open_storage
from search.tracking import home_id
from tests.search.tools import level, tiny
from trainables.config import InputError

CELL = tiny().cells()[0]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/optuna.db"


def kept(home: Home) -> StudyFolder:
    """The study as its home knows it, one epoch trained."""
    folder = home.study("tiny")
    folder.keep(tiny(), {noise: level(noise) for noise in tiny().dataset.levels})
    folder.history.write_bytes(b"{}\n")
    return folder


def number_of_trials(url: str) -> int:
    return len(Store(tiny(), open_storage(url, Path("none"))).trials(CELL, "search"))


def test_trials_of_another_home_in_a_shared_database_are_not_deleted(url: str, tmp_path: Path) -> None:
    mine, yours = Home(tmp_path / "mine"), Home(tmp_path / "yours")
    my_folder, your_folder = kept(mine), kept(yours)
    Store(tiny(), open_storage(url, my_folder.journal), home_id(mine.root)).propose(CELL)
    with pytest.raises(InputError, match="study 'tiny' in this database is another home's"):
        delete_study(yours, your_folder, None, url)
    assert number_of_trials(url) == 1
    assert your_folder.spec() == tiny()
    delete_study(mine, my_folder, None, url)
    assert number_of_trials(url) == 0
    assert not my_folder.path.exists()


def test_study_whose_record_is_in_a_database_is_not_deleted_without_it(url: str, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    folder = kept(home)
    Store(tiny(), open_storage(url, folder.journal), home_id(home.root)).propose(CELL)
    with pytest.raises(InputError, match="study 'tiny' has its record in a database; name it with --storage"):
        delete_study(home, folder, None, None)
    assert number_of_trials(url) == 1
    assert folder.history.exists()

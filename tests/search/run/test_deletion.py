"""What `tosmooth delete` must not delete: another home's trials, and half of a study."""

from pathlib import Path

import pytest

from tests.search.builders import level
from tests.search.tools import tiny
from tosmooth.search.run.deletion import delete_study
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.home_id import home_id
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.storage.trial_store import Store
from tosmooth.trainables.errors import InputError

CELL = tiny().cells()[0]
TRIED = {"rate": 0.0, "warmup": 0}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/optuna.db"


def kept(home: Home) -> StudyFolder:
    """The study as its home knows it, one epoch trained."""
    folder = home.study("tiny")
    folder.keep(tiny(), {noise: level(noise) for noise in tiny().dataset.noise})
    folder.history.write_bytes(b"{}\n")
    return folder


def number_of_trials(url: str) -> int:
    return len(Store(tiny(), open_storage(url, Path("none"))).trials(CELL, "search"))


def test_trials_of_another_home_in_a_shared_database_are_not_deleted(url: str, tmp_path: Path) -> None:
    mine, yours = Home(tmp_path / "mine"), Home(tmp_path / "yours")
    my_folder, your_folder = kept(mine), kept(yours)
    Store(tiny(), open_storage(url, my_folder.journal), home_id(mine.root)).add(CELL, "search", TRIED, 1)
    with pytest.raises(InputError, match="study 'tiny' in this database is another home's"):
        delete_study(yours, your_folder, None, url)
    assert number_of_trials(url) == 1
    assert your_folder.spec() == tiny()
    (my_folder.path / "journal.last.log").write_bytes(b"a copy of before")
    delete_study(mine, my_folder, None, url)
    assert number_of_trials(url) == 0
    assert not my_folder.path.exists()


def test_study_whose_record_is_in_a_database_is_not_deleted_without_it(url: str, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    folder = kept(home)
    Store(tiny(), open_storage(url, folder.journal), home_id(home.root)).add(CELL, "search", TRIED, 1)
    with pytest.raises(InputError, match="study 'tiny' has its record in a database; name it with --storage"):
        delete_study(home, folder, None, None)
    assert number_of_trials(url) == 1
    assert folder.history.exists()


@pytest.mark.parametrize("moment", ["delete_experiment", "Store.delete", "remove_states", "shutil.rmtree"])
def test_deletion_that_is_killed_leaves_the_study_whole_or_none_which_the_next_one_removes(
    moment: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    folder = kept(home)
    (folder.path / "weights").mkdir()
    Store(tiny(), open_storage(url, folder.journal), home_id(home.root)).add(CELL, "search", TRIED, 1)

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"tosmooth.search.run.deletion.{moment}", killed)
        with pytest.raises(KeyboardInterrupt):
            delete_study(home, folder, None, url)
    if moment == "delete_experiment":
        folder.check(tiny())
        assert [each.path.name for each in home.studies()] == ["tiny"]
        assert number_of_trials(url) == 1
    else:
        assert home.studies() == []
        with pytest.raises(InputError, match="its deletion was cut off; end it first: tosmooth delete tiny"):
            folder.check(tiny())
    delete_study(home, home.deletable("tiny"), None, url)
    assert number_of_trials(url) == 0
    assert list((home.root / "studies").iterdir()) == []
    folder.check(tiny())


def test_what_a_killed_deletion_of_an_earlier_version_left_is_deleted(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    folder = kept(home)
    folder.spec_file.unlink()
    delete_study(home, home.deletable("tiny"), None, None)
    assert not folder.path.exists()
    with pytest.raises(InputError, match="study 'tiny' is not in the home"):
        home.deletable("tiny")

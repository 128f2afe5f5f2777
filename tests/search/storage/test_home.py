"""The home: where things lie, who holds a study, and what is refused."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.builders import level
from tests.search.tools import tiny
from tosmooth.search.records import TrialKey
from tosmooth.search.storage.home import Home
from tosmooth.trainables.errors import InputError

LEVELS = {found.name: found for found in (level("clean"), level("symmetric-0.4"))}


def kept(root: Path) -> Home:
    home = Home(root)
    home.study("tiny").keep(tiny(), LEVELS)
    return home


def test_a_study_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    folder = kept(tmp_path).existing("tiny")
    assert folder.spec() == tiny()
    assert folder.levels() == LEVELS


def test_a_home_that_is_moved_keeps_its_studies(tmp_path: Path) -> None:
    kept(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert [folder.spec().name for folder in Home(tmp_path / "there").studies()] == ["tiny"]


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "a/b", "/etc", "A", "x" * 65, "a\n", "-x"])
def test_what_is_no_name_is_no_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"name: .* is refused: lower-case letters, digits, - and _"):
        Home(tmp_path).study(name)


def test_a_study_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    home = kept(tmp_path)
    with pytest.raises(InputError, match=r"study 'other' is not in the home .* \(there: tiny\); run it first"):
        home.existing("other")


def test_data_lie_in_the_home_unless_told_and_paths_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = Home(Path("home")).folders(None)
    assert (folders.data, folders.cache) == (tmp_path / "home" / "data", tmp_path / "home" / "cache")
    assert Home(Path("home")).folders(Path("mine")).data == tmp_path / "mine"


def test_weights_of_every_trial_have_a_file_of_their_own(tmp_path: Path) -> None:
    folder = Home(tmp_path).study("tiny")
    keys = [
        TrialKey(f"twonorm/{noise}", "gls", "confirmation", n) for noise in ("clean", "symmetric-0.4") for n in (0, 1)
    ]
    assert [folder.weights(key).relative_to(folder.path).as_posix() for key in keys] == [
        "weights/twonorm-clean-gls-0.safetensors",
        "weights/twonorm-clean-gls-1.safetensors",
        "weights/twonorm-symmetric-0.4-gls-0.safetensors",
        "weights/twonorm-symmetric-0.4-gls-1.safetensors",
    ]


def test_the_same_meaning_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    folder = kept(tmp_path).study("tiny")
    folder.check(
        tiny("search.trials=50", "resources.concurrent=2", "dataset.noise=[clean, symmetric-0.4, symmetric-0.2]")
    )
    folder.check(tiny("training.test_every=3"))  # the test set chooses nothing
    with pytest.raises(InputError, match=r"training\.batch_size: 50 -> 64") as caught:
        folder.check(tiny("training.batch_size=64"))
    assert "--name tiny-2" in str(caught.value)


def test_a_study_kept_with_a_pruner_or_allocation_that_is_gone_is_read_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = kept(tmp_path).study("tiny")
    text = folder.spec_file.read_text(encoding="utf-8")
    assert text.count("pruner: none") == 1
    folder.spec_file.write_text(text.replace("pruner: none", "pruner: successive-halving, reduction_factor: 2"))
    assert (folder.spec(), folder.spec()) == (tiny("search.pruner=median"),) * 2
    warning = f"{folder.spec_file}: the pruner successive-halving is gone; this study goes on with median"
    assert caplog.messages == [warning]  # once
    for pruner in ("median", "none"):
        folder.check(tiny(f"search.pruner={pruner}"))
    folder.spec_file.write_text(text.replace("pruner: none", "pruner: median, reduction_factor: 2"))
    assert folder.spec() == tiny("search.pruner=median")
    caplog.clear()
    folder.spec_file.write_text(text.replace("pruner: none", "allocation: even, pruner: none"))
    assert (folder.spec(), caplog.messages) == (tiny(), [])
    folder.spec_file.write_text(text.replace("pruner: none", "allocation: adaptive, pruner: none"))
    assert folder.spec() == tiny()
    assert [message.removeprefix(f"{folder.spec_file}: ") for message in caplog.messages] == [
        "adaptive allocation is gone; this study goes on with as many trials for every level"
    ]


def test_data_that_changed_are_refused(tmp_path: Path) -> None:
    folder = kept(tmp_path).study("tiny")
    folder.check_levels(LEVELS)
    changed = dataclasses.replace(LEVELS["twonorm/clean"], digest="other")
    with pytest.raises(InputError, match=r"twonorm/clean: the data changed .*clean -> other"):
        folder.check_levels({"twonorm/clean": changed})
    Home(tmp_path).study("fresh").check_levels(LEVELS)


def test_one_driver_at_a_time_and_it_is_named(tmp_path: Path) -> None:
    folder = kept(tmp_path).study("tiny")
    assert folder.driver() is None
    with folder.locked():
        assert f"process {os.getpid()} on " in (folder.driver() or "")
        with pytest.raises(InputError, match=f"is running already, by process {os.getpid()} on "), folder.locked():
            pass
    assert folder.driver() is None
    with folder.locked():
        pass


@pytest.mark.faults
def test_the_folder_of_the_data_is_remembered_and_one_in_the_home_moves_with_it(tmp_path: Path) -> None:
    home = kept(tmp_path / "home")
    folder = home.existing("tiny")
    assert folder.data() is None
    for place in (tmp_path / "data", "s3://bucket/data"):
        folder.keep_data(place)
        assert folder.data() == str(place)
    folder.keep_data(None)  # nothing was given: what is known stays
    folder.keep_data("s3://key:hunter2@bucket/data")  # is not written down, nor is what it takes the place of kept
    assert folder.data() is None
    folder.keep_data(tmp_path / " a name with spaces ")
    assert folder.data() == str(tmp_path / " a name with spaces ")
    folder.keep_data(home.root / "tables" / "new")
    moved = Home(home.root.rename(tmp_path / "moved"))
    assert moved.existing("tiny").data() == str(tmp_path / "moved" / "tables" / "new")
    assert str(tmp_path) not in moved.existing("tiny").data_file.read_text(encoding="utf-8")


@pytest.mark.parametrize("beside", ["data", "data/deep", ".", "ünïcode\u2028 %2F"])
def test_data_beside_the_home_are_found_where_both_are_moved_and_where_the_home_alone_is(
    tmp_path: Path, beside: str
) -> None:
    project, data = tmp_path / "project", tmp_path / "project" / beside
    data.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(kept(project / "home").root)
    Home(link).existing("tiny").keep_data(data)
    assert Home(link).existing("tiny").data() == str(data)
    moved = Home(project.rename(tmp_path / "moved") / "home")
    assert moved.existing("tiny").data() == str(tmp_path / "moved" / beside)
    (tmp_path / "moved").rename(project)
    (tmp_path / "away").mkdir()
    alone = Home((project / "home").rename(tmp_path / "away" / "home"))
    assert alone.existing("tiny").data() == str(data)


def test_a_folder_whose_name_has_two_lines_is_not_remembered(tmp_path: Path) -> None:
    folder = kept(tmp_path / "home").existing("tiny")
    folder.keep_data(tmp_path / "data")
    folder.keep_data(tmp_path / "da\nta")
    assert folder.data() is None


def test_a_study_that_is_refused_while_it_is_opened_leaves_no_folder_and_no_home(tmp_path: Path) -> None:
    folder = Home(tmp_path / "new" / "home").study("small")
    with folder.locked():
        folder.journal.touch()
    assert list(tmp_path.iterdir()) == []
    folder.path.mkdir(parents=True)  # it was there before: whatever lies in it stays
    with folder.locked():
        folder.journal.touch()
    assert folder.journal.exists()


def test_a_driver_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    kept(tmp_path)
    code = (
        "import sys; from pathlib import Path; from tosmooth.search.storage.home import Home\n"
        f"with Home(Path({str(tmp_path)!r})).study('tiny').locked():\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        folder = Home(tmp_path).study("tiny")
        assert f"process {holder.pid} on " in (folder.driver() or "")
        holder.send_signal(signal.SIGKILL)
    assert folder.driver() is None
    with folder.locked():
        assert f"process {os.getpid()} on " in (folder.driver() or "")


def test_a_record_is_looked_for_where_it_was_kept(tmp_path: Path) -> None:
    folder = kept(tmp_path).existing("tiny")
    folder.history.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"study 'tiny' has its record in a database; name it with --storage"):
        folder.check_storage(None)
    folder.check_storage("sqlite:///optuna.db")
    folder.journal.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"study 'tiny' has its record in this home; leave --storage out"):
        folder.check_storage("sqlite:///optuna.db")


def test_record_that_may_not_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = kept(tmp_path).study("tiny")
    folder.check_rights()  # nothing is there yet
    folder.history.touch()
    folder.check_rights()
    monkeypatch.setattr("os.access", lambda file, mode: file != folder.history)  # rights do not bind root
    with pytest.raises(InputError, match=r"history\.jsonl: cannot be written; another user's, perhaps: be given"):
        folder.check_rights()

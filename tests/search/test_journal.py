"""Optuna's journal: damage is noticed and named, a copy of the last clean end is kept, and Optuna reads it itself."""

import os
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.journal import Journal, check_journal, copy_of, keep_copy
from trainables.config import InputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


def trials(path: Path, number: int = 3) -> None:
    """Add trials to the study that a journal holds."""
    study = optuna.create_study(storage=JournalStorage(Journal(path)), study_name="a", load_if_exists=True)
    for value in range(number):
        study.add_trial(optuna.create_trial(value=float(value)))


def values(backend: optuna.storages.journal.BaseJournalBackend) -> list[float | None]:
    return [trial.value for trial in optuna.load_study(study_name="a", storage=JournalStorage(backend)).trials]


def test_what_was_written_is_read_by_this_reader_and_by_optunas_own(path: Path) -> None:
    trials(path)
    trials(path, 1)
    assert values(Journal(path)) == [0, 1, 2, 0]
    assert values(JournalFileBackend(str(path))) == [0, 1, 2, 0]


@pytest.mark.parametrize("copied", [True, False])
def test_a_flipped_bit_anywhere_is_named_with_what_to_do(copied: bool, path: Path) -> None:
    trials(path)
    if copied:
        keep_copy(path)
    whole = path.read_bytes()
    lines = whole.count(b"\n")
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        line = whole[:place].count(b"\n") + 1
        remedy = "put journal.last.log in its place" if copied else "there is no copy"
        if place == len(whole) - 1:  # the last newline: a torn line, which is cut
            continue
        with pytest.raises(InputError, match=rf"journal\.log, line {line}: damaged .*{remedy}"):
            values(Journal(path))
    assert lines > 3


def test_a_journal_that_lost_its_end_is_noticed(path: Path) -> None:
    trials(path)
    keep_copy(path)
    check_journal(path)
    trials(path, 1)
    check_journal(path)
    path.write_bytes(b"".join(copy_of(path).read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(InputError, match=r"journal\.log: damaged: it is shorter than at the last clean end"):
        check_journal(path)
    copy_of(path).replace(path)
    assert values(Journal(path)) == [0, 1, 2]


@pytest.mark.parametrize("place", [-1, -30, 40])
def test_damage_of_the_same_size_is_noticed_by_the_copy_the_last_newline_s_too(place: int, path: Path) -> None:
    trials(path)
    keep_copy(path)
    trials(path, 1)
    check_journal(path)
    damaged = bytearray(copy_of(path).read_bytes())
    damaged[place] ^= 4  # the last newline: to a reader, a line that is being written, and the trial in it is none
    path.write_bytes(damaged)
    line = 1 + copy_of(path).read_bytes()[: place % len(damaged)].count(b"\n")
    with pytest.raises(InputError, match=rf"journal\.log, line {line}: damaged: .*put journal\.last\.log in its place"):
        check_journal(path)


def test_a_copy_that_is_damaged_itself_is_no_reason_to_refuse_the_journal(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trials(path)
    keep_copy(path)
    whole = copy_of(path).read_bytes()
    caplog.clear()
    for place in (-1, 40):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        copy_of(path).write_bytes(damaged)
        check_journal(path)
    # What lies before the last newline is as it was in the first: no one need know.
    assert caplog.messages == [f"{copy_of(path)}: damaged; the end of this run makes it anew"]
    keep_copy(path)
    assert copy_of(path).read_bytes() == whole


def test_a_torn_line_is_not_copied(path: Path) -> None:
    trials(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "trial')
    keep_copy(path)
    assert copy_of(path).read_bytes() == whole
    trials(path, 1)  # which cuts it
    check_journal(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["journal.last.log", "journal.log"]


def test_a_copy_is_on_the_disk_before_it_takes_the_place_of_the_last(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials(path)
    done: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: done.append("fsync"))
    monkeypatch.setattr(Path, "replace", lambda *_: done.append("replace"))
    keep_copy(path)
    assert done == ["fsync", "replace"]


def test_a_torn_last_line_waits_for_a_reader_and_is_cut_by_the_next_writer(path: Path) -> None:
    trials(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "trial')
    assert values(Journal(path)) == [0, 1]
    trials(path, 1)
    assert path.read_bytes().startswith(whole + b'{"op_code":')
    assert values(Journal(path)) == [0, 1, 0]


def test_nothing_is_copied_where_there_is_no_journal(path: Path) -> None:
    keep_copy(path)
    check_journal(path)
    assert list(path.parent.iterdir()) == []

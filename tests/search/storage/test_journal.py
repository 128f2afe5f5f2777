"""Optuna's journal: damage is noticed and named, lines that are gone too, and Optuna reads it itself."""

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tosmooth.search.storage.journal import Journal
from tosmooth.search.storage.jsonl import LineWriter
from tosmooth.search.storage.opening import open_storage
from tosmooth.trainables.errors import InputError


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


def test_a_flipped_bit_anywhere_is_named_with_what_to_do(path: Path) -> None:
    trials(path)
    whole = path.read_bytes()
    lines = whole.count(b"\n")
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        line = whole[:place].count(b"\n") + 1
        if place == len(whole) - 1:  # the last newline: a torn line, which is cut
            continue
        with pytest.raises(
            InputError, match=rf"journal\.log, line {line}: damaged .*bring it back from a copy, or cut"
        ):
            values(Journal(path))
    assert lines > 3


def changed(lines: list[bytes], change: str, at: int) -> list[bytes]:
    """The lines of a journal, one of which is gone, stands twice, or comes after the next."""
    pieces = {"gone": [], "twice": [lines[at]] * 2, "late": [lines[at + 1], lines[at]]}
    return [*lines[:at], *pieces[change], *lines[at + (2 if change == "late" else 1) :]]


@pytest.mark.parametrize("change", ["gone", "twice", "late"])
def test_a_whole_line_that_is_gone_or_twice_is_named_with_what_to_do(change: str, path: Path) -> None:
    trials(path)
    trials(path, 1)  # another driver, which goes on counting
    lines = path.read_bytes().splitlines(keepends=True)
    for at in range(len(lines) - 1):
        path.write_bytes(b"".join(changed(lines, change, at)))
        line = at + (2 if change == "twice" else 1)
        with pytest.raises(InputError, match=rf"journal\.log, line {line}: damaged \(it was line \d+\): lines before"):
            values(Journal(path))


def test_a_journal_that_is_cut_at_any_line_is_what_it_was_then_and_goes_on(path: Path) -> None:
    trials(path)
    lines = path.read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if b'"study_id":' in line and b'"values"' in line)
    for end in range(first, len(lines)):
        path.write_bytes(b"".join(lines[:end]))
        before = values(Journal(path))
        assert before == [0, 1, 2][: len(before)]
        trials(path, 1)
        assert values(Journal(path)) == [*before, 0]


def test_a_journal_of_before_whose_lines_have_no_number_is_read_and_goes_on(path: Path) -> None:
    trials(path)
    old = path.with_name("old.log")
    writer = LineWriter(old)
    for line in Journal(path).read_logs(0):
        writer.append(line)
    writer.close()
    assert b'"line":' not in old.read_bytes()
    assert values(Journal(old)) == [0, 1, 2]
    trials(old, 1)
    assert values(Journal(old)) == [0, 1, 2, 0]
    lines = old.read_bytes().splitlines(keepends=True)
    old.write_bytes(b"".join(lines[1:]))  # the lines that have a number tell
    with pytest.raises(InputError, match=r"lines before it are gone, or stand twice"):
        list(Journal(old).read_logs(0))


def test_a_torn_last_line_waits_for_a_reader_and_is_cut_by_the_next_writer(path: Path) -> None:
    trials(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "trial')
    assert values(Journal(path)) == [0, 1]
    trials(path, 1)
    assert path.read_bytes().startswith(whole + b'{"op_code":')
    assert values(Journal(path)) == [0, 1, 0]


def test_journal_of_a_newer_optuna_is_refused(path: Path) -> None:
    trials(path)
    journal = Journal(path)
    list(journal.read_logs(0))
    journal.append_logs([{"op_code": 99, "worker_id": "newer"}])
    with pytest.raises(InputError, match=r"journal\.log: of a newer version of Optuna than this one; upgrade it"):
        open_storage(None, path)

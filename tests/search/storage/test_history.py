"""The history: what was appended is read, whatever happened to the process that wrote it."""

import errno
import json
import math
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from tosmooth.search.records import TrialKey
from tosmooth.search.storage.history import History
from tosmooth.trainables.errors import InputError

KEY = TrialKey("twonorm/symmetric-0.4", "gls", "search", 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study" / "history.jsonl"


def losses(path: Path, key: TrialKey = KEY) -> list[float | None]:
    return [metrics.get("loss") for metrics in History(path).read()[key]]


def test_a_line_holds_identity_epoch_time_metrics_and_checksum(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1700000000.12345)
    History(path).append(KEY, 1, {"loss": 0.5, "test_loss": None})
    assert path.read_bytes() == (  # the checksum was computed with `gzip`, which ends in the same CRC-32
        b'{"level":"twonorm/symmetric-0.4","method":"gls","phase":"search","number":3,"epoch":1,'
        b'"time":1700000000.123,"metrics":{"loss":0.5,"test_loss":null},"crc":"2f43b6c7"}\n'
    )


def test_what_is_appended_is_read_with_its_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1700000000.5)
    history = History(path)
    other = KEY._replace(phase="confirmation")
    history.append(KEY, 1, {"loss": 0.5})
    history.append(other, 1, {"loss": 9.0})
    history.append(KEY, 2, {"loss": 0.25})
    history.close()
    assert History(path).read() == {
        KEY: ({"loss": 0.5, "time": 1700000000.5}, {"loss": 0.25, "time": 1700000000.5}),
        other: ({"loss": 9.0, "time": 1700000000.5},),
    }


def test_append_returns_what_read_will_give(path: Path) -> None:
    stored = History(path).append(KEY, 1, {"loss": math.nan, "lr": 0.1})
    assert History(path).read()[KEY] == (stored,)


def test_no_file_is_an_empty_history(path: Path) -> None:
    assert History(path).read() == {}


def test_non_finite_numbers_become_null(path: Path) -> None:
    History(path).append(KEY, 1, {"loss": math.nan, "val_loss": math.inf, "lr": 0.1})
    (metrics,) = History(path).read()[KEY]
    assert (metrics["loss"], metrics["val_loss"], metrics["lr"]) == (None, None, 0.1)


def test_reading_again_parses_only_what_is_new(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, reader = History(path), History(path)
    parse = Mock(wraps=reader._reader._parse)
    monkeypatch.setattr(reader._reader, "_parse", parse)
    for epoch in (1, 2):
        writer.append(KEY, epoch, {"loss": float(epoch)})
    assert len(reader.read()[KEY]) == 2
    writer.append(KEY, 3, {"loss": 3.0})
    assert [metrics["loss"] for metrics in reader.read()[KEY]] == [1.0, 2.0, 3.0]
    assert parse.call_count == 3


def test_a_trial_run_again_leaves_nothing_of_its_lost_attempt(path: Path) -> None:
    history = History(path)
    for epoch, loss in ((1, 1.0), (2, 2.0), (3, 3.0), (1, 10.0), (2, 20.0)):
        history.append(KEY, epoch, {"loss": loss})
    assert losses(path) == [10.0, 20.0]  # epoch 3 was the first attempt's


def test_a_trial_that_goes_on_from_a_checkpoint_keeps_the_epochs_before_it(path: Path) -> None:
    history = History(path)
    for epoch, loss in ((1, 1.0), (2, 2.0), (3, 3.0), (3, 30.0)):
        history.append(KEY, epoch, {"loss": loss})
    assert losses(path) == [1.0, 2.0, 30.0]


def test_an_epoch_without_a_report_is_empty_and_the_others_keep_their_place(path: Path) -> None:
    history = History(path)
    history.append(KEY, 1, {"loss": 1.0})
    history.append(KEY, 4, {"loss": 4.0})
    assert losses(path) == [1.0, None, None, 4.0]


@pytest.mark.parametrize("kept", range(1, 12))
def test_a_torn_last_line_is_ignored_and_cut_before_the_next(path: Path, kept: int) -> None:
    history = History(path)
    history.append(KEY, 1, {"loss": 1.0})
    size = path.stat().st_size
    history.append(KEY, 2, {"loss": 2.0})
    history.close()
    os.truncate(path, size + kept * (path.stat().st_size - size) // 12)
    assert losses(path) == [1.0]
    History(path).append(KEY, 2, {"loss": 3.0})
    assert losses(path) == [1.0, 3.0]


def test_a_torn_first_line_longer_than_a_block_is_cut(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"x" * 200_000)
    History(path).append(KEY, 1, {"loss": 1.0})
    assert losses(path) == [1.0]


def test_a_reader_follows_a_writer_that_cut_a_torn_line(path: Path) -> None:
    history = History(path)
    history.append(KEY, 1, {"loss": 1.0})
    history.close()
    with path.open("ab") as file:
        file.write(b'{"level":"twon')
    reader = History(path)
    assert len(reader.read()[KEY]) == 1
    History(path).append(KEY, 2, {"loss": 2.0})
    assert [metrics["loss"] for metrics in reader.read()[KEY]] == [1.0, 2.0]


def test_damage_in_the_middle_names_file_and_line(path: Path) -> None:
    history = History(path)
    for epoch in (1, 2, 3):
        history.append(KEY, epoch, {"loss": 0.5})
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"0.5", b"0.7")  # one flipped bit; the line is still good JSON
    path.write_bytes(b"".join(lines))
    with pytest.raises(InputError, match=r"history\.jsonl, line 2: damaged \(its checksum does not fit\)"):
        History(path).read()


@pytest.mark.parametrize("line", [b"\n", b"not json\n", b"\xff\xfe\n", b"[1, 2]\n", b"\x00" * 80 + b"\n"])
def test_a_line_that_is_no_report_is_damage(path: Path, line: bytes) -> None:
    History(path).append(KEY, 1, {"loss": 0.5})
    path.write_bytes(line + path.read_bytes())
    with pytest.raises(InputError, match="line 1: damaged"):
        History(path).read()


def test_a_full_disk_leaves_no_torn_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(path)
    history.append(KEY, 1, {"loss": 1.0})
    write = os.write
    with monkeypatch.context() as patch:  # what a full disk does: part of the line fits
        patch.setattr("os.write", lambda fd, line: write(fd, line[:20]))
        with pytest.raises(OSError, match=r"No space left on device.*history\.jsonl") as error:
            history.append(KEY, 2, {"loss": 2.0})
    assert error.value.errno == errno.ENOSPC
    history.append(KEY, 2, {"loss": 2.0})  # there is room again
    assert losses(path) == [1.0, 2.0]


def test_a_line_is_one_write_and_flush_reaches_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(path)
    history.append(KEY, 1, {"loss": 1.0})
    calls = Mock()
    calls.write.side_effect, calls.fsync.side_effect = os.write, os.fsync
    monkeypatch.setattr("os.write", calls.write)
    monkeypatch.setattr("os.fsync", calls.fsync)
    history.append(KEY, 2, {"loss": 1.0})
    history.flush()
    assert [name for name, _, _ in calls.mock_calls] == ["write", "fsync"]


def test_a_history_that_was_replaced_is_read_anew(path: Path) -> None:
    history = History(path)
    for epoch in (1, 2):
        history.append(KEY, epoch, {"loss": 1.0})
    assert len(history.read()[KEY]) == 2
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert len(history.read()[KEY]) == 1


def test_every_line_is_json_on_its_own(path: Path) -> None:
    History(path).append(TrialKey('odd "name"\n', "gls", "search", 0), 1, {"loss": 1.0})
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["level"] == 'odd "name"\n'


def test_pipe_in_the_place_of_a_history_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "history.jsonl")
    with pytest.raises(InputError, match=r"history\.jsonl: is no file; bring the file back from a copy"):
        History(tmp_path / "history.jsonl").read()

"""The files of a home, torn or with a flipped bit: each is read, or refused with what to do about it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.search.builders import level
from tests.search.tools import TINY, tiny
from tosmooth.search.records import TrialKey
from tosmooth.search.storage.history import History
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.home_id import home_id
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.errors import InputError

LEVELS = {found.name: found for found in (level("clean", None), level("symmetric-0.4"))}
PROPOSALS = {"twonorm/clean": [{"rate": -0.5, "warmup": 1}], "twonorm/symmetric-0.4": []}
KEYS = [TrialKey("twonorm/clean", "gls", "search", number) for number in range(3)]


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    made = Home(tmp_path).study("tiny")
    made.keep(tiny(), LEVELS)
    made.keep_prior("other", PROPOSALS)
    history = History(made.history)
    for epoch in (1, 2):
        for key in KEYS:
            history.append(key, epoch, {"val_accuracy": 90.0 + epoch, "test_accuracy": None})
    history.close()
    return made


def curves_are_those_written(found: Any) -> None:
    """A checksum on every line: what is read is what was written, or the part of it before a torn end."""
    for curve in found.values():
        for epoch, metrics in enumerate(curve, 1):
            assert metrics == {} or metrics["val_accuracy"] == 90.0 + epoch
            assert metrics.get("test_accuracy") is None


def is_like(written: Any) -> Callable[[Any], None]:
    """Small files are written whole, and have no checksum: what is read is what the file says, of the right type."""

    def look(found: Any) -> None:
        assert type(found) is type(written)
        if isinstance(found, dict):
            assert {type(value) for value in found.values()} <= {type(value) for value in written.values()}

    return look


READERS: dict[str, tuple[Callable[[StudyFolder], Any], Callable[[Any], None]]] = {
    "levels.json": (lambda folder: folder.levels(), is_like(LEVELS)),
    "prior.json": (lambda folder: folder.prior("other"), is_like(PROPOSALS)),
    "study.yaml": (lambda folder: folder.spec(), is_like(tiny())),
    "history.jsonl": (lambda folder: History(folder.history).read(), curves_are_those_written),
}


def damages(content: bytes, number: int) -> Iterator[bytes]:
    """Torn at places spread over the file, bits flipped, ranges zeroed as after a power cut, other JSON and bytes."""
    random = Random(0)
    for _ in range(number):
        start, length = random.randrange(len(content)), random.choice([1, 8, 512])
        yield content[:start]
        yield content[:start] + bytes([content[start] ^ 1 << random.randrange(8)]) + content[start + 1 :]
        yield content[:start] + bytes(len(content[start : start + length])) + content[start + length :]
        yield content[:start] + content[start + length :]
    yield from (b"", b"\xff\xfe", b"null\n", b"[]\n", b"1\n", b'"x"\n', b"{}\n", b'{"a": 1}\n', b"[" * 100_000)


def test_whole_files_of_a_home_are_read(folder: StudyFolder) -> None:
    assert folder.levels() == LEVELS
    assert folder.prior("other") == PROPOSALS
    assert folder.prior("another") == {}
    assert folder.spec() == tiny()
    assert {key: len(curve) for key, curve in History(folder.history).read().items()} == dict.fromkeys(KEYS, 2)


@pytest.mark.faults
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_of_a_home_is_read_or_refused(folder: StudyFolder, name: str) -> None:
    read, look_at = READERS[name]
    file = folder.path / name
    refused = 0
    for content in damages(file.read_bytes(), 100):
        file.write_bytes(content)
        try:
            look_at(read(folder))
        except InputError as error:
            refused += 1
            assert str(error).startswith(str(file))  # noqa: PT017 - either outcome is right
            assert "damaged" in str(error)  # noqa: PT017
            assert "bring" in str(error)  # noqa: PT017
            assert "Traceback" not in str(error)  # noqa: PT017
    assert refused > 100  # of 409


def test_a_bit_that_flips_anywhere_in_the_history_changes_nothing_unseen(folder: StudyFolder) -> None:
    read, look_at = READERS["history.jsonl"]
    file = folder.history
    content = file.read_bytes()
    refused = 0
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            look_at(read(folder))
        except InputError:
            refused += 1
    assert refused >= len(content) - 1  # all but the last newline: the line before it seems torn


def test_damaged_levels_are_named_and_measured_anew_by_the_next_run(
    folder: StudyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    file = folder.path / "levels.json"
    file.write_text(file.read_text().replace("300", '"300"', 1))
    folder.check_levels(LEVELS)
    assert f"{file}: damaged (" in caplog.text
    assert "is '300')" in caplog.text
    folder.keep(tiny(), LEVELS)
    assert folder.levels() == LEVELS


def test_a_study_file_of_the_user_may_take_the_place_of_a_damaged_one(folder: StudyFolder) -> None:
    content = folder.spec_file.read_text()
    folder.spec_file.write_text(content.replace("epochs: 3", "epochs: x"))
    with pytest.raises(InputError, match=r"study\.yaml: damaged: .* put the study's own file in its place:\n.*epochs"):
        folder.check(tiny())
    folder.spec_file.write_text(TINY)
    folder.check(tiny())


def test_the_id_of_a_home_that_is_damaged_is_named(tmp_path: Path) -> None:
    known = home_id(tmp_path)
    assert home_id(tmp_path) == known
    assert len(known) == 32
    (tmp_path / "id").write_text((tmp_path / "id").read_text()[:-1])
    with pytest.raises(InputError, match=r"id: damaged \(.*\): bring it back from a copy"):
        home_id(tmp_path)
    (tmp_path / "id").write_text(f"# digest 0123456789abcdef\n{known}")  # of an older home
    assert home_id(tmp_path) == known


def test_files_of_a_home_that_still_carry_a_digest_are_read(folder: StudyFolder) -> None:
    for file in (folder.path / "levels.json", folder.prior_file):
        text = file.read_text(encoding="utf-8")
        file.write_text('{\n  "digest": "0123456789abcdef",\n' + text.removeprefix("{\n"), encoding="utf-8")
    text = folder.spec_file.read_text(encoding="utf-8")
    folder.spec_file.write_text(f"# digest 0123456789abcdef\n{text}", encoding="utf-8")
    test_whole_files_of_a_home_are_read(folder)
    folder.check_levels(LEVELS)
    folder.keep(tiny(), LEVELS)
    assert folder.spec_file.read_text(encoding="utf-8") == text


def test_levels_that_are_missing_are_measured_anew(folder: StudyFolder) -> None:
    (folder.path / "levels.json").unlink()
    folder.check_levels(LEVELS)
    with pytest.raises(
        InputError, match=r"levels\.json: there is no such file: .*`tosmooth run` measures the levels anew"
    ):
        folder.levels()

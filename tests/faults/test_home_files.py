"""The files of a home, torn or with a flipped bit: each is read as it stands, or refused with what to do about it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from search.history import History
from search.home import Home, StudyFolder
from search.records import Level, TrialKey
from search.study import StudySpec
from tests.search.tools import level, tiny
from trainables.config import InputError

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


def levels_are_levels(found: Any) -> None:
    assert all(isinstance(each, Level) and isinstance(each.classes, int) for each in found.values())


def proposals_are_params(found: Any) -> None:
    assert all(isinstance(params, dict) for proposals in found.values() for params in proposals)


def study_is_one(found: Any) -> None:
    assert isinstance(found, StudySpec)


def curves_are_those_written(found: Any) -> None:
    """A checksum on every line: what is read is what was written, or the part of it before a torn end."""
    for curve in found.values():
        for epoch, metrics in enumerate(curve, 1):
            assert metrics == {} or metrics["val_accuracy"] == 90.0 + epoch
            assert metrics.get("test_accuracy") is None


READERS: dict[str, tuple[Callable[[StudyFolder], Any], Callable[[Any], None]]] = {
    "levels.json": (lambda folder: folder.levels(), levels_are_levels),
    "prior.json": (lambda folder: folder.prior("other"), proposals_are_params),
    "study.yaml": (lambda folder: folder.spec(), study_is_one),
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


def test_levels_that_are_missing_are_measured_anew(folder: StudyFolder) -> None:
    (folder.path / "levels.json").unlink()
    folder.check_levels(LEVELS)
    with pytest.raises(
        InputError, match=r"levels\.json: there is no such file: .*`tosmooth run` measures the levels anew"
    ):
        folder.levels()

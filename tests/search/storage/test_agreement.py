"""A record that was swapped, cut or mixed with another's is named, and never read as if it were whole."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.search.builders import level
from tests.search.tools import Driver, play, steps, tiny
from tosmooth.search.records import Metrics, Record, TrialKey
from tosmooth.search.storage.frozen_records import NO_HISTORY
from tosmooth.search.storage.history import History, curve_digest
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.reading import read_records
from tosmooth.search.storage.trial_store import Store
from tosmooth.trainables.errors import InputError


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study that was run to its end."""
    play(Driver(tmp_path / "study", tiny()))
    return tmp_path / "study"


def read(folder: Path, *changes: str) -> list[Record]:
    """Read the trials as a command does."""
    store = Store(tiny(*changes), open_storage(None, folder / "journal.log"))
    return store.records(History(folder / "history.jsonl").read)


def without(lines: list[bytes], first: int, last: int | None = None) -> list[bytes]:
    return lines[:first] + ([] if last is None else lines[last:])


DAMAGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "deleted": lambda lines: [],
    "cut off": lambda lines: without(lines, 10),
    "its last line is gone": lambda lines: without(lines, -1),
    "a line in the middle is gone": lambda lines: without(lines, 7, 8),
    "an old line stands twice": lambda lines: [*lines, lines[0]],
    "two lines changed places": lambda lines: [lines[1], lines[0], *lines[2:]],
}


@pytest.mark.parametrize("how", DAMAGE)
def test_history_that_is_not_the_one_of_the_trials_is_refused_by_driver_and_commands(how: str, folder: Path) -> None:
    whole = read(folder)
    history = folder / "history.jsonl"
    content = history.read_bytes()
    history.write_bytes(b"".join(DAMAGE[how](content.splitlines(keepends=True))))
    for reading in (read, lambda folder: Driver(folder, tiny())):
        with pytest.raises(
            InputError, match=r"history\.jsonl lacks epochs of trial twonorm/.*bring it back from a copy; "
        ):
            reading(folder)
    history.write_bytes(content)
    assert read(folder) == whole


def test_history_that_was_cut_within_a_trial_that_runs_is_no_damage(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny())
    list(zip(range(3), steps(driver.searcher), strict=False))
    driver.history.close()
    assert [record.epochs for record in read(tmp_path)] == [2]
    (tmp_path / "history.jsonl").write_bytes(b"")
    assert [(record.state, record.epochs) for record in read(tmp_path)] == [("running", 0)]


def test_trial_that_ends_while_a_command_reads_is_no_damage(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny())
    running = steps(driver.searcher)
    list(zip(range(3), running, strict=False))
    history = History(tmp_path / "history.jsonl")

    def meanwhile() -> dict[TrialKey, tuple[Metrics, ...]]:
        while next(running) != "end":
            pass
        return history.read()

    store = Store(tiny(), open_storage(None, tmp_path / "journal.log"))
    assert [record.state for record in store.records(meanwhile)] == ["running"]
    assert [record.state for record in read(tmp_path)] == ["complete"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("training.optimizer={name: sgd, lr: 0.3}", r"training\.optimizer\.lr: .* -> 0\.3"),
        ("training.epochs=4", r"training\.epochs: 3 -> 4"),
        ("seed=1", "seed: 0 -> 1"),
        ("dataset.validation_fraction=0.4", r"dataset\.validation_fraction: 0\.5 -> 0\.4"),
        ("network={name: mlp, width: 9}", r"network\.width: 8 -> 9"),
    ],
)
def test_record_without_its_study_file_is_not_taken_up_by_another_recipe(change: str, line: str, folder: Path) -> None:
    with pytest.raises(InputError, match=f"the trials of its record were trained otherwise:\n  {line}"):
        read(folder, change)


def test_study_that_grows_is_the_same_to_its_record(folder: Path) -> None:
    trials = len(read(folder))
    wider = "space={rate: {low: -4, high: 0.8, scale: symlog}, warmup: {low: 0, high: 2}}"
    grown = ["search.trials=6", "dataset.noise=[clean, symmetric-0.4, symmetric-0.2]", "search.sampler=tpe", wider]
    assert len(read(folder, *grown)) == trials
    play(Driver(folder, tiny(*grown)))
    assert len(read(folder, *grown)) > trials


def test_record_of_other_data_is_refused_without_the_file_of_the_levels(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "journal.log")
    levels = {each.name: each for each in (level("clean"), level("symmetric-0.4"))}
    (cell, _) = tiny().cells()
    Store(tiny(), storage, levels=levels).add(cell, "search", {"rate": 0.0, "warmup": 0}, 1)
    Store(tiny(), storage, levels=levels)
    other = {name: level(each.noise, digest="other") for name, each in levels.items()}
    with pytest.raises(InputError, match=r"twonorm/clean: the data changed .* \(digest clean -> other\)"):
        Store(tiny(), storage, levels=other)


def test_digest_tells_curves_apart_by_their_values_and_not_by_names() -> None:
    curve: list[Metrics] = [
        {"val_accuracy": 50.0, "test_accuracy": None},
        {"val_accuracy": 51.0, "test_accuracy": 80.0},
    ]
    assert curve_digest(curve) == curve_digest([{"a": 50.0, "b": None}, {"a": 51.0, "b": 80.0}])
    others: list[list[Metrics]] = [curve[:1], curve[::-1], [], [{"val_accuracy": 50.0}, *curve[1:]]]
    assert len({curve_digest(each) for each in (curve, *others)}) == 5


def test_trials_whose_history_was_lost_are_trained_again_by_run_and_the_budget_is_whole(folder: Path) -> None:
    history = folder / "history.jsonl"
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join(without(lines, 1, 2)))
    store = Store(tiny(), open_storage(None, folder / "journal.log"))
    (lost,) = store.give_up_lost(History(history).read)
    assert (lost.phase, lost.number) == ("search", 0)
    found = {record.key: record for record in play(Driver(folder, tiny()))}
    assert (found[lost.key].state, found[lost.key].reason) == ("failed", NO_HISTORY)
    cell = [r for r in found.values() if r.level == lost.level and r.phase == "search" and r.state != "failed"]
    assert len(cell) == tiny().budget
    assert lost.params in [record.params for record in cell], "it is tried again"
    assert len(read(folder)) == len(found)


def test_trial_that_was_killed_before_it_was_told_to_have_ended_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("optuna.study.Study.tell", killed)
        with pytest.raises(KeyboardInterrupt):
            play(Driver(tmp_path, tiny()))
    assert [record.state for record in read(tmp_path)] == ["running"]
    driver = Driver(tmp_path, tiny())
    running = steps(driver.searcher)
    list(zip(range(2), running, strict=False))
    assert [record.state for record in read(tmp_path)] == ["running"], "its curve is another one by now"
    for _ in running:
        pass
    assert {record.state for record in read(tmp_path)} == {"complete"} | {r.state for r in driver.records()}


def read_as_a_command_does(home: Path) -> list[Record]:
    found = Home(home).existing("tiny")
    return read_records(found, found.spec(), None)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two studies that were run to their ends: `tiny`, and `other` of another seed."""
    for name, seed in (("tiny", 0), ("other", 1)):
        spec = tiny(f"name={name}", f"seed={seed}")
        folder = Home(tmp_path).study(name)
        levels = {each.name: each for each in map(level, spec.dataset.noise)}
        folder.keep(spec, levels)
        play(Driver(folder.path, spec))
    return tmp_path


@pytest.mark.parametrize(("lines", "lost"), [(60, r"twonorm/\S+/\S+/\d+ and \d+ more"), (0, r"\S+ and 1\d more")])
def test_trials_that_the_history_alone_has_are_never_left_out(lines: int, lost: str, home: Path) -> None:
    whole = read_as_a_command_does(home)
    folder = Home(home).existing("tiny")
    folder.journal.write_bytes(b"".join(folder.journal.read_bytes().splitlines(keepends=True)[:lines]))
    words = f"study 'tiny': Optuna's storage lacks trial {lost}; bring it back from a copy; `tosmooth run` trains again"
    with pytest.raises(InputError, match=words):
        read_as_a_command_does(home)
    store = Store(tiny(), open_storage(None, folder.journal))
    gone = store.absent(History(folder.history).read())
    store.forget(gone)
    known = [(r.key, r.params) for r in whole]
    assert [(r.key, r.params) for r in read_as_a_command_does(home)] == [each for each in known if each[0] not in gone]
    play(Driver(folder.path, tiny()))
    assert [(r.key, r.params) for r in read_as_a_command_does(home)] == known


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("journal.log", r"^study 'tiny': its journal\.log is that of study 'other': bring it back from a copy$"),
        ("history.jsonl", r"^study 'tiny': history\.jsonl lacks epochs of trial .* or has other ones"),
        ("study.yaml", "the trials of its record were trained otherwise:\n  .*seed: 0 -> 1"),
    ],
)
def test_file_of_another_study_of_the_home_is_refused(file: str, words: str, home: Path) -> None:
    other = (home / "studies" / "other" / file).read_text(encoding="utf-8")
    (home / "studies" / "tiny" / file).write_text(other.replace("name: other", "name: tiny"), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_as_a_command_does(home)


def test_levels_of_another_study_are_refused_by_who_only_reads(home: Path) -> None:
    folder = Home(home).existing("tiny")
    (cell, _) = tiny().cells()
    study = Store(tiny(), open_storage(None, folder.journal)).study(cell, "search")
    study.set_user_attr("data", {cell.level: "other"})  # `Driver` says nothing of it
    with pytest.raises(InputError, match=r"twonorm/clean: the data changed .* \(digest other -> clean\)"):
        read_as_a_command_does(home)


def test_record_of_an_earlier_version_is_taken_up_with_its_study_file_alone(folder: Path) -> None:
    journal = folder / "journal.log"
    old = Store(tiny(), open_storage(None, journal))
    for study in old._studies.values():
        study.set_user_attr("meaning", {})
    assert len(read(folder, "seed=1")) == len(read(folder))
    with pytest.raises(InputError, match=r"study 'tiny': its study\.yaml is gone, and it alone says how"):
        Store(tiny("seed=1"), open_storage(None, journal)).adopt(kept=False)
    Store(tiny(), open_storage(None, journal)).adopt(kept=True)
    Store(tiny(), open_storage(None, journal)).adopt(kept=False)
    with pytest.raises(InputError, match="seed: 0 -> 1"):
        read(folder, "seed=1")

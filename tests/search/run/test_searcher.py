"""Searcher and driver, called as Tune calls them, with made-up reports: budget, turns, confirmation, crashes.

Above all: a study stopped at any point goes on as if it had not been.
"""

import pickle
import shutil
from collections import Counter
from itertools import groupby
from pathlib import Path
from unittest import mock

import pytest
from ray.tune.search import Searcher

from tests.search.tools import Driver, gls, made_up, play, steps, tiny
from tosmooth.search.records import ENDED, Record, TrialKey
from tosmooth.search.run.study_driver import FAILURES
from tosmooth.search.spec.study import StudySpec


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies loses nothing it has written; only a power cut would."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def searched(records: list[Record]) -> list[Record]:
    return [record for record in records if record.phase == "search"]


def confirmations(records: list[Record]) -> list[Record]:
    return [record for record in records if record.phase == "confirmation"]


@pytest.mark.parametrize("slots", [1, 3])
def test_every_cell_gets_its_budget_and_its_confirmation_exactly(slots: int, tmp_path: Path) -> None:
    pruned = (
        "search.pruner=median",
        "search.pruner_min_epochs=1",
        "search.pruner_grace=0",
        "space.warmup={values: [0]}",
    )
    driver = Driver(tmp_path, tiny("search.trials=9", *pruned), slots=slots)
    records = play(driver)
    assert driver.searcher.finished
    assert driver.study.trouble is None
    for cell in driver.spec.cells():
        own = [record for record in records if record.level == cell.level]
        assert len([r for r in searched(own) if r.state in ENDED]) == len(searched(own)) == 9
        # 1 finalist and 2 baselines, on 2 seeds each.
        assert Counter(r.train_seed for r in confirmations(own)) == dict.fromkeys(driver.spec.confirmation_seeds(), 3)
    assert {"complete", "pruned", "diverged"} == {record.state for record in searched(records)}


def test_baselines_are_tried_first_in_every_cell_and_cells_take_turns(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny())
    play(driver)
    order = [key for key, _ in groupby(record.key for record in driver.heard if record.phase == "search")]
    assert [(key.level, key.number) for key in order] == [
        (f"twonorm/{noise}", number) for number in range(4) for noise in ("clean", "symmetric-0.4")
    ]
    rates = [record.params["rate"] for record in searched(driver.records()) if record.number < 2]
    assert rates == [0.0, 0.1] * 2


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_trials_run_at_once_than_there_are_slots(slots: int, tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny(), slots=slots)
    most = 0
    for _ in steps(driver.searcher):
        most = max(most, len(driver.searcher.running))
        assert not driver.searcher.finished
    assert most == slots


def test_finalists_are_confirmed_first_then_the_baselines_on_the_same_seeds(tmp_path: Path) -> None:
    changes = ("confirmation.finalists=2", "search.readout=best")
    driver = Driver(tmp_path, tiny("dataset.noise=[clean]", "search.trials=12", *changes))
    records = play(driver)
    ranked = sorted(
        (r for r in searched(records) if r.state == "complete"), key=lambda r: -(r.last("val_accuracy") or 0)
    )
    arms = [ranked[0].params["rate"], ranked[1].params["rate"], 0.0, 0.1]
    assert len(set(arms)) == 4, "a baseline is a finalist; that is another test"
    seeds = driver.spec.confirmation_seeds()
    done = [(record.params["rate"], record.train_seed) for record in confirmations(records)]
    assert done == [(rate, seed) for seed in seeds for rate in arms[:2]] + [
        (rate, seed) for rate in arms[2:] for seed in seeds
    ]
    assert not {record.train_seed for record in searched(records)} & set(seeds), "the search used a fresh seed"


def test_a_baseline_that_is_the_best_is_not_confirmed_twice(tmp_path: Path) -> None:
    # Of the three rates cross-entropy, 0, is the nearest to -0.8, where the made-up accuracy is highest.
    space = "space={rate: {values: [0, 0.1, 0.4]}, warmup: {values: [0]}}"
    driver = Driver(tmp_path, tiny("dataset.noise=[clean]", space, "search={sampler: grid}"))
    records = play(driver)
    assert [record.params["rate"] for record in searched(records)] == [0.0, 0.1, 0.4]
    assert [record.params["rate"] for record in confirmations(records)] == [0.0, 0.1, 0.0, 0.1]  # seed by seed


def test_a_network_that_does_not_arrive_is_trained_again_and_failed_in_the_end(tmp_path: Path) -> None:
    transit = str(tmp_path / "transit")  # where these trials, which are made up, leave nothing
    driver = Driver(tmp_path, tiny("dataset.noise=[clean]", "trial_attempts=2"), transit=transit)
    records = play(driver)
    first = driver.spec.confirmation_seeds()[0]
    lost = [record for record in records if record.phase == "confirmation" and record.train_seed == first]
    assert {(record.state, record.attempts) for record in lost} == {("failed", 2)}
    assert all(record.reason.startswith("its network did not arrive: ") for record in lost)
    assert {record.state for record in records if record not in lost} <= {"complete", "diverged"}


def test_a_trial_that_crashes_is_tried_again_with_the_same_parameters(tmp_path: Path) -> None:
    calm, shaken = (Driver(tmp_path / name, tiny()) for name in ("calm", "shaken"))
    undisturbed = play(calm)
    records = play(shaken, crash=lambda settings, failures: failures < 2)  # each trial twice
    assert [(r.key, r.params, r.train_seed, r.state, r.curve) for r in records] == [
        (r.key, r.params, r.train_seed, r.state, r.curve) for r in undisturbed
    ]
    # The two trials that diverge do so in the epoch in which the others crash; a crash comes first.
    assert {record.attempts for record in records} == {3}
    assert {record.attempts for record in undisturbed} == {1}


def test_a_trial_that_keeps_crashing_is_failed_and_the_budget_is_still_met(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("dataset.noise=[clean]", "trial_attempts=2"))
    records = play(driver, crash=lambda settings, failures: settings["trial"]["rate"] == 0.1)
    failed = [record for record in records if record.state == "failed"]
    assert [(r.phase, r.params["rate"], r.attempts) for r in failed] == [
        ("search", 0.1, 2),
        ("confirmation", 0.1, 2),
        ("confirmation", 0.1, 2),
    ]
    assert {record.reason for record in failed} == {"OSError: it broke (disk.py:1)"}
    assert sum(record.state in ENDED for record in searched(records)) == driver.spec.budget
    assert driver.searcher.finished


def test_a_study_whose_trials_all_fail_stops_and_says_why(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("search.trials=30"))
    records = play(driver, crash=lambda settings, failures: True)
    assert not driver.searcher.finished
    trouble = driver.study.trouble
    assert trouble is not None
    assert "twonorm/clean/gls: 4 trials failed" in trouble
    assert trouble.endswith("OSError: it broke (disk.py:1)")
    # Three of a cell may fail, the fourth ends it; each was started three times.
    assert Counter(record.level for record in records) == {"twonorm/clean": 4}
    assert {(record.state, record.attempts) for record in records} == {("failed", 3)}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("The process is killed by SIGKILL by OOM killer, or it crashed", "its worker process died"),  # not known
        ("1 worker(s) were killed due to the node running low on memory.", "out of memory: Ray ended its worker"),
        ("The actor is dead because its node has died. Node Id: 7", "the machine it ran on was lost"),
    ],
)
def test_a_dead_worker_counts_as_a_crash(words: str, reason: str, tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("trial_attempts=1"))
    driver.searcher.suggest("a")
    driver.searcher.crashed("a", words)
    driver.searcher.on_trial_complete("a", None, error=True)
    (record,) = driver.records()
    assert record.state == "failed"
    assert record.reason.startswith(reason)


def test_an_interrupted_trial_stays_running(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny())
    walk = steps(driver.searcher)
    assert [next(walk), next(walk)] == ["start", "report"]
    driver.searcher.on_trial_complete("trial0", {"state": "running", "epoch": 1})  # Tune, at its end
    (record,) = driver.records()
    assert (record.state, record.epochs, record.attempts) == ("running", 1, 1)
    assert [job.key for job in Driver(tmp_path, tiny()).study.waiting] == [record.key]


@pytest.mark.parametrize("step", ["append", "flush"])
def test_an_error_of_ours_ends_the_study_and_leaves_the_trial_running(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune swallows what is raised while a trial ends: it must be raised where the study hears of it."""
    driver = Driver(tmp_path, tiny("dataset.noise=[clean]"))
    settings = driver.searcher.suggest("a")
    assert isinstance(settings, dict)
    last = made_up(settings, driver.spec.training.epochs)
    with monkeypatch.context() as broken:
        broken.setattr(driver.study.history, step, mock.Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            driver.searcher.on_trial_complete("a", last)
    driver.searcher.on_trial_complete("a", error=True)  # Tune, which takes it for a crash of the trial
    with pytest.raises(OSError, match="No space"):
        driver.searcher.suggest("b")
    (record,) = driver.records()
    assert (record.state, record.attempts) == ("running", 1)
    assert [job.key for job in Driver(tmp_path, driver.spec).study.waiting] == [record.key]


def test_every_change_of_a_trial_is_told(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("search.trials=9", "dataset.noise=[clean]"))
    play(driver)
    first = [record for record in driver.heard if record.key == driver.heard[0].key]
    assert [(r.state, r.epochs) for r in first] == [
        ("running", 0),
        ("running", 1),
        ("running", 2),
        ("running", 3),
        ("complete", 3),
    ]
    assert {record.state for record in driver.heard} == {"running", "complete", "diverged"}


def test_a_finished_study_has_nothing_left_to_do_and_writes_nothing(tmp_path: Path) -> None:
    play(Driver(tmp_path, tiny()))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    driver = Driver(tmp_path, tiny())
    assert list(steps(driver.searcher)) == []
    assert driver.searcher.finished
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_study_with_more_trials_goes_on_with_those(tmp_path: Path) -> None:
    before = play(Driver(tmp_path, tiny()))
    driver = Driver(tmp_path, tiny("search.trials=6"))
    after = play(driver)
    assert [record for record in after if record in before] == before
    assert len(searched(after)) == 12
    once = play(Driver(tmp_path / "once", tiny("search.trials=6")))
    assert searched(after) == searched(once), "to grow a study must propose what a larger one would have"


def test_pickling_the_searcher_holds_nothing(tmp_path: Path) -> None:
    url = "sqlite:///" + str(tmp_path / "secret-password.db")
    driver = Driver(tmp_path, tiny(), url)
    driver.searcher.suggest("a")
    assert b"password" not in pickle.dumps(driver.searcher)
    assert len(pickle.dumps(driver.searcher)) < 200


def resumed_at_each_step(folder: Path, spec: StudySpec, undisturbed: list[Record]) -> int:
    """Run a study once, and from a copy of its files after each step once more to the end. Returns how many steps."""
    driver, copies = Driver(folder / "run", spec), [folder / "0"]
    copies[0].mkdir()
    for number, _ in enumerate(steps(driver.searcher), 1):
        copies.append(Path(shutil.copytree(folder / "run", folder / str(number))))
    for number, copy in enumerate(copies):
        assert play(Driver(copy, spec)) == undisturbed, f"stopped after step {number}"
    return len(copies)


def torn_at_each_line(folder: Path, spec: StudySpec, undisturbed: list[Record]) -> int:
    """Resume from each line of Optuna's journal, half written. Returns how many lines."""
    play(Driver(folder / "whole", spec))
    lines = (folder / "whole" / "journal.log").read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines):
        copy = folder / str(number)
        copy.mkdir()
        torn = b"".join(lines[:number]) + line[: len(line) // 2]
        (copy / "journal.log").write_bytes(torn)
        # The history may be ahead of the journal by what the kill prevented, and here by everything.
        shutil.copy(folder / "whole" / "history.jsonl", copy)
        assert play(Driver(copy, spec)) == undisturbed, f"torn in line {number + 1}: {line!r}"
    return len(lines)


SEQUENTIAL = ("dataset.noise=[clean]", "search.trials=14", "confirmation.seeds=1")


@pytest.mark.parametrize(
    "changes",
    [
        ("search.sampler=tpe", "search.pruner=median", "search.pruner_min_epochs=1"),
        ("search.sampler=random", "dataset.noise=[clean, symmetric-0.4]", "search.trials=5"),
    ],
    ids=["median", "two cells"],
)
def test_stopped_after_any_step_a_study_goes_on_as_if_it_had_not_been(changes: tuple[str, ...], tmp_path: Path) -> None:
    spec = tiny(*SEQUENTIAL, *changes)
    undisturbed = play(Driver(tmp_path / "undisturbed", spec))
    assert resumed_at_each_step(tmp_path, spec, undisturbed) > 40


@pytest.mark.faults
def test_killed_in_the_middle_of_any_write_a_study_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    spec = tiny(*SEQUENTIAL, "search.pruner=median", "search.pruner_min_epochs=1")
    undisturbed = play(Driver(tmp_path / "undisturbed", spec))
    assert torn_at_each_line(tmp_path, spec, undisturbed) > 60


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
@pytest.mark.parametrize("life", range(4))
def test_stopped_once_in_every_trial_a_study_goes_on_as_if_it_had_not_been(
    sampler: str, life: int, tmp_path: Path
) -> None:
    spec = tiny(*SEQUENTIAL, f"search.sampler={sampler}")
    undisturbed = play(Driver(tmp_path / "undisturbed", spec))
    stopped = set()
    finished = False
    while not finished:
        driver = Driver(tmp_path / "stopped", spec)
        age = -1  # steps since the last start
        for step in steps(driver.searcher):
            age = 0 if step == "start" else age + 1
            keys = [job.key for job in driver.running()]
            if age == life and keys and keys[0] not in stopped:  # once in each trial, else it would never end
                stopped.update(keys)
                break
        finished = driver.searcher.finished
    assert driver.records() == undisturbed
    assert len(stopped) >= (10 if life < 3 else 0)


def test_crashes_survive_a_restart_and_are_not_tried_for_ever(tmp_path: Path) -> None:
    spec = tiny(*SEQUENTIAL, "trial_attempts=2")
    undisturbed = play(Driver(tmp_path / "undisturbed", spec), crash=lambda settings, failures: failures < 1)
    starts: Counter[TrialKey] = Counter()
    finished = False
    while not finished:
        driver = Driver(tmp_path / "stopped", spec)
        for step in steps(driver.searcher, lambda settings, failures: failures < 1):
            if step == "end":  # stop after every end of a trial or crash
                break
        starts.update(record.key for record in driver.heard if record.epochs == 0)
        finished = driver.searcher.finished
    assert driver.records() == undisturbed
    assert set(starts.values()) == {2}


def test_what_failed_under_an_earlier_driver_does_not_stop_the_next(tmp_path: Path) -> None:
    """A missing package, a full GPU: once the cause is gone the same command goes on, confirmations included."""
    spec = tiny("dataset.noise=[clean]", "trial_attempts=1")
    broken = Driver(tmp_path, spec)
    for i in range(FAILURES + 1):
        assert isinstance(broken.searcher.suggest(f"broken-{i}"), dict)
        broken.searcher.on_trial_complete(f"broken-{i}", error=True)
    assert broken.searcher.suggest("no more") == Searcher.FINISHED
    assert broken.study.trouble == "twonorm/clean/gls: 4 trials failed, the last with: its worker process died"

    mended = Driver(tmp_path, spec)
    found = play(mended)
    assert mended.searcher.finished
    assert [record.state for record in searched(found)].count("failed") == FAILURES + 1
    ended = [record for record in searched(found) if record.state in ENDED]
    assert len(ended) == spec.budget
    assert ended[0].params == gls(spec).baseline(0.0)

"""What Optuna's storage says of a study: its trials, how they ended, and what a kill leaves behind."""

from pathlib import Path

import optuna
import pytest

from tests.search.tools import tiny
from tosmooth.search.records import Cell, Metrics, State
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.trial_store import Job, Store
from tosmooth.trainables.errors import InputError

CLEAN, NOISY = Cell("twonorm/clean", "gls"), Cell("twonorm/symmetric-0.4", "gls")
LONG = ("training.epochs=8",)


def open_store(folder: Path, spec: StudySpec, url: str | None = None) -> Store:
    return Store(spec, open_storage(url, folder / "journal.log"))


def finish(store: Store, job: Job, value: float = 50.0) -> None:
    store.report(job, 1, value)
    store.end(job, "complete", value)


def add(store: Store, cell: Cell) -> Job:
    """A trial of the cell's search; no two have the same parameters, or the same seed."""
    number = len(store.trials(cell, "search"))
    return store.add(cell, "search", {"rate": -number / 10, "warmup": number % 3}, 7 + number, source="sampler")


def fill(store: Store, cell: Cell, count: int) -> list[Job]:
    """Trials one after another, each better than the one before."""
    jobs = []
    for i in range(count):
        jobs.append(add(store, cell))
        finish(store, jobs[-1], 50.0 + i)
    return jobs


def test_a_trial_is_written_in_one_piece(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny())
    fill(store, CLEAN, 3)
    journal = tmp_path / "journal.log"
    before = journal.read_bytes()
    job = add(store, CLEAN)
    line = journal.read_bytes()[len(before) :]
    assert line.count(b"\n") == 1, "a kill between two lines would leave half a trial"
    (kept,) = open_store(tmp_path, tiny()).lost()
    assert (kept.key, kept.params, kept.train_seed, kept.source) == (job.key, job.params, job.train_seed, job.source)


def test_what_was_running_comes_back_with_parameters_seed_and_crashes(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny())
    fill(store, CLEAN, 2)
    running = [add(store, CLEAN), add(store, NOISY), store.add(CLEAN, "confirmation", {"rate": 0.0}, 11)]
    store.count_failure(running[0])
    store.report(running[0], 1, 70.0)
    lost = {job.key: job for job in open_store(tmp_path, tiny()).lost()}
    assert lost.keys() == {job.key for job in running}
    for job in running:
        found = lost[job.key]
        assert (found.params, found.train_seed) == (job.params, job.train_seed)
        assert (found.source, found.failures) == (job.source, job.failures)
    assert lost[running[0].key].failures == 1


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "trial_id"', b"{", b"\x00\x00"])
def test_a_torn_last_line_is_cut_and_the_next_starts_work(torn: bytes, tmp_path: Path) -> None:
    fill(open_store(tmp_path, tiny()), CLEAN, 2)
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + torn)
    for number in (2, 3):
        (job,) = fill(open_store(tmp_path, tiny()), CLEAN, 1)
        assert job.key.number == number
    assert journal.read_bytes().startswith(whole + b'{"op_code"')


def test_records_say_how_each_trial_ended(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny(*LONG))
    jobs = [add(store, CLEAN) for _ in range(5)]
    store.report(jobs[1], 2, 66.0)
    store.end(jobs[0], "complete", 81.5)
    store.end(jobs[1], "pruned")
    store.end(jobs[2], "diverged", 50.0, "train_loss is nan at epoch 2")
    for _ in range(3):
        store.count_failure(jobs[3])
    store.end(jobs[3], "failed", reason="OSError: no space")
    curve: tuple[Metrics, ...] = (
        {"val_accuracy": 60.0, "seconds": 1.5, "time": 5.0},
        {"val_accuracy": 66.0, "seconds": 2.0, "time": 7.0},
    )
    records = open_store(tmp_path, tiny(*LONG)).records(lambda: {jobs[1].key: curve})
    assert [(r.state, r.attempts, r.reason) for r in records] == [
        ("complete", 1, ""),
        ("pruned", 1, ""),
        ("diverged", 1, "train_loss is nan at epoch 2"),
        ("failed", 3, "OSError: no space"),
        ("running", 1, ""),
    ]
    assert [(r.params, r.train_seed, r.key) for r in records] == [(j.params, j.train_seed, j.key) for j in jobs]
    assert (records[1].curve, records[1].seconds, records[1].epochs) == (curve, 3.5, 2)


@pytest.mark.parametrize("first", ["diverged", "failed"])
@pytest.mark.parametrize("then", ["complete", "pruned"])
def test_a_reason_that_a_killed_driver_left_is_not_that_of_another_end(
    first: State, then: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written before the end itself, so a kill may come between the two."""
    store = open_store(tmp_path, tiny(*LONG))
    job = add(store, CLEAN)
    store.report(job, 1, 60.0)
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "tell", killed)
        with pytest.raises(KeyboardInterrupt):
            store.end(job, first, 50.0, "train_loss is nan at epoch 2")
    store = open_store(tmp_path, tiny(*LONG))
    assert [(record.state, record.reason) for record in store.records(dict)] == [("running", "")]
    (job,) = store.lost()
    store.end(job, then, 60.0)
    found = open_store(tmp_path, tiny(*LONG))
    assert [(record.state, record.reason) for record in found.records(dict)] == [(then, "")]


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_records_hold_both_phases_of_every_cell_in_order(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny())
    fill(store, NOISY, 2)
    store.add(NOISY, "confirmation", {"rate": 0.3, "warmup": 1}, 5)
    fill(store, CLEAN, 1)
    found = [(record.level, record.phase, record.number) for record in store.records(dict)]
    assert found == [
        ("twonorm/clean", "search", 0),
        ("twonorm/symmetric-0.4", "search", 0),
        ("twonorm/symmetric-0.4", "search", 1),
        ("twonorm/symmetric-0.4", "confirmation", 0),
    ]


def test_what_a_lost_attempt_reported_stands_and_is_not_reported_twice(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny(*LONG))
    job = add(store, CLEAN)
    store.report(job, 1, 60.0)
    (again,) = open_store(tmp_path, tiny(*LONG)).lost()
    store = open_store(tmp_path, tiny(*LONG))
    before = (tmp_path / "journal.log").read_bytes()
    store.report(again, 1, 61.0)
    assert (tmp_path / "journal.log").read_bytes() == before


def test_a_database_serves_as_well_as_the_journal(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    jobs = fill(open_store(tmp_path, tiny(), url), CLEAN, 5)
    assert not (tmp_path / "journal.log").exists()
    again = open_store(tmp_path, tiny(), url)
    assert [r.params for r in again.records(dict)] == [job.params for job in jobs]
    fill(open_store(tmp_path, tiny()), CLEAN, 5)
    assert again.records(dict) == open_store(tmp_path, tiny()).records(dict)
    again.delete()
    assert open_store(tmp_path, tiny(), url).records(dict) == []


@pytest.mark.parametrize(
    "url", ["postgres+nonsense://me:hunter2@localhost/x", "hunter2", "sqlite:////no/such/folder/hunter2.db"]
)
def test_a_wrong_database_is_refused_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="storage") as caught:
        open_storage(url, tmp_path / "journal.log")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_reading_a_study_that_was_never_run_writes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny())
    assert store.records(dict) == []
    assert list(store.lost()) == []
    assert store.trials(CLEAN, "search") == []
    assert list(tmp_path.iterdir()) == []


def test_reading_a_study_that_runs_writes_nothing(tmp_path: Path) -> None:
    driver = open_store(tmp_path, tiny())
    fill(driver, CLEAN, 2)
    driver.add(CLEAN, "confirmation", {"rate": 0.0, "warmup": 0}, 1)
    before = (tmp_path / "journal.log").read_bytes()
    assert len(Store(tiny(), open_storage(None, tmp_path / "journal.log")).records(dict)) == 3
    assert (tmp_path / "journal.log").read_bytes() == before


def test_a_database_does_not_mix_the_studies_of_two_homes(tmp_path: Path) -> None:
    spec, url = tiny(), f"sqlite:///{tmp_path}/optuna.db"
    (cell, _) = spec.cells()
    add(Store(spec, open_storage(url, tmp_path / "none"), owner="mine"), cell)
    assert len(Store(spec, open_storage(url, tmp_path / "none"), owner="mine").trials(cell, "search")) == 1
    with pytest.raises(InputError, match=r"storage: study 'tiny' in this database is another home's; take a --name"):
        Store(spec, open_storage(url, tmp_path / "none"), owner="yours")

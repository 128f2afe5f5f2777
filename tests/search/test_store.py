"""What Optuna's storage says of a study: proposals, how trials ended, and what a kill leaves behind."""

from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.proposals import Proposal
from search.records import PHASES, Metrics, Phase, State
from search.store import Job, Store, open_storage
from search.study import Cell, StudySpec, derive_seed
from tests.search.tools import tiny
from trainables.config import InputError

CLEAN, NOISY = Cell("twonorm/clean", "gls"), Cell("twonorm/symmetric-0.4", "gls")
LONG = ("training.epochs=8",)
AT_ONCE = (*LONG, "space.warmup={values: [0]}")  # with a warm-up trials are pruned later: see test_pruners.py


def open_store(folder: Path, spec: StudySpec, url: str | None = None) -> Store:
    return Store(spec, open_storage(url, folder / "journal.log"))


def finish(store: Store, job: Job, value: float = 50.0) -> None:
    store.report(job, 1, value)
    store.end(job, "complete", value)


def propose(store: Store, cell: Cell, count: int) -> list[Job]:
    """Trials one after another, each better than the one before."""
    jobs = []
    for i in range(count):
        jobs.append(store.propose(cell))
        finish(store, jobs[-1], 50.0 + i)
    return jobs


def test_cross_entropy_and_label_smoothing_are_proposed_first(tmp_path: Path) -> None:
    jobs = propose(open_store(tmp_path, tiny()), CLEAN, 3)
    assert [job.params for job in jobs[:2]] == [{"rate": 0.0, "warmup": 0}, {"rate": 0.1, "warmup": 0}]
    assert jobs[2].params["rate"] not in (0.0, 0.1)
    assert [job.key.number for job in jobs] == [0, 1, 2]


def test_a_grid_is_proposed_whole_baselines_first(tmp_path: Path) -> None:
    spec = tiny("space={rate: {values: [-0.4, 0.1]}, warmup: {values: [0, 1]}}", "search={sampler: grid}")
    assert spec.budget == 5  # 2 times 2, and cross-entropy, which is not on it
    found = [tuple(job.params.values()) for job in propose(open_store(tmp_path, spec), CLEAN, 5)]
    assert found[:2] == [(0.0, 0), (0.1, 0)]
    assert sorted(found) == [(-0.4, 0), (-0.4, 1), (0.0, 0), (0.1, 0), (0.1, 1)]


def test_training_seeds_come_from_study_seed_cell_and_number_where_each_trial_has_its_own(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny("seed=7", "search.seeds=own"))
    jobs = [*propose(store, CLEAN, 3), *propose(store, NOISY, 3)]
    expected = [
        derive_seed(7, f"twonorm/{noise}/gls", "search", number, "train")
        for noise in ("clean", "symmetric-0.4")
        for number in range(3)
    ]
    assert [job.train_seed for job in jobs] == expected
    assert len(set(expected)) == 6


def pool(number: int) -> int:
    return derive_seed(7, "search", number, "train")


def test_trials_of_all_levels_take_the_training_seeds_in_turn_and_the_baselines_the_first(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny("seed=7", "search.seeds=3", "search.trials=8"))
    for cell in (CLEAN, NOISY):
        jobs = propose(store, cell, 7)
        # Cross-entropy and label smoothing share the first, so that they compare; trial 2 takes seed 2, 3 seed 0, ...
        assert [job.train_seed for job in jobs] == [pool(number) for number in (0, 0, 2, 0, 1, 2, 0)]


def test_parameters_that_come_again_take_a_seed_they_have_not_had_and_go_on_beyond_the_pool(tmp_path: Path) -> None:
    spec = tiny("seed=7", "search.seeds=2", "space={rate: {values: [0, 0.1]}, warmup: {values: [0]}}")
    jobs = propose(open_store(tmp_path, spec), CLEAN, 6)
    seeds: dict[float, list[int]] = {0.0: [], 0.1: []}
    for job in jobs:
        seeds[job.params["rate"]].append(job.train_seed)
    # Two parameters in six trials: at least one of them comes a third time, when the pool of two is used up.
    assert max(len(found) for found in seeds.values()) >= 3
    for found in seeds.values():
        assert found == [pool(number) for number in range(len(found))]


def test_a_proposal_that_is_made_once_is_not_made_again_with_other_parameters(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny())
    theory = [Proposal("theory", {"rate": -0.8, "warmup": 0})]
    assert store.untried(CLEAN, theory) == theory[0]
    finish(store, store.propose(CLEAN, theory[0]))
    assert store.untried(CLEAN, [Proposal("theory", {"rate": -0.9, "warmup": 0})]) is None  # the estimate got better
    below = Proposal("below", {"rate": -0.8, "warmup": 0})
    assert store.untried(CLEAN, [below]) is None  # tried, whoever proposed it
    assert store.untried(NOISY, [below]) == below
    assert not store.asked(CLEAN)
    finish(store, store.propose(CLEAN, Proposal("sampler", store.sampled(CLEAN))))
    assert store.asked(CLEAN)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_proposals_depend_on_what_ended_and_not_on_the_turns_of_cells_or_on_restarts(
    sampler: str, tmp_path: Path
) -> None:
    spec = tiny(f"search.sampler={sampler}", "search.trials=14")
    for name in ("blocks", "turns"):
        (tmp_path / name).mkdir()
    store = open_store(tmp_path / "blocks", spec)
    blocks = {cell: [job.params for job in propose(store, cell, 14)] for cell in (CLEAN, NOISY)}
    turns: dict[Cell, list[object]] = {CLEAN: [], NOISY: []}
    for i in range(14):
        for cell in (NOISY, CLEAN):
            store = open_store(tmp_path / "turns", spec)  # a new driver for every trial
            job = store.propose(cell)
            finish(store, job, 50.0 + i)
            turns[cell].append(job.params)
    assert turns == blocks
    assert blocks[CLEAN][2:] != blocks[NOISY][2:], "two cells have random numbers of their own"


def test_another_study_seed_gives_other_proposals(tmp_path: Path) -> None:
    rates = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        rates.append(
            [j.params["rate"] for j in propose(open_store(tmp_path / str(seed), tiny(f"seed={seed}")), CLEAN, 4)]
        )
    assert rates[0][:2] == rates[1][:2]
    assert rates[0][2:] != rates[1][2:]


def test_a_proposal_is_written_in_one_piece(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny())
    propose(store, CLEAN, 3)
    journal = tmp_path / "journal.log"
    before = journal.read_bytes()
    job = store.propose(CLEAN)
    line = journal.read_bytes()[len(before) :]
    assert line.count(b"\n") == 1, "a kill between two lines would leave half a trial"
    for cut in range(0, len(line), 40):
        journal.write_bytes(before + line[:cut])
        again = open_store(tmp_path, tiny())
        assert list(again.lost()) == []
        proposed = again.propose(CLEAN)
        assert (proposed.key, proposed.params, proposed.train_seed) == (job.key, job.params, job.train_seed)


def test_what_was_running_comes_back_with_parameters_seed_and_crashes(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny())
    propose(store, CLEAN, 2)
    running = [store.propose(CLEAN), store.propose(NOISY), store.add(CLEAN, "confirmation", {"rate": 0.0}, 11)]
    store.count_failure(running[0])
    store.report(running[0], 1, 70.0)
    lost = {job.key: job for job in open_store(tmp_path, tiny()).lost()}
    assert lost.keys() == {job.key for job in running}
    for job in running:
        found = lost[job.key]
        assert (found.params, found.train_seed, found.failures) == (job.params, job.train_seed, job.failures)
    assert lost[running[0].key].failures == 1


def test_a_lost_attempt_teaches_neither_sampler_nor_pruner(tmp_path: Path) -> None:
    spec = tiny(*LONG, "search.trials=14", "search.pruner=median", "search.pruner_min_epochs=1")
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    proposals = []
    for folder in (calm, shaken):
        folder.mkdir()
        store = open_store(folder, spec)
        propose(store, CLEAN, 12)
        if folder == shaken:
            lost = store.propose(CLEAN)
            store.report(lost, 1, 99.0)
            store = open_store(folder, spec)
            (job,) = store.lost()
        else:
            job = store.propose(CLEAN)
        finish(store, job)
        proposals.append((job.params, store.propose(CLEAN).params))
    assert proposals[0] == proposals[1]


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "trial_id"', b"{", b"\x00\x00"])
def test_a_torn_last_line_is_cut_and_the_next_starts_work(torn: bytes, tmp_path: Path) -> None:
    propose(open_store(tmp_path, tiny()), CLEAN, 2)
    journal = tmp_path / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + torn)
    for number in (2, 3):
        (job,) = propose(open_store(tmp_path, tiny()), CLEAN, 1)
        assert job.key.number == number
    assert journal.read_bytes().startswith(whole + b'{"op_code"')


def test_records_say_how_each_trial_ended(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny(*LONG))
    jobs = [store.propose(CLEAN) for _ in range(5)]
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
    records = open_store(tmp_path, tiny(*LONG)).records({jobs[1].key: curve})
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
    job = store.propose(CLEAN)
    store.report(job, 1, 60.0)
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "tell", killed)
        with pytest.raises(KeyboardInterrupt):
            store.end(job, first, 50.0, "train_loss is nan at epoch 2")
    store = open_store(tmp_path, tiny(*LONG))
    assert [(record.state, record.reason) for record in store.records({})] == [("running", "")]
    (job,) = store.lost()
    store.end(job, then, 60.0)
    found = open_store(tmp_path, tiny(*LONG))
    assert [(record.state, record.reason) for record in found.records({})] == [(then, "")]


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_records_hold_both_phases_of_every_cell_in_order(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny())
    propose(store, NOISY, 2)
    store.add(NOISY, "confirmation", {"rate": 0.3, "warmup": 1}, 5)
    propose(store, CLEAN, 1)
    found = [(record.level, record.phase, record.number) for record in store.records({})]
    assert found == [
        ("twonorm/clean", "search", 0),
        ("twonorm/symmetric-0.4", "search", 0),
        ("twonorm/symmetric-0.4", "search", 1),
        ("twonorm/symmetric-0.4", "confirmation", 0),
    ]


def test_a_diverged_trial_teaches_the_sampler_that_it_is_no_better_than_chance(tmp_path: Path) -> None:
    spec = tiny("search.trials=60", "space={rate: {low: -8, high: 0.8, scale: linear}, warmup: {values: [0]}}")
    store = open_store(tmp_path, spec)
    rates = []
    for _ in range(60):
        job = store.propose(CLEAN)
        rates.append(job.params["rate"])
        if rates[-1] < -2:  # two thirds of the space
            store.end(job, "diverged", 50.0, "train_loss is nan at epoch 1")
        else:
            store.end(job, "complete", 80.0 + rates[-1])
    trials = store.trials(CLEAN, "search")
    assert {trial.value for trial in trials if trial.user_attrs.get("diverged")} == {50.0}
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    # Of ten draws by chance seven would diverge; of the last forty, TPE's own, next to none do.
    assert sum(rate < -2 for rate in rates[-40:]) <= 6


def feed(store: Store, values: Sequence[float], phase: Phase = "search") -> tuple[Job, int]:
    """Report a curve until it is pruned; returns the trial and the epochs it was given."""
    job = store.propose(CLEAN) if phase == "search" else store.add(CLEAN, phase, {"rate": 0.0}, 1)
    for epoch, value in enumerate(values, 1):
        store.report(job, epoch, value)
        if store.should_prune(job, epoch):
            store.end(job, "pruned")
            return job, epoch
    store.end(job, "complete", values[-1])
    return job, len(values)


GOOD, BAD = [60.0 + i for i in range(8)], [50.0] * 8


def test_the_median_pruner_stops_what_is_below_the_median_and_not_before_its_first_epoch(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny(*AT_ONCE, "search.pruner=median", "search.pruner_min_epochs=3"))
    assert [feed(store, GOOD)[1] for _ in range(4)] == [8] * 4
    assert [feed(store, BAD)[1] for _ in range(3)] == [3] * 3
    assert feed(store, [*GOOD[:5], 0.0, 0.0, 0.0])[1] == 7, "its second epoch in a row below the median"
    assert [record.state for record in store.records({})] == ["complete"] * 4 + ["pruned"] * 4


def test_successive_halving_stops_what_is_not_among_the_best_of_a_rung(tmp_path: Path) -> None:
    changes = ("search.pruner=successive-halving", "search.pruner_min_epochs=2", "search.reduction_factor=2")
    store = open_store(tmp_path, tiny(*AT_ONCE, *changes))
    assert [feed(store, GOOD)[1] for _ in range(2)] == [8, 8]
    # Rungs at epochs 2, 4 and 8: of those that reached one, the better half goes on.
    assert feed(store, BAD)[1] == 2
    assert feed(store, [70.0, 70.0, 70.0, 40.0, 40.0, 40.0, 40.0, 40.0])[1] == 4
    assert feed(store, [value + 20 for value in GOOD])[1] == 8


@pytest.mark.parametrize("pruner", ["median", "successive-halving"])
def test_rungs_and_medians_outlive_the_driver(pruner: str, tmp_path: Path) -> None:
    spec = tiny(*AT_ONCE, f"search.pruner={pruner}", "search.pruner_min_epochs=2")
    for _ in range(4):
        feed(open_store(tmp_path, spec), GOOD)
    assert feed(open_store(tmp_path, spec), BAD)[1] == 2


# Stopped where the grace of 2 epochs ends, or at the next rung, 1 * 4.
@pytest.mark.parametrize(("pruner", "stopped"), [("median", 2), ("successive-halving", 4)])
def test_baselines_and_confirmations_are_never_pruned(pruner: str, stopped: int, tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny(*AT_ONCE, f"search.pruner={pruner}", "search.pruner_min_epochs=1"))
    assert [feed(store, values)[1] for values in (GOOD, BAD)] == [8, 8]
    for _ in range(4):
        feed(store, GOOD)
    assert [feed(store, BAD, phase)[1] for phase in PHASES] == [stopped, 8]


def test_without_a_pruner_nothing_is_pruned(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny(*LONG))
    assert [feed(store, values)[1] for values in (*[GOOD] * 5, BAD)] == [8] * 6


def test_what_a_lost_attempt_reported_stands_and_is_not_reported_twice(tmp_path: Path) -> None:
    store = open_store(tmp_path, tiny(*LONG))
    job = store.propose(CLEAN)
    store.report(job, 1, 60.0)
    (again,) = open_store(tmp_path, tiny(*LONG)).lost()
    store = open_store(tmp_path, tiny(*LONG))
    before = (tmp_path / "journal.log").read_bytes()
    store.report(again, 1, 61.0)
    assert (tmp_path / "journal.log").read_bytes() == before


def test_a_database_serves_as_well_as_the_journal(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    from_database = propose(open_store(tmp_path, tiny(), url), CLEAN, 5)
    assert not (tmp_path / "journal.log").exists()
    again = open_store(tmp_path, tiny(), url)
    assert [r.params for r in again.records({})] == [job.params for job in from_database]
    from_journal = propose(open_store(tmp_path, tiny()), CLEAN, 5)
    assert [job.params for job in from_database] == [job.params for job in from_journal]
    again.delete()
    assert open_store(tmp_path, tiny(), url).records({}) == []


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
    assert store.records({}) == []
    assert list(store.lost()) == []
    assert store.trials(CLEAN, "search") == []
    assert list(tmp_path.iterdir()) == []


def test_reading_a_study_that_runs_writes_nothing(tmp_path: Path) -> None:
    driver = open_store(tmp_path, tiny())
    propose(driver, CLEAN, 2)
    driver.add(CLEAN, "confirmation", {"rate": 0.0, "warmup": 0}, 1)
    before = (tmp_path / "journal.log").read_bytes()
    assert len(Store(tiny(), open_storage(None, tmp_path / "journal.log")).records({})) == 3
    assert (tmp_path / "journal.log").read_bytes() == before


def test_a_baseline_that_failed_is_tried_once_more_by_the_next_driver(tmp_path: Path) -> None:
    spec = tiny()
    (cell, _) = spec.cells()
    store = open_store(tmp_path, spec)
    first = store.propose(cell)
    assert first.params["rate"] == 0.0
    store.end(first, "failed", reason="the GPU was full")
    assert store.propose(cell).params["rate"] == 0.1  # not at once: it would fail again
    again = open_store(tmp_path, spec).propose(cell)
    assert (again.params, again.key.number) == (first.params, 2)


def test_a_database_does_not_mix_the_studies_of_two_homes(tmp_path: Path) -> None:
    spec, url = tiny(), f"sqlite:///{tmp_path}/optuna.db"
    (cell, _) = spec.cells()
    Store(spec, open_storage(url, tmp_path / "none"), owner="mine").propose(cell)
    assert len(Store(spec, open_storage(url, tmp_path / "none"), owner="mine").trials(cell, "search")) == 1
    with pytest.raises(InputError, match=r"storage: study 'tiny' in this database is another home's; take a --name"):
        Store(spec, open_storage(url, tmp_path / "none"), owner="yours")

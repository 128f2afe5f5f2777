"""What is tried next in a cell, with which training seed, and which trials are stopped early."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.search.tools import tiny
from tosmooth.search.records import PHASES, Cell, Phase
from tosmooth.search.spec.seeds import derive_seed
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.trial_store import Job, Store
from tosmooth.search.suggest.asking import Suggester
from tosmooth.search.suggest.warm_start import Proposal

CLEAN, NOISY = Cell("twonorm/clean", "gls"), Cell("twonorm/symmetric-0.4", "gls")
LONG = ("training.epochs=8",)
AT_ONCE = (*LONG, "space.warmup={values: [0]}")  # with a warm-up trials are pruned later: see test_pruners.py


def open_suggester(folder: Path, spec: StudySpec, url: str | None = None) -> Suggester:
    return Suggester(Store(spec, open_storage(url, folder / "journal.log")))


def finish(suggester: Suggester, job: Job, value: float = 50.0) -> None:
    suggester.store.report(job, 1, value)
    suggester.store.end(job, "complete", value)


def propose(suggester: Suggester, cell: Cell, count: int) -> list[Job]:
    """Trials one after another, each better than the one before."""
    jobs = []
    for i in range(count):
        jobs.append(suggester.propose(cell))
        finish(suggester, jobs[-1], 50.0 + i)
    return jobs


def test_cross_entropy_and_label_smoothing_are_proposed_first(tmp_path: Path) -> None:
    jobs = propose(open_suggester(tmp_path, tiny()), CLEAN, 3)
    assert [job.params for job in jobs[:2]] == [{"rate": 0.0, "warmup": 0}, {"rate": 0.1, "warmup": 0}]
    assert jobs[2].params["rate"] not in (0.0, 0.1)
    assert [job.key.number for job in jobs] == [0, 1, 2]


def test_a_grid_is_proposed_whole_baselines_first(tmp_path: Path) -> None:
    spec = tiny("space={rate: {values: [-0.4, 0.1]}, warmup: {values: [0, 1]}}", "search={sampler: grid}")
    assert spec.budget == 5  # 2 times 2, and cross-entropy, which is not on it
    found = [tuple(job.params.values()) for job in propose(open_suggester(tmp_path, spec), CLEAN, 5)]
    assert found[:2] == [(0.0, 0), (0.1, 0)]
    assert sorted(found) == [(-0.4, 0), (-0.4, 1), (0.0, 0), (0.1, 0), (0.1, 1)]


def test_training_seeds_come_from_study_seed_cell_and_number_where_each_trial_has_its_own(tmp_path: Path) -> None:
    suggester = open_suggester(tmp_path, tiny("seed=7", "search.training_seeds=own"))
    jobs = [*propose(suggester, CLEAN, 3), *propose(suggester, NOISY, 3)]
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
    suggester = open_suggester(tmp_path, tiny("seed=7", "search.training_seeds=3", "search.trials=8"))
    for cell in (CLEAN, NOISY):
        jobs = propose(suggester, cell, 7)
        # Cross-entropy and label smoothing share the first, so that they compare; trial 2 takes seed 2, 3 seed 0, ...
        assert [job.train_seed for job in jobs] == [pool(number) for number in (0, 0, 2, 0, 1, 2, 0)]


def test_parameters_that_come_again_take_a_seed_they_have_not_had_and_go_on_beyond_the_pool(tmp_path: Path) -> None:
    spec = tiny("seed=7", "search.training_seeds=2", "space={rate: {values: [0, 0.1]}, warmup: {values: [0]}}")
    jobs = propose(open_suggester(tmp_path, spec), CLEAN, 6)
    seeds: dict[float, list[int]] = {0.0: [], 0.1: []}
    for job in jobs:
        seeds[job.params["rate"]].append(job.train_seed)
    # Two parameters in six trials: at least one of them comes a third time, when the pool of two is used up.
    assert max(len(found) for found in seeds.values()) >= 3
    for found in seeds.values():
        assert found == [pool(number) for number in range(len(found))]


def test_a_proposal_that_is_made_once_is_not_made_again_with_other_parameters(tmp_path: Path) -> None:
    suggester = open_suggester(tmp_path, tiny())
    theory = [Proposal("theory", {"rate": -0.8, "warmup": 0})]
    assert suggester.untried(CLEAN, theory) == theory[0]
    finish(suggester, suggester.propose(CLEAN, theory[0]))
    better = Proposal("theory", {"rate": -0.9, "warmup": 0})  # the estimate of the noise rate became so
    assert suggester.untried(CLEAN, [better]) is None
    below = Proposal("below", {"rate": -0.8, "warmup": 0})
    assert suggester.untried(CLEAN, [below]) is None  # tried, whoever proposed it
    assert suggester.untried(NOISY, [below]) == below
    assert not suggester.asked(CLEAN)
    finish(suggester, suggester.propose(CLEAN, Proposal("sampler", suggester.sampled(CLEAN))))
    assert suggester.asked(CLEAN)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_proposals_depend_on_what_ended_and_not_on_the_turns_of_cells_or_on_restarts(
    sampler: str, tmp_path: Path
) -> None:
    spec = tiny(f"search.sampler={sampler}", "search.trials=14")
    for name in ("blocks", "turns"):
        (tmp_path / name).mkdir()
    suggester = open_suggester(tmp_path / "blocks", spec)
    blocks = {cell: [job.params for job in propose(suggester, cell, 14)] for cell in (CLEAN, NOISY)}
    turns: dict[Cell, list[object]] = {CLEAN: [], NOISY: []}
    for i in range(14):
        for cell in (NOISY, CLEAN):
            suggester = open_suggester(tmp_path / "turns", spec)  # a new driver for every trial
            job = suggester.propose(cell)
            finish(suggester, job, 50.0 + i)
            turns[cell].append(job.params)
    assert turns == blocks
    assert blocks[CLEAN][2:] != blocks[NOISY][2:], "two cells have random numbers of their own"


def test_another_study_seed_gives_other_proposals(tmp_path: Path) -> None:
    rates = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        rates.append(
            [j.params["rate"] for j in propose(open_suggester(tmp_path / str(seed), tiny(f"seed={seed}")), CLEAN, 8)]
        )
    assert rates[0][:4] == rates[1][:4]  # the baselines, and the ends of the space
    assert rates[0][4:] != rates[1][4:]


def test_a_proposal_is_written_in_one_piece(tmp_path: Path) -> None:
    suggester = open_suggester(tmp_path, tiny())
    propose(suggester, CLEAN, 3)
    journal = tmp_path / "journal.log"
    before = journal.read_bytes()
    job = suggester.propose(CLEAN)
    line = journal.read_bytes()[len(before) :]
    assert line.count(b"\n") == 1, "a kill between two lines would leave half a trial"
    for cut in range(0, len(line), 40):
        journal.write_bytes(before + line[:cut])
        again = open_suggester(tmp_path, tiny())
        assert list(again.store.lost()) == []
        proposed = again.propose(CLEAN)
        assert (proposed.key, proposed.params, proposed.train_seed) == (job.key, job.params, job.train_seed)


def test_a_lost_attempt_teaches_neither_sampler_nor_pruner(tmp_path: Path) -> None:
    spec = tiny(*LONG, "search.trials=14", "search.pruner=median", "search.pruner_min_epochs=1")
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    proposals = []
    for folder in (calm, shaken):
        folder.mkdir()
        suggester = open_suggester(folder, spec)
        propose(suggester, CLEAN, 12)
        if folder == shaken:
            lost = suggester.propose(CLEAN)
            suggester.store.report(lost, 1, 99.0)
            suggester = open_suggester(folder, spec)
            (job,) = suggester.store.lost()
        else:
            job = suggester.propose(CLEAN)
        finish(suggester, job)
        proposals.append((job.params, suggester.propose(CLEAN).params))
    assert proposals[0] == proposals[1]


def test_a_diverged_trial_teaches_the_sampler_that_it_is_no_better_than_chance(tmp_path: Path) -> None:
    space = "space={rate: {low: -8, high: 0.8, scale: linear}, warmup: {values: [0]}}"
    spec = tiny("search={trials: 60, sampler: tpe}", space)
    suggester = open_suggester(tmp_path, spec)
    rates = []
    for _ in range(60):
        job = suggester.propose(CLEAN)
        rates.append(job.params["rate"])
        if rates[-1] < -2:  # two thirds of the space
            suggester.store.end(job, "diverged", 50.0, "train_loss is nan at epoch 1")
        else:
            suggester.store.end(job, "complete", 80.0 + rates[-1])
    trials = suggester.store.trials(CLEAN, "search")
    assert {trial.value for trial in trials if trial.user_attrs.get("diverged")} == {50.0}
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    # Of ten draws by chance seven would diverge; of the last forty, TPE's own, next to none do.
    assert sum(rate < -2 for rate in rates[-40:]) <= 6


def feed(suggester: Suggester, values: Sequence[float], phase: Phase = "search") -> tuple[Job, int]:
    """Report a curve until it is pruned; returns the trial and the epochs it was given."""
    job = suggester.propose(CLEAN) if phase == "search" else suggester.store.add(CLEAN, phase, {"rate": 0.0}, 1)
    for epoch, value in enumerate(values, 1):
        suggester.store.report(job, epoch, value)
        if suggester.should_prune(job, epoch):
            suggester.store.end(job, "pruned")
            return job, epoch
    suggester.store.end(job, "complete", values[-1])
    return job, len(values)


GOOD, BAD = [60.0 + i for i in range(8)], [50.0] * 8


def test_the_median_pruner_stops_what_is_below_the_median_and_not_before_its_first_epoch(tmp_path: Path) -> None:
    suggester = open_suggester(tmp_path, tiny(*AT_ONCE, "search.pruner=median", "search.pruner_min_epochs=3"))
    assert [feed(suggester, GOOD)[1] for _ in range(4)] == [8] * 4
    assert [feed(suggester, BAD)[1] for _ in range(3)] == [3] * 3
    assert feed(suggester, [*GOOD[:5], 0.0, 0.0, 0.0])[1] == 7, "its second epoch in a row below the median"
    assert [record.state for record in suggester.store.records(dict)] == ["complete"] * 4 + ["pruned"] * 4


def test_medians_outlive_the_driver(tmp_path: Path) -> None:
    spec = tiny(*AT_ONCE, "search.pruner=median", "search.pruner_min_epochs=2")
    for _ in range(4):
        feed(open_suggester(tmp_path, spec), GOOD)
    assert feed(open_suggester(tmp_path, spec), BAD)[1] == 2


def test_baselines_and_confirmations_are_never_pruned(tmp_path: Path) -> None:
    suggester = open_suggester(tmp_path, tiny(*AT_ONCE, "search.pruner=median", "search.pruner_min_epochs=1"))
    assert [feed(suggester, values)[1] for values in (GOOD, BAD)] == [8, 8]
    for _ in range(4):
        feed(suggester, GOOD)
    assert [feed(suggester, BAD, phase)[1] for phase in PHASES] == [2, 8]  # where the grace of 2 epochs ends


def test_without_a_pruner_nothing_is_pruned(tmp_path: Path) -> None:
    suggester = open_suggester(tmp_path, tiny(*LONG))
    assert [feed(suggester, values)[1] for values in (*[GOOD] * 5, BAD)] == [8] * 6


def test_a_database_gives_the_proposals_that_the_journal_gives(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    from_database = propose(open_suggester(tmp_path, tiny(), url), CLEAN, 5)
    assert not (tmp_path / "journal.log").exists()
    from_journal = propose(open_suggester(tmp_path, tiny()), CLEAN, 5)
    assert [job.params for job in from_database] == [job.params for job in from_journal]


def test_a_baseline_that_failed_is_tried_once_more_by_the_next_driver(tmp_path: Path) -> None:
    spec = tiny()
    (cell, _) = spec.cells()
    suggester = open_suggester(tmp_path, spec)
    first = suggester.propose(cell)
    assert first.params["rate"] == 0.0
    suggester.store.end(first, "failed", reason="the GPU was full")
    assert suggester.propose(cell).params["rate"] == 0.1  # not at once: it would fail again
    again = open_suggester(tmp_path, spec).propose(cell)
    assert (again.params, again.key.number) == (first.params, 2)

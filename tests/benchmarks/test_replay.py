"""A recorded surface read as what was trained, and searches replayed on it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bench_search import check_table
from replay import Replayed, _Answers, replay
from surface import Surface
from surfaces import DATA, FAMILY

from tosmooth.search.spec.loading import read_study, to_yaml
from tosmooth.search.spec.scales import symexp, symlog
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.errors import InputError

RATES, WARMUPS, SEEDS, EPOCHS = (-8.0, -1.0, 0.0, 0.1, 0.8), (0, 2), (0, 1, 2, 3), 6
STUDY = """
name: replayed
dataset: {name: twonorm, noise: [clean, symmetric-0.4], size: 600, validation_fraction: 0.5, test_size: 200}
network: {name: mlp, width: 8}
training: {epochs: 6, batch_size: 50}
space:
  rate: {low: -8, high: 0.8, scale: symlog}
  warmup: {low: 0, high: 2}
search: {trials: 12, sampler: random, head_start: false, readout: best}
confirmation: {seeds: 1}
"""
GRID = "search={sampler: grid, training_seeds: 1, readout: best}"


def run(noise: str, rate: float, warmup: int, seed: int) -> dict[str, Any]:
    """Cross-entropy stands at 70 after its first epoch; a rate adds 10 |r|, up to 10, and 1 a seed; -8 diverges."""
    smooth = 70 + 10 * min(abs(rate), 1) + seed
    curve = [70.0 + seed if epoch <= warmup else smooth for epoch in range(1, EPOCHS + 1)]
    diverged = rate == -8
    curve = [*curve[: warmup + 1], 50.0] if diverged else curve
    found = {"noise": noise, "rate": rate, "warmup": warmup, "seed": seed, "diverged": diverged}
    return found | {"val_accuracy": curve, "test_accuracy": curve[-1] + 5}


def rows() -> list[dict[str, Any]]:
    return [
        run(noise, rate, warmup, seed)
        for noise in ("clean", "symmetric-0.4")
        for rate in RATES
        for warmup in (WARMUPS[:1] if rate == 0 else WARMUPS)
        for seed in SEEDS
    ]


@pytest.fixture
def surface(tmp_path: Path) -> Surface:
    pq.write_table(pa.Table.from_pylist(rows()), tmp_path / "s.parquet")
    return Surface.read(tmp_path / "s.parquet", classes=2)


def study(*overrides: str) -> StudySpec:
    return read_study(STUDY, overrides=overrides)


def states(done: Replayed) -> list[str]:
    return [record.state for record in done.records]


def test_a_recorded_point_gives_the_recorded_curve(surface: Surface) -> None:
    curve, diverged, test = surface.curve("clean", {"rate": -1.0, "warmup": 2}, 3)
    assert curve == pytest.approx((73, 73, 83, 83, 83, 83))
    assert not diverged
    assert test == pytest.approx(88)


def test_between_points_a_curve_is_the_interpolated_mean_and_the_luck_of_its_seed(surface: Surface) -> None:
    between = symexp((symlog(-1.0) + symlog(0.0)) / 2)
    curve, diverged, test = surface.curve("clean", {"rate": between, "warmup": 1}, 3)
    # Half of the way from cross-entropy's mean, 71.5, to that of -1, 81.5; seed 3 lies 1.5 above the mean.
    assert curve == pytest.approx((73, 78, 78, 78, 78, 78))
    assert not diverged
    assert test == pytest.approx(83)


def test_the_epochs_of_a_warm_up_are_those_of_cross_entropy(surface: Surface) -> None:
    plain = surface.curve("clean", {"rate": 0.0, "warmup": 2}, 1)[0]
    assert plain == pytest.approx((71,) * 6), "recorded for the first warm-up, it holds for all"
    for rate in (-8.0, -3.0, 0.3):
        assert surface.curve("clean", {"rate": rate, "warmup": 2}, 1)[0][:2] == pytest.approx(plain[:2])


def test_a_point_diverges_where_the_nearest_recorded_one_did(surface: Surface) -> None:
    assert surface.curve("clean", {"rate": -7.0, "warmup": 0}, 0)[:2] == ((80.0, 50.0), True)
    curve, diverged, test = surface.curve("clean", {"rate": -2.0, "warmup": 0}, 0)
    assert (len(curve), diverged) == (6, False)
    assert test == pytest.approx(85), "all of -8 diverged: it has no part in this"


def test_truth_is_the_mean_over_its_seeds_and_counts_a_divergence_at_chance(surface: Surface) -> None:
    truth = surface.truth("clean", [0, 1])
    assert truth.accuracy({"rate": -1.0, "warmup": 0}) == pytest.approx(85.5)
    assert truth.noisy({"rate": -1.0, "warmup": 0}) == pytest.approx(80.5)
    assert truth.accuracy({"rate": -8.0, "warmup": 2}) == 50
    assert truth.best() == {"rate": -1.0, "warmup": 0}


def test_epochs_of_a_grid_are_those_that_its_runs_trained(surface: Surface) -> None:
    # -1 trains 6 epochs of both warm-ups, cross-entropy too; -8 stops at 2 and 4.
    assert surface.restricted([0, 3]).trained("clean", [-1.0]) == 2 * 12
    assert surface.restricted([0, 3]).trained("clean", [0.0, -8.0]) == 2 * (12 + 6)


def test_restricted_to_some_seeds_the_others_are_unknown_to_it(surface: Surface) -> None:
    some = surface.restricted([2, 0])
    between = symexp((symlog(-1.0) + symlog(0.0)) / 2)
    assert some.curve("clean", {"rate": between, "warmup": 0}, 2)[0] == pytest.approx((77,) * 6)
    with pytest.raises(ValueError, match="not in"):
        some.curve("clean", {"rate": 0.1, "warmup": 0}, 1)


def test_a_surface_with_a_hole_is_refused(tmp_path: Path) -> None:
    short = [row for row in rows() if (row["rate"], row["warmup"], row["seed"]) != (0.8, 2, 1)]
    pq.write_table(pa.Table.from_pylist(short), tmp_path / "part.parquet")
    with pytest.raises(InputError, match=r"every run of clean.*0.8, 2, 1"):
        Surface.read(tmp_path, classes=2)


def test_a_folder_of_parts_is_read_as_far_as_all_levels_are_recorded(tmp_path: Path) -> None:
    for noise in ("clean", "symmetric-0.4"):
        for seed in SEEDS[: 3 if noise == "clean" else 2]:
            part = [row for row in rows() if (row["noise"], row["seed"]) == (noise, seed)]
            pq.write_table(pa.Table.from_pylist(part), tmp_path / f"{noise}-{seed}.parquet")
    assert Surface.read(tmp_path, classes=2).seeds == (0, 1)


def test_a_replayed_search_uses_its_budget_and_finds_the_best_rates(surface: Surface) -> None:
    spec = study()
    done = replay(spec, surface, [0, 1, 2])
    again = replay(spec, surface, [0, 1, 2])
    assert done.records == again.records
    assert [len(done.of(cell)) for cell in spec.cells()] == [12, 12]
    assert {record.phase for record in done.records} == {"search"}
    assert {"complete", "diverged"} == set(states(done))
    for cell in spec.cells():
        choice = done.choice(cell)
        assert choice is not None
        assert surface.curve(cell.noise, choice, 0)[0][-1] > 79, "cross-entropy has 70, the best 80"


def test_parameters_that_come_again_are_answered_by_another_seed_or_not_at_all(surface: Surface) -> None:
    answers = _Answers(study(), surface, [2, 0, 1])
    cell, params = study().cells()[0], {"rate": -1.0, "warmup": 0}
    # Accuracy is 80 and 1 more for each recorded seed.
    assert [answers.start(cell, params, seed).curve[-1] for seed in (7, 8, 7, 9)] == pytest.approx([82, 80, 82, 81])
    with pytest.raises(ValueError, match=r"no recorded seed is left of \[2, 0, 1\] for .*-1.0.*; give more"):
        answers.start(cell, params, 10)


def test_a_table_of_a_study_that_searched_more_than_the_grid_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "best_rates.csv"
    check_table(table, study())  # nothing beside it says what was searched
    (tmp_path / "study.yaml").write_text(to_yaml(study()), encoding="utf-8")
    check_table(table, study())
    more = study("space.lr_after_warmup={low: 0.1, high: 1}")
    (tmp_path / "study.yaml").write_text(to_yaml(more), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"--table: .* rate, warmup alone; this one searched lr_after_warmup, rate, warmup"
    ):
        check_table(table, study())


def test_trunks_spare_a_replay_what_they_would_spare_training(surface: Surface) -> None:
    warm = "space={rate: {values: [-1.0, 0.8]}, warmup: {values: [2]}}"
    spec = study(GRID, warm)
    (cell, _), done = spec.cells(), replay(spec, surface, [0])
    # Cross-entropy trains 6 epochs and leaves its second; label smoothing, -1 and 0.8 branch there.
    assert [record.spared for record in done.of(cell)] == [0, 2, 2, 2]
    assert done.epochs(cell) == 6 + 3 * 4
    assert replay(study(GRID, warm, "trunks.share=false"), surface, [0]).epochs(cell) == 24


def test_a_best_that_diverges_in_the_confirmation_gives_way_and_counts(tmp_path: Path) -> None:
    wrecked = [
        row | {"diverged": True, "val_accuracy": row["val_accuracy"][:3]}
        if (row["rate"], row["seed"]) == (-1.0, 3)
        else row
        for row in rows()
    ]
    pq.write_table(pa.Table.from_pylist(wrecked), tmp_path / "s.parquet")
    surface = Surface.read(tmp_path / "s.parquet", classes=2)
    spec = study(GRID, "space={rate: {values: [-1.0, 0.8]}, warmup: {values: [2]}}")
    (cell, _), alone = spec.cells(), replay(spec, surface, [0])
    assert alone.choice(cell) == {"rate": -1.0, "warmup": 2}
    done = replay(spec, surface, [0], confirming=[3])
    assert done.choice(cell) == {"rate": 0.8, "warmup": 2}
    # One epoch after the warm-up, which cross-entropy has left.
    assert done.epochs(cell) == alone.epochs(cell) + 1


def test_pruning_saves_a_replay_epochs_and_changes_no_proposal_of_a_search_by_chance(surface: Surface) -> None:
    spec = study("search.trials=20")
    calm = replay(spec, surface, [0, 1, 2])
    pruned = replay(study("search.trials=20", "search.pruner=median"), surface, [0, 1, 2])
    assert [record.params for record in calm.records] == [record.params for record in pruned.records]
    assert "pruned" not in states(calm)
    assert "pruned" in states(pruned)
    assert sum(map(pruned.epochs, spec.cells())) < sum(map(calm.epochs, spec.cells()))


def test_several_trials_at_once_do_not_hide_the_best_rates_of_a_level() -> None:
    # Recorded twonorm. Under this study's seed every early trial at a noise of 0.2 that reached beyond -1 diverged, and
    # its neighbours, searched at the same time, knew no better when they were first asked: it took 0.8, and lost 2
    # points of accuracy.
    answers = [0, 7, 6, 2, 1, 3]
    spec = FAMILY["twonorm"].spec(seed=2)
    run = replay(spec, Surface.read(DATA / "twonorm.parquet", 2).restricted(answers), answers, slots=2)
    choices = {cell.noise: run.choice(cell) for cell in spec.cells()}
    best = choices["symmetric-0.2"]
    assert best is not None
    assert -4 < best["rate"] < -1

"""What a cell tries before its sampler is asked: baselines, theory, an earlier study, the even spread, neighbours.

Trials report made-up numbers: best at a rate of -0.8, diverged below -1.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.search.builders import level, record
from tests.search.run.test_searcher import resumed_at_each_step, searched
from tests.search.tools import Driver, gls, play, steps, tiny
from tosmooth.search.records import Cell, Level, Record
from tosmooth.search.selection.theory import moved_rate, noise_rate_of
from tosmooth.search.spec.parameters import Choice, Params, Range
from tosmooth.search.spec.scales import closest
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.frozen_records import SOURCE
from tosmooth.search.suggest.initial_design import initial_points
from tosmooth.search.suggest.warm_start import Proposals, best_of, theory_point
from tosmooth.search.surrogate.fitting import search_model

THREE = ("dataset.noise=[clean, symmetric-0.2, symmetric-0.4]", "search.trials=11", "confirmation.seeds=1")
LEVELS = [level("clean", 0.0), level("symmetric-0.2", 0.2), level("symmetric-0.4", 0.4)]
CLEAN, MIDDLE, WORST = (Cell(found.name, "gls") for found in LEVELS)


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def run(folder: Path, spec: StudySpec, levels: Sequence[Level] = LEVELS, **options: Any) -> Driver:
    driver = Driver(folder, spec, levels=levels, **options)
    play(driver)
    return driver


def sources(driver: Driver, cell: Cell) -> list[str]:
    return [trial.user_attrs[SOURCE] for trial in driver.store.trials(cell, "search")]


def params(driver: Driver, cell: Cell) -> list[Params]:
    return [record.params for record in searched(driver.records()) if record.level == cell.level]


def test_a_head_start_tries_the_theory_s_rate_after_the_baselines_and_the_neighbours_after_the_spread(
    tmp_path: Path,
) -> None:
    spec = tiny(*THREE)
    driver = run(tmp_path, spec)
    # 11 trials: 5 or fewer, and a power of 2, are the even spread. Where nothing is wrong the theory's rate is 0.
    assert sources(driver, CLEAN)[:7] == ["baseline"] * 2 + ["spread"] * 4 + ["above"]
    assert sources(driver, MIDDLE)[:8] == ["baseline"] * 2 + ["theory"] + ["spread"] * 4 + ["below"]
    # rho = 2 * 0.2 = 0.4: -0.4 / 0.6. At 0.4 it is -0.8 / 0.2 = -4, and the space ends at -2.
    # Of warm-ups from 0 to 2 it takes the middle one.
    assert params(driver, MIDDLE)[2] == {"rate": -0.666667, "warmup": 1}
    assert params(driver, WORST)[2] == {"rate": -2.0, "warmup": 1}
    spread = initial_points(gls(spec))[2:]
    assert params(driver, CLEAN)[2:6] == params(driver, MIDDLE)[3:7] == params(driver, WORST)[3:7] == spread


@pytest.mark.parametrize(
    ("rate", "there", "here", "classes", "moved"),
    [
        (0.0, 0.0, 0.2, 2, -2 / 3),  # from clean labels it is the theory's rate: rho = 0.4
        (-2 / 3, 0.2, 0.4, 2, -4.0),  # and one noise rate's theory leads to another's
        (-4.0, 0.4, 0.2, 2, -2 / 3),
        (0.1, 0.2, 0.2, 2, 0.1),
        (0.4, 0.0, 0.4, 10, -0.08),  # rho = 4 / 9: (0.4 - 0.4444) / 0.5556
        (-1.0, 0.2, 0.5, 2, -1.0),  # of two classes nothing can be told then
        (-1.0, None, 0.2, 2, -1.0),
    ],
)
def test_a_neighbour_s_rate_is_moved_by_the_difference_in_noise(
    rate: float, there: float | None, here: float | None, classes: int, moved: float
) -> None:
    assert moved_rate(rate, there, here, classes) == pytest.approx(moved)


def test_what_neighbours_propose_is_the_best_that_was_known_of_them_at_that_moment(tmp_path: Path) -> None:
    spec = tiny(*THREE)
    driver = run(tmp_path, spec)
    order = [key for key, _ in groupby(r.key for r in driver.heard if r.phase == "search")]
    records = {record.key: record for record in driver.records()}
    found = 0
    for cell, near in (
        (CLEAN, {"above": MIDDLE}),
        (MIDDLE, {"below": CLEAN, "above": WORST}),
        (WORST, {"below": MIDDLE}),
    ):
        for number, source in enumerate(sources(driver, cell)):
            if source in near:
                key = next(k for k in order if (k.level, k.number) == (cell.level, number))
                before = [records[k] for k in order[: order.index(key)] if k.level == near[source].level]
                best = best_of(gls(spec), before, search_model(gls(spec), before))
                assert best is not None
                there, here = (
                    known.noise_rate for name in (near[source], cell) for known in LEVELS if known.name == name.level
                )
                rate = min(max(moved_rate(best["rate"], there, here, 2), -2.0), 0.8)  # two classes; the space
                assert records[key].params == best | {"rate": pytest.approx(rate, rel=1e-5)}, (cell, source)
                found += 1
    assert found >= 3


def test_a_neighbour_is_asked_once_and_before_the_sampler_alone(tmp_path: Path) -> None:
    driver = run(tmp_path, tiny(*THREE))
    for cell in (CLEAN, MIDDLE, WORST):
        found = sources(driver, cell)
        assert found.count("below") <= 1
        assert found.count("above") <= 1
        last = max(i for i, source in enumerate(found) if source != "sampler")
        assert "sampler" not in found[:last]


@pytest.mark.parametrize(
    ("rate", "warmup", "state", "overlooked"),
    [
        (-0.2, 2, "complete", True),  # far from it
        (-1.5, 1, "complete", False),
        (-1.5, 1, "running", False),
        (-1.5, 1, "failed", True),
        (-1.3, 0, "diverged", True),  # says nothing of a longer warm-up
        (-1.3, 2, "diverged", False),
    ],
)
def test_neighbours_propose_again_where_no_trial_of_the_cell_was_near(
    rate: float, warmup: int, state: str, overlooked: bool
) -> None:
    ours = record(0, rate, warmup, val=[80.0], state=state)
    below = record(0, -0.4, 2, val=[80.0])  # (-0.4 - 0.4) / (1 - 0.4): -1.333
    known = {MIDDLE: [ours], CLEAN: [below], WORST: []}
    spec = tiny(*THREE)
    levels = {found.name: found for found in LEVELS}
    proposals = Proposals(spec, levels, known.__getitem__, lambda cell: best_of(gls(spec), known[cell], None), {})
    wanted = [("below again", {"rate": -1.33333, "warmup": 2})] if overlooked else []
    assert proposals.overlooked(MIDDLE) == wanted
    assert all(proposal.once for proposal in proposals.overlooked(MIDDLE))


def test_without_a_head_start_a_cell_tries_the_baselines_the_spread_and_what_the_sampler_says(tmp_path: Path) -> None:
    spec = tiny(*THREE, "search.head_start=false")
    driver = run(tmp_path, spec)
    for cell in (CLEAN, MIDDLE, WORST):
        assert params(driver, cell)[:6] == initial_points(gls(spec))
        assert sources(driver, cell) == ["baseline"] * 2 + ["spread"] * 4 + ["sampler"] * 5


@pytest.mark.parametrize(
    "changes", [("search.sampler=random",), ("search={sampler: grid}", "space={rate: {values: [0, -1]}}")]
)
def test_random_search_and_a_grid_take_no_advice(changes: tuple[str, ...], tmp_path: Path) -> None:
    spec = tiny("dataset.noise=[symmetric-0.2]", *changes)
    found = sources(run(tmp_path, spec, LEVELS[1:2]), MIDDLE)
    assert set(found) <= {"baseline", "spread", "sampler"}
    assert len(found) == spec.budget


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_stopped_after_any_step_a_head_start_goes_on_as_if_it_had_not_been(sampler: str, tmp_path: Path) -> None:
    changes = (
        "dataset.noise=[clean, symmetric-0.4]",
        "search.trials=7",
        "confirmation.seeds=1",
        f"search.sampler={sampler}",
    )
    spec = tiny(*changes)
    undisturbed = play(Driver(tmp_path / "undisturbed", spec))
    assert resumed_at_each_step(tmp_path, spec, undisturbed) > 60


def test_where_the_noise_rate_is_unknown_the_theory_speaks_as_soon_as_cross_entropy_has_estimated_it(
    tmp_path: Path,
) -> None:
    spec = tiny("dataset.noise=[given]", "search.trials=8")
    unknown = [level("given", None)]
    (cell,) = spec.cells()
    driver = run(tmp_path / "one", spec, unknown)
    assert sources(driver, cell)[:4] == ["baseline", "baseline", "theory", "spread"]
    assert params(driver, cell)[2] == {"rate": -1.5, "warmup": 1}  # the estimate is 0.3: rho = 0.6, -0.6 / 0.4
    parallel = Driver(tmp_path / "many", spec, levels=unknown, slots=4)
    play(parallel)
    # Four and more start before cross-entropy has ended; what comes next is the theory's, once.
    ended = next(i for i, record in enumerate(parallel.heard) if record.number == 0 and record.state == "complete")
    after = next(record for record in parallel.heard[ended:] if record.state == "running" and record.epochs == 0)
    assert after.number >= 4
    assert [i for i, source in enumerate(sources(parallel, cell)) if source == "theory"] == [after.number]


def test_restarted_after_every_trial_an_estimated_noise_rate_leads_to_the_same_proposals(tmp_path: Path) -> None:
    spec = tiny("dataset.noise=[given]", "search.trials=8")
    levels = [level("given", None)]
    undisturbed = play(Driver(tmp_path / "undisturbed", spec, levels=levels))
    finished, starts = False, 0
    while not finished:
        driver = Driver(tmp_path / "restarted", spec, levels=levels)
        next((step for step in steps(driver.searcher) if step == "end"), None)
        finished, starts = driver.searcher.finished, starts + 1
    assert driver.records() == undisturbed
    assert starts > 8


def estimated(number: int, rate: float, estimate: float | None, **changes: Any) -> Record:
    curve = ({"val_accuracy": 80.0, "noise_rate_estimate": estimate},)
    return record(number, rate, level="twonorm/given", curve=curve, **changes)


def test_the_noise_rate_is_the_measured_one_else_what_the_first_cross_entropy_that_tells_it_estimated() -> None:
    records = [
        estimated(0, 0.0, 0.2),
        estimated(1, 0.0, 0.3),
        estimated(2, 0.0, None),
        estimated(3, 0.1, 0.9),  # not cross-entropy
        estimated(4, 0.0, 0.9, state="running"),
        estimated(5, 0.0, 0.9, phase="confirmation"),
    ]
    assert noise_rate_of(level("given", None), records) == 0.2
    assert noise_rate_of(level("given", None), records[::-1]) == 0.2
    assert noise_rate_of(level("given", None), records[1:]) == 0.3
    # Numbers 0 and 1 may come back with another estimate: what is said is never taken back.
    assert noise_rate_of(level("given", None), [estimated(0, 0.0, None, state="running"), *records[1:]]) is None
    assert noise_rate_of(level("given", None), [estimated(0, 0.0, None, state="failed"), *records[1:]]) == 0.3
    assert noise_rate_of(level("given", None), records[2:]) is None
    assert noise_rate_of(level("given", 0.1), records) == 0.1
    assert noise_rate_of(level("other", None), records) is None


@pytest.mark.parametrize(
    ("noise_rate", "rate"),
    [
        (None, None),
        (0.0, None),  # 0, the baseline
        (0.5, None),  # of two classes nothing can be told
        (0.2, -0.666667),
        (0.45, -2.0),  # -9, out of the space
    ],
)
def test_the_theory_s_point_is_its_rate_in_the_space_with_the_middle_warm_up(
    noise_rate: float | None, rate: float | None
) -> None:
    expected = None if rate is None else {"rate": rate, "warmup": 1}  # the middle one of 0 to 2
    assert theory_point(gls(tiny()), noise_rate, 2) == expected


def test_under_two_phase_the_theory_s_rate_starts_as_late_as_the_baselines_do() -> None:
    spec = tiny("training.recipe=two-phase")
    assert theory_point(gls(spec), 0.2, 2) == gls(spec).baseline(-0.666667)


def test_a_value_comes_into_a_parameter_as_its_nearest() -> None:
    listed = Choice((-8.0, -0.8, 0.0, 0.4))
    assert closest("rate", listed, -0.7) == -0.8
    assert closest("rate", listed, -3.0) == -8.0  # on the symlog scale: 3.4 lies nearer to 4.4 than to 2.2
    assert closest("width", listed, -3.0) == -0.8
    assert closest("rate", Range(low=-2.0, high=0.8), -7.0) == -2.0
    assert closest("rate", Range(low=-2.0, high=0.8), -2 / 3) == -0.666667
    assert closest("rate", Range(low=-2.0, high=0.8, step=0.4), -0.7) == -0.8
    assert closest("warmup", Range(low=0, high=4), 2.6) == 3
    assert closest("network.activation", Choice(("relu", "gelu")), "gelu") == "gelu"
    assert closest("network.activation", Choice(("relu", "gelu")), 7) == "relu"


def test_what_an_earlier_study_found_is_tried_after_the_theory_and_is_no_data(tmp_path: Path) -> None:
    prior = {"twonorm/symmetric-0.2": [{"rate": -0.5, "warmup": 1}, {"rate": -0.3, "warmup": 0}]}
    driver = run(tmp_path, tiny(*THREE), prior=prior)
    assert sources(driver, MIDDLE)[:6] == ["baseline", "baseline", "theory", "prior 1", "prior 2", "spread"]
    assert params(driver, MIDDLE)[3:5] == prior["twonorm/symmetric-0.2"]
    assert "prior 1" not in sources(driver, CLEAN)
    assert len(params(driver, MIDDLE)) == 11  # they are trials like others


def test_a_neighbour_without_a_model_proposes_its_best_complete_trial() -> None:
    records = [estimated(0, 0.0, None), replace(estimated(1, 0.1, None), curve=({"val_accuracy": 90.0},))]
    assert best_of(gls(tiny()), records, None) == {"rate": 0.1, "warmup": 0}
    assert best_of(gls(tiny()), [], None) is None


def test_several_slots_end_with_the_budget_and_the_opening_tried_once(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny(*THREE), levels=LEVELS, slots=5)
    for _ in steps(driver.searcher):
        pass
    for cell in (CLEAN, MIDDLE, WORST):
        assert len(params(driver, cell)) == 11
        assert sources(driver, cell).count("spread") == 4
        assert sources(driver, cell).count("theory") == (cell != CLEAN)

"""The space of a study: what Optuna samples, and what a trial is given."""

import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.search.tools import gls
from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.parameters import Range
from tosmooth.search.spec.scales import symexp, symlog
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.distributions import distributions, inside, to_params, to_sampled
from tosmooth.search.suggest.initial_design import grid, initial_points

STUDY = "name: s\ndataset: {name: twonorm, noise: [clean]}\ntraining: {epochs: 8}\n"


def study(*overrides: str) -> StudySpec:
    return read_study(STUDY, overrides=overrides)


MIXED = study(
    "space.lr_after_warmup={low: 1e-5, high: 1, scale: log}",
    "space.training.batch_size={low: 16, high: 128, step: 16}",
    "space.training.optimizer.momentum={low: 0, high: 0.9, step: 0.3}",
    "space.training.optimizer.nesterov.values=[false]",
    "space.network.width.values=[8, 16]",
)


def test_symlog_is_dense_around_zero_and_reaches_far_out() -> None:
    assert symlog(0.1) == pytest.approx(math.log(2))  # the unit: as far from 0 as doubling is beyond
    assert symlog(-8) == pytest.approx(-4.394449)  # -log(81)
    assert symlog(0.8) == pytest.approx(2.197225)  # log(9)
    # Linear inside the unit, logarithmic beyond: a step of 0.01 counts 10 times less at 1 than at 0.
    at_zero, at_one = symlog(0.01) - symlog(0), symlog(1.01) - symlog(1)
    assert at_zero / at_one == pytest.approx(10.5, rel=0.01)


@given(st.floats(-100, 1))
def test_symexp_undoes_symlog(rate: float) -> None:
    assert symexp(symlog(rate)) == pytest.approx(rate, rel=1e-12, abs=1e-15)


def test_distributions_follow_the_study() -> None:
    assert distributions(gls(MIXED)) == {
        "symlog(rate)": FloatDistribution(symlog(-8), symlog(0.8)),
        "warmup": IntDistribution(0, 4),
        "lr_after_warmup": FloatDistribution(1e-5, 1, log=True),
        "training.batch_size": IntDistribution(16, 128, step=16),
        "training.optimizer.momentum": FloatDistribution(0, 0.9, step=0.3),
        "training.optimizer.nesterov": CategoricalDistribution([False]),
        "network.width": CategoricalDistribution([8, 16]),
    }


@pytest.mark.parametrize("seed", range(3))
def test_whatever_optuna_samples_is_inside_and_survives_the_way_there_and_back(seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(100):
        params = to_params(gls(MIXED), sampler.ask(distributions(gls(MIXED))).params)
        assert inside(gls(MIXED), params), params
        assert to_params(gls(MIXED), to_sampled(gls(MIXED), params)) == params
        assert float(f"{params['rate']:.6g}") == params["rate"]  # a table prints it exactly
        MIXED.trial_config(MIXED.cells()[0], params, train_seed=0)


def test_rounding_does_not_lead_over_a_bound() -> None:
    spec = study("space.rate={low: -7.123456789, high: 0.123456789}")
    low, high = symlog(-7.123456789), symlog(0.123456789)
    assert to_params(gls(spec), {"symlog(rate)": low, "warmup": 0})["rate"] == -7.12346 + 0.000003211
    assert to_params(gls(spec), {"symlog(rate)": high, "warmup": 0})["rate"] == 0.123457 - 2.11e-7


def test_parameters_outside_the_space_are_left_out_of_what_optuna_is_told() -> None:
    spec = study("space.rate={low: -8, high: -1}")
    assert to_sampled(gls(spec), gls(spec).baseline(0.1)) == {"warmup": 0}
    assert not inside(gls(spec), gls(spec).baseline(0.1))
    assert inside(gls(spec), {"rate": -2.0, "warmup": 4})


@pytest.mark.parametrize(
    "params",
    [
        {"rate": 0.5},
        {"rate": 0.5, "warmup": 1, "lr_after_warmup": 1.0},
        {"rate": 0.9, "warmup": 1},
        {"rate": math.nan, "warmup": 1},
        {"rate": math.inf, "warmup": 1},
        {"rate": True, "warmup": 1},
        {"rate": 0.5, "warmup": 1.5},
        {"rate": 0.5, "warmup": "1"},
    ],
)
def test_other_parameters_are_not_inside(params: dict[str, object]) -> None:
    assert not inside(gls(study()), params)


def test_values_of_another_type_are_not_inside() -> None:
    spec = study("space.training.optimizer.nesterov.values=[false]")
    inner: dict[str, object] = {"rate": 0.5, "warmup": 1}
    assert inside(gls(spec), {**inner, "training.optimizer.nesterov": False})
    assert not inside(gls(spec), {**inner, "training.optimizer.nesterov": 0})  # equal to False, yet no truth value


def test_stepped_range_has_clean_decimals() -> None:
    # 0.1 + 2 * 0.1 is 0.30000000000000004, and -0.2 + 2 * 0.1 must be 0.0, the baseline, exactly
    assert list(Range(low=-0.2, high=0.3, step=0.1).points()) == [-0.2, -0.1, 0.0, 0.1, 0.2, 0.3]
    assert math.copysign(1, list(Range(low=-0.2, high=0.2, step=0.1).points())[2]) == 1


def test_opening_of_tpe_is_the_baselines_the_ends_of_the_space_and_sobol_points() -> None:
    spec = study("search.trials=32")
    moves = initial_points(gls(spec))
    assert moves[:2] == [{"rate": 0.0, "warmup": 0}, {"rate": 0.1, "warmup": 0}]
    # A high rate from the first epoch on, a very negative one at the latest, and two in the middle.
    assert [(params["rate"], params["warmup"]) for params in moves[2:6]] == [(0.8, 0), (-4, 4), (-1, 2), (0.6, 2)]
    spread = moves[6:]
    assert len(moves[2:]) == 16  # half of the budget, and a power of 2
    low, high = symlog(-8), symlog(0.8)
    quarters = [int(4 * (symlog(params["rate"]) - low) / (high - low)) for params in spread]
    assert [quarters.count(i) for i in range(4)] == [3, 3, 3, 3]  # a Sobol sequence has as many in each
    assert all(inside(gls(spec), params) for params in moves[2:])


def test_ends_of_the_space_lie_in_it_and_are_no_baselines_again() -> None:
    small = study("space={rate: {low: -1, high: 0.05}, warmup: {values: [1]}}")
    found = [(params["rate"], params["warmup"]) for params in initial_points(gls(small))[2:]]
    assert found[:2] == [(0.05, 1), (-1, 1)]
    assert len(found) == len({*found})
    none = study("space={rate: {values: [0, 0.1]}, warmup: {values: [1]}}")
    assert all(params["rate"] in (0, 0.1) for params in initial_points(gls(none)))


def test_what_else_is_searched_begins_as_the_recipe_has_it() -> None:
    spec = study("space.lr_after_warmup={low: 0.01, high: 1, scale: log}", "search.trials=32")
    factors = [params["lr_after_warmup"] for params in initial_points(gls(spec))[2:]]
    assert factors[:2] == [1, 1]
    assert len({*factors[2:]}) == len(factors) - 2


def test_opening_grows_with_the_budget_without_changing_its_first_moves() -> None:
    short, long = (initial_points(gls(study(f"search.trials={trials}"))) for trials in (16, 64))
    assert long[: len(short)] == short
    assert len(long) == 34


def test_random_search_opens_with_the_baselines_alone() -> None:
    assert len(initial_points(gls(study("search.sampler=random")))) == 2


def test_grid_holds_every_point_once_with_the_baselines_first() -> None:
    overrides = ("search.sampler=grid", "space.rate.values=[-8, -1, 0, 0.4]", "space.warmup={low: 0, high: 4, step: 2}")
    spec = study(*overrides)
    points = initial_points(gls(spec))
    assert points[:2] == [{"rate": 0.0, "warmup": 0}, {"rate": 0.1, "warmup": 0}]
    assert len(points) == spec.budget == 13  # 4 rates by 3 warm-ups, and label smoothing at 0.1
    assert {(p["rate"], p["warmup"]) for p in points} == {
        (0.1, 0), *((rate, warmup) for rate in (-8, -1, 0, 0.4) for warmup in (0, 2, 4))
    }  # fmt: skip


def test_order_of_a_grid_comes_from_the_seed() -> None:
    overrides = ("search.sampler=grid", "space.rate={low: -1, high: 0.8, scale: linear, step: 0.1}")
    first, again, other = study(*overrides), study(*overrides), study(*overrides, "seed=1")
    assert grid(gls(first)) == grid(gls(again)) != grid(gls(other))
    assert grid(gls(first))[:2] == grid(gls(other))[:2]
    assert len(grid(gls(first))) == first.budget == 95  # 19 rates by 5 warm-ups; the baselines are among them

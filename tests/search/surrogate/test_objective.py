"""The surrogate of any objective: its spaces, its model's margins, what it leaves out."""

import math

import numpy as np
import pytest

from tosmooth.search.spec.parameters import Choice, Range, Space
from tosmooth.search.surrogate.objective import Outcome, Surrogate, at, bounded, design, suggest
from tosmooth.search.surrogate.training_subset import MOST

SPACE: Space = {
    "a": Range(low=-3.0, high=5.0),
    "b": Range(low=1e-6, high=1.0, scale="log"),
    "c": Range(low=0, high=4),
    "d": Choice(("0", "1", "2")),
}


def outcomes(number: int, space: Space = SPACE) -> list[Outcome]:
    found = [design(space, i, 0) for i in range(number)]
    return [Outcome(params, -abs(params["a"]), seed=i % 3) for i, params in enumerate(found)]


def test_ends_of_the_shares_are_the_ends_of_the_space() -> None:
    assert at(SPACE, np.zeros(4)) == {"a": -3.0, "b": pytest.approx(1e-6), "c": 0, "d": "0"}
    assert at(SPACE, np.ones(4)) == {"a": 5.0, "b": 1.0, "c": 4, "d": "2"}


def test_points_of_the_design_are_those_of_one_sequence() -> None:
    shares = sorted((design({"a": SPACE["a"]}, i, 7)["a"] + 3) / 8 for i in range(16))
    assert [int(16 * share) for share in shares] == list(range(16))


def test_margins_are_those_of_the_joint_distribution() -> None:
    surrogate = Surrogate.of(SPACE, outcomes(12))
    assert surrogate is not None
    points = np.array([surrogate.axes.point(design(SPACE, i, 1)) for i in range(5)])
    means, deviations = surrogate.model.marginals(points)
    for i, setting in enumerate(surrogate.model.settings):
        mean, covariance = surrogate.model.joint(setting, points)
        assert means[i] == pytest.approx(mean)
        assert deviations[i] ** 2 == pytest.approx(np.diag(covariance), abs=1e-9)


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [3.0] * 9, [None] * 9])
def test_too_little_says_nothing(values: list[float | None]) -> None:
    tried = [Outcome(design(SPACE, i, 0), value) for i, value in enumerate(values)]
    assert suggest(SPACE, tried, [], (0, 0)) is None


def test_what_runs_promises_less() -> None:
    surrogate = Surrogate.of(SPACE, outcomes(12))
    assert surrogate is not None
    best = surrogate.suggest((0, 0))
    before, after = (each.improvement([best])[0] for each in (surrogate, surrogate.believing([best])))
    assert 0 < after < 0.7 * before


def test_where_trials_diverged_one_more_probably_would() -> None:
    space: Space = {"a": SPACE["a"], "b": SPACE["b"]}
    runs = outcomes(32, space)
    # An island in the middle, which no straight edge has.
    lost = [math.hypot(run.params["a"] - 1, math.log10(run.params["b"]) + 3) < 1.6 for run in runs]
    surrogate = Surrogate.of(
        space, [Outcome(run.params, None if gone else run.value) for run, gone in zip(runs, lost, strict=True)]
    )
    assert surrogate is not None
    inside, outside = surrogate.completes([{"a": 1.0, "b": 1e-3}, {"a": 4.5, "b": 0.5}])
    assert inside < 0.4 < 0.8 < outside
    (never,) = {*(Surrogate.of(space, runs) or surrogate).completes([{"a": 1.0, "b": 1e-3}])}
    assert never > 0.98


def test_outcomes_are_thinned_out_by_kind() -> None:
    many = [Outcome({"a": i / 1000}, None if i % 4 == 0 else float(i)) for i in range(1000)]
    kept = bounded(many)
    assert sum(each.value is None for each in kept) == MOST
    assert 0.9 * MOST < sum(each.value is not None for each in kept) <= MOST
    assert many[999] in kept
    assert many[1] in kept

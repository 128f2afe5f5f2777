"""The edge of divergence against probabilities worked out another way."""

import numpy as np
import pytest

from tests.search.tools import gls, tiny
from tosmooth.search.spec.loading import load_study
from tosmooth.search.surrogate.encoding import Axes
from tosmooth.search.surrogate.feasibility import ACCIDENT, Feasibility
from tosmooth.search.surrogate.gaussian_process import Array

# Depth of the rate and place of the warm-up: beyond 0.8 a trial diverges, whatever its warm-up, but for the longest.
POINTS = np.array([[0.0, 0.0], [0.5, 0.0], [0.7, 0.5], [0.9, 0.0], [0.9, 0.5], [1.0, 1.0]])
DIVERGED = np.array([False, False, False, True, True, False])


def known(edge: Feasibility, *points: tuple[float, ...]) -> Array:
    found: Array = edge.weights @ edge.completes(np.array(points))
    return found


def test_what_completed_completes_and_what_diverged_diverges() -> None:
    complete = known(Feasibility.of(POINTS, DIVERGED), *map(tuple, POINTS))
    assert (complete[~DIVERGED] > 0.8).all()
    assert (complete[DIVERGED] < 0.3).all()


def test_without_trials_the_edge_is_as_likely_anywhere() -> None:
    edge = Feasibility.of(np.empty((0, 2)), np.empty(0, bool))
    np.testing.assert_allclose(edge.weights, 1 / len(edge.weights))
    # Without a warm-up the edge is even from 0 to 1.5.
    assert known(edge, (0.75, 0.0)) == pytest.approx(0.5 * (1 - ACCIDENT), abs=0.02)


def test_a_deeper_rate_and_a_shorter_warm_up_are_never_safer() -> None:
    edge = Feasibility.of(POINTS, DIVERGED)
    depths = np.linspace(0, 1, 11)
    by_depth = edge.completes(np.column_stack([depths, np.full(11, 0.5)]))
    by_warmup = edge.completes(np.column_stack([np.full(11, 0.9), depths]))
    assert (np.diff(by_depth, axis=1) <= 0).all()
    assert (np.diff(by_warmup, axis=1) >= 0).all()


def test_chances_after_a_trial_are_those_of_the_edge_that_knows_it() -> None:
    points, diverged = POINTS[:4], DIVERGED[:4]
    chances = Feasibility.of(points, diverged).chances(POINTS, [4, 5])
    np.testing.assert_allclose(chances.now, known(Feasibility.of(points, diverged), *map(tuple, POINTS)))
    for place, asked in enumerate((4, 5)):
        more = np.vstack([points, POINTS[asked]])
        for outcome, after in ((False, chances.after_completion), (True, chances.after_divergence)):
            expected = known(Feasibility.of(more, np.append(diverged, outcome)), *map(tuple, POINTS))
            np.testing.assert_allclose(after[:, place], expected, rtol=1e-9)


def test_draws_follow_the_weights() -> None:
    edge = Feasibility.of(POINTS, DIVERGED)
    drawn = edge.drawn(4000)
    shares = np.bincount(drawn, minlength=len(edge.weights)) / 4000
    np.testing.assert_allclose(shares, edge.weights, atol=1 / 4000)


def test_what_else_is_searched_can_be_why_a_trial_diverges() -> None:
    # The same rate completes at a small learning-rate factor (last axis) and diverges at a large one.
    points = np.array([[0.5, 0.0, v] for v in (0.0, 0.1, 0.2, 0.8, 0.9, 1.0)])
    edge = Feasibility.of(points, points[:, 2] > 0.5)
    low, high = known(edge, (0.5, 0.0, 0.05), (0.5, 0.0, 0.95))
    assert low > 0.9
    assert high < 0.1


def test_an_accident_among_many_that_completed_moves_nothing() -> None:
    points = np.array([*([[0.9, 0.0]] * 20), [0.0, 0.0]])
    edge = Feasibility.of(points, np.arange(21) == 20)  # cross-entropy itself
    assert known(edge, (0.9, 0.0))[0] > 0.9


def test_rates_and_warm_ups_of_a_study_as_depths_and_places() -> None:
    axes = Axes.of(gls(load_study("twonorm")))
    np.testing.assert_allclose(axes.edge({"rate": -8.0, "warmup": 2}), [1, 1])
    np.testing.assert_allclose(axes.edge({"rate": -2.0, "warmup": 1}), [0.5, 0.5])  # log 3 of log 9
    np.testing.assert_allclose(axes.edge({"rate": 0.8, "warmup": 0}), [0, 0])  # smoothing undoes nothing
    one = Axes.of(gls(load_study("twonorm", ["space.warmup={values: [2]}", "space.rate={values: [0.1, 0.4]}"])))
    np.testing.assert_allclose(one.edge({"rate": 0.1, "warmup": 2}), [0, 0])
    more = Axes.of(gls(tiny('space.lr_after_warmup={"low": 0.01, "high": 1, "scale": "log"}')))
    np.testing.assert_allclose(more.edge({"rate": 0.1, "warmup": 1, "lr_after_warmup": 0.1})[2:], [0.5])


def test_what_no_edge_explains_leaves_every_number_finite() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([np.full((400, 1), 0.75), np.zeros((400, 1)), rng.uniform(-2, 2, (400, 16))])
    edge = Feasibility.of(points, rng.random(400) < 0.3)
    assert edge.weights.sum() == pytest.approx(1)
    assert np.isfinite(edge.probabilities(points)).all()

"""The Gaussian process against scikit-learn's, and against sums done another way."""

import math

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from tosmooth.search.surrogate import gaussian_process
from tosmooth.search.surrogate.gaussian_process import JITTER, Array, Model, Prior

LENGTHS = [Prior(0.3, 0.5), Prior(1.0, 0.7)]


def made_up(seeds: int = 12) -> tuple[Array, list[int], Array]:
    """A dozen runs: best at 0.3 along the first axis, whatever the second."""
    rng = np.random.default_rng(1)
    x = rng.random((12, 2))
    y = 90 - 20 * (x[:, 0] - 0.3) ** 2 + 0.05 * rng.standard_normal(12)
    return x, [i % seeds for i in range(12)], y


def sklearns(model: Model, setting: Array) -> GaussianProcessRegressor:
    """The same process under one setting, in which no seed is shared."""
    kernel = ConstantKernel(setting[0]) * Matern(setting[3:], nu=2.5) + WhiteKernel(setting[1])
    return GaussianProcessRegressor(kernel, alpha=JITTER, optimizer=None).fit(model.x, model.z)


def test_means_and_spread_are_those_of_scikit_learn() -> None:
    model = Model.of(*made_up(), LENGTHS)
    points = np.random.default_rng(2).random((30, 2))
    means = model.means(points)
    for setting, mean in zip(model.settings, means, strict=True):
        # Each run has a seed of its own here, whose function is to f as noise that lies on the diagonal.
        own = setting[0] * setting[2]
        theirs = sklearns(model, np.array([setting[0], setting[1] + own, 0, *setting[3:]]))
        np.testing.assert_allclose(mean, theirs.predict(points), atol=1e-6)


def test_settings_are_weighed_by_scikit_learns_likelihood() -> None:
    x, seeds, y = made_up()
    model = Model.of(x, seeds, y, LENGTHS)
    settings = np.array([[0.5, 0.01, 0.0, 0.3, 1.0], [1.5, 0.1, 0.0, 0.1, 0.5]])
    ours = model._likelihood(settings)
    theirs = [sklearns(model, setting).log_marginal_likelihood_value_ for setting in settings]
    assert ours[1] - ours[0] == pytest.approx(theirs[1] - theirs[0], abs=1e-5)


def test_trials_of_one_seed_err_alike() -> None:
    x, _, y = made_up()
    x = np.repeat(x[:6], 2, axis=0)
    twice, shift = np.repeat(y[:6], 2), np.array([1.0, -1.0] * 6)  # one seed is always above the other
    known, little, much = (Model.of(x, [0, 1] * 6, twice + by * shift, LENGTHS) for by in (0.3, 0.1, 0.6))
    unknown = Model.of(x, list(range(12)), twice + 0.3 * shift, LENGTHS)
    assert known._likelihood(known.settings).mean() > unknown._likelihood(unknown.settings).mean() + 1
    assert much.settings[:, 2].mean() > 2 * little.settings[:, 2].mean()  # the share of the seeds' own functions


def test_accuracy_comes_back_from_the_compressed_scale() -> None:
    x, seeds, y = made_up()
    model = Model.of(x, seeds, y, LENGTHS)
    np.testing.assert_allclose(model.accuracy(model.z), y, rtol=1e-9)


def test_repeats_settle_the_noise() -> None:
    x, _, _ = made_up()
    twice = np.concatenate([x, x])
    rng = np.random.default_rng(3)
    clear = 90 - 20 * (twice[:, 0] - 0.3) ** 2
    seeds = [0] * 12 + [1] * 12
    spreads = (0.02, 0.5)
    models = [Model.of(twice, seeds, clear + spread * rng.standard_normal(24), LENGTHS) for spread in spreads]
    # In points, near the best: on the compressed scale, whose unit grows with the spread, they are more alike.
    found = [math.sqrt(model.settings[:, 1].mean()) * model.spread * model.unit for model in models]
    assert found == pytest.approx(spreads, rel=0.6)


def test_what_a_seed_adds_to_all_its_runs_is_no_noise() -> None:
    x, _, _ = made_up()
    clear = 90 - 20 * (np.concatenate([x, x])[:, 0] - 0.3) ** 2 + 0.05 * np.random.default_rng(3).standard_normal(24)
    seeds = [0] * 12 + [1] * 12
    apart = clear + np.array([0.0] * 12 + [0.2] * 12)
    means = []
    for y in (clear, apart):
        model = Model.of(np.concatenate([x, x]), seeds, y, LENGTHS)
        means.append(model.settings[:, 1].mean() * (model.unit * model.spread) ** 2)  # points, near the top
    assert means[1] < 2.5 * means[0]  # what the compression bends is left; counted as noise it was 3.2 times


def test_what_diverges_counts_as_no_right_answer() -> None:
    model = Model.of(*made_up(), LENGTHS)
    assert model.accuracy(np.array(model.lost)) == pytest.approx(0, abs=1e-9)
    worth = model.worth(np.array([1.0, 1.0]), np.array([1.0, 0.0]))
    np.testing.assert_allclose(worth, [1.0, model.lost])


def test_hundreds_of_runs_are_weighed_in_parts_that_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    x, seeds, y = made_up()
    model = Model.of(x, seeds, y, LENGTHS)
    whole = model._likelihood(model.settings)
    monkeypatch.setattr(gaussian_process, "AT_ONCE", 5 * len(x) ** 2)
    np.testing.assert_allclose(model._likelihood(model.settings), whole, rtol=1e-12)
    rng = np.random.default_rng(5)
    many = rng.random((400, 2))
    found = Model.of(many, [i % 3 for i in range(400)], 90 - 20 * (many[:, 0] - 0.3) ** 2, LENGTHS)
    best = many[found.means(many).mean(axis=0).argmax()]
    assert best[0] == pytest.approx(0.3, abs=0.02)

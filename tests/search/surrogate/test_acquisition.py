"""The acquisition function against integrals worked out another way, and on records whose answer is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from tests.search.surrogate.test_gaussian_process import LENGTHS, made_up
from tests.search.surrogate.test_posterior import hill, posterior, run
from tosmooth.search.records import Record
from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.scales import symlog
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.surrogate.acquisition import LITTLE, Acquisition, knowledge_gradient
from tosmooth.search.surrogate.feasibility import Chances
from tosmooth.search.surrogate.gaussian_process import KEPT, Model


def acquisition(records: list[Record], spec: StudySpec | None = None) -> Acquisition:
    return Acquisition(posterior(records, spec))


def gain(found: Acquisition, rate: float, warmup: int) -> float:
    """Knowledge gradient of one more trial at the candidate nearest to this."""
    return float(found.gains[found.posterior.index({"rate": rate, "warmup": warmup})])


def sure(points: int, asked: int) -> Chances:
    """Nothing diverges."""
    return Chances(np.ones(points), np.ones((points, asked)), np.ones((points, asked)))


def test_gain_is_what_an_integral_over_the_outcome_gives() -> None:
    model = Model.of(*made_up(), LENGTHS)
    points = np.random.default_rng(4).random((20, 2))
    setting = model.settings[0]
    (ours,) = knowledge_gradient(replace(model, settings=setting[None]), points, [5], sure(20, 1))
    mean, covariance = model.joint(setting, points)
    step = covariance[:, 5] / np.sqrt(covariance[5, 5] + setting[0] * setting[2] + setting[1])
    z = np.linspace(-8, 8, 4001)
    after = (mean[:, None] + step[:, None] * z).max(axis=0)
    integral = np.trapezoid(after * norm.pdf(z), z) - mean.max()
    # Nine nodes stand for the integral: within a tenth of it where it is not tiny.
    assert ours == pytest.approx(integral * model.spread * model.unit, rel=0.15, abs=2e-4)


def test_gain_counts_that_a_trial_may_diverge_and_what_that_would_say() -> None:
    model = Model.of(*made_up(), LENGTHS)
    model = replace(model, settings=model.settings[:1])
    points = np.random.default_rng(4).random((20, 2))
    (whole,) = knowledge_gradient(model, points, [5], sure(20, 1))
    mean = model.means(points)[0]
    best = int(mean.argmax())
    # Where a trial surely diverges, and this takes the best away: its loss; where it changes nothing: nothing.
    now, without = np.ones(20), np.ones((20, 1))
    now[5], without[best] = 0.0, 0.0
    second = np.sort(mean)[-2]
    (loss,) = knowledge_gradient(model, points, [5], Chances(now, np.ones((20, 1)), without))
    assert loss == pytest.approx((max(second, model.lost) - mean[best]) * model.spread * model.unit)
    assert knowledge_gradient(model, points, [5], Chances(now, np.ones((20, 1)), np.ones((20, 1)))) == pytest.approx(0)
    half = np.ones(20)
    half[5] = 0.5
    (gain,) = knowledge_gradient(model, points, [5], Chances(half, np.ones((20, 1)), np.ones((20, 1))))
    assert gain == pytest.approx(whole / 2)


def test_gain_is_never_negative_and_nothing_where_all_is_known() -> None:
    model = Model.of(*made_up(), LENGTHS)
    gains = knowledge_gradient(model, np.vstack([model.x, [[0.3, 0.5]]]), range(13), sure(13, 13))
    assert (gains >= -1e-12).all()
    assert len(model.settings) == KEPT


def test_a_trial_is_worth_less_where_it_may_diverge() -> None:
    rising = hill(-8.0, (0.0, 0.1, -0.5, -1.0, -2.0, -3.0, -4.0))
    safe, unsafe = acquisition(rising), acquisition([*rising, run(7, -6.0, 50.0, warmup=0, state="diverged")])
    assert gain(unsafe, -8.0, 0) < 0.1 * gain(safe, -8.0, 0)


def test_gain_is_largest_where_most_is_to_be_learned() -> None:
    # Known from 0 to 0.8, where the best so far lies on the edge of what is unknown.
    found = acquisition(hill(-1.4, (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, -0.2, -0.4)))
    assert gain(found, -1.4, 0) > 5 * gain(found, 0.6, 1)
    assert found.posterior.candidates[int(found.gains.argmax())]["rate"] < -0.4


def test_next_trial_is_no_repeat_where_no_trial_would_change_the_choice() -> None:
    # Many seeds of the best and of cross-entropy: nothing is to be gained there, and nothing elsewhere by one trial.
    records = [run(i, rate, 80 - 30 * (rate == 0.0), seed=i) for i, rate in enumerate([-1.4, 0.0] * 20)]
    found = acquisition([*records, run(40, 0.8, 40.0), run(41, -8.0, 40.0, warmup=2)])
    assert found.suggest([]) not in ({"rate": 0.0, "warmup": 0}, {"rate": 0.8, "warmup": 0})
    first = found.suggest([])
    assert found.suggest([first]) != first


def test_where_little_is_to_be_gained_trials_narrow_the_interval_of_the_best_rate() -> None:
    # The top is well known, and nobody looked below -0.4: unlikely to be better, it keeps the interval wide. Widths are
    # steps of the candidates' grid, and a processor's last digits can move one by a step: so several noises are drawn.
    hills = [hill(-0.2, (0.0, 0.1, 0.4, 0.8, -0.2, -0.4, 0.2, -0.1), seed=seed) for seed in range(3)]

    def width_after(known: list[Record], pick: Callable[[Acquisition], Params]) -> float:
        records = list(known)
        for number in range(20, 25):
            params = pick(acquisition(records))
            accuracy = 80 - 2 * abs(symlog(params["rate"]) - symlog(-0.2))
            records.append(run(number, params["rate"], accuracy, params["warmup"]))
        return posterior(records).width

    for known in hills:
        found = acquisition(known)
        assert found.gains.max() < LITTLE
        assert found.suggest([])["rate"] <= -2
    most = [width_after(known, lambda ours: ours.suggest([])) for known in hills]
    gaining = [width_after(known, lambda o: o.posterior.candidates[int(o.gains.argmax())]) for known in hills]
    best = [width_after(known, lambda ours: ours.posterior.best) for known in hills]
    for others in (gaining, best):
        assert all(ours < other for ours, other in zip(most, others, strict=True))
        assert sum(most) < 0.75 * sum(others)


def test_last_trials_look_beside_the_best_and_at_nothing_that_no_trial_is_left_to_use() -> None:
    # On ten classes 0.8 was tried and 0.1, and nothing between: a search went on with seeds of 0.8, and 0.6 was better.
    known = [(0.0, 0, 60.4), (0.1, 0, 62.1), (-0.5, 1, 59.8), (0.8, 0, 67.7), (-4.0, 2, 51.8), (-1.0, 1, 61.1)]
    few = [
        run(i, rate, value, warmup, i)
        for i, (rate, warmup, value) in enumerate([*known, (0.8, 2, 65.8), (0.8, 0, 66.9)])
    ]
    last = acquisition(few).race([])
    assert 0.1 < last["rate"] < 0.8
    # Of two configurations alone, both tried, the last trials are seeds of these.
    spec = load_study("twonorm", ["space={rate: {values: [0, 0.1]}, warmup: {values: [0]}}"])
    two = [run(i, 0.1 * (i % 2), 80 + i % 3, 0, seed=i) for i in range(6)]
    assert acquisition(two, spec).race([])["rate"] in (0.0, 0.1)


def test_a_search_of_listed_rates_that_knows_the_best_tries_what_may_still_be_better() -> None:
    spec = load_study("twonorm", ["space={rate: {values: [-2, -1, 0, 0.4]}, warmup: {values: [0]}}"])
    noise = np.random.default_rng(0).normal(0, 0.2, 24)
    values = [(rate, 80 + 5 * (rate == -1) + noise[i]) for i, rate in enumerate((0.0, -1.0, 0.4) * 8)]
    records = [run(i, rate, value, seed=i // 3 % 3) for i, (rate, value) in enumerate(values)]
    found = acquisition([*records, run(24, -2.0, 79.0)], spec)  # tried once, it may be better than that
    assert found.posterior.interval[0] > -2
    assert found.suggest([])["rate"] not in (0.0, 0.4)

"""The forecast of the loss after further trials, on records made up so that the answer is known."""

import numpy as np
import pytest

from tests.search.surrogate.test_posterior import hill, posterior, run
from tosmooth.search.records import Record
from tosmooth.search.spec.scales import symlog
from tosmooth.search.surrogate.forecast import losses_after


def undecided() -> list[Record]:
    """Few trials, far apart, of a hill whose top none of them met."""
    return hill(-1.4, rates=(0.0, 0.1, -8.0, -4.0, 0.8, -0.2))


def test_more_trials_leave_less() -> None:
    found = posterior(undecided())
    losses = [found.loss(), *losses_after(found, (2, 8, 32))]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 0.1
    assert losses[-1] < losses[0] / 2
    assert losses_after(found, (8,)) == losses_after(found, (2, 8))[1:]


def test_a_decided_level_has_little_to_lose() -> None:
    assert posterior(hill(-1.4, noise=0.01)).loss() < posterior(hill(-1.4, noise=1.5)).loss()
    assert posterior(hill(-1.4)).loss() < posterior(undecided()).loss() / 3


def test_forecast_is_what_trials_really_leave() -> None:
    # 40 hills with tops all over the space; six trials each, then eight more where Thompson sampling puts them.
    random = np.random.default_rng(0)
    expected, real, after, left = [], [], [], []
    for seed, top in enumerate(random.uniform(symlog(-8), symlog(0.8), 40)):

        def accuracy(rate: float, top: float = top) -> float:
            return 80 - 2 * abs(symlog(rate) - top)

        def trial(number: int, rate: float, warmup: int) -> Record:
            return run(number, rate, accuracy(rate) + 0.3 * random.standard_normal(), warmup, seed)  # noqa: B023

        rates = (0.0, 0.1, -8.0, -4.0, 0.8, -0.2)
        records = [trial(i, rate, 0) for i, rate in enumerate(rates)]
        found = posterior(records)
        expected.append(found.loss())
        real.append(80 - accuracy(found.best["rate"]))
        after += losses_after(found, (8,))
        records += [trial(6 + i, each["rate"], each["warmup"]) for i, each in enumerate(found.draws(8))]
        left.append(80 - accuracy(posterior(records).best["rate"]))
    assert np.mean(real) / 3 < np.mean(expected) < np.mean(real) * 3
    assert np.mean(left) / 3 < np.mean(after) < np.mean(left) * 3


@pytest.mark.parametrize("rate", [-8.0, 0.8])
def test_runner_up_is_the_best_that_lies_far_off(rate: float) -> None:
    found = posterior([*hill(-1.4), run(30, rate, 79.0, 1, seed=40)])
    runner_up = found.runner_up(found.best)
    assert runner_up is not None
    assert abs(symlog(runner_up["rate"]) - symlog(found.best["rate"])) > 1
    assert found.behind(found.best, runner_up) > 0
    assert found.runner_up({"rate": 0.0, "warmup": 0}) is not None

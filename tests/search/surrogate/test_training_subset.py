"""What a cell's model is given: all of a usual search, and no more than so much of any."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.search.surrogate.test_posterior import run
from tests.search.tools import gls
from tosmooth.search.records import Record, Score
from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.scales import symlog
from tosmooth.search.surrogate.acquisition import Acquisition
from tosmooth.search.surrogate.fitting import acquisition_of, fit, search_model
from tosmooth.search.surrogate.training_subset import BEST, FIRST, GROWTH, MOST, RECENT, TrainingSubset

SPEC = load_study("twonorm")


def records(count: int, diverged: int = 0) -> list[Record]:
    """A search whose rates are spread evenly, best at -1.4; every so many trials one that diverged."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(count):
        rate = float(f"{0.8 - 4 * (i * 0.618 % 1):.4g}")
        value = 80 - 2 * abs(symlog(rate) - symlog(-1.4)) + 0.3 * rng.standard_normal()
        state = run(i, rate, value, i % 3, seed=i % 3)
        found.append(replace(state, state="diverged") if diverged and i % diverged == diverged - 1 else state)
    return found


def numbers(telling: TrainingSubset) -> list[int]:
    return [record.number for record in telling.records()]


def test_up_to_the_bound_every_trial_is_given_in_whatever_order_they_ended() -> None:
    found = records(MOST, diverged=3)
    shuffled = found.copy()
    random.Random(0).shuffle(shuffled)
    for order in (found, shuffled):
        telling = TrainingSubset(Score())
        for record in order:
            telling.add(record)
            assert not telling.since
        assert telling.records() == found
        assert telling.completed is None


def test_up_to_the_bound_the_model_is_that_of_all_trials() -> None:
    found = records(60, diverged=7)
    model, all_of_them = search_model(gls(SPEC), found), fit(gls(SPEC), found)
    assert model is not None
    assert all_of_them is not None
    assert model.candidates == all_of_them.candidates
    assert (model.best, model.interval) == (all_of_them.best, all_of_them.interval)
    assert (Acquisition(model).gains == Acquisition(all_of_them).gains).all()


def test_pruned_trials_share_the_places_of_the_complete_ones() -> None:
    found = records(1000, diverged=4)
    found = [
        replace(each, state="pruned") if i % 3 == 0 and each.state == "complete" else each
        for i, each in enumerate(found)
    ]
    telling = TrainingSubset.of(found, Score())
    kinds = Counter(record.state for record in telling.records())
    assert kinds["diverged"] <= MOST
    assert MOST * 0.8 < kinds["complete"] + kinds["pruned"] <= MOST
    assert kinds["pruned"] > MOST / 5
    assert telling.completed == sum(record.state == "complete" for record in found)


@pytest.mark.parametrize("count", [MOST + 1, 1000, 20_000])
def test_beyond_the_bound_the_model_has_no_more_trials_however_many_there_are(count: int) -> None:
    telling = TrainingSubset.of(records(count, diverged=4), Score())
    given = telling.records()
    for state in ("complete", "diverged"):
        assert sum(record.state == state for record in given) <= MOST
    assert len(given) > MOST // 2
    assert telling.completed == count - count // 4


def test_the_size_of_the_model_is_that_of_its_bound() -> None:
    sizes = []
    for count in (MOST, 1000, 3000):
        model = search_model(gls(SPEC), records(count))
        assert model is not None
        sizes.append((len(model.model.x), len(model.candidates)))
    runs, candidates = zip(*sizes, strict=True)
    assert runs[0] == MOST
    assert max(runs) == MOST
    assert max(candidates) <= candidates[0]


def test_the_first_the_latest_and_the_best_are_given_and_the_others_are_thinned_evenly() -> None:
    found = records(5000)
    given = numbers(TrainingSubset.of(found, Score()))
    assert given[:FIRST] == list(range(FIRST))
    assert given[-RECENT:] == list(range(5000 - RECENT, 5000))
    best = sorted(range(5000), key=lambda i: -(found[i].last("val_accuracy") or 0))[:BEST]
    assert set(best) <= set(given)
    others = sorted(set(given) - set(best) - set(range(FIRST)))[:-RECENT]
    steps = np.diff(others)
    assert len(others) > MOST - FIRST - RECENT - 2 * BEST
    assert steps.max() <= 2 * (5000 // (MOST - FIRST - RECENT - BEST) + 1)


def test_beyond_the_bound_a_model_is_made_anew_only_when_the_trials_have_grown_by_a_share() -> None:
    telling, made, before = TrainingSubset(Score()), [], None
    for i, record in enumerate(records(20_000), 1):
        telling.add(record)
        if telling.records() is not before and i > MOST:
            made.append(i)
            before = telling.records()
        assert len(telling.since) <= max(1, i // GROWTH)
    assert made[:2] == [MOST + 1, MOST + 1 + (MOST + 1) // GROWTH]
    assert len(made) < 400


def test_a_search_taken_up_again_goes_on_with_the_model_it_had() -> None:
    found = records(700)
    undisturbed = TrainingSubset(Score())
    for count, record in enumerate(found, 1):
        undisturbed.add(record)
        if count in (193, 450, 451, 699):
            again = TrainingSubset(Score())
            for each in found[:count]:
                again.add(each)
            assert again.records() == undisturbed.records()
            assert again.since == undisturbed.since


def test_a_bounded_model_still_finds_the_best_rate() -> None:
    model = search_model(gls(SPEC), records(5000))
    assert model is not None
    assert -2 < model.best["rate"] < -1
    assert model.interval[0] <= -1.4 <= model.interval[1]


def test_where_all_candidates_are_being_tried_those_tried_the_least_come_next() -> None:
    acquisition = acquisition_of(gls(SPEC), TrainingSubset.of(records(40), Score()))
    assert acquisition is not None
    candidates, tried = acquisition.posterior.candidates, list[Params]()
    for _ in range(2 * len(candidates)):
        tried.append(acquisition.suggest(tried))
    assert sorted(acquisition.posterior.index(params) for params in tried) == sorted([*range(len(candidates))] * 2)

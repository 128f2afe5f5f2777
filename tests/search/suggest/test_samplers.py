"""Asking a sampler without writing a trial: the same proposal as Optuna's own `ask`, and nothing left there."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from tosmooth.search.storage.cached_storage import CachedStorage
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.suggest.samplers import BEST, LATEST, MOST, ask, make_sampler, told

SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(-4, 1),
    "warmup": IntDistribution(0, 8),
    "batch": CategoricalDistribution([32, 64]),
}


def trial(number: int, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    rate = -4 + 5 * ((number * 0.618) % 1)
    return create_trial(
        state=state,
        params={"rate": rate, "warmup": number % 9, "batch": 32 if number % 2 else 64},
        distributions=SPACE,
        value=None if state == TrialState.RUNNING else -abs(rate + 1),
    )


def filled(storage: BaseStorage, count: int, running: int = 0) -> optuna.Study:
    study = optuna.create_study(storage=storage, study_name="cell", direction="maximize")
    study.add_trials([trial(number) for number in range(count)])
    study.add_trials([trial(count + number, TrialState.RUNNING) for number in range(running)])
    return study


@pytest.mark.parametrize("name", ["tpe", "gp", "random"])
@pytest.mark.parametrize(("ended", "running"), [(4, 0), (30, 0), (30, 3)])
def test_proposal_is_that_of_optunas_own_ask(name: str, ended: int, running: int, tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "journal.log")
    filled(storage, ended, running)
    proposed = ask(make_sampler(name, 7), storage, "cell", ended + running, SPACE)
    own = filled(optuna.storages.InMemoryStorage(), ended, running)
    own.sampler = make_sampler(name, 7)
    assert proposed == own.ask(SPACE).params


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_asking_writes_nothing(name: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    storage = open_storage(None, journal)
    filled(storage, 20)
    before = journal.read_bytes()
    ask(make_sampler(name, 0), storage, "cell", 20, SPACE)
    assert journal.read_bytes() == before


def test_trials_that_ended_since_the_last_question_count(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "journal.log")
    study = filled(storage, 20)
    first = ask(make_sampler("tpe", 3), storage, "cell", 20, SPACE)
    study.add_trials([trial(number) for number in range(20, 40)])
    assert ask(make_sampler("tpe", 3), storage, "cell", 20, SPACE) != first


@pytest.mark.parametrize("name", ["tpe", "gp", "random"])
def test_where_there_is_one_choice_no_sampler_is_asked(name: str, tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "journal.log")
    filled(storage, 20)
    proposed = ask(make_sampler(name, 0), storage, "cell", 20, SPACE | {"depth": CategoricalDistribution([2])})
    assert proposed.keys() == {*SPACE, "depth"}
    assert proposed["depth"] == 2


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_sampler_is_told_of_no_more_trials_than_its_bound_the_best_and_the_latest_among_them(name: str) -> None:
    storage, most = CachedStorage(optuna.storages.InMemoryStorage()), MOST[name]
    study = filled(storage, 3 * most.ended, running=most.running + 5)
    kept = storage.trials(study._study_id)
    given = told(kept, most)
    numbers = [each.number for each in given]
    assert numbers == sorted(set(numbers))
    ended = [each for each in given if each.state == TrialState.COMPLETE]
    assert most.ended // 2 < len(ended) <= most.ended
    assert len(given) - len(ended) == most.running
    assert {each.number for each in ended} >= {*range(3 * most.ended - LATEST, 3 * most.ended)}
    best = sorted(range(3 * most.ended), key=lambda number: -(trial(number).value or 0))[:BEST]
    assert {each.number for each in ended} >= set(best)


def test_up_to_its_bound_a_sampler_is_told_of_every_trial() -> None:
    storage = CachedStorage(optuna.storages.InMemoryStorage())
    study = filled(storage, MOST["gp"].ended, running=MOST["gp"].running)
    assert told(storage.trials(study._study_id), MOST["gp"]) == study.get_trials(deepcopy=False)


def test_beyond_its_bound_tpe_still_proposes_near_the_best() -> None:
    storage = CachedStorage(optuna.storages.InMemoryStorage())
    count = 2 * MOST["tpe"].ended
    filled(storage, count)
    rates = [ask(make_sampler("tpe", seed), storage, "cell", count, SPACE)["rate"] for seed in range(20)]
    assert sum(abs(rate + 1) < 0.1 for rate in rates) > 15

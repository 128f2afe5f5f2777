"""A storage whose trials are kept at hand says what the storage itself says, and asks it for nothing twice."""

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from tosmooth.search.storage.cached_storage import CachedStorage
from tosmooth.search.storage.opening import open_storage


def started(rate: float) -> FrozenTrial:
    return create_trial(
        state=TrialState.RUNNING,
        params={"rate": rate},
        distributions={"rate": FloatDistribution(-8, 1)},
        user_attrs={"train_seed": 1},
    )


def played(storage: BaseStorage) -> optuna.Study:
    """A study with trials in every state, each told all that a trial is told."""
    study = optuna.create_study(storage=storage, study_name="cell", direction="maximize")
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING)
    for number in range(8):
        study.add_trial(started(-number / 2))
        trial = optuna.trial.Trial(study, study.get_trials(deepcopy=False)[-1]._trial_id)
        for epoch in (1, 2):
            trial.report(number + epoch / 10, epoch)
        trial.set_user_attr("diverged", number == 4)
        if (state := states[number % 4]) != TrialState.RUNNING:
            study.tell(number, 50.0 + number if state == TrialState.COMPLETE else None, state)
    return study


@pytest.mark.parametrize("kind", ["journal", "database"])
def test_what_is_kept_is_what_the_storage_says(kind: str, tmp_path: Path) -> None:
    url = None if kind == "journal" else f"sqlite:///{tmp_path / 'optuna.db'}"
    storage = CachedStorage(open_storage(url, tmp_path / "journal.log"))
    study = played(storage)
    theirs = optuna.load_study(study_name="cell", storage=open_storage(url, tmp_path / "journal.log")).trials
    assert study.trials == theirs
    for number, trial in enumerate(theirs):
        assert storage.get_trial(trial._trial_id) == trial
        assert storage.get_trial_id_from_study_id_trial_number(study._study_id, number) == trial._trial_id
    kept = storage.trials(study._study_id)
    assert [trial.number for trial in kept.ended] == [0, 1, 2, 4, 5, 6]
    assert list(kept.running) == [3, 7]
    assert kept.ranked == [(-54.0, 4), (-50.0, 0)]
    assert [trial.number for trial in study.get_trials(states=(TrialState.PRUNED,))] == [1, 5]
    again = CachedStorage(open_storage(url, tmp_path / "journal.log"))
    assert optuna.load_study(study_name="cell", storage=again).trials == theirs


def test_a_list_of_trials_stays_as_it_was_when_it_was_asked_for(tmp_path: Path) -> None:
    study = played(CachedStorage(open_storage(None, tmp_path / "journal.log")))
    before = study.get_trials(deepcopy=False)
    study._storage.set_trial_user_attr(before[3]._trial_id, "failures", 1)
    study.add_trial(started(0.5))
    assert len(before) == 8
    assert "failures" not in before[3].user_attrs
    assert study.get_trials(deepcopy=False)[3].user_attrs["failures"] == 1


def test_a_trial_that_is_not_there_is_refused(tmp_path: Path) -> None:
    storage = CachedStorage(open_storage(None, tmp_path / "journal.log"))
    study = played(storage)
    with pytest.raises(KeyError):
        storage.get_trial_id_from_study_id_trial_number(study._study_id, 8)


class Counting:
    """A storage that counts what it is asked for."""

    def __init__(self, storage: BaseStorage) -> None:
        self.storage, self.asked = storage, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self.storage, name)


def test_reads_of_a_thousand_trials_are_not_repeated(tmp_path: Path) -> None:
    counting = Counting(open_storage(None, tmp_path / "journal.log"))
    study = played(CachedStorage(counting))  # type: ignore[arg-type] # it hands on all that a storage has
    counting.asked.clear()
    for _ in range(1000):
        study.get_trials(deepcopy=False)
    assert not counting.asked.total()

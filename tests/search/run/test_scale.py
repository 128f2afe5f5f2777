"""What a new trial asks of a study does not grow with the trials there are: calls and models are counted."""

from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import scale
from virtual_cluster import VirtualCluster

from tosmooth.search.records import Record
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.history import History
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.trial_store import Store
from tosmooth.search.surrogate.posterior import Posterior
from tosmooth.search.surrogate.training_subset import MOST


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def fitted(folder: Path, spec: StudySpec, workers: int) -> list[tuple[int, int]]:
    """Of every model that a study has fitted: the trials that had ended, and the runs that it was given."""
    store = Store(spec, open_storage(None, folder / "journal.log"))
    searcher = scale.opened(spec, store, History(folder / "history.jsonl"), folder, workers)
    cluster, found = VirtualCluster(searcher), []

    def fit(spec: StudySpec, records: list[Record], completed: int | None = None) -> Posterior | None:
        found.append((cluster.ended, len(records)))
        return None

    with mock.patch("tosmooth.search.surrogate.fitting.fit", fit):
        cluster.run()
    return found


def test_models_of_a_long_search_stay_as_large_as_their_bound_and_are_made_ever_less_often(tmp_path: Path) -> None:
    spec = scale.study("posterior", 1200, 1, "none")
    models = fitted(tmp_path, spec, 4)
    assert max(runs for _, runs in models) <= 2 * MOST
    made = Counter(ended // 100 for ended, runs in models if runs)
    assert made[11] <= 10  # of 100 trials: one for each 64th of a thousand, and those of the confirmation
    assert made[6] <= 15


def test_a_study_of_many_cells_does_not_fit_all_of_them_for_each_trial(tmp_path: Path) -> None:
    # More cells than models are kept of: a trial that ends changes its own cell, and what its neighbours propose.
    spec = scale.study("posterior", 10, 24, "none")
    models = fitted(tmp_path, spec, 4)
    assert len(models) < 6 * 10 * 24


def test_pruner_and_sampler_ask_the_storage_for_nothing_that_it_has_said(tmp_path: Path) -> None:
    asked: Counter[str] = Counter()
    storage = open_storage(None, tmp_path / "journal.log")
    original: Any = storage.get_all_trials

    def get_all_trials(*arguments: Any, **named: Any) -> Any:
        asked["all trials"] += 1
        return original(*arguments, **named)

    spec = scale.study("tpe", 60, 2, "median")
    with mock.patch.object(storage, "get_all_trials", get_all_trials):
        store = Store(spec, storage)
        searcher = scale.opened(spec, store, History(tmp_path / "history.jsonl"), tmp_path, 8)
        VirtualCluster(searcher).run()
    assert asked["all trials"] <= 2 * len(spec.cells())  # once for each of Optuna's studies

"""Asking a sampler what to try next, about a trial that is not in the storage: it leaves no trace there.

Nor is it shown more trials than it can take. TPE goes through all it is given, Optuna's GP takes their cube: beyond
`MOST` that ended they are given the latest, the best, and an even thinning of the others in order of number. With that
TPE calls the same trials good as before (never more than 25), weighs the latest 25 as it did, and the others stand for
those left out, on the same ramp of weights.
"""

import copy
import sys
from collections.abc import Callable, Container, Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tosmooth.search.spec.plugins import Plugin
from tosmooth.search.storage.cached_storage import CachedStorage, CachedTrials
from tosmooth.search.suggest.plugins import make_plugin

LATEST, BEST = 25, 25
UNWRITTEN = -1  # id of the trial that is asked for


class Bound(NamedTuple):
    """Number of trials that a sampler is told of."""

    ended: int
    running: int


MOST = {"tpe": Bound(1000, 0), "gp": Bound(192, 192)}  # TPE as it is made here asks for none that run
ALL = Bound(sys.maxsize, sys.maxsize)  # what a sampler that is named by its class does with them is not known


def make_sampler(name: str | Plugin, seed: int) -> BaseSampler:
    """Make the sampler that a study file names. Raises as `make_plugin` does."""
    if isinstance(name, Mapping):
        made: BaseSampler = make_plugin("search.sampler", name, BaseSampler, seed)
        return made
    makers: dict[str, Callable[[], BaseSampler]] = {
        "tpe": lambda: TPESampler(seed=seed),
        "gp": lambda: GPSampler(seed=seed),
        "random": lambda: RandomSampler(seed=seed),
        "posterior": lambda: RandomSampler(seed=seed),  # asked only while there are too few trials for a posterior
        "grid": lambda: RandomSampler(seed=seed),  # never asked: a grid is initial points alone
    }
    return makers[name]()


def ask(
    sampler: BaseSampler,
    storage: BaseStorage,
    study_name: str,
    number: int,
    distributions: Mapping[str, BaseDistribution],
    notes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Ask the sampler for trial `number` of a study, by the steps of `Study.ask`.

    `notes` takes what it notes of that trial, for the next times that it is asked: CMA-ES keeps its state there. Given,
    the sampler may be of any class, and sees all trials; else it is one of those that `make_sampler` knows by name.

    That itself would write the trial first and its parameters one by one: a kill between two of them would leave a
    trial proposed by half. A copy of the study in memory would do as well, but takes 30 ms to fill with 1,000 trials.
    """
    # A new object each time: Optuna's remembers the trials as they were when it was last asked.
    most = MOST["gp" if isinstance(sampler, GPSampler) else "tpe"]  # a random one asks for no trials at all
    view = _View(storage, most) if notes is None else _View(storage, ALL, notes)
    study = optuna.load_study(study_name=study_name, storage=cast(BaseStorage, view))
    trial = _unwritten(number)
    sampler.before_trial(study, trial)
    if notes is None:
        space = _relative_space(sampler, study, trial, distributions)
    else:
        space = sampler.infer_relative_search_space(study, trial)
    sampled = sampler.sample_relative(study, trial, space)
    for name, kind in distributions.items():
        if isinstance(kind, CategoricalDistribution) and kind.single():
            sampled[name] = kind.choices[0]  # samplers are not asked where there is no choice
        elif name not in sampled:
            sampled[name] = sampler.sample_independent(study, trial, name, kind)
    return sampled


def _relative_space(
    sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]
) -> dict[str, BaseDistribution]:
    """Distributions that the sampler draws together. For TPE, which would go through all trials, the search space."""
    if isinstance(sampler, TPESampler):
        return {name: kind for name, kind in sorted(distributions.items()) if not kind.single()}
    return sampler.infer_relative_search_space(study, trial)


class _View:
    """Storage as a sampler may use it: what it notes of the unwritten trial goes into `notes`, or is dropped."""

    def __init__(self, storage: BaseStorage, most: Bound, notes: dict[str, Any] | None = None) -> None:
        self._storage = storage if isinstance(storage, CachedStorage) else CachedStorage(storage)
        self._most, self._notes = most, notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials, or those that stand for them."""
        trials = told(self._storage.trials(study_id), self._most)
        found = trials if states is None else [trial for trial in trials if trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def set_trial_system_attr(self, trial_id: int, key: str, value: object) -> None:
        """Take a note of the unwritten trial; of others they are written."""
        if trial_id != UNWRITTEN:
            self._storage.set_trial_system_attr(trial_id, key, value)
        elif self._notes is not None:
            self._notes[key] = value


def told(trials: CachedTrials, most: Bound) -> list[FrozenTrial]:
    """Thin the trials out: at most so many that ended, and the latest of those that run, in order of number."""
    running = {*list(trials.running)[len(trials.running) - min(most.running, len(trials.running)) :]}
    if len(trials.ended) <= most.ended:
        return [trial for trial in trials.all if trial.state.is_finished() or trial.number in running]
    places = most.ended - LATEST - BEST
    even = (i * len(trials.all) // places for i in range(places))
    latest = (trial.number for trial in trials.ended[-LATEST:])
    ended = {*even, *latest, *(number for _, number in trials.ranked[:BEST])} - trials.running.keys()
    return [trials.all[number] for number in sorted(ended | running)]


def _unwritten(number: int) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=UNWRITTEN,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )

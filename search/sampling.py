"""What a sampler would try next. It is asked about a trial that is not in the storage, and leaves no trace there."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState


def make_sampler(name: str, seed: int) -> BaseSampler:
    """The sampler of a study file."""
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
) -> dict[str, Any]:
    """What the sampler proposes for trial `number` of a study, by the steps of `Study.ask`.

    That itself would write the trial first and its parameters one by one: a kill between two of them would leave a
    trial proposed by half. A copy of the study in memory would do as well, but takes 30 ms to fill with 1,000 trials.
    """
    # A new object each time: Optuna's remembers the trials as they were when it was last asked.
    study = optuna.load_study(study_name=study_name, storage=cast(BaseStorage, _View(storage)))
    trial = _unwritten(number)
    sampler.before_trial(study, trial)
    sampled = sampler.sample_relative(study, trial, _relative_space(sampler, study, trial, distributions))
    for name, kind in distributions.items():
        if isinstance(kind, CategoricalDistribution) and kind.single():
            sampled[name] = kind.choices[0]  # samplers are not asked where there is no choice
        elif name not in sampled:
            sampled[name] = sampler.sample_independent(study, trial, name, kind)
    return sampled


def _relative_space(
    sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]
) -> dict[str, BaseDistribution]:
    """What the sampler draws together. TPE would go through all trials to find what they share: it is the space."""
    if isinstance(sampler, TPESampler):
        return {name: kind for name, kind in sorted(distributions.items()) if not kind.single()}
    return sampler.infer_relative_search_space(study, trial)


class _View:
    """A storage as a sampler may use it: what it notes of the unwritten trial, for other processes, is dropped."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: object) -> None:
        """Nothing, see above."""


def _unwritten(number: int) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=-1,
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

"""Optuna's storage with its trials kept in memory: the one process that writes them need not read them again.

Optuna asks for all trials of a study again and again. Each time it makes a list of them, and from a database it reads
every running trial with all its values: for a thousand running trials that takes longer than all else in the driver.
Here a study's trials are read once, and then updated by what is written.
"""

import copy
from bisect import insort
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from tosmooth.search.spec.former_words import METHOD, SAMPLED, renewed_sampled
from tosmooth.trainables.former_words import renewed

# Attributes of an Optuna trial: its parameters as `search.spec.parameters` has them; `Record.trained_as`.
PARAMS, TRAINED_AS = "params", "trained_as"


@dataclass(slots=True)
class CachedTrials:
    """Trials of one Optuna study."""

    all: list[FrozenTrial] = field(default_factory=list)  # by number
    ended: list[FrozenTrial] = field(default_factory=list)  # in the order in which they did; those read, by number
    running: dict[int, FrozenTrial] = field(default_factory=dict)  # by number
    ranked: list[tuple[float, int]] = field(default_factory=list)  # complete ones, the highest value first, and numbers

    def put(self, trial: FrozenTrial) -> None:
        """Take in a new trial, or a new state of one. Trials are never changed once they are here."""
        if trial.number == len(self.all):
            self.all.append(trial)
        else:
            self.all[trial.number] = trial
        if trial.state.is_finished():
            self.running.pop(trial.number, None)
            self.ended.append(trial)
            if trial.state == TrialState.COMPLETE and trial.value is not None:
                insort(self.ranked, (-trial.value, trial.number))
        else:
            self.running[trial.number] = trial


class CachedStorage(BaseStorage):
    """Storage to which no other process writes while this object lives; what others wrote before is read."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._studies: dict[int, CachedTrials] = {}
        self._study_of: dict[int, int] = {}  # by trial
        self._number_of: dict[int, int] = {}  # by trial
        self._ids: dict[str, int] = {}  # of studies, by name
        self._directions: dict[int, list[StudyDirection]] = {}  # of studies

    def trials(self, study_id: int) -> CachedTrials:
        """Trials of a study, kept up to date by this object; not to be changed."""
        if study_id not in self._studies:
            self._studies[study_id] = CachedTrials()
            for trial in self._storage.get_all_trials(study_id, deepcopy=False):
                self._put(study_id, trial)
        return self._studies[study_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self.trials(study_id).all
        found = list(trials) if states is None else [trial for trial in trials if trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id not in self._study_of:
            return _renewed(self._storage.get_trial(trial_id))
        return self._kept(trial_id)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        trials = self.trials(study_id).all
        if not 0 <= trial_number < len(trials):
            raise KeyError(f"no trial {trial_number} in study {study_id}")
        return trials[trial_number]._trial_id

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self.trials(study_id)  # read before it is there, else it would be taken in twice
        trial_id = self._storage.create_new_trial(study_id, template_trial)
        self._put(study_id, self._storage.get_trial(trial_id))
        return trial_id

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._storage.set_trial_intermediate_value(trial_id, step, intermediate_value)
        if trial_id in self._study_of:
            trial = copy.copy(self._kept(trial_id))
            trial.intermediate_values = {**trial.intermediate_values, step: intermediate_value}
            self._put(self._study_of[trial_id], trial)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(trial_id, key, value)
        if trial_id in self._study_of:
            trial = copy.copy(self._kept(trial_id))
            trial.user_attrs = {**trial.user_attrs, key: value}
            self._put(self._study_of[trial_id], trial)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._storage.set_trial_system_attr(trial_id, key, value)
        self._read(trial_id)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        self._storage.set_trial_param(trial_id, param_name, param_value_internal, distribution)
        self._read(trial_id)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        done = self._storage.set_trial_state_values(trial_id, state, values)
        self._read(trial_id)
        return done

    def delete_study(self, study_id: int) -> None:
        self._storage.delete_study(study_id)
        self._studies.pop(study_id, None)
        self._ids = {name: known for name, known in self._ids.items() if known != study_id}

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return self._storage.create_new_study(directions, study_name)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._storage.set_study_user_attr(study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._storage.set_study_system_attr(study_id, key, value)

    def get_study_id_from_name(self, study_name: str) -> int:
        if study_name not in self._ids:
            self._ids[study_name] = self._storage.get_study_id_from_name(study_name)
        return self._ids[study_name]

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._storage.get_study_name_from_id(study_id)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        if study_id not in self._directions:
            self._directions[study_id] = self._storage.get_study_directions(study_id)
        return self._directions[study_id]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._storage.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._storage.get_study_system_attrs(study_id)

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._storage.get_all_studies()

    def _kept(self, trial_id: int) -> FrozenTrial:
        return self._studies[self._study_of[trial_id]].all[self._number_of[trial_id]]

    def _read(self, trial_id: int) -> None:
        """Take in how a trial stands in the storage."""
        if trial_id in self._study_of:
            self._put(self._study_of[trial_id], self._storage.get_trial(trial_id))

    def _put(self, study_id: int, trial: FrozenTrial) -> None:
        self._study_of[trial._trial_id], self._number_of[trial._trial_id] = study_id, trial.number
        self._studies[study_id].put(_renewed(trial))


def _renewed(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial under today's names; the same object if it already has them."""
    params = trial.user_attrs.get(PARAMS, {})
    if (SAMPLED.keys() | {METHOD}).isdisjoint(params) and SAMPLED.keys().isdisjoint(trial.distributions):
        return trial
    copied = copy.copy(trial)
    copied.params, copied.distributions = renewed_sampled(trial.params), renewed_sampled(trial.distributions)
    params = renewed(params)
    trained_as = {TRAINED_AS: params.pop(METHOD)} if METHOD in params else {}
    copied.user_attrs = {**trial.user_attrs, PARAMS: params, **trained_as}
    return copied

"""Store of a study's trials, in Optuna's storage: hyperparameters, training seed, how far they came, how they ended.

There is one Optuna study per cell and phase. Only the driver writes. A trial that a crash left running stays running
here and is trained again under its number, so that neither sampler nor pruner ever sees a lost attempt.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from tosmooth.search.records import ENDED, PHASES, Cell, Level, Metrics, Phase, Record, State, TrialKey
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.agreement import check_data, check_meaning, check_own, lacking, unlike
from tosmooth.search.storage.cached_storage import PARAMS, TRAINED_AS, CachedStorage
from tosmooth.search.storage.distributions import distributions, to_sampled
from tosmooth.search.storage.frozen_records import DIVERGED, FAILURES, REASON, SEED, SOURCE, record_of
from tosmooth.search.storage.history import curve_digest
from tosmooth.trainables.errors import InputError

# Attribute of an Optuna trial, beside those in `frozen_records`.
CURVE = "curve"  # `history.curve_digest` of one that ended, unless it failed: its attempts may have come further
# Attributes of an Optuna study: whose it is; its recipe, `StudySpec.meaning`; digest of its level's data; numbers of
# trials that ended, and of which the history was lost since; phases and numbers of trials that the history alone has.
HOME, MEANING, DATA, LOST, FORGOTTEN = "home", "meaning", "data", "lost", "forgotten"


@dataclass(slots=True)
class Job:
    """Trial that is running, or about to."""

    key: TrialKey
    cell: Cell
    params: dict[str, Any]
    train_seed: int
    source: str | None  # where the parameters of a search trial come from, as `suggest.warm_start` has it
    trained_as: str  # method of its loss where that is not the cell's, else ""
    failures: int  # times it crashed
    trial: Trial


class Store:
    """Optuna studies of one study, one per cell and phase. A cell's first trial makes one; reading never does."""

    def __init__(
        self,
        spec: StudySpec,
        storage: BaseStorage,
        owner: str | None = None,
        levels: Mapping[str, Level] | None = None,
        agrees: bool = True,
    ) -> None:
        """Take `owner`: id of the home that is going to write; another home's studies of this name are refused.

        What the record itself says of the study must fit: its recipe if it `agrees`, its data where `levels` are given.
        """
        self.spec = spec
        self.owner = owner
        self.levels = levels or {}
        self.storage = CachedStorage(storage)
        self.views = MethodSpec.each(spec)
        self.distributions = {method: distributions(view) for method, view in self.views.items()}
        known = set(optuna.get_all_study_names(storage))
        if isinstance(storage, JournalStorage):  # a file of this study alone
            check_own(spec.name, known)
        self._studies = {
            (cell.key, phase): optuna.load_study(study_name=self._name(cell, phase), storage=self.storage)
            for cell in spec.cells()
            for phase in PHASES
            if self._name(cell, phase) in known
        }
        attributes = {key: study.user_attrs for key, study in self._studies.items()}
        if owner is not None and any(each.get(HOME, owner) != owner for each in attributes.values()):
            raise InputError(f"storage: study {spec.name!r} in this database is another home's; take a --name")
        self._meaning = spec.meaning()
        for each in attributes.values():
            if agrees:
                check_meaning(spec.name, each.get(MEANING, {}), self._meaning)
            check_data(spec.name, each.get(DATA, {}), self.levels)
        self._lost = {
            TrialKey(cell.level, cell.method, phase, number)
            for cell in spec.cells()
            for phase in PHASES
            for number in attributes.get((cell.key, phase), {}).get(LOST, ())
        }

    def names(self) -> list[str]:
        """Names of the Optuna studies that there are, that of the first cell's search before all others."""
        return [study.study_name for study in self._studies.values()]

    def trials(self, cell: Cell, phase: Phase) -> list[FrozenTrial]:
        """Trials of a cell in order of number."""
        study = self._studies.get((cell.key, phase))
        return study.get_trials(deepcopy=False) if study is not None else []

    def lost(self) -> Iterator[Job]:
        """Yield the trials that an earlier driver left running, to be trained again as they were."""
        for cell in self.spec.cells():
            for phase in PHASES:
                for trial in self.trials(cell, phase):
                    if trial.state == TrialState.RUNNING:
                        yield self._job(cell, phase, trial)

    def add(
        self,
        cell: Cell,
        phase: Phase,
        params: Mapping[str, Any],
        train_seed: int,
        *,
        source: str | None = None,
        trained_as: str = "",
        noted: Mapping[str, Any] | None = None,
    ) -> Job:
        """Write a trial with given parameters, in one piece; `noted` is what its sampler notes of it for itself."""
        study = self.study(cell, phase)
        attributes = {PARAMS: dict(params), SEED: train_seed, SOURCE: source, TRAINED_AS: trained_as or None}
        attributes = {name: value for name, value in attributes.items() if value is not None}
        sampled = to_sampled(self.views[cell.method], params) if phase == "search" else {}
        kinds = {name: self.distributions[cell.method][name] for name in sampled}
        state = TrialState.RUNNING
        trial = create_trial(
            state=state, params=sampled, distributions=kinds, user_attrs=attributes, system_attrs=dict(noted or {})
        )
        study.add_trial(trial)
        return self._job(cell, phase, study.get_trials(deepcopy=False)[-1])

    def count_failure(self, job: Job) -> None:
        """Count a crash of the trial, so that it is not tried for ever."""
        job.failures += 1
        job.trial.set_user_attr(FAILURES, job.failures)

    def report(self, job: Job, epoch: int, value: float | None) -> None:
        """Write the trial's value at `epoch`, unless a lost attempt has reported one: that one stays."""
        if value is not None and epoch not in self.frozen(job).intermediate_values:
            job.trial.report(value, epoch)

    def end(
        self,
        job: Job,
        state: State,
        value: float | None = None,
        reason: str = "",
        curve: Sequence[Metrics] | None = None,
    ) -> None:
        """Record how a trial ended. `value`: its score (chance level for a diverged one), from which samplers learn.

        With a `curve` the history is held to it from now on (`records`).
        """
        left = self.frozen(job).user_attrs  # perhaps by an attempt that ended otherwise, and was killed before `tell`
        if curve is not None and state != "failed":
            job.trial.set_user_attr(CURVE, curve_digest(curve))
        if reason != left.get(REASON, ""):
            job.trial.set_user_attr(REASON, reason)
        if (diverged := state == "diverged") != left.get(DIVERGED, False):
            job.trial.set_user_attr(DIVERGED, diverged)
        told = {"failed": TrialState.FAIL, "pruned": TrialState.PRUNED}.get(state, TrialState.COMPLETE)
        value = value if told == TrialState.COMPLETE else None  # Optuna takes a pruned trial's last report
        self.study_of(job).tell(job.key.number, value, told)

    def records(self, read: Callable[[], Mapping[TrialKey, tuple[Metrics, ...]]]) -> list[Record]:
        """Read every trial of the study as a record; `read` returns the curves of the history.

        Raises `InputError` where the history lacks epochs of trials that ended, or holds other ones. It is read last: a
        trial ends here only after its epochs are on the disk.
        """
        records, odd = self._read(read)
        if odd:
            advice = "bring it back from a copy; `tosmooth run` trains them again, unless a database has the record"
            raise InputError(f"study {self.spec.name!r}: {lacking(odd)}; {advice}")
        return records

    def give_up_lost(self, read: Callable[[], Mapping[TrialKey, tuple[Metrics, ...]]]) -> list[Record]:
        """Count as failed from now on what `records` refuses, so that it is trained again; returns these trials."""
        _, odd = self._read(read)
        self._lost |= {record.key for record in odd}
        for (name, phase), study in self._studies.items():
            lost = [key.number for key in self._lost if (f"{key.level}/{key.method}", key.phase) == (name, phase)]
            if lost:
                study.set_user_attr(LOST, sorted(lost))
        return odd

    def adopt(self, kept: bool) -> None:
        """Write into a record of an earlier version what it is of, as the study that was `kept` beside it says.

        Raises `InputError` where none was: nothing says of which recipe its trials are.
        """
        for cell in self.spec.cells():
            for phase in PHASES:
                if self.trials(cell, phase) and not self._studies[cell.key, phase].user_attrs.get(MEANING):
                    if not kept:
                        rule = "it alone says how the trials of this record were trained: bring it back from a copy"
                        raise InputError(f"study {self.spec.name!r}: its study.yaml is gone, and {rule}")
                    self._say_what_it_is(cell, phase)

    def absent(self, reported: Iterable[TrialKey]) -> list[TrialKey]:
        """List which of the trials that `reported` are not here, but for those of which `forget` was told."""
        gone = {
            TrialKey(cell.level, cell.method, phase, number)
            for cell in self.spec.cells()
            if (cell.key, "search") in self._studies
            for phase, number in self._studies[cell.key, "search"].user_attrs.get(FORGOTTEN, ())
        }
        here = {(cell, phase): len(self.trials(cell, phase)) for cell in self.spec.cells() for phase in PHASES}
        return sorted(
            key
            for key in reported
            if key not in gone and key.number >= here.get((Cell(key.level, key.method), key.phase), sys.maxsize)
        )

    def forget(self, keys: Iterable[TrialKey]) -> None:
        """Note that these trials of the history are no longer here."""
        for cell in self.spec.cells():
            if own := [key for key in keys if (key.level, key.method) == cell]:
                study = self.study(cell, "search")
                known = study.user_attrs.get(FORGOTTEN, [])
                study.set_user_attr(FORGOTTEN, [*known, *((key.phase, key.number) for key in own)])

    def counts(self, cell: Cell, phase: Phase, trial: FrozenTrial) -> bool:
        """True unless the trial failed, or its history was lost."""
        return trial.state != TrialState.FAIL and TrialKey(*cell, phase, trial.number) not in self._lost

    def _read(self, read: Callable[[], Mapping[TrialKey, tuple[Metrics, ...]]]) -> tuple[list[Record], list[Record]]:
        """Every trial as a record, and those that do not fit their curve."""
        found = [
            (cell, phase, trial) for cell in self.spec.cells() for phase in PHASES for trial in self.trials(cell, phase)
        ]
        curves = read()
        records = []
        for cell, phase, trial in found:
            key = TrialKey(*cell, phase, trial.number)
            records.append(record_of(self.spec.name, key, trial, curves.get(key, ()), key in self._lost))
        # Of a trial that runs the digest is that of an attempt that was killed before it was told to have ended.
        ended = [(record, trial) for record, (*_, trial) in zip(records, found, strict=True) if record.state in ENDED]
        return records, unlike([record for record, _ in ended], [trial.user_attrs.get(CURVE) for _, trial in ended])

    def delete(self) -> None:
        """Remove the Optuna studies from the storage."""
        for study in self._studies.values():
            optuna.delete_study(study_name=study.study_name, storage=self.storage)
        self._studies.clear()

    def frozen(self, job: Job) -> FrozenTrial:
        """Optuna's trial as it stands now."""
        return self.storage.get_trial(job.trial._trial_id)

    def study_of(self, job: Job) -> optuna.Study:
        """Optuna study that a trial belongs to."""
        return self._studies[job.cell.key, job.key.phase]

    def study(self, cell: Cell, phase: Phase) -> optuna.Study:
        """Optuna study of a cell and phase, made where there is none yet."""
        key = (cell.key, phase)
        if key in self._studies and not self.trials(cell, phase):
            self._say_what_it_is(cell, phase)  # once more: a kill may have come before
        elif key not in self._studies:
            name = self._name(cell, phase)
            self._studies[key] = optuna.create_study(storage=self.storage, study_name=name, direction="maximize")
            self._say_what_it_is(cell, phase)
        return self._studies[key]

    def _say_what_it_is(self, cell: Cell, phase: Phase) -> None:
        """Write into an Optuna study whose it is, and of which recipe and data."""
        study = self._studies[cell.key, phase]
        if self.owner is not None:
            study.set_user_attr(HOME, self.owner)
        study.set_user_attr(MEANING, self._meaning)
        if cell.level in self.levels:
            study.set_user_attr(DATA, {cell.level: self.levels[cell.level].identity})

    def _job(self, cell: Cell, phase: Phase, frozen: FrozenTrial) -> Job:
        trial = Trial(self.study(cell, phase), frozen._trial_id)
        attributes = frozen.user_attrs
        key = TrialKey(cell.level, cell.method, phase, frozen.number)
        return Job(
            key=key,
            cell=cell,
            params=attributes[PARAMS],
            train_seed=attributes[SEED],
            source=attributes.get(SOURCE),
            trained_as=attributes.get(TRAINED_AS, ""),
            failures=attributes.get(FAILURES, 0),
            trial=trial,
        )

    def _name(self, cell: Cell, phase: Phase) -> str:
        return f"{self.spec.name}/{cell.key}/{phase}"

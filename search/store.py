"""Optuna's storage of a study: what was tried, with which seed, how far and how it ended.

One Optuna study per cell and phase. Only the driver writes. A trial that a crash left running stays running here and is
trained again under its number, so that neither sampler nor pruner ever sees a lost attempt.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, get_storage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from search.journal import Journal
from search.kept import KeptStorage
from search.parameters import Params, frozen
from search.patience import PatientStorage
from search.proposals import SAMPLER, SPREAD, Proposal
from search.pruners import DIVERGED, PARAMS, make_pruner
from search.records import PHASES, Metrics, Phase, Record, State, TrialKey
from search.sampling import ask, make_sampler
from search.services import check_storage
from search.space import distributions, initial_points, to_params, to_sampled
from search.study import Cell, StudySpec, derive_seed
from search.tried import Tried
from trainables.config import InputError

# Attributes of an Optuna trial.
SEED, FAILURES, REASON = "train_seed", "failures", "reason"  # PARAMS and DIVERGED besides
SOURCE = "source"  # where the parameters of a search trial come from, as `search.proposals` has it
HOME = "home"  # attribute of an Optuna study: whose it is


@dataclass(slots=True)
class Job:
    """A trial that is running, or about to."""

    key: TrialKey
    cell: Cell
    params: dict[str, Any]
    train_seed: int
    failures: int  # times it crashed
    trial: Trial


def open_storage(url: str | None, journal: Path) -> BaseStorage:
    """The database at `url`, or the journal file. The caller holds the study's lock if it is going to write."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Journal storage and a sampler's options are marked experimental; users cannot act on that.
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    if url is None:
        return JournalStorage(Journal(journal))
    check_storage(url)
    try:
        return get_storage(PatientStorage(url))  # with its cache of trials that ended, one for all cells
    except ImportError:
        raise InputError(
            "storage: the driver of this database is missing: pip install 'tosmooth[postgresql]', say"
        ) from None
    except Exception as error:  # SQLAlchemy and drivers raise dozens of types; none may print the password
        raise InputError(
            f"storage: the database cannot be opened ({type(error).__name__}); check the address"
        ) from None


class Store:
    """The Optuna studies of one study. Reading makes nothing; the first proposal of a cell makes its Optuna study."""

    def __init__(self, spec: StudySpec, storage: BaseStorage, owner: str | None = None) -> None:
        """`owner`: the id of the home that is going to write; another home's studies of this name are refused."""
        self.spec = spec
        self.owner = owner
        self.storage = KeptStorage(storage)
        self.views = {method: spec.of(method) for method in spec.method}
        self.distributions = {method: distributions(view) for method, view in self.views.items()}
        points = {method: initial_points(view) for method, view in self.views.items()}
        self._openers = {method: [frozen(params) for params in view.openers()] for method, view in self.views.items()}
        self._initials = {method: [Proposal(SPREAD, each) for each in found] for method, found in points.items()}
        self._tried: dict[str, Tried] = {}  # by cell
        self.pruner = make_pruner(spec)
        known = set(optuna.get_all_study_names(storage))
        self._studies = {
            (cell.key, phase): optuna.load_study(study_name=self._name(cell, phase), storage=self.storage)
            for cell in spec.cells()
            for phase in PHASES
            if self._name(cell, phase) in known
        }
        if owner is not None and any(s.user_attrs.get(HOME, owner) != owner for s in self._studies.values()):
            raise InputError(f"storage: study {spec.name!r} in this database is another home's; take a --name")

    def trials(self, cell: Cell, phase: Phase) -> list[FrozenTrial]:
        """All trials of a cell in order of number."""
        study = self._studies.get((cell.key, phase))
        return study.get_trials(deepcopy=False) if study is not None else []

    def lost(self) -> Iterator[Job]:
        """The trials that an earlier driver left running, to be trained again with the same parameters and seed."""
        for cell in self.spec.cells():
            for phase in PHASES:
                for trial in self.trials(cell, phase):
                    if trial.state == TrialState.RUNNING:
                        yield self._job(cell, phase, trial)

    def exhausted(self, cell: Cell) -> bool:
        """Whether a cell's search is a grid of which no point is left."""
        return self.spec.search.sampler == "grid" and self._initial(cell) is None

    def propose(self, cell: Cell, proposal: Proposal | None = None) -> Job:
        """The next trial of a cell's search: `None` for the first initial point not tried, else what the sampler says.

        An initial point that failed under an earlier driver is tried once more.
        """
        proposal = proposal or self._initial(cell) or Proposal(SAMPLER, self.sampled(cell))
        had = self.tried(cell).seeds(proposal.params)
        first = frozen(proposal.params) in self._openers[cell.method]
        seed = self.spec.search_seed(cell, len(self.trials(cell, "search")), first, had)
        return self.add(cell, "search", proposal.params, seed, proposal.source)

    def tried(self, cell: Cell) -> Tried:
        """What the cell's search has tried."""
        if cell.key not in self._tried:
            tried = self._tried[cell.key] = Tried()
            for trial in self.trials(cell, "search"):
                if trial.state != TrialState.FAIL:
                    attributes = trial.user_attrs
                    tried.add(attributes[PARAMS], attributes[SEED], attributes.get(SOURCE))
        return self._tried[cell.key]

    def untried(self, cell: Cell, proposals: Sequence[Proposal]) -> Proposal | None:
        """The first of the proposals that the cell has not tried; one that is made once is known by its source."""
        return self.tried(cell).first_left(proposals)

    def asked(self, cell: Cell) -> bool:
        """Whether the sampler proposed any of the cell's trials that did not fail."""
        return self.tried(cell).made(SAMPLER)

    def sampled(self, cell: Cell) -> Params:
        """What the sampler proposes for the cell's next trial.

        It is made anew for each trial from (seed, cell, number): what it proposes depends on the trials that ended,
        never on when they were asked for or on how often the driver was restarted.
        """
        number = len(self.trials(cell, "search"))
        sampler = make_sampler(self.spec.search.sampler, derive_seed(self.spec.seed, cell.key, number, "sampler"))
        name = self._study(cell, "search").study_name
        return to_params(
            self.views[cell.method], ask(sampler, self.storage, name, number, self.distributions[cell.method])
        )

    def add(
        self, cell: Cell, phase: Phase, params: Mapping[str, Any], train_seed: int, source: str | None = None
    ) -> Job:
        """A trial with given parameters, written in one piece."""
        study = self._study(cell, phase)
        attributes = {PARAMS: dict(params), SEED: train_seed} | ({} if source is None else {SOURCE: source})
        sampled = to_sampled(self.views[cell.method], params) if phase == "search" else {}
        kinds = {name: self.distributions[cell.method][name] for name in sampled}
        state = TrialState.RUNNING
        tried = self.tried(cell)  # before it is there, else it would count twice
        study.add_trial(create_trial(state=state, params=sampled, distributions=kinds, user_attrs=attributes))
        if phase == "search":
            tried.add(params, train_seed, source)
        return self._job(cell, phase, study.get_trials(deepcopy=False)[-1])

    def count_failure(self, job: Job) -> None:
        """Remember that the trial crashed, so that it is not tried for ever."""
        job.failures += 1
        job.trial.set_user_attr(FAILURES, job.failures)

    def report(self, job: Job, epoch: int, value: float | None) -> None:
        """The trial's value at `epoch`. One that a lost attempt reported already stands."""
        if value is not None and epoch not in self._frozen(job).intermediate_values:
            job.trial.report(value, epoch)

    def should_prune(self, job: Job, epoch: int) -> bool:
        """Whether the study's pruner would stop the trial here: never one of the cell's `StudySpec.openers`."""
        trial = self._frozen(job)
        if job.key.phase != "search" or trial.last_step != epoch:  # a lost attempt came further, and was not pruned
            return False
        pruned = self.pruner.prune(self._study_of(job), trial)  # asked for all: they compete in its rungs
        return pruned and frozen(job.params) not in self._openers[job.cell.method]

    def end(self, job: Job, state: State, value: float | None = None, reason: str = "") -> None:
        """Record how a trial ended. `value` is its score, for a diverged one chance level: samplers learn from it."""
        left = self._frozen(job).user_attrs  # perhaps by an attempt that ended otherwise, and was killed before `tell`
        if reason != left.get(REASON, ""):
            job.trial.set_user_attr(REASON, reason)
        if (diverged := state == "diverged") != left.get(DIVERGED, False):
            job.trial.set_user_attr(DIVERGED, diverged)
        if state == "failed":
            tried = self.tried(job.cell)
            tried.give_up(job.params)
            if job.key.phase == "search":
                tried.remove(job.params, job.train_seed, left.get(SOURCE))
        told = {"failed": TrialState.FAIL, "pruned": TrialState.PRUNED}.get(state, TrialState.COMPLETE)
        value = value if told == TrialState.COMPLETE else None  # Optuna takes a pruned trial's last report
        self._study_of(job).tell(job.key.number, value, told)

    def records(self, curves: Mapping[TrialKey, tuple[Metrics, ...]]) -> list[Record]:
        """Every trial of the study as a record; `curves` is what the history says."""
        return [
            self._record(cell, phase, trial, curves)
            for cell in self.spec.cells()
            for phase in PHASES
            for trial in self.trials(cell, phase)
        ]

    def delete(self) -> None:
        """Remove the Optuna studies from the storage."""
        for study in self._studies.values():
            optuna.delete_study(study_name=study.study_name, storage=self.storage)
        self._studies.clear()

    def _initial(self, cell: Cell) -> Proposal | None:
        return self.tried(cell).next_of(self._initials[cell.method])

    def _record(
        self, cell: Cell, phase: Phase, trial: FrozenTrial, curves: Mapping[TrialKey, tuple[Metrics, ...]]
    ) -> Record:
        key = TrialKey(cell.level, cell.method, phase, trial.number)
        curve = curves.get(key, ())
        return Record(
            study=self.spec.name,
            level=cell.level,
            method=cell.method,
            phase=phase,
            number=trial.number,
            state=_state(trial),
            params=trial.user_attrs[PARAMS],
            train_seed=trial.user_attrs[SEED],
            curve=curve,
            seconds=sum(metrics.get("seconds") or 0.0 for metrics in curve),
            attempts=trial.user_attrs.get(FAILURES, 0) + (trial.state != TrialState.FAIL),
            reason=trial.user_attrs.get(REASON, "") if trial.state.is_finished() else "",
        )

    def _job(self, cell: Cell, phase: Phase, frozen: FrozenTrial) -> Job:
        trial = Trial(self._study(cell, phase), frozen._trial_id)
        attributes = frozen.user_attrs
        key = TrialKey(cell.level, cell.method, phase, frozen.number)
        return Job(key, cell, attributes[PARAMS], attributes[SEED], attributes.get(FAILURES, 0), trial)

    def _frozen(self, job: Job) -> FrozenTrial:
        return self.storage.get_trial(job.trial._trial_id)

    def _study_of(self, job: Job) -> optuna.Study:
        return self._studies[job.cell.key, job.key.phase]

    def _study(self, cell: Cell, phase: Phase) -> optuna.Study:
        key = (cell.key, phase)
        if key not in self._studies:
            name = self._name(cell, phase)
            self._studies[key] = optuna.create_study(storage=self.storage, study_name=name, direction="maximize")
            if self.owner is not None:
                self._studies[key].set_user_attr(HOME, self.owner)
        return self._studies[key]

    def _name(self, cell: Cell, phase: Phase) -> str:
        return f"{self.spec.name}/{cell.key}/{phase}"


def _state(trial: FrozenTrial) -> State:
    if trial.user_attrs.get(DIVERGED) and trial.state == TrialState.COMPLETE:
        return "diverged"
    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    return states.get(trial.state, "running")

"""Ask side of a study: which hyperparameters a cell tries next, and whether its pruner stops a trial early."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.pruners import BasePruner

from tosmooth.search.records import Cell
from tosmooth.search.spec.parameters import Params, frozen
from tosmooth.search.spec.seeds import derive_seed
from tosmooth.search.storage.cached_storage import PARAMS
from tosmooth.search.storage.distributions import to_params
from tosmooth.search.storage.frozen_records import SEED, SOURCE
from tosmooth.search.storage.trial_store import Job, Store
from tosmooth.search.suggest.deduplication import TriedParams
from tosmooth.search.suggest.initial_design import initial_points
from tosmooth.search.suggest.plugins import seeded_by_trial
from tosmooth.search.suggest.pruners import make_pruner
from tosmooth.search.suggest.samplers import ask, make_sampler
from tosmooth.search.suggest.warm_start import SAMPLER, SPREAD, Proposal


class Suggester:
    """Suggester that proposes each cell's trials and writes them into the store, which keeps and never decides."""

    def __init__(self, store: Store, pruner: BasePruner | None = None) -> None:
        """Take `pruner`, if it is given, in place of the study's."""
        self.store, self.spec = store, store.spec
        self._openers = {method: [frozen(p) for p in view.openers()] for method, view in store.views.items()}
        points = {method: initial_points(view) for method, view in store.views.items()}
        self._initials = {method: [Proposal(SPREAD, each) for each in found] for method, found in points.items()}
        self._tried: dict[str, TriedParams] = {}  # by cell
        self._notes: dict[Cell, tuple[Params, dict[str, Any]]] = {}  # of the sampler, on what it last proposed
        self._pruner = pruner or make_pruner(self.spec)

    def exhausted(self, cell: Cell) -> bool:
        """True if a cell's search is a grid of which no point is left."""
        return self.spec.search.sampler == "grid" and self._initial(cell) is None

    def propose(self, cell: Cell, proposal: Proposal | None = None) -> Job:
        """Write the next trial of a cell's search.

        `proposal`: `None` for the first point of the initial design not tried, else what the sampler says. A point that
        failed under an earlier driver is tried once more.
        """
        proposal = proposal or self._initial(cell) or Proposal(SAMPLER, self.sampled(cell))
        tried = self.tried(cell)
        first = frozen(proposal.params) in self._openers[cell.method]
        number, had = len(self.store.trials(cell, "search")), tried.seeds(proposal.params)
        seed = self.spec.search_seed(cell, number, first, had)
        asked, notes = self._notes.get(cell, ({}, {}))
        own = proposal.source == SAMPLER and asked == proposal.params
        noted = notes if own else {}
        job = self.store.add(cell, "search", proposal.params, seed, source=proposal.source, noted=noted)
        tried.add(job.params, seed, proposal.source)
        return job

    def tried(self, cell: Cell) -> TriedParams:
        """Hyperparameters that the cell's search has tried."""
        if cell.key not in self._tried:
            tried = self._tried[cell.key] = TriedParams()
            for trial in self.store.trials(cell, "search"):
                if self.store.counts(cell, "search", trial):
                    attributes = trial.user_attrs
                    tried.add(attributes[PARAMS], attributes[SEED], attributes.get(SOURCE))
        return self._tried[cell.key]

    def give_up(self, job: Job) -> None:
        """Take note of a trial that is about to be recorded as failed: it is not tried again under this driver."""
        tried = self.tried(job.cell)
        tried.give_up(job.params)
        if job.key.phase == "search":
            tried.remove(job.params, job.train_seed, job.source)

    def untried(self, cell: Cell, proposals: Sequence[Proposal]) -> Proposal | None:
        """First of the proposals that the cell has not tried; one that is made once is known by its source."""
        return self.tried(cell).first_left(proposals)

    def asked(self, cell: Cell) -> bool:
        """True if the sampler proposed any of the cell's trials that did not fail."""
        return self.tried(cell).made(SAMPLER)

    def sampled(self, cell: Cell) -> Params:
        """Ask the sampler what it proposes for the cell's next trial.

        It is made anew for each trial from (seed, cell, number): what it proposes depends on the trials that ended,
        never on when they were asked for or on how often the driver was restarted.
        """
        number, named = len(self.store.trials(cell, "search")), self.spec.search.sampler
        one = isinstance(named, Mapping) and not seeded_by_trial(named)  # seed for all trials
        seed = derive_seed(self.spec.seed, cell.key, *(() if one else (number,)), "sampler")
        sampler = make_sampler(named, seed)
        name = self.store.study(cell, "search").study_name
        kinds, notes = self.store.distributions[cell.method], dict[str, Any]()
        found = ask(sampler, self.store.storage, name, number, kinds, notes if isinstance(named, Mapping) else None)
        params = to_params(self.store.views[cell.method], found)
        self._notes[cell] = (params, notes)
        return params

    def should_prune(self, job: Job, epoch: int) -> bool:
        """True if the study's pruner would stop the trial here; never for a baseline (`MethodSpec.openers`)."""
        trial = self.store.frozen(job)
        if job.key.phase != "search" or trial.last_step != epoch:  # a lost attempt came further, and was not pruned
            return False
        opener = frozen(job.params) in self._openers[job.cell.method]
        return not opener and self._pruner.prune(self.store.study_of(job), trial)

    def _initial(self, cell: Cell) -> Proposal | None:
        return self.tried(cell).next_of(self._initials[cell.method])

"""Allocation of trials to cells: they take turns until each has its budget, or has had enough by `search.stop_when`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tosmooth.search.records import Cell, Level, Record
from tosmooth.search.selection.stopping import ENOUGH, stop_reason
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.trial_store import Job
from tosmooth.search.suggest.asking import Suggester
from tosmooth.search.suggest.cell_state import CellState
from tosmooth.search.suggest.warm_start import SAMPLER, Proposal, Proposals, best_of
from tosmooth.search.surrogate.acquisition import Acquisition
from tosmooth.search.surrogate.fitting import acquisition_of, posterior_of
from tosmooth.search.surrogate.posterior import Posterior

LAST = 3  # trials of a cell's budget, by which its neighbours are asked for what it has overlooked
RACING = 3  # the last trials of a cell's budget: seeds of what leads, and its neighbours (`Acquisition.race`)


@dataclass(slots=True)
class _Found:
    """Results worked out of a cell's trials as they stood: models are fitted when trials change, not when one asks."""

    version: int
    sampled: Params | None = None
    best: Params | None = None  # the incumbent, by the posterior, or else of single trials
    narrow: bool = False
    known: set[str] = field(default_factory=set)  # which of these


class Allocation:
    """Allocation that chooses a study's search trials, one after another, until every cell has had enough."""

    def __init__(
        self,
        spec: StudySpec,
        suggester: Suggester,
        levels: Mapping[str, Level],
        searches: Mapping[Cell, CellState],
        prior: Mapping[str, Sequence[Params]],
    ) -> None:
        """Take `prior`: findings of an earlier study by level (`search.suggest.transfer`)."""
        self.spec, self.suggester, self.searches = spec, suggester, searches
        self.cells = spec.cells()
        self.proposals = Proposals(spec, levels, self.search, self.best, prior)
        self._opened: set[Cell] = set()  # cells whose initial design is tried: under this driver it stays so
        self._found: dict[Cell, _Found] = {}

    def next(self, trials: Mapping[Cell, int]) -> Job | None:
        """Write the next trial of the search; `None` for no more. `trials`: started in each cell, none failed."""
        cells = self._unfinished(trials)
        if not cells:
            return None
        cell = min(cells, key=trials.__getitem__)
        return self.suggester.propose(cell, self._own(cell))

    def search(self, cell: Cell) -> Sequence[Record]:
        """Search trials of a cell."""
        return list(self.searches[cell].records.values())

    def posterior(self, cell: Cell) -> Posterior | None:
        """Posterior of the cell's search, given its trials that ended; `None` if they say too little."""
        return posterior_of(self.proposals.views[cell.method], self.searches[cell].subset)

    def acquisition(self, cell: Cell) -> Acquisition | None:
        """The acquisition function over this posterior."""
        return acquisition_of(self.proposals.views[cell.method], self.searches[cell].subset)

    def best(self, cell: Cell) -> Params | None:
        """Incumbent of the cell's search."""
        found = self._of(cell)
        if "best" not in found.known:
            found.best = best_of(self.proposals.views[cell.method], self.search(cell), self.posterior(cell))
            found.known.add("best")
        return found.best

    def stopped(self, cell: Cell) -> bool:
        """True if the cell needs no more trials by the study's `stop_when`; never before its initial design is done."""
        rule = self.spec.search.stop_when
        if rule is None or self.searches[cell].ended < ENOUGH or self._early(cell) is not None:
            return False
        found = self._of(cell)
        if "narrow" not in found.known:
            found.narrow = stop_reason(rule, self.posterior(cell)) is not None
            found.known.add("narrow")
        return found.narrow

    def _of(self, cell: Cell) -> _Found:
        version = self.searches[cell].version
        if cell not in self._found or self._found[cell].version != version:
            self._found[cell] = _Found(version)
        return self._found[cell]

    def _unfinished(self, trials: Mapping[Cell, int]) -> list[Cell]:
        short = [cell for cell in self.cells if trials[cell] < self.spec.budget and not self.suggester.exhausted(cell)]
        return [cell for cell in short if not self.stopped(cell)]

    def _early(self, cell: Cell) -> Proposal | None:
        """First proposal of the initial design that the cell has not tried."""
        if cell in self._opened:
            return None
        tried = self.suggester.tried(cell)
        proposal = tried.first_left(self.proposals.opening(cell)) or tried.next_of(self.proposals.spread[cell.method])
        if proposal is None and self.proposals.settled(cell):
            self._opened.add(cell)
        return proposal

    def _own(self, cell: Cell) -> Proposal:
        """Proposal that the cell would try next by itself."""
        proposal = self._early(cell)
        if proposal is None and not self.suggester.asked(cell):
            proposal = self.suggester.untried(cell, self.proposals.neighbours(cell))
        elif proposal is None and self.searches[cell].started >= self.spec.budget - LAST:
            proposal = self.suggester.untried(cell, self.proposals.overlooked(cell))
        return proposal or Proposal(SAMPLER, self._sampled(cell))

    def _sampled(self, cell: Cell) -> Params:
        """Hyperparameters that the study's sampler proposes: with a posterior, those of its acquisition function."""
        found = self._of(cell)
        if found.sampled is None:
            ours = self.acquisition(cell) if self.spec.search.sampler == "posterior" else None
            if ours is None:
                found.sampled = self.suggester.sampled(cell)
            else:
                racing = self.searches[cell].started >= self.spec.budget - RACING
                found.sampled = (ours.race if racing else ours.suggest)(self._running(cell))
        return found.sampled

    def _running(self, cell: Cell) -> list[Params]:
        """Hyperparameters that are being tried, and those that ended too lately for the model to know of them."""
        trials = self.searches[cell]
        return [record.params for record in trials.running.values()] + trials.subset.since

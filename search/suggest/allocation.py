"""Allocation of trials to cells: which cell gets the next trial of the search, and when one has had enough.

`even`: each cell gets the same budget, cells take turns. `adaptive`: the study's total is the same, to the trial. When
every cell has had its initial design (baselines, what theory and an earlier study say, the even spread), the next goes
where it is expected to raise the accuracy of the choice most. Each cell offers two trials, what its sampler proposes
next and one more training seed of what its posterior holds best. Of a trial at parameters x the knowledge gradient is

    KG(x) = E[max_i (mu_i + s_i(x) Z)] - max_i mu_i,   s_i(x) = Cov(f_i, f(x)) / sqrt(Var f(x) + noise),   Z ~ N(0, 1)

with mu and Cov the posterior mean and covariance over the cell's candidates i (Frazier, Powell & Dayanik 2009, "The
knowledge-gradient policy for correlated normal beliefs", INFORMS J. Computing 21), each of the means less what may
diverge there, and with what a divergence at x would say of the others (`search.surrogate.feasibility`). It is
divided by one more than the trials that are running in the cell, whose outcome the posterior does not know: else all
slots went to one cell. Of equal offers that of the cell with the fewest trials is taken.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tosmooth.search.records import Cell, Level, Record
from tosmooth.search.selection.stopping import ENOUGH, stop_reason
from tosmooth.search.spec.parameters import Frozen, Params, frozen
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.trial_store import Job
from tosmooth.search.suggest.asking import Suggester
from tosmooth.search.suggest.cell_state import CellState
from tosmooth.search.suggest.warm_start import REPEAT, SAMPLER, Proposal, Proposals, best_of
from tosmooth.search.surrogate.acquisition import Acquisition
from tosmooth.search.surrogate.fitting import acquisition_of, posterior_of
from tosmooth.search.surrogate.posterior import Posterior

LAST = 3  # trials of a cell's budget, by which its neighbours are asked for what it has overlooked
RACING = 3  # the last trials of a cell's budget: seeds of what leads, and its neighbours (`Acquisition.race`)


class Offer(NamedTuple):
    """Trial that a cell could have next; `gain` in points of accuracy, `None` where no posterior says."""

    cell: Cell
    proposal: Proposal
    gain: float | None


@dataclass(slots=True)
class _Found:
    """Results worked out of a cell's trials as they stood: models are fitted when trials change, not when one asks."""

    version: int
    sampled: Params | None = None
    best: Params | None = None  # the incumbent, by the posterior, or else of single trials
    modelled: Params | None = None  # by the posterior alone
    narrow: bool = False
    known: set[str] = field(default_factory=set)  # which of these
    gains: dict[Frozen, float] = field(default_factory=dict)  # of one more trial


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
        self.adaptive = spec.search.allocation == "adaptive"
        self.proposals = Proposals(spec, levels, self.search, self.best, prior)
        self._opened: set[Cell] = set()  # cells whose initial design is tried: under this driver it stays so
        self._found: dict[Cell, _Found] = {}

    def next(self, trials: Mapping[Cell, int]) -> Job | None:
        """Write the next trial of the search; `None` for no more. `trials`: started in each cell, none failed."""
        cells = self._unfinished(trials)
        if not cells:
            return None
        openings = {cell: early for cell in cells if self.adaptive and (early := self._early(cell)) is not None}
        if openings or not self.adaptive:
            cell = min(openings or cells, key=trials.__getitem__)
            return self.suggester.propose(cell, openings.get(cell) or self._own(cell))
        offer = choose([offer for cell in cells for offer in self._offers(cell)], trials)
        return self.suggester.propose(offer.cell, offer.proposal)

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
        if self.adaptive:
            return going_on(self.spec, trials, {cell for cell in self.cells if self.stopped(cell)})
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
                racing = not self.adaptive and self.searches[cell].started >= self.spec.budget - RACING
                found.sampled = (ours.race if racing else ours.suggest)(self._running(cell))
        return found.sampled

    def _offers(self, cell: Cell) -> list[Offer]:
        own, best = self._own(cell), self._modelled_best(cell)
        if best is None:
            return [Offer(cell, own, None)]
        running = self._running(cell)
        # What is being tried is not offered again: its first outcome says whether more of it is worth having.
        repeat = [Proposal(REPEAT, best)] if best not in running else []
        return [Offer(cell, p, round(self._gain(cell, p.params) / (1 + len(running)), 9)) for p in (own, *repeat)]

    def _modelled_best(self, cell: Cell) -> Params | None:
        """Incumbent by the cell's posterior alone; `None` where there is none."""
        found = self._of(cell)
        if "modelled" not in found.known:
            posterior = self.posterior(cell)
            found.modelled = None if posterior is None else posterior.best
            found.known.add("modelled")
        return found.modelled

    def _gain(self, cell: Cell, params: Params) -> float:
        """Knowledge gradient: points by which one more trial of the cell would raise the accuracy of its choice."""
        gains, known = self._of(cell).gains, frozen(params)
        if known not in gains:
            acquisition = self.acquisition(cell)
            gains[known] = 0.0 if acquisition is None else acquisition.gain(params)
        return gains[known]

    def _running(self, cell: Cell) -> list[Params]:
        """Hyperparameters that are being tried, and those that ended too lately for the model to know of them."""
        trials = self.searches[cell]
        return [record.params for record in trials.running.values()] + trials.subset.since


def going_on(spec: StudySpec, trials: Mapping[Cell, int], stopped: Container[Cell]) -> list[Cell]:
    """Cells that may have another trial under `adaptive`: those not stopped, while the study's total lasts.

    What a stopped cell leaves of an even share is saved, not spent on others.
    """
    cells = spec.cells()
    left = sum(max(0, spec.budget - trials[cell]) for cell in cells if cell in stopped)
    total = spec.budget * len(cells) - left
    return [cell for cell in cells if cell not in stopped] if sum(trials[cell] for cell in cells) < total else []


def choose(offers: Sequence[Offer], trials: Mapping[Cell, int]) -> Offer:
    """Choose the offer of the highest gain; of equal ones that of the cell with the fewest trials, then the first.

    A cell whose gain is unknown has its turn when no other has fewer trials.
    """
    fewest = min(trials[offer.cell] for offer in offers)
    for offer in offers:
        if offer.gain is None and trials[offer.cell] == fewest:
            return offer
    known = [(offer.gain, -trials[offer.cell], -i) for i, offer in enumerate(offers) if offer.gain is not None]
    return offers[-max(known)[2]]

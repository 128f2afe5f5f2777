"""Which cell gets the next trial of the search, and when a level has had enough.

`even`: each cell gets the same budget, cells take turns. `adaptive`: the study's total is the same, to the trial. When
every cell has had its opening (baselines, what theory and an earlier study say, the even spread), the next trial goes
where it is expected to raise the accuracy of the choice most. Each cell offers two trials, what its sampler proposes
next and one more training seed of what its posterior holds best. Of a trial at parameters x the knowledge gradient is

    KG(x) = E[max_i (mu_i + s_i(x) Z)] - max_i mu_i,   s_i(x) = Cov(f_i, f(x)) / sqrt(Var f(x) + noise),   Z ~ N(0, 1)

with mu and Cov the posterior mean and covariance over the cell's candidates i (Frazier, Powell & Dayanik 2009, "The
knowledge-gradient policy for correlated normal beliefs", INFORMS J. Computing 21), each of the means less what may
diverge there, and with what a divergence at x would say of the others (`search.divergence`). It is divided by one more
than the trials that are running in the cell, whose outcome the posterior does not know: else all slots went to one
cell. Of equal offers that of the cell with the fewest trials is taken.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from search.choice import search_model, told_model
from search.parameters import Frozen, Params, frozen
from search.posterior import Posterior
from search.proposals import REPEAT, SAMPLER, Proposal, Proposals, best_of
from search.records import ENDED, Level, Record
from search.searched import Searched
from search.sections import StopWhen
from search.store import Job, Store
from search.study import Cell, StudySpec

ENOUGH = 8  # trials that ended, before a level may stop
LAST = 3  # trials of a cell's budget, by which its neighbours are asked for what it has overlooked


class Offer(NamedTuple):
    """A trial that a cell could have next; `gain` in points of accuracy, `None` where no posterior says."""

    cell: Cell
    proposal: Proposal
    gain: float | None


@dataclass(slots=True)
class _Found:
    """What was worked out of a cell's trials as they stood: models are fitted when they change, not when one asks."""

    version: int
    sampled: Params | None = None
    best: Params | None = None  # by the posterior, or else of single trials
    modelled: Params | None = None  # by the posterior alone
    narrow: bool = False
    known: set[str] = field(default_factory=set)  # which of these
    gains: dict[Frozen, float] = field(default_factory=dict)  # of one more trial


class Allocation:
    """The search trials of a study, one after another, until every cell has had enough."""

    def __init__(
        self,
        spec: StudySpec,
        store: Store,
        levels: Mapping[str, Level],
        searches: Mapping[Cell, Searched],
        prior: Mapping[str, Sequence[Params]],
    ) -> None:
        """`prior`: by level, what an earlier study found (`search.prior`)."""
        self.spec, self.store, self.searches = spec, store, searches
        self.cells = spec.cells()
        self.adaptive = spec.search.allocation == "adaptive"
        self.proposals = Proposals(spec, levels, self.search, self.best, prior)
        self._opened: set[Cell] = set()  # cells of which no opening is left: under this driver it stays so
        self._found: dict[Cell, _Found] = {}

    def next(self, trials: Mapping[Cell, int]) -> Job | None:
        """The next trial of the search, written; `None` for no more. `trials`: started in each cell, none failed."""
        cells = self._unfinished(trials)
        if not cells:
            return None
        openings = {cell: early for cell in cells if self.adaptive and (early := self._early(cell)) is not None}
        if openings or not self.adaptive:
            cell = min(openings or cells, key=trials.__getitem__)
            return self.store.propose(cell, openings.get(cell) or self._own(cell))
        offer = choose([offer for cell in cells for offer in self._offers(cell)], trials)
        return self.store.propose(offer.cell, offer.proposal)

    def search(self, cell: Cell) -> Sequence[Record]:
        """The cell's search trials."""
        return list(self.searches[cell].records.values())

    def posterior(self, cell: Cell) -> Posterior | None:
        """What the cell's search says, as of its trials that ended."""
        return told_model(self.proposals.views[cell.method], self.searches[cell].telling)

    def best(self, cell: Cell) -> Params | None:
        """The best of the cell's search so far."""
        found = self._of(cell)
        if "best" not in found.known:
            found.best = best_of(self.proposals.views[cell.method], self.search(cell), self.posterior(cell))
            found.known.add("best")
        return found.best

    def stopped(self, cell: Cell) -> bool:
        """Whether the cell needs no more trials by the study's `stop_when`: asked after its opening."""
        rule = self.spec.search.stop_when
        if rule is None or self.searches[cell].ended < ENOUGH or self._early(cell) is not None:
            return False
        found = self._of(cell)
        if "narrow" not in found.known:
            found.narrow = narrow(rule, self.posterior(cell)) is not None
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
        short = [cell for cell in self.cells if trials[cell] < self.spec.budget and not self.store.exhausted(cell)]
        return [cell for cell in short if not self.stopped(cell)]

    def _early(self, cell: Cell) -> Proposal | None:
        """The first of the opening that the cell has not tried."""
        if cell in self._opened:
            return None
        tried = self.store.tried(cell)
        proposal = tried.first_left(self.proposals.opening(cell)) or tried.next_of(self.proposals.spread[cell.method])
        if proposal is None and self.proposals.settled(cell):
            self._opened.add(cell)
        return proposal

    def _own(self, cell: Cell) -> Proposal:
        """What the cell would try next by itself."""
        proposal = self._early(cell)
        if proposal is None and not self.store.asked(cell):
            proposal = self.store.untried(cell, self.proposals.neighbours(cell))
        elif proposal is None and len(self.searches[cell].records) >= self.spec.budget - LAST:
            proposal = self.store.untried(cell, self.proposals.overlooked(cell))
        return proposal or Proposal(SAMPLER, self._sampled(cell))

    def _sampled(self, cell: Cell) -> Params:
        """What the study's sampler proposes."""
        found = self._of(cell)
        if found.sampled is None:
            model = self.posterior(cell) if self.spec.search.sampler == "posterior" else None
            found.sampled = self.store.sampled(cell) if model is None else model.most_telling(self._running(cell))
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
        """The best by the cell's posterior; `None` where there is none."""
        found = self._of(cell)
        if "modelled" not in found.known:
            posterior = self.posterior(cell)
            found.modelled = None if posterior is None else posterior.best
            found.known.add("modelled")
        return found.modelled

    def _gain(self, cell: Cell, params: Params) -> float:
        """By how many points one more trial of the cell would raise the accuracy of its choice."""
        gains, known = self._of(cell).gains, frozen(params)
        if known not in gains:
            posterior = self.posterior(cell)
            gains[known] = 0.0 if posterior is None else posterior.gain(params)
        return gains[known]

    def _running(self, cell: Cell) -> list[Params]:
        """What is being tried at this moment, and what ended too lately for the model to know of it."""
        trials = self.searches[cell]
        return [record.params for record in trials.running.values()] + trials.telling.since


def going_on(spec: StudySpec, trials: Mapping[Cell, int], stopped: Container[Cell]) -> list[Cell]:
    """The cells that may have another trial under `adaptive`: those not stopped, while the study's total lasts.

    What a stopped cell leaves of an even share is saved, not spent on others.
    """
    cells = spec.cells()
    left = sum(max(0, spec.budget - trials[cell]) for cell in cells if cell in stopped)
    total = spec.budget * len(cells) - left
    return [cell for cell in cells if cell not in stopped] if sum(trials[cell] for cell in cells) < total else []


def choose(offers: Sequence[Offer], trials: Mapping[Cell, int]) -> Offer:
    """The offer of the highest gain; of equal ones that of the cell with the fewest trials, then the first.

    A cell whose gain is unknown has its turn when no other has fewer trials.
    """
    fewest = min(trials[offer.cell] for offer in offers)
    for offer in offers:
        if offer.gain is None and trials[offer.cell] == fewest:
            return offer
    known = [(offer.gain, -trials[offer.cell], -i) for i, offer in enumerate(offers) if offer.gain is not None]
    return offers[-max(known)[2]]


def narrow(rule: StopWhen, posterior: Posterior | None) -> str | None:
    """Why the search of a level may stop, in words; `None` where it may not."""
    if posterior is None:
        return None
    if rule.rate_interval is not None and posterior.width <= rule.rate_interval:
        return "interval narrow enough"
    if rule.accuracy_margin is not None and posterior.loss <= rule.accuracy_margin:
        return "expected loss small enough"
    return None


class Saving(NamedTuple):
    """What a level left of its budget because `stop_when` was met."""

    cell: Cell
    reason: str
    used: int  # trials that ended
    trials: int  # saved
    epochs: int  # saved, if each had trained as many as those that ended did on average

    def words(self) -> str:
        """A line for the end of a run."""
        plural = "" if self.trials == 1 else "s"
        return (
            f"{self.cell.key}: search stopped after {self.used} trials, {self.reason}; "
            f"saved {self.trials} trial{plural}, about {self.epochs} epochs"
        )


def savings(spec: StudySpec, records: Sequence[Record]) -> list[Saving]:
    """What each level saved whose search has stopped early, by the records of a study; none without `stop_when`.

    Under `adaptive` a level has no share of its own: together they save what is left of the study's total.
    """
    rule = spec.search.stop_when
    if rule is None:
        return []
    found = []
    ended = [record for record in records if record.phase == "search" and record.state in ENDED]
    left = max(0, spec.budget * len(spec.cells()) - len(ended))
    for cell in spec.cells():
        own = [record for record in ended if (record.level, record.method) == cell]
        saved = min(spec.budget - len(own), left)
        confirming = any((r.level, r.method, r.phase) == (*cell, "confirmation") for r in records)
        if saved <= 0 or len(own) < ENOUGH or not confirming:  # the confirmation begins when the search is over
            continue
        reason = narrow(rule, search_model(spec.of(cell.method), own))
        if reason is not None:
            epochs = round(saved * sum(record.trained for record in own) / len(own))
            found.append(Saving(cell, reason, len(own), saved, epochs))
            left -= saved
    return found

"""Warm start of a cell's search: its initial design joined with what theory, other studies and noise levels say.

Proposals are tried in this order: cross-entropy, label smoothing at 0.1, the theory's rate for the level's noise rate,
what an earlier study found, the points of the even spread (or the grid), then the best of the neighbouring levels; and
before the search ends, once more what these have found meanwhile, where the cell has not been there.
They are proposals alone: what is known elsewhere is never counted as data of the cell.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tosmooth.search.records import Cell, Level, Record
from tosmooth.search.selection.comparison import best_trials
from tosmooth.search.selection.theory import moved_rate, noise_rate_of, theory_rate
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import BASELINES, Params
from tosmooth.search.spec.scales import closest, signed_log
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.suggest.initial_design import initial_points
from tosmooth.search.surrogate.posterior import Posterior

# Where a proposal comes from.
BASELINE, SPREAD, THEORY, PRIOR = "baseline", "spread", "theory", "prior"
BELOW, ABOVE, SAMPLER = "below", "above", "sampler"
AGAIN = " again"  # behind BELOW and ABOVE
NEAR = 0.25  # on the scale of `signed_log`, from -8 to 0.8 2.8 long


class Proposal(NamedTuple):
    """Hyperparameters to try, and where they come from."""

    source: str  # "theory", "prior 1", ...
    params: Params

    @property
    def once(self) -> bool:
        """True if it is made only once, even if its parameters would come out differently later.

        They would as an estimate gets better, or as the search of a level goes on.
        """
        return self.source.removesuffix(AGAIN) in (THEORY, BELOW, ABOVE) or self.source.startswith(PRIOR)


class Proposals:
    """Proposals for each cell of a study, as its records stand.

    `search` gives the search trials of a cell, `best` the best of them (`best_of`); `prior` the findings of an earlier
    study by level. All is decided by what ended, so that a study that was stopped proposes what it would have.
    """

    def __init__(
        self,
        spec: StudySpec,
        levels: Mapping[str, Level],
        search: Callable[[Cell], Sequence[Record]],
        best: Callable[[Cell], Params | None],
        prior: Mapping[str, Sequence[Params]],
    ) -> None:
        self.spec, self.levels, self.search, self.best, self.prior = spec, levels, search, best, prior
        self.head_start = spec.search.head_start and spec.search.guided
        self.views = MethodSpec.each(spec)
        self.cells = spec.cells()
        self._noise_rates: dict[str, float] = {}  # by level, as far as they are settled
        self.openers = {method: [Proposal(BASELINE, p) for p in view.openers()] for method, view in self.views.items()}
        self.spread = {
            method: [Proposal(SPREAD, p) for p in initial_points(view)[len(self.openers[method]) :]]
            for method, view in self.views.items()
        }

    def opening(self, cell: Cell) -> list[Proposal]:
        """First part of a cell's initial design, as far as it is known: all but the `spread`, which follows."""
        if cell.method != "gls":  # theory and earlier studies speak of rates
            return self.openers[cell.method]
        prior = [Proposal(f"{PRIOR} {i}", params) for i, params in enumerate(self.prior.get(cell.level, ()), 1)]
        return [*self.openers["gls"], *self._theory(cell), *prior]

    def settled(self, cell: Cell) -> bool:
        """True if nothing more can come to `opening`: the theory waits for a noise rate, measured or estimated."""
        return not self.head_start or cell.method != "gls" or self._noise_rate(cell.level) is not None

    def neighbours(self, cell: Cell) -> list[Proposal]:
        """Incumbents of the two levels whose noise rates are next to the cell's, of the same method, where known.

        Each is brought over by the theory: what it found is taken to be the best rate on clean labels, moved by its
        noise, and is moved on by the difference.
        """
        if not self.head_start:
            return []
        known = [
            (rate, i, c) for i, c in enumerate(self._alike(cell)) if (rate := self._noise_rate(c.level)) is not None
        ]
        order = [other for _, _, other in sorted(known, key=lambda entry: entry[:2])]
        if cell not in order:
            return []
        place = order.index(cell)
        near = [(BELOW, order[place - 1])] if place > 0 else []
        near += [(ABOVE, order[place + 1])] if place + 1 < len(order) else []
        found = [(source, other, self.best(other)) for source, other in near]
        return [
            Proposal(source, self._moved(other, cell, params)) for source, other, params in found if params is not None
        ]

    def overlooked(self, cell: Cell) -> list[Proposal]:
        """Incumbents of the neighbours as they now stand, where no trial of the cell was near.

        Where many trials run at once the neighbours had found nothing when they were first asked, and a dozen trials
        can miss the best rates of a cell: of recorded twonorm one study in six did at a noise of 0.2, and took 0.8.
        """
        return [
            Proposal(found.source + AGAIN, found.params)
            for found in self.neighbours(cell)
            if "rate" in found.params and not any(_near(found.params, record) for record in self.search(cell))
        ]

    def _moved(self, other: Cell, cell: Cell, params: Params) -> Params:
        """Move the other cell's hyperparameters, by the theory, to the rate that fits this cell's noise.

        Those of another method as they are: of it the theory says nothing.
        """
        if "rate" not in params:
            return params
        there, here = (self._noise_rate(each.level) for each in (other, cell))
        rate = moved_rate(params["rate"], there, here, self.levels[cell.level].classes)
        return params | {"rate": closest("rate", self.spec.space["rate"], rate)}

    def _theory(self, cell: Cell) -> list[Proposal]:
        if not self.head_start:
            return []
        params = theory_point(self.views["gls"], self._noise_rate(cell.level), self.levels[cell.level].classes)
        return [] if params is None else [Proposal(THEORY, params)]

    def _noise_rate(self, level: str) -> float | None:
        if level not in self._noise_rates:
            records = (record for cell in self.cells if cell.level == level for record in self.search(cell))
            found = noise_rate_of(self.levels[level], records)
            if found is None:
                return None
            self._noise_rates[level] = found  # for good
        return self._noise_rates[level]

    def _alike(self, cell: Cell) -> list[Cell]:
        return [other for other in self.cells if other.method == cell.method]


def _near(params: Params, record: Record) -> bool:
    """True if a trial says something about these parameters; one that diverged says nothing about longer warm-ups."""
    if record.state == "failed" or (record.state == "diverged" and record.params["warmup"] < params["warmup"]):
        return False
    return abs(signed_log(record.params["rate"]) - signed_log(params["rate"])) < NEAR


def theory_point(spec: MethodSpec, noise_rate: float | None, classes: int) -> Params | None:
    """Point at the theory's rate, brought into the search space, with all but the warm-up as the baselines have it.

    The warm-up is the middle one under the recipe `single`: a rate that undoes much noise wrecks a new network.
    `None` where theory gives no rate, or one that is a baseline's already.
    """
    rate = theory_rate(noise_rate, classes)
    if rate is None:
        return None
    rate = closest("rate", spec.space["rate"], rate)
    if rate in BASELINES:
        return None
    warmups = sorted(spec.space["warmup"].points())
    middle = {"warmup": warmups[len(warmups) // 2]} if spec.training.recipe == "single" else {}
    return spec.baseline(rate) | middle


def best_of(spec: MethodSpec, records: Sequence[Record], posterior: Posterior | None) -> Params | None:
    """Incumbent of a cell: its posterior's best, else its best complete trial's, `None` where there is neither."""
    if posterior is not None:
        return posterior.best
    best = best_trials(records, spec.score, 1)
    return best[0] if best else None

"""What is tried in a cell before a sampler is asked: baselines, what theory and other studies say, an even spread.

Proposals are tried in this order: cross-entropy, label smoothing at 0.1, the theory's rate for the level's noise rate,
what an earlier study found, the points of the even spread (or the grid), then the best of the neighbouring levels; and
before the search ends, once more what these have found meanwhile, where the cell has not been there.
They are proposals alone: what is known elsewhere is never counted as data of the cell.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from search.parameters import BASELINES, Parameter, Params, Range
from search.posterior import Posterior
from search.records import ENDED, Level, Record
from search.scales import DIGITS, signed_log, symlog
from search.sections import GUIDED
from search.selection import finalists, theory_rate
from search.space import initial_points
from search.study import Cell, StudySpec

# Where a proposal comes from. The last two are what a sampler says, and a further seed of parameters found best.
BASELINE, SPREAD, THEORY, PRIOR, BELOW, ABOVE, SAMPLER, REPEAT = (
    "baseline", "spread", "theory", "prior", "below", "above", "sampler", "repeat",
)  # fmt: skip
AGAIN = " again"  # behind BELOW and ABOVE
NEAR = 0.25  # on the scale of `signed_log`, of which the space's 2.8 hold about four lengths of the model


class Proposal(NamedTuple):
    """Parameters to try, and where they come from."""

    source: str  # "theory", "prior 1", ...
    params: Params

    @property
    def once(self) -> bool:
        """Whether it is made once, however its parameters come out later: an estimate gets better, a level goes on."""
        return self.source.removesuffix(AGAIN) in (THEORY, BELOW, ABOVE) or self.source.startswith(PRIOR)


class Proposals:
    """The proposals for each cell of a study, as its records stand.

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
        self.head_start = spec.search.head_start and spec.search.sampler in GUIDED
        self.views = {method: spec.of(method) for method in spec.method}
        self.cells = spec.cells()
        self._noise_rates: dict[str, float] = {}  # by level, as far as they are settled
        self.openers = {method: [Proposal(BASELINE, p) for p in view.openers()] for method, view in self.views.items()}
        self.spread = {
            method: [Proposal(SPREAD, p) for p in initial_points(view)[len(self.openers[method]) :]]
            for method, view in self.views.items()
        }

    def opening(self, cell: Cell) -> list[Proposal]:
        """What every cell tries first, as far as it is known: all but the `spread`, which follows, and neighbours."""
        if cell.method != "gls":  # theory and earlier studies speak of rates
            return self.openers[cell.method]
        prior = [Proposal(f"{PRIOR} {i}", params) for i, params in enumerate(self.prior.get(cell.level, ()), 1)]
        return [*self.openers["gls"], *self._theory(cell), *prior]

    def settled(self, cell: Cell) -> bool:
        """Whether nothing more can come to the opening: the theory waits for the noise rate, if only an estimate."""
        return not self.head_start or cell.method != "gls" or self._noise_rate(cell.level) is not None

    def neighbours(self, cell: Cell) -> list[Proposal]:
        """The best of the two levels whose noise rates are next to the cell's, of the same method, where known.

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
        """The neighbours' best as it now stands, where no trial of the cell was near.

        Where many trials run at once the neighbours had found nothing when they were first asked, and a dozen trials
        can miss the best rates of a cell: of recorded twonorm one study in six did at a noise of 0.2, and took 0.8.
        """
        return [
            Proposal(found.source + AGAIN, found.params)
            for found in self.neighbours(cell)
            if "rate" in found.params and not any(_near(found.params, record) for record in self.search(cell))
        ]

    def _moved(self, other: Cell, cell: Cell, params: Params) -> Params:
        """The other cell's parameters with the rate that the theory makes of theirs at this cell's noise.

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
    """Whether a trial tells of these parameters; one that diverged tells nothing of longer warm-ups."""
    if record.state == "failed" or (record.state == "diverged" and record.params["warmup"] < params["warmup"]):
        return False
    return abs(signed_log(record.params["rate"]) - signed_log(params["rate"])) < NEAR


def noise_rate_of(level: Level, records: Iterable[Record]) -> float | None:
    """The level's noise rate as measured, else as its cross-entropy estimated it, in [0, 1]; `None`: unknown.

    The estimate is `noise_rate_estimate` of the first cross-entropy trial of the search that has one. It waits for
    those before: so it is settled for good as soon as it is there, and the theory speaks once.
    """
    if level.noise_rate is not None:
        return level.noise_rate
    plain = [r for r in records if r.level == level.name and r.phase == "search" and r.params.get("rate") == 0]
    for record in sorted(plain, key=lambda each: (each.number, each.method)):
        if record.state == "running":
            return None
        if record.state in ENDED and (found := record.last("noise_rate_estimate")) is not None:
            return found
    return None


def theory_point(spec: StudySpec, noise_rate: float | None, classes: int) -> Params | None:
    """The theory's rate, brought into the space, with all but the warm-up as the baselines have it.

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


def moved_rate(rate: float, there: float | None, here: float | None, classes: int) -> float:
    """The best rate at the noise rate `here`, where `rate` is it `there`; `rate` itself where theory does not say.

    Wei et al. 2022 (arXiv 2106.04149): r = (c - rho) / (1 - rho) with rho = e K / (K - 1) < 1, c best on clean labels.
    """
    if there is None or here is None:
        return rate
    before, after = (e * classes / (classes - 1) for e in (there, here))
    if max(before, after) >= 1 - 1e-9:
        return rate
    clean = rate * (1 - before) + before
    return (clean - after) / (1 - after)


def best_of(spec: StudySpec, records: Sequence[Record], posterior: Posterior | None) -> Params | None:
    """The best of a cell: its posterior's, else that of its best complete trial, `None` where there is neither."""
    if posterior is not None:
        return posterior.best
    best = finalists(records, replace(spec.selection, readout="best", finalists=1))
    return best[0] if best else None


def closest(name: str, parameter: Parameter, value: Any) -> Any:
    """The value of a parameter that is nearest to `value`; of listed numbers too, on the scale of rates for a rate."""
    if isinstance(parameter, Range):
        exact = parameter.integer or parameter.step is not None
        return parameter.nearest(value if exact else float(f"{value:.{DIGITS}g}") + 0.0)
    numbers = [v for v in parameter.values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(parameter.values) or not isinstance(value, int | float) or isinstance(value, bool):
        return parameter.nearest(value)
    place = symlog if name == "rate" else float
    return min(numbers, key=lambda number: abs(place(number) - place(value)))

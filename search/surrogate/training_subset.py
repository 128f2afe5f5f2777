"""Training subset: those of a cell's many trials that the surrogate is fitted to, bounded however long the search.

A Gaussian process takes the cube of its runs: 200 take a quarter of a second, 2,000 minutes. Up to `MOST` trials, all
that ended together, nothing is left out. Beyond that, at most `MOST` of those with an accuracy, which completed or were
pruned, and of those that diverged:

- the first of the cell: the baselines, with which all is compared, the initial design (what theory and an earlier
  study proposed, and points spread evenly);
- the most recent: what was learned last must be known, or the same trial would be proposed again;
- the best single trials, which are candidates for the choice;
- of all others an even thinning in order of their numbers, blind to how they ended. It has the density of the whole,
  which is high where the sampler found good trials. To take more of the best instead would have the model believe in
  luck: of thousands of equal trials the best hundred lie points above the truth.

Beyond `MOST` a model is fitted anew when the trials have grown by a 64th, not after each: one more of thousands moves
it by next to nothing. What ended since is treated as what is still running: it is not proposed again.

Repeats of the same parameters are not merged: the mean of several runs has less noise than one, and no seed's term of
its own, which would be another model (`search.surrogate.gaussian_process`).
"""

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from tosmooth.search.records import ENDED, Record, Score
from tosmooth.search.spec.parameters import Params

MOST = 192
FIRST, RECENT, BEST = 16, 48, 16
GROWTH = 64


@dataclass(slots=True)
class TrainingSubset:
    """Trials of one cell's search that completed, diverged or were pruned, taken in as they end, in any order."""

    score: Score
    _records: dict[int, Record] = field(default_factory=dict)  # by number
    _scored: list[int] = field(default_factory=list)  # numbers of those that have an accuracy, in rising order
    _diverged: list[int] = field(default_factory=list)
    _ranked: list[tuple[float, int]] = field(default_factory=list)  # of those that completed, the best first
    _next: int = MOST + 1  # trials with which there is another choice
    _chosen: list[Record] = field(default_factory=list)  # as of the last of these, beyond `MOST`
    completed: int | None = None  # trials that did, where the chosen ones stand for more
    since: list[Params] = field(default_factory=list)  # of those that ended after the choice

    @classmethod
    def of(cls, records: Iterable[Record], score: Score) -> "TrainingSubset":
        """Subset of the search trials among a cell's records, chosen as of the last of them."""
        subset = cls(score)
        for record in sorted(records, key=lambda each: each.number):
            subset.add(record)
        if subset.since:
            subset._choose()
        return subset

    def add(self, record: Record) -> None:
        """Take in a trial; one that failed or is running says nothing."""
        if record.phase != "search" or record.state not in ENDED:
            return
        self._records[record.number] = record
        insort(self._diverged if record.state == "diverged" else self._scored, record.number)
        value = self.score.of(record) if record.state == "complete" else None
        if value is not None:
            insort(self._ranked, (-value, record.number))
        if len(self._records) < self._next:
            if len(self._records) > MOST:
                self.since.append(record.params)
            return
        self._choose()
        self._next += max(1, self._next // GROWTH)

    def records(self) -> list[Record]:
        """Trials that the surrogate is fitted to, in order of number."""
        return self._chosen or [self._records[number] for number in sorted(self._records)]

    def _choose(self) -> None:
        best = [number for _, number in self._ranked[:BEST]]
        kept = {*thinned(self._scored, best), *thinned(self._diverged, [])}
        self._chosen = [self._records[number] for number in sorted(kept)]
        self.completed, self.since = len(self._ranked), []


def thinned(numbers: list[int], best: list[int]) -> list[int]:
    """Thin sorted numbers of trials to at most `MOST`: the first, the most recent, the `best`, others evenly."""
    if len(numbers) <= MOST:
        return numbers
    others = numbers[FIRST:-RECENT]
    places = MOST - FIRST - RECENT - len(best)
    even = (others[i * len(others) // places] for i in range(places))
    return [*numbers[:FIRST], *numbers[-RECENT:], *best, *even]

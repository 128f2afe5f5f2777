"""Hyperparameters that a cell has tried, counted as they come: thousands of trials are not gone through each time."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tosmooth.search.spec.parameters import Frozen, frozen
from tosmooth.search.suggest.warm_start import Proposal


class TriedParams:
    """Hyperparameters of one cell's trials, under one driver; those of failed trials may be tried again by the next."""

    def __init__(self) -> None:
        self._seeds: dict[Frozen, list[int]] = defaultdict(list)  # of trials that did not fail
        self._sources: Counter[str | None] = Counter()  # of the same
        self._given_up: set[Frozen] = set()  # failed under this driver
        self._passed: dict[int, int] = {}  # of a lasting list of proposals, how many at its start are tried

    def add(self, params: Mapping[str, Any], seed: int, source: str | None) -> None:
        """Take in a trial that was started."""
        self._seeds[frozen(params)].append(seed)
        self._sources[source] += 1

    def remove(self, params: Mapping[str, Any], seed: int, source: str | None) -> None:
        """Take back a trial that was started, and failed."""
        known = frozen(params)
        self._seeds[known].remove(seed)
        if not self._seeds[known]:
            del self._seeds[known]
        self._sources[source] -= 1

    def give_up(self, params: Mapping[str, Any]) -> None:
        """Leave these out from now on: they are not to be tried again under this driver."""
        self._given_up.add(frozen(params))

    def seeds(self, params: Mapping[str, Any]) -> set[int]:
        """Training seeds that these hyperparameters have had."""
        return set(self._seeds.get(frozen(params), ()))

    def made(self, source: str) -> bool:
        """True if any trial that did not fail comes from this source."""
        return self._sources[source] > 0

    def first_left(self, proposals: Iterable[Proposal]) -> Proposal | None:
        """First proposal that was not tried; one that is made once is known by its source."""
        return next((p for p in proposals if self._is_left(p)), None)

    def next_of(self, proposals: Sequence[Proposal]) -> Proposal | None:
        """First that was not tried of a list that stays as it is, holds thousands, and is asked for again and again."""
        place = self._passed.get(id(proposals), 0)
        while place < len(proposals) and not self._is_left(proposals[place]):
            place += 1  # for good: what was tried either stands or was given up
        self._passed[id(proposals)] = place
        return proposals[place] if place < len(proposals) else None

    def _is_left(self, proposal: Proposal) -> bool:
        known = frozen(proposal.params)
        tried = known in self._seeds or known in self._given_up
        return not tried and not (proposal.once and self.made(proposal.source))

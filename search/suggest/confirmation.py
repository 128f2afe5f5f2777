"""Confirmation of a cell: its finalists and the baselines, all retrained on the same fresh seeds."""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from tosmooth.search.records import Level, Record, State, TrialKey
from tosmooth.search.selection.choice import finalists, selected
from tosmooth.search.selection.comparison import gain_width
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import BASELINE_METHOD, Frozen, Params, frozen


class Run(NamedTuple):
    """Run of a confirmation."""

    method: str  # of its loss: the cell's, or that of the baselines
    params: Params
    train_seed: int

    @property
    def known(self) -> tuple[str, Frozen, int]:
        """Key of this run in mappings."""
        return self.method, frozen(self.params), self.train_seed


Done = Mapping[tuple[str, Frozen, int], State]


def next_run(spec: MethodSpec, level: Level, records: Sequence[Record], failed: Container[TrialKey]) -> Run | None:
    """Run that the confirmation needs next, `None` for none at this moment. `records`: of one cell, both phases.

    With one finalist the runs go seed by seed, cross-entropy first: its warm-up is what the others branch from. Several
    come before the baselines, seed by seed too, and so does one that may yet give way where the baselines' recipe is
    the chosen one's.
    Under `seeds: auto` a seed is added, for all arms, when all before it have ended and the gain's interval is still
    too wide. `failed` are the runs that failed under this driver; what failed under an earlier one is tried once more.
    """
    runs = [r for r in records if r.phase == "confirmation" and (r.state != "failed" or r.key in failed)]
    done = {Run(run.loss, run.params, run.train_seed).known: run.state for run in runs}
    seeds = spec.confirmation_seeds()
    for count in range(spec.confirmation.fewest_seeds, len(seeds) + 1):
        wanted = _wanted(spec, records, seeds[:count], done)
        for run in wanted:
            if run.known not in done:
                return run
        if any(done[run.known] == "running" for run in wanted):
            return None
        if _enough(spec, level, [r for r in records if r.phase == "search" or r.train_seed in seeds[:count]]):
            return None
    return None


def _wanted(spec: MethodSpec, records: Sequence[Record], seeds: Sequence[int], done: Done) -> list[Run]:
    """Runs on these seeds, in their order, as far as is known now what they are."""
    arms = [(spec.method, params) for params in finalists(spec, records)]
    best = selected(spec, records)
    baselines = spec.baselines(best)
    may_change = spec.confirmation.finalists == "auto" and best is not None and baselines != spec.baselines()
    if not baselines.ce:
        return [Run(*arm, seed) for seed in seeds for arm in arms]
    ce, ls = (BASELINE_METHOD, baselines.ce), (BASELINE_METHOD, baselines.ls)
    if len(arms) < 2 and not may_change:
        distinct = [ce, *(arm for arm in arms if arm not in (ce, ls)), ls]
        return [Run(*arm, seed) for seed in seeds for arm in distinct]
    compared = [Run(*arm, seed) for seed in seeds for arm in arms]
    if any(done.get(run.known) in (None, "running") for run in compared):
        return compared
    return compared + [Run(*arm, seed) for arm in (ce, ls) for seed in seeds]


def _enough(spec: MethodSpec, level: Level, records: Sequence[Record]) -> bool:
    """True if the gain is known as closely as the study asks, by runs on seeds that every arm has had."""
    best = selected(spec, records)
    widest = spec.confirmation.widest_gain
    ce = spec.baselines(best).ce
    if best is None or widest is None or not ce:
        return True
    width = gain_width(records, level, spec.score, best, spec.method, ce)
    return width is not None and width <= widest

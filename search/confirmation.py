"""Which run the confirmation of a cell needs next: its finalists and the baselines, all on the same fresh seeds."""

from collections.abc import Container, Mapping, Sequence

from search.choice import chosen, finalists
from search.parameters import Frozen, Params, frozen
from search.records import Level, Record, State, TrialKey
from search.selection import gain_width
from search.study import StudySpec

Run = tuple[Params, int]  # parameters and training seed
Done = Mapping[tuple[Frozen, int], State]


def next_run(spec: StudySpec, level: Level, records: Sequence[Record], failed: Container[TrialKey]) -> Run | None:
    """A run that is missing, `None` for none at this moment. `records`: of one cell, both phases.

    With one finalist the runs go seed by seed, cross-entropy first: its warm-up is what the others branch from. Several
    come before the baselines, and so does one that may yet give way where the baselines' recipe is the chosen one's.
    Under `seeds: auto` a seed is added, for all arms, when all before it have ended and the gain's interval is still
    too wide. `failed` are the runs that failed under this driver; what failed under an earlier one is tried once more.
    """
    runs = [r for r in records if r.phase == "confirmation" and (r.state != "failed" or r.key in failed)]
    done = {(frozen(run.params), run.train_seed): run.state for run in runs}
    seeds = spec.confirmation_seeds()
    for count in range(spec.selection.fewest_seeds, len(seeds) + 1):
        wanted = _wanted(spec, records, seeds[:count], done)
        for params, seed in wanted:
            if (frozen(params), seed) not in done:
                return params, seed
        if any(done[frozen(params), seed] == "running" for params, seed in wanted):
            return None
        if _enough(spec, level, [r for r in records if r.phase == "search" or r.train_seed in seeds[:count]]):
            return None
    return None


def _wanted(spec: StudySpec, records: Sequence[Record], seeds: Sequence[int], done: Done) -> list[Run]:
    """The runs on these seeds, in their order, as far as is known now what they are."""
    arms = finalists(spec, records)
    best = chosen(spec, records)
    baselines = spec.baselines(best)
    may_change = spec.selection.finalists == "auto" and best is not None and baselines != spec.baselines()
    if len(arms) < 2 and not may_change:
        distinct = [baselines.ce, *(arm for arm in arms if arm not in (baselines.ce, baselines.ls)), baselines.ls]
        return [(params, seed) for seed in seeds for params in distinct]
    compared = [(params, seed) for params in arms for seed in seeds]
    if any(done.get((frozen(params), seed)) in (None, "running") for params, seed in compared):
        return compared
    return compared + [(params, seed) for params in (baselines.ce, baselines.ls) for seed in seeds]


def _enough(spec: StudySpec, level: Level, records: Sequence[Record]) -> bool:
    """Whether the gain is known as closely as the study asks, by runs on seeds that every arm has had."""
    best = chosen(spec, records)
    widest = spec.selection.widest_gain
    if best is None or widest is None:
        return True
    width = gain_width(records, level, best, spec.baselines(best).ce)
    return width is not None and width <= widest

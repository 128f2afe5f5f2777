"""Which parameters of a cell are the best, and how sure that is, by the readout that the study asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from search import selection
from search.parameters import Params
from search.posterior import Posterior, fit
from search.records import Record
from search.rows import Sureness
from search.selection import confirmed, score, winner
from search.study import StudySpec
from search.telling import Telling


def finalists(spec: StudySpec, records: Sequence[Record]) -> list[Params]:
    """The parameters to confirm, best first; `records` of one cell.

    `posterior`: the best of the smooth model of all search trials; one that promises more but may diverge, if there is
    one; then the model's next. None is like another: the best rates lie close to where training diverges, two finalists
    of nearly one rate diverge under the same seed, and neither is a way out. `best`, and where the trials are too few
    for a model: the best single trials.

    Under `finalists: auto` the best alone, unless it diverges on a fresh seed, or another promises more: beside the
    edge of divergence a dozen trials cannot tell, and the confirmation can.
    """
    single = selection.finalists(records, spec.selection)
    model = model_of(spec, records) if single else None
    ranked = single if model is None else _ranked(model, single)[: spec.selection.most_finalists]
    if spec.selection.finalists != "auto" or (model is not None and model.bolder is not None):
        return ranked
    fresh = confirmed(records, ranked[0]).values() if ranked else ()
    return ranked[:1] if all(run.state == "complete" for run in fresh) else ranked


def _ranked(model: Posterior, single: Sequence[Params]) -> list[Params]:
    """All that may be finalists, best first."""
    found = [model.best] if model.bolder is None else [model.best, model.bolder]
    for params in model.ranked:
        if not any(model.alike(params, other) for other in found):
            found.append(params)
    return [*found, *(params for params in single if params not in found)]


def chosen(spec: StudySpec, records: Sequence[Record]) -> Params | None:
    """The best of the finalists by their fresh seeds, as far as there are any; `None` before a trial completes."""
    return winner(finalists(spec, records), records, spec.selection)


def search_model(spec: StudySpec, records: Sequence[Record]) -> Posterior | None:
    """What a cell's search trials say; `None` where they say too little."""
    return told_model(spec, Telling.of(records, spec.selection.epoch))


def told_model(spec: StudySpec, telling: Telling) -> Posterior | None:
    """The same of trials that were taken in as they ended."""
    return _fitted(_Cell.of(spec, telling))


def model_of(spec: StudySpec, records: Sequence[Record]) -> Posterior | None:
    """The model by which a cell's best is chosen, and how sure that is; `None` where there is none, and under `best`.

    The confirmation is not in it: it is the check of the choice, on seeds of its own, and how often the interval of a
    search holds the true best rate is what was measured (docs/search.md).
    """
    return search_model(spec, records) if spec.selection.readout == "posterior" else None


def sureness(spec: StudySpec, model: Posterior | None, best: Params | None) -> Sureness | None:
    """How sure it is that `best` is the best, by the model of its cell.

    The interval is widened to hold it: a second finalist may lie outside. `None` for a method without a rate.
    """
    if model is None or best is None or "rate" not in best:
        return None
    baselines, (low, high) = spec.baselines(best), model.interval
    ce, ls = (model.beats(best, other) for other in (baselines.ce, baselines.ls))
    return Sureness(min(low, best["rate"]), max(high, best["rate"]), ce, ls)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell's runs; equal to another where a model of them would be the same."""

    spec: StudySpec = field(compare=False)
    records: Sequence[Record] = field(compare=False)
    completed: int | None  # trials that did, where the records stand for more
    known: tuple[Any, ...]

    @classmethod
    def of(cls, spec: StudySpec, telling: Telling) -> "_Cell":
        ended = telling.records()
        runs = [(r.state, tuple(r.params.items()), r.train_seed, score(r, spec.selection)) for r in ended]
        return cls(spec, ended, telling.completed, (repr(spec.space), *runs))


@lru_cache(maxsize=16)  # cells that are asked for again and again; a model holds megabytes
def _fitted(cell: _Cell) -> Posterior | None:
    return fit(cell.spec, cell.records, cell.completed)

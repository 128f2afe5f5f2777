"""Fitting the surrogate of a cell to its trials, kept for those that are asked for again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from tosmooth.search.records import Record, Score
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.surrogate.acquisition import Acquisition
from tosmooth.search.surrogate.candidates import candidates, distinct, places_of
from tosmooth.search.surrogate.encoding import Axes
from tosmooth.search.surrogate.feasibility import Feasibility
from tosmooth.search.surrogate.gaussian_process import Model
from tosmooth.search.surrogate.posterior import Posterior
from tosmooth.search.surrogate.training_subset import TrainingSubset

LEAST = 5  # trials that completed or diverged, for a model to say anything


@dataclass(frozen=True, slots=True)
class _Cell:
    """Trials of a cell; equal to another where the models of both would be the same."""

    spec: MethodSpec = field(compare=False)
    records: Sequence[Record] = field(compare=False)
    completed: int | None  # trials that did, where the records stand for more
    known: tuple[Any, ...]

    @classmethod
    def of(cls, spec: MethodSpec, subset: TrainingSubset) -> "_Cell":
        ended = subset.records()
        runs = [(r.state, r.epochs, tuple(r.params.items()), r.train_seed, spec.score.of(r)) for r in ended]
        return cls(spec, ended, subset.completed, (repr(spec.space), *runs))


def search_model(spec: MethodSpec, records: Sequence[Record]) -> Posterior | None:
    """Posterior given the search trials among a cell's `records`; `None` where they say too little (`fit`)."""
    return posterior_of(spec, TrainingSubset.of(records, spec.score))


def posterior_of(spec: MethodSpec, subset: TrainingSubset) -> Posterior | None:
    """Posterior given trials that were taken in as they ended; `None` where they say too little."""
    found = acquisition_of(spec, subset)
    return None if found is None else found.posterior


def acquisition_of(spec: MethodSpec, subset: TrainingSubset) -> Acquisition | None:
    """Acquisition function over that posterior: what was worked out of either is kept with it."""
    return _fitted(_Cell.of(spec, subset))


@lru_cache(maxsize=16)  # cells that are asked for again and again; a model holds megabytes
def _fitted(cell: _Cell) -> Acquisition | None:
    posterior = fit(cell.spec, cell.records, cell.completed)
    return None if posterior is None else Acquisition(posterior)


def fit(spec: MethodSpec, records: Sequence[Record], completed: int | None = None) -> Posterior | None:
    """Fit the surrogate of one cell to its `records`; `None` where they say too little.

    That is fewer than 5 complete or diverged trials, or no two complete ones that differ in accuracy. `completed`:
    trials that did complete, where the records stand for more (`search.surrogate.training_subset`).
    """
    runs, scores = _scored(records, spec.score)
    diverged = [record for record in records if record.state == "diverged"]
    if len(runs) + len(diverged) < LEAST or len(set(scores)) < 2:
        return None
    axes = Axes.of(spec)
    ended = [*runs, *diverged]
    feasibility = Feasibility.of(
        np.array([axes.edge(r.params) for r in ended]), np.array([r.state == "diverged" for r in ended])
    )
    stopped, metric = (r for r in records if r.state == "pruned"), spec.score.validation
    pruned = [(r, y) for r in stopped if (y := _forecast(r, runs, scores, metric)) is not None]
    known = [*zip(runs, scores, strict=True), *pruned]
    model = Model.of(
        x=np.array([axes.point(run.params) for run, _ in known]),
        seeds=[run.train_seed for run, _ in known],
        y=np.array([score for _, score in known]),
        lengths=axes.lengths(),
    )
    ranked = [runs[i].params for i in sorted(range(len(runs)), key=lambda i: -scores[i])]
    own = distinct([run.params for run in runs], axes)
    found = distinct([*own, *candidates(spec, ranked, completed)], axes)
    points, edge_points = (np.array([place(params) for params in found]) for place in (axes.point, axes.edge))
    return Posterior(found, len(own), places_of(spec), axes, model, points, feasibility, edge_points)


def _forecast(pruned: Record, runs: Sequence[Record], scores: Sequence[float], metric: str) -> float | None:
    """The `metric` that a pruned trial would have reached: its last ones, and what complete trials gained from there.

    That is the median of those whose warm-up was over by then, `None` where there is none; at most the median of their
    accuracies, below which the trial was when it was stopped. A mean of two epochs, as the pruner looks at two.
    """
    last = range(max(0, pruned.epochs - 2), pruned.epochs)
    now, before = _mean(pruned, metric, last), []
    for run, score in zip(runs, scores, strict=True):
        then = _mean(run, metric, last) if run.params.get("warmup", 0) <= last.start else None
        if then is not None:
            before.append((score, score - then))
    if now is None or not before:
        return None
    reached, gained = np.median(np.array(before), axis=0).tolist()
    return float(min(now + gained, reached))


def _mean(record: Record, metric: str, epochs: range) -> float | None:
    values = [record.curve[i].get(metric) for i in epochs if i < record.epochs]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _scored(records: Sequence[Record], score: Score) -> tuple[list[Record], list[float]]:
    """Complete trials that have a score, and these scores in percent."""
    values = {r.key: v for r in records if r.state == "complete" and (v := score.of(r)) is not None}
    return [record for record in records if record.key in values], list(values.values())

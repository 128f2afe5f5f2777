"""A search by another library on a recorded surface, as far as the budget goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution
from replay import _Answers, _Trial
from surface import Surface

from samplers.catalogue import Make
from samplers.interface import Asked, Dimension, Sampler, Task
from tosmooth.search.records import Cell, Metrics, Record, Score, State
from tosmooth.search.selection.comparison import best_trials
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import BASELINES, Params
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.distributions import distributions, to_params, to_sampled

PATIENCE = 20  # proposals an epoch of the budget


@dataclass(frozen=True, slots=True)
class Stand:
    """A search when its budget is spent."""

    records: Sequence[Record]
    best: Params | None  # what the library recommends
    epochs: int


@dataclass(slots=True)
class _Run:
    """A run on the surface."""

    record: Record
    trial: _Trial


@dataclass(slots=True)
class Contest:
    """One cell, searched by one sampler. A run is started as long as there is budget left: the last may exceed it."""

    spec: StudySpec
    surface: Surface
    seeds: Sequence[int]  # recorded ones that answer; runs take them in turn
    cell: Cell
    trained: int = 0  # epochs
    spared: int = 0  # of them, by trunks
    _runs: dict[str, _Run] = field(default_factory=dict)

    def search(self, make: Make, budget: int, seed: int) -> tuple[Stand, Stand]:
        """The stand once `budget` epochs are trained, and once they are if trunks spare warm-ups."""
        view = MethodSpec.of(self.spec, "gls")
        sampler = make(Task(dimensions(view), self.surface.epochs, budget, seed))
        answers = _Answers(self.spec, self.surface, list(self.seeds))
        alone: Stand | None = None
        for _ in range(PATIENCE * budget):
            self._step(view, sampler, answers)
            if alone is None and self.trained >= budget:
                alone = self._stand(view, sampler, self.trained)
            if alone is not None and self.trained - self.spared >= budget:
                return alone, self._stand(view, sampler, self.trained - self.spared)
        raise RuntimeError(f"{self.cell.key}: it asks again and again for what has been trained already")

    def _step(self, view: MethodSpec, sampler: Sampler, answers: _Answers) -> None:
        asked = sampler.ask()
        if asked.key not in self._runs:
            self._runs[asked.key] = self._started(view, asked, answers)
        run, chance = self._runs[asked.key], 100 / self.surface.classes
        state, accuracy = run.record.state, run.record.last("val_accuracy") or chance
        while state == "running" and run.trial.epoch < asked.epochs:
            result = answers.report(run.trial)
            metrics: Metrics = dict(result["metrics"])
            state = result["state"]
            accuracy = chance if state == "diverged" else metrics["val_accuracy"] or chance
            run.record = replace(run.record, state=state, curve=(*run.record.curve, metrics))
            self.trained += 1
            self.spared += bool(metrics["spared"])
            if not sampler.goes_on(asked.key, run.trial.epoch, accuracy):
                break
        sampler.tell(asked.key, run.trial.epoch, chance if state == "diverged" else accuracy)

    def _started(self, view: MethodSpec, asked: Asked, answers: _Answers) -> _Run:
        number, params = len(self._runs), _params(view, asked.point)
        seed = self._seed(params, number) if asked.seed is None else asked.seed
        record = Record(
            study=self.spec.name,
            level=self.cell.level,
            method=self.cell.method,
            phase="search",
            number=number,
            state="running",
            params=params,
            train_seed=seed,
        )
        return _Run(record, answers.start(self.cell, params, seed))

    def _seed(self, params: Params, number: int) -> int:
        """The next training seed in turn; parameters that come again get one that they have not had, if there is."""
        had = {run.record.train_seed for run in self._runs.values() if run.record.params == params}
        turn = [(number + i) % len(self.seeds) for i in range(len(self.seeds))]
        return next((seed for seed in turn if seed not in had), turn[0])

    def _stand(self, view: MethodSpec, sampler: Sampler, epochs: int) -> Stand:
        """Where it stands; what recommends nothing has stopped every run, and gets its best single one."""
        records = [_ended(run.record) for run in self._runs.values()]
        found = sampler.best()
        best = _longest(records) if found is None else _params(view, found)
        return Stand(records, best, epochs)


def dimensions(view: MethodSpec) -> list[Dimension]:
    """The space of a study as other libraries are given it: x0, x1, ..., what Optuna would sample."""
    usual = to_sampled(view, view.baseline(BASELINES[1]))
    found = []
    for i, (name, kind) in enumerate(distributions(view).items()):
        assert isinstance(kind, FloatDistribution | IntDistribution)
        integer = isinstance(kind, IntDistribution)
        found.append(Dimension(f"x{i}", kind.low, kind.high, integer, kind.log, float(usual[name])))
    return found


def _params(view: MethodSpec, point: Mapping[str, float]) -> Params:
    sampled: dict[str, Any] = {}
    for i, (name, kind) in enumerate(distributions(view).items()):
        assert isinstance(kind, FloatDistribution | IntDistribution)
        value = min(max(point[f"x{i}"], kind.low), kind.high)
        sampled[name] = round(value) if isinstance(kind, IntDistribution) else value
    return to_params(view, sampled)


def _ended(record: Record) -> Record:
    state: State = "pruned" if record.state == "running" else record.state
    return replace(record, state=state)


def _longest(records: Sequence[Record]) -> Params | None:
    """The best complete run, else the best of those that came farthest."""
    if complete := best_trials(records, Score(), 1):
        return complete[0]
    alive = [record for record in records if record.state != "diverged"]
    return max(alive, key=lambda r: (r.epochs, r.last("val_accuracy") or 0)).params if alive else None

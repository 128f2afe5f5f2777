"""View of a study by one method: its cells' search space, their first trials, and what they are compared with."""

from dataclasses import dataclass
from typing import Any, Self

from tosmooth.search.records import Score
from tosmooth.search.spec.parameters import BASELINE_METHOD, BASELINES, Params, Space, method_of
from tosmooth.search.spec.scales import value_at
from tosmooth.search.spec.sections import Baselines, ConfirmationSpec, SearchSpec
from tosmooth.search.spec.space import space_of
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.config import TrainingConfig


@dataclass(frozen=True)
class MethodSpec:
    """Study as the cells of one method see it."""

    study: StudySpec
    method: str
    space: Space  # what this method searches

    @classmethod
    def of(cls, study: StudySpec, method: str) -> Self:
        """Return the view of one method, which need not be one of the study's: baselines are of gls everywhere."""
        return cls(study, method, space_of(study.space, study.recipe(method)))

    @classmethod
    def each(cls, study: StudySpec) -> dict[str, Self]:
        """Views of all the study's methods, by name."""
        return {method: cls.of(study, method) for method in study.method}

    @property
    def seed(self) -> int:
        """Seed of the study."""
        return self.study.seed

    @property
    def budget(self) -> int:
        """Search trials of a cell (`StudySpec.budget`)."""
        return self.study.budget

    @property
    def search(self) -> SearchSpec:
        """Section `search` of the study."""
        return self.study.search

    @property
    def score(self) -> Score:
        """What trials are scored by."""
        return self.study.score

    @property
    def confirmation(self) -> ConfirmationSpec:
        """Section `confirmation` of the study."""
        return self.study.confirmation

    @property
    def training(self) -> TrainingConfig:
        """Recipe that all trials share."""
        return self.study.training

    @property
    def axis(self) -> str:
        """Hyperparameter that pictures and intervals are over: the rate, else the method's first, else the warm-up."""
        return next(iter(self.space))

    @property
    def rate_bounds(self) -> tuple[float, float] | None:
        """Least and greatest smoothing rate of the search space; `None` for a method that has none."""
        rates = self.space["rate"].extremes if "rate" in self.space else ()
        return (min(rates), max(rates)) if rates else None

    @property
    def is_compared(self) -> bool:
        """True if cross-entropy and label smoothing are trained beside it; the user's own code may know neither."""
        return self.study.trainable is None or self.method == BASELINE_METHOD

    def openers(self) -> list[Params]:
        """First configurations of a cell, never pruned: cross-entropy and label smoothing, or a method's defaults."""
        return (
            [self.baseline(rate) for rate in BASELINES] if self.method == BASELINE_METHOD else [self._as_in_the_file()]
        )

    def baseline(self, rate: float) -> Params:
        """Configuration of plain cross-entropy (rate 0) or label smoothing (0.1) as the file's recipe has them.

        Under the recipe `single` smoothing starts as early as the space allows, under `two-phase` as late; the
        learning rate after it is unchanged. Each value lies in the space but for the rate.
        """
        whole = MethodSpec(self.study, BASELINE_METHOD, self.study.space)  # baselines are the same beside every method
        return {"rate": rate} | {name: v for name, v in whole._as_in_the_file().items() if method_of(name) is None}

    def baseline_of(self, rate: float, chosen: Params) -> Params:
        """Baseline to compare `chosen` with: whatever else of the recipe was searched is taken from `chosen`.

        So the gain is not one of tuning. Under `two-phase` warm-up and learning rate are taken too: they belong to its
        second phase. Under `single` the baseline has neither, and the table says so if `chosen` has them.
        """
        shared = ("warmup", "lr_after_warmup") if self.training.recipe == "two-phase" else ()
        return {name: chosen[name] if "." in name or name in shared else v for name, v in self.baseline(rate).items()}

    def baselines(self, chosen: Params | None = None) -> Baselines:
        """Cross-entropy and label smoothing: to compare `chosen` with, or before anything is chosen."""
        if not self.is_compared:
            return Baselines(ce={}, ls={})  # there is no rate that could be 0 or 0.1
        ce, ls = (self.baseline_of(rate, chosen) if chosen else self.baseline(rate) for rate in BASELINES)
        return Baselines(ce=ce, ls=ls)

    def confirmation_seeds(self) -> list[int]:
        """Fresh training seeds of the confirmation (`StudySpec.confirmation_seeds`)."""
        return self.study.confirmation_seeds()

    def _as_in_the_file(self) -> Params:
        """Searched hyperparameters as the recipe has them, or the nearest in the space; the method's by its source."""
        recipe = self.study.recipe(self.method).to_dict()
        params: Params = {}
        for name, parameter in self.space.items():
            if method_of(name) not in (None, self.method):
                continue
            value: Any = recipe
            for key in ("parameters", name.split(".")[1]) if "." in name and method_of(name) else name.split("."):
                value = None if value is None else value.get(key)
            middle = value is None and name.startswith("arguments.")  # the study says of no value that it is usual
            params[name] = value_at(parameter, 0.5) if middle else parameter.nearest(value)
        start = max if self.training.recipe == "two-phase" else min
        return params | {"warmup": start(self.space["warmup"].extremes)}

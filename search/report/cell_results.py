"""Results of a cell: what its row and its notes are made of, and how far they can be trusted."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tosmooth.search.records import Level, Record, Score, at_epoch
from tosmooth.search.report.data_notes import FEW_COPIES
from tosmooth.search.selection.choice import Decision, Uncertainty
from tosmooth.search.selection.comparison import confirmed, outcomes
from tosmooth.search.spec.parameters import BASELINE_METHOD, Params
from tosmooth.search.spec.sections import Baselines, ConfirmationSpec

HARDLY = 0.1  # of the way from chance to all right: a network that gets no further hardly learns
UNEQUAL = 1.5  # times an even share: a class so large makes accuracy say little of the others
NEARLY_ALL = 99.0  # percent of the noisy validation predicted as labelled: nothing is left to tell noise by


@dataclass(frozen=True, kw_only=True)
class CellResults:
    """Results of a cell: what its row of the table is made of."""

    level: Level
    method: str
    records: Sequence[Record]  # those of other cells are passed over
    score: Score  # of trials, and what configurations are compared by
    rule: ConfirmationSpec
    best: Params | None  # what was chosen; None before a trial completes
    selected: Params | None = None  # what the search chose, where the fresh seeds chose a baseline instead
    baselines: Baselines
    ce_of_choice: Params | None = None  # cross-entropy with the recipe of `best`, where another recipe's does better
    bounds: tuple[float, float] | None  # of the rates searched
    uncertainty: Uncertainty | None = None
    decision: Decision | None = None
    budget: int | None = None  # trials of the search; None: more of them would not be run
    readout: Literal["posterior", "best"] = "best"  # by which it was chosen: the posterior gives an uncertainty
    others: Sequence[Record] = ()  # baselines that other cells confirmed (`selection.comparison.borrowed`)

    @cached_property
    def own(self) -> list[Record]:
        """Records of this cell."""
        return [r for r in self.records if r.level == self.level.name and r.method == self.method]

    @property
    def known(self) -> list[Record]:
        """Records of this cell, and what it has from others."""
        return [*self.others, *self.own]

    @cached_property
    def arm(self) -> dict[int, Record]:
        """Confirmation runs of what was chosen, by training seed."""
        return confirmed(self.known, self.best, self.method)

    @cached_property
    def ce(self) -> dict[int, Record]:
        """Confirmation runs of cross-entropy, by training seed."""
        return confirmed(self.known, self.baselines.ce, BASELINE_METHOD)

    @cached_property
    def ls(self) -> dict[int, Record]:
        """Confirmation runs of label smoothing, by training seed."""
        return confirmed(self.known, self.baselines.ls, BASELINE_METHOD)

    def by_seed(self, metric: str) -> tuple[dict[int, float], dict[int, float], dict[int, float]]:
        """Metric of what was chosen, of cross-entropy and of label smoothing, at the last epoch, by seed."""
        arm, ce, ls = (outcomes(runs, metric, self.level) for runs in (self.arm, self.ce, self.ls))
        return arm, ce, ls

    @property
    def metric(self) -> str:
        """Metric by which it is compared: on the clean test set, where there is none on the noisy validation."""
        return self.score.compared(self.level)

    @cached_property
    def completed(self) -> list[Record]:
        """Trials of the search that completed."""
        return [r for r in self.own if r.phase == "search" and r.state == "complete"]

    @property
    def confirming(self) -> bool:
        """True if its search is over: the confirmation has begun."""
        return any(record.phase == "confirmation" for record in self.own)

    @cached_property
    def hardly_learns(self) -> tuple[float, float] | None:
        """Highest accuracy and chance level, in percent, where the first is close to the second; else `None`."""
        chance = self._chance(self._largest) if self.score.plain else self._chance(0.0)
        wrong = 0.0 if self.level.test_size else self.level.noise_rate or 0.0
        top = 100 * (1 - wrong)  # no one predicts random labels
        highest = top if self._reached is None else self._reached
        return (highest, chance) if highest - chance < HARDLY * (top - chance) else None

    @cached_property
    def of_largest(self) -> float | None:
        """Accuracy of always saying the largest class, in percent, where nothing does better; else `None`.

        Where classes are of about equal size, that is chance, and `hardly_learns` says it.
        """
        share, reached = self._largest, self._reached
        if not self.score.plain or reached is None or share * self.level.classes < UNEQUAL:
            return None
        error = 100 * math.sqrt(share * (1 - share) / (self.level.test_size or self.level.validation_size))
        return 100 * share if abs(reached - 100 * share) <= 2 * error else None

    @property
    def _largest(self) -> float:
        """Share of the largest class among the labels that it is compared on."""
        return self.level.test_commonest if self.level.test_size else self.level.commonest

    @cached_property
    def _reached(self) -> float | None:
        """Highest mean over the fresh seeds, before there are any the highest of a trial; `None` before one ended."""
        arm, ce, _ = self.by_seed(self.metric)
        fresh = [statistics.fmean(values.values()) for values in (arm, ce) if values]
        found = fresh or [value for r in self.completed if (value := r.last(self.metric)) is not None]
        return max(found, default=None)

    @cached_property
    def mean_abs_logit(self) -> float | None:
        """Mean |logit| of what was chosen, on the noisy validation; `None` where a run has not told it."""
        sizes = [run.last("val_mean_abs_logit") for run in self.arm.values() if run.state == "complete"]
        known = [size for size in sizes if size is not None]
        return statistics.fmean(known) if known and len(known) == len(sizes) else None

    @cached_property
    def doubts(self) -> list[str]:
        """Reasons why the estimate of the noise rate cannot be trusted, in words."""
        runs = [r for r in self.known if r.last("noise_rate_estimate") is not None]
        seen = [value for r in runs if (value := at_epoch(r, "val_accuracy", "best")) is not None]
        chance = self._chance(self.level.commonest)
        right = statistics.fmean(seen) if seen else None
        doubts = []
        if self.level.shared >= FEW_COPIES:
            doubts.append("the network has seen the validation's examples in training")
        if right is not None and right >= NEARLY_ALL:
            doubts.append("nearly all of the validation is predicted as labelled")
        elif self.hardly_learns or (right is not None and right - chance < HARDLY * (100 - chance)):
            doubts.append("the network hardly learns")
        if any(r.last("classes_never_predicted") for r in runs):
            doubts.append("some classes are never predicted")
        return doubts

    def _chance(self, commonest: float) -> float:
        """Accuracy without any learning, in percent: evenly drawn, or always the most frequent label."""
        return 100 * max(1 / self.level.classes, commonest)

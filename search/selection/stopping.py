"""Early stopping of the search of a noise level by `search.stop_when`, and what it saved."""

from collections.abc import Sequence
from typing import NamedTuple

from tosmooth.search.records import ENDED, Cell, Record
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.sections import StopWhen
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.surrogate.fitting import search_model
from tosmooth.search.surrogate.posterior import Posterior

ENOUGH = 8  # trials that ended, before a level may stop


class Saving(NamedTuple):
    """Budget that a level left unused because `stop_when` was met."""

    cell: Cell
    reason: str
    used: int  # trials that ended
    trials: int  # saved
    epochs: int  # saved, if each had trained as many as those that ended did on average

    def words(self) -> str:
        """Message for the end of a run, one line."""
        plural = "" if self.trials == 1 else "s"
        return (
            f"{self.cell.key}: search stopped after {self.used} trials, {self.reason}; "
            f"saved {self.trials} trial{plural}, about {self.epochs} epochs"
        )


def stop_reason(rule: StopWhen, posterior: Posterior | None) -> str | None:
    """Reason why the search of a level may stop early, in words; `None` where it may not."""
    if posterior is None:
        return None
    if rule.rate_interval is not None and posterior.width <= rule.rate_interval:
        return "interval narrow enough"
    if rule.accuracy_margin is not None and posterior.loss() <= rule.accuracy_margin:
        return "expected loss small enough"
    return None


def savings(spec: StudySpec, records: Sequence[Record]) -> list[Saving]:
    """Savings of the levels whose search has stopped early, by the records of a study; none without `stop_when`."""
    rule = spec.search.stop_when
    if rule is None:
        return []
    found = []
    ended = [record for record in records if record.phase == "search" and record.state in ENDED]
    for cell in spec.cells():
        own = [record for record in ended if (record.level, record.method) == cell]
        saved = spec.budget - len(own)
        confirming = any((r.level, r.method, r.phase) == (*cell, "confirmation") for r in records)
        if saved <= 0 or len(own) < ENOUGH or not confirming:  # the confirmation begins when the search is over
            continue
        reason = stop_reason(rule, search_model(MethodSpec.of(spec, cell.method), own))
        if reason is not None:
            epochs = round(saved * sum(record.trained for record in own) / len(own))
            found.append(Saving(cell, reason, len(own), saved, epochs))
    return found

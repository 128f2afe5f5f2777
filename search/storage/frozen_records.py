"""Trials of Optuna's storage as plain records, with their curves from the history."""

from optuna.trial import FrozenTrial, TrialState

from tosmooth.search.records import Metrics, Record, State, TrialKey
from tosmooth.search.storage.cached_storage import PARAMS, TRAINED_AS

# Attributes of an Optuna trial, beside those in `cached_storage`.
SEED, SOURCE = "train_seed", "source"
DIVERGED, FAILURES, REASON = "diverged", "failures", "reason"
NO_HISTORY = "its epochs were lost from history.jsonl after it had ended"


def record_of(study: str, key: TrialKey, trial: FrozenTrial, curve: tuple[Metrics, ...], lost: bool) -> Record:
    """Make the record of a trial; one whose history was `lost` counts as failed."""
    return Record(
        study=study,
        level=key.level,
        method=key.method,
        phase=key.phase,
        number=key.number,
        state="failed" if lost else _state(trial),
        params=trial.user_attrs[PARAMS],
        train_seed=trial.user_attrs[SEED],
        curve=curve,
        seconds=sum(metrics.get("seconds") or 0.0 for metrics in curve),
        attempts=trial.user_attrs.get(FAILURES, 0) + (trial.state != TrialState.FAIL),
        reason=NO_HISTORY if lost else _reason(trial),
        trained_as=trial.user_attrs.get(TRAINED_AS, ""),
    )


def _reason(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get(REASON, "")) if trial.state.is_finished() else ""


def _state(trial: FrozenTrial) -> State:
    if trial.user_attrs.get(DIVERGED) and trial.state == TrialState.COMPLETE:
        return "diverged"
    states: dict[TrialState, State] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    return states.get(trial.state, "running")

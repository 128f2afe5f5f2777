"""Rows of the best-rate table, from records: pure functions."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tosmooth.search.records import ENDED, Record
from tosmooth.search.report.answer import verdict_of
from tosmooth.search.report.cell_results import CellResults
from tosmooth.search.report.notes import in_words, notes, theory_of
from tosmooth.search.report.row import Row
from tosmooth.search.selection.choice import Decision
from tosmooth.search.selection.comparison import FEWEST, estimated_noise_rate, outcomes, paired_gain
from tosmooth.search.spec.parameters import BASELINE_METHOD, Params, smallness
from tosmooth.trainables.config import CLEANED


def best_row(cell: CellResults) -> Row:
    """Row of the best-rate table for a cell."""
    noise = _noise(cell)
    row = Row(
        dataset=cell.level.dataset,
        noise=cell.level.noise,
        method=cell.method,
        theory_rate=theory_of(cell, noise["noise_rate"]).rate,
        **noise,
        **_choice(cell),
        **_accuracies(cell),
        **_oracle(cell.own),
        **_effort(cell.own),
    )
    verdict = verdict_of(row, cell.hardly_learns is not None, bool(cell.baselines.ce))
    return replace(row, verdict=verdict, note="; ".join(notes(cell, row)))


def _noise(cell: CellResults) -> dict[str, Any]:
    """Noise rate as measured, else as estimated, and the estimate beside it.

    No estimate where labels were cleaned: it is of the noisy validation, whose labels were not.
    """
    estimate = None if cell.level.noise.startswith(CLEANED) else estimated_noise_rate(cell.known)
    guessed = cell.level.noise_rate is None and estimate is not None
    return {
        "noise_rate": estimate if guessed else cell.level.noise_rate,
        "noise_rate_source": "estimated" if guessed else cell.level.noise_rate_source,
        "noise_rate_estimate": estimate,
    }


def _choice(cell: CellResults) -> dict[str, Any]:
    """Chosen hyperparameters, and how sure the choice is by noisy validation."""
    best, sure, how = cell.best or {}, cell.uncertainty, cell.decision
    return {
        "best_rate": best.get("rate"),
        "best_warmup": best.get("warmup"),
        "best_parameters": rest_in_words(best),
        **(sure._asdict() if sure else {}),
        **(_decided(how) if how else {}),
    }


def _decided(how: Decision) -> dict[str, Any]:
    """What the choice was decided by, and what it may cost."""
    found: dict[str, Any] = {"expected_loss": how.loss}
    if how.runner_up is not None and "rate" in how.runner_up:
        found |= {
            "runner_up_rate": how.runner_up["rate"],
            "runner_up_behind": how.behind,
            "p_runner_up": how.p_runner_up,
        }
    return found


def _accuracies(cell: CellResults) -> dict[str, Any]:
    """Accuracies on the fresh seeds, and the gain over cross-entropy."""
    test, ce_test, ls_test = cell.by_seed("test_accuracy")
    val, ce_val, ls_val = cell.by_seed("val_accuracy")
    at_best = outcomes(cell.arm, "test_accuracy", cell.level, cell.score._replace(epoch="best"))
    score, ce_score, ls_score = cell.by_seed(cell.metric)
    gain, gain_low, gain_high = _gain(cell)
    return {
        "val_accuracy": _mean(val),
        "ce_val_accuracy": _mean(ce_val),
        "ls_val_accuracy": _mean(ls_val),
        "test_accuracy": _mean(test),
        "test_accuracy_std": statistics.stdev(test.values()) if len(test) > 1 else None,
        "seeds": len(cell.arm),
        "ce_test_accuracy": _mean(ce_test),
        "ls_test_accuracy": _mean(ls_test),
        **{name: _mean_of_all(cell, name) for name in ("test_balanced_accuracy", "test_macro_f1")},
        "metric": cell.score.measure,
        "score": _mean(score),
        "score_std": statistics.stdev(score.values()) if len(score) > 1 else None,
        "ce_score": _mean(ce_score),
        "ls_score": _mean(ls_score),
        "gain_over_ce": gain,
        "gain_low": gain_low,
        "gain_high": gain_high,
        "mean_abs_logit": cell.mean_abs_logit,
        # Unknown where `training.test_every` left out any of them: the mean of the rest would be of other seeds.
        "best_epoch_test_accuracy": _mean(at_best) if len(at_best) == len(cell.arm) else None,
    }


def _gain(cell: CellResults) -> tuple[float | None, float | None, float | None]:
    """Gain over cross-entropy and its interval; none of cross-entropy over itself.

    No interval where seeds are too few to tell how far they differ, or do not differ at all.
    """
    if cell.method == BASELINE_METHOD and cell.best == cell.baselines.ce:
        return None, None, None
    arm, ce, _ = cell.by_seed(cell.metric)
    gain, low, high = paired_gain(arm, ce)
    return (gain, low, high) if len(arm.keys() & ce.keys()) >= FEWEST and low != high else (gain, None, None)


def _effort(records: Sequence[Record]) -> dict[str, Any]:
    """Trials, epochs and hours of search and confirmation."""
    search = [record.state for record in records if record.phase == "search"]
    return {
        "trials": sum(state in ENDED for state in search),
        "pruned": search.count("pruned"),
        "diverged": search.count("diverged"),
        "failed": search.count("failed"),
        "epochs": sum(record.trained for record in records),
        "epochs_spared": sum(record.spared for record in records),
        "hours": sum(record.seconds for record in records) / 3600,
    }


def rest_in_words(params: Params) -> str:
    """Tell the hyperparameters beyond rate and warm-up, as `best_parameters` has them."""
    return in_words({key: value for key, value in params.items() if key not in ("rate", "warmup")})


def _mean_of_all(cell: CellResults, metric: str) -> float | None:
    """Mean over the fresh seeds; `None` where one has none: runs of earlier versions, of which those diverged count."""
    found = outcomes(cell.arm, metric, cell.level)
    return _mean(found) if len(found) == len(cell.arm) else None


def _mean(values: Mapping[int, float]) -> float | None:
    return statistics.fmean(values.values()) if values else None


def _oracle(records: Sequence[Record]) -> dict[str, Any]:
    """Rate and highest clean-test accuracy of any ended trial at any epoch; ties towards the smaller |rate|."""
    ended = [record for record in records if record.state in ENDED]
    seen = [(m.get("test_accuracy"), r.params) for r in ended for m in r.curve]
    known = [(accuracy, params) for accuracy, params in seen if accuracy is not None]
    accuracy, params = max(known, key=lambda pair: (pair[0], -smallness(pair[1])[0]), default=(None, {}))
    return {"oracle_rate": params.get("rate"), "oracle_test_accuracy": accuracy}

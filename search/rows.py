"""The rows of the best-rate table, from records: pure functions."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from search.parameters import BASELINES, Params, smallness
from search.records import ENDED, Level, Record
from search.scales import signed_log
from search.selection import (
    Baselines,
    Selection,
    confirmed,
    estimated_noise_rate,
    gain_width,
    outcomes,
    paired_gain,
    theory_rate,
)


class Sureness(NamedTuple):
    """How sure the best rate is, by noisy validation (`search.posterior`)."""

    rate_low: float  # the best rate's 95 % interval
    rate_high: float
    p_beats_ce: float  # probabilities
    p_beats_ls: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the best-rate table; the fields are its columns. Accuracies and gains in percent, `None`: unknown."""

    dataset: str
    noise: str
    method: str
    noise_rate: float | None  # share of wrong labels, in [0, 1]: measured where it can be, else the estimate
    noise_rate_source: str  # "measured", "estimated", or "" where it is unknown
    noise_rate_estimate: float | None = None  # from the noisy labels alone: see `estimated_noise_rate`
    best_rate: float | None
    rate_low: float | None = None  # interval of the best rate
    rate_high: float | None = None
    best_warmup: int | None  # epochs
    best_parameters: str = ""  # what else was chosen: another method's parameters, the recipe's that were searched
    val_accuracy: float | None  # as all up to `gain_high`: mean over the fresh seeds, at the last epoch
    test_accuracy: float | None
    test_accuracy_std: float | None  # sample standard deviation over the seeds
    seeds: int  # fresh seeds on which the best rate ended so far
    ce_test_accuracy: float | None
    ls_test_accuracy: float | None
    gain_over_ce: float | None  # paired over the seeds both have
    gain_low: float | None  # paired 95 % t interval
    gain_high: float | None
    p_beats_ce: float | None = None  # probability that the best rate is truly better, by noisy validation
    p_beats_ls: float | None = None
    best_epoch_test_accuracy: float | None  # at each run's epoch of highest noisy validation
    oracle_rate: float | None  # of the highest clean-test accuracy of any trial at any epoch that was tested
    oracle_test_accuracy: float | None
    theory_rate: float | None  # for the method gls
    trials: int  # of the search: complete, pruned and diverged
    pruned: int
    diverged: int
    failed: int
    epochs: int  # trained in search and confirmation
    epochs_spared: int = 0  # that trunks spared them
    hours: float  # the same
    note: str = ""


def best_row(
    level: Level,
    method: str,
    records: Sequence[Record],
    rule: Selection,
    best: Params | None,
    baselines: Baselines,
    bounds: tuple[float, float] | None,
    sureness: Sureness | None = None,
    others: Sequence[Record] = (),
) -> Row:
    """The row of the cell (`level`, `method`), for which `best` was chosen; records of other cells are passed over.

    `bounds`: rates searched; `others`: confirmed baselines that the cell has from other cells (`selection.borrowed`).
    """
    records = [record for record in records if record.level == level.name and record.method == method]
    arm = confirmed(records, best)
    ce, ls = (confirmed([*others, *records], params) for params in (baselines.ce, baselines.ls))
    test, ce_test, ls_test = (outcomes(runs, "test_accuracy", level) for runs in (arm, ce, ls))
    at_best = outcomes(arm, "test_accuracy", level, "best")
    gain, gain_low, gain_high = paired_gain(test, ce_test)
    oracle_rate, oracle_test_accuracy = _oracle(records)
    estimate = estimated_noise_rate([*others, *records])
    guessed = level.noise_rate is None and estimate is not None
    noise_rate = estimate if guessed else level.noise_rate
    search = [record.state for record in records if record.phase == "search"]
    row = Row(
        dataset=level.dataset,
        noise=level.noise,
        method=method,
        noise_rate=noise_rate,
        noise_rate_source="estimated" if guessed else level.noise_rate_source,
        noise_rate_estimate=estimate,
        best_rate=best.get("rate") if best else None,
        rate_low=sureness.rate_low if sureness else None,
        rate_high=sureness.rate_high if sureness else None,
        best_warmup=best.get("warmup") if best else None,
        best_parameters=rest_in_words(best or {}),
        val_accuracy=_mean(outcomes(arm, "val_accuracy", level)),
        test_accuracy=_mean(test),
        test_accuracy_std=statistics.stdev(test.values()) if len(test) > 1 else None,
        seeds=len(arm),
        ce_test_accuracy=_mean(ce_test),
        ls_test_accuracy=_mean(ls_test),
        gain_over_ce=gain,
        gain_low=gain_low,
        gain_high=gain_high,
        p_beats_ce=sureness.p_beats_ce if sureness else None,
        p_beats_ls=sureness.p_beats_ls if sureness else None,
        # Unknown where `training.test_every` left out any of them: the mean of the rest would be of other seeds.
        best_epoch_test_accuracy=_mean(at_best) if len(at_best) == len(arm) else None,
        oracle_rate=oracle_rate,
        oracle_test_accuracy=oracle_test_accuracy,
        theory_rate=theory_rate(noise_rate, level.classes) if method == "gls" else None,
        trials=sum(state in ENDED for state in search),
        pruned=search.count("pruned"),
        diverged=search.count("diverged"),
        failed=search.count("failed"),
        epochs=sum(record.trained for record in records),
        epochs_spared=sum(record.spared for record in records),
        hours=sum(record.seconds for record in records) / 3600,
    )
    on_bound = [bound for bound in bounds or () if best and _close(best["rate"], bound)]
    arms = {"best rate": arm, "CE": ce, "LS": ls} if best else {}
    wide = None if best is None else gain_width([*others, *records], level, best, baselines.ce)
    notes = [*_on_search(row, level, rule, on_bound), *_on_confirmation(row, rule, arms, wide)]
    if best and best.get("lr_factor", 1.0) != baselines.ce.get("lr_factor", 1.0):
        notes.append("gain includes that of another learning rate after the warm-up")
    if not level.test_size:
        notes += _on_validation(*(outcomes(runs, "val_accuracy", level) for runs in (arm, ce)))
    notes += _on_rivals([r for r in records if r.params not in (best, baselines.ce, baselines.ls)])
    if failed := sum(record.phase == "confirmation" and record.state == "failed" for record in records):
        notes.append(f"confirmation runs that failed: {failed}")
    return replace(row, note="; ".join(notes))


def rest_in_words(params: Params) -> str:
    """The parameters beyond rate and warm-up, as `best_parameters` has them."""
    return _in_words({key: value for key, value in params.items() if key not in ("rate", "warmup", "method")})


def _in_words(params: Params) -> str:
    return ", ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())


def _mean(values: Mapping[int, float]) -> float | None:
    return statistics.fmean(values.values()) if values else None


def _oracle(records: Sequence[Record]) -> tuple[float | None, float | None]:
    """Rate and highest clean-test accuracy of any ended trial at any epoch; ties towards the smaller |rate|."""
    ended = [record for record in records if record.state in ENDED]
    seen = [(m.get("test_accuracy"), r.params) for r in ended for m in r.curve]
    known = [(accuracy, params) for accuracy, params in seen if accuracy is not None]
    accuracy, params = max(known, key=lambda pair: (pair[0], -smallness(pair[1])[0]), default=(None, {}))
    return params.get("rate"), accuracy


def _close(rate: float, bound: float) -> bool:
    """Whether a rate is the bound, or within 1 % of it on a symmetric log scale."""
    return math.isclose(signed_log(rate), signed_log(bound), rel_tol=0.01)


def _on_search(row: Row, level: Level, rule: Selection, on_bound: Sequence[float]) -> list[str]:
    if row.best_rate is None and row.best_warmup is None:
        notes = ["no trial completed"]
    else:
        notes = ["plain cross-entropy is the best rate found"] if row.best_rate == 0 else []
        notes += [f"best rate lies on the bound {bound:g}" for bound in on_bound]
        notes += ["trials scored at their best epoch by noisy validation"] if rule.epoch == "best" else []
    if row.rate_low is not None and row.rate_high is not None and row.rate_low <= 0 <= row.rate_high:
        notes.append("no evidence for smoothing: the interval of the best rate holds 0")
    if row.theory_rate is None and row.noise_rate is not None and row.method == "gls":
        notes.append("theory gives no rate for this much noise")
    elif row.theory_rate and not level.symmetric and row.method == "gls":
        notes.append("theory assumes symmetric noise")
    if row.noise_rate_source == "estimated":
        notes.append("noise rate, and theory with it, estimated from the noisy labels")
    return notes if level.test_size else [*notes, "no clean test labels"]


def _on_rivals(records: Sequence[Record]) -> list[str]:
    """Other finalists that diverged on fresh seeds; the search may have preferred them."""
    runs = [r for r in records if r.phase == "confirmation" and r.state == "diverged"]
    runs = [r for r in runs if r.params.get("rate") not in BASELINES]  # those of a finalist before
    times = Counter(_in_words(run.params) for run in runs)
    return [f"another finalist ({params}) diverged on {count} of the fresh seeds" for params, count in times.items()]


def _on_validation(arm: Mapping[int, float], ce: Mapping[int, float]) -> list[str]:
    """The comparison that is left without clean test labels."""
    gain, low, high = paired_gain(arm, ce)
    if gain is None:
        return []
    interval = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return [f"by noisy validation {gain:+.2f}{interval} over CE"]


def _on_confirmation(
    row: Row, rule: Selection, arms: Mapping[str, Mapping[int, Record]], width: float | None
) -> list[str]:
    """`width`: of the gain's interval, which under `seeds: auto` says whether there are seeds enough."""
    notes = []
    counts = {name: len(runs) for name, runs in arms.items()}
    wide = rule.widest_gain is not None and (width is None or width > rule.widest_gain)
    if any(count < (rule.most_seeds if wide else rule.fewest_seeds) for count in counts.values()):
        alike = len(set(counts.values())) == 1
        done = str(row.seeds) if alike else ", ".join(f"{name} {count}" for name, count in counts.items())
        notes.append(f"{done} of {rule.seeds_in_words} seeds confirmed so far")
    elif wide and arms:
        notes.append(f"gain known less closely than to {rule.widest_gain:g} points after {row.seeds} seeds")
    for name, runs in arms.items():
        if diverged := sum(run.state == "diverged" for run in runs.values()):
            plural = "s" if diverged > 1 else ""
            notes.append(f"{diverged} confirmation run{plural} ({name}) diverged, counted at chance level")
    if row.best_rate != 0 and row.gain_low is not None and row.gain_high is not None:
        if row.gain_high < 0:
            notes.append("worse than CE on the clean test set")
        elif row.gain_low <= 0:
            notes.append("gain over CE is within seed noise")
    return notes

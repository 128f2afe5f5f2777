"""Pure functions from records to the best rate, its comparison with cross-entropy and the row of the table.

The noisy validation chooses, always. Whatever looked at clean test labels to choose is called oracle.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from scipy.special import stdtrit

from search.parameters import Params
from search.records import ENDED, Level, Record, Rule, at_epoch
from search.scales import signed_log
from trainables.config import require


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How the best parameters of a cell are chosen, and on how many fresh seeds they are confirmed."""

    readout: Literal["posterior", "best"] = "posterior"  # of a smooth model of all trials, or the best single trial
    epoch: Rule = "last"  # whose noisy-validation accuracy scores a trial
    seeds: int | Literal["auto"] = 5  # fresh training seeds on which the best rate, CE and LS are trained again
    gain_interval: float | None = None  # `auto` adds seeds until the gain's 95 % interval is so narrow, points; None: 1
    max_seeds: int | None = None  # `auto` adds no more than so many; None: 20
    finalists: int = 1  # distinct parameters confirmed; the best mean over the fresh seeds is chosen

    def __post_init__(self) -> None:
        require(self.readout in ("posterior", "best"), "selection.readout", self.readout, "posterior or best")
        require(self.epoch in ("last", "best"), "selection.epoch", self.epoch, "last or best")
        auto = self.seeds == "auto"
        require(self.seeds == "auto" or self.seeds >= 1, "selection.seeds", self.seeds, "at least 1, or auto")
        for key, value, least in (("gain_interval", self.gain_interval, 0), ("max_seeds", self.max_seeds, 2)):
            require(value is None or auto, f"selection.{key}", value, "for `seeds: auto` alone")
            require(value is None or value >= least, f"selection.{key}", value, f"at least {least}")
        require(self.finalists >= 1, "selection.finalists", self.finalists, "at least 1")

    @property
    def most_seeds(self) -> int:
        """Fresh seeds at most: all of them, unless `auto` is content with fewer."""
        return self.seeds if isinstance(self.seeds, int) else 20 if self.max_seeds is None else self.max_seeds

    @property
    def fewest_seeds(self) -> int:
        """Fresh seeds that are confirmed in any case: three that say how far seeds differ, under `auto`."""
        return self.seeds if isinstance(self.seeds, int) else min(3, self.most_seeds)

    @property
    def widest_gain(self) -> float | None:
        """Points up to which the gain's interval is narrow enough under `auto`, else `None`."""
        if isinstance(self.seeds, int):
            return None
        return 1.0 if self.gain_interval is None else self.gain_interval

    @property
    def seeds_in_words(self) -> str:
        """Such as "5", or "3 to 20"."""
        few, most = self.fewest_seeds, self.most_seeds
        return str(few) if few == most else f"{few} to {most}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """The parameters with which plain cross-entropy and label smoothing are confirmed."""

    ce: Params
    ls: Params


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
    theory_rate: float | None
    trials: int  # of the search: complete, pruned and diverged
    pruned: int
    diverged: int
    failed: int
    epochs: int  # trained in search and confirmation
    epochs_spared: int = 0  # that trunks spared them
    hours: float  # the same
    note: str = ""


def score(record: Record, rule: Selection) -> float | None:
    """The noisy-validation accuracy by which a trial is judged, in percent; `None` where it has none."""
    return at_epoch(record, "val_accuracy", rule.epoch)


def finalists(records: Sequence[Record], rule: Selection) -> list[Params]:
    """The parameters to confirm, best first: distinct, of complete search trials of one cell.

    Ties go towards the smaller |rate|, then the smaller warm-up, then the earlier trial.
    """
    ranked: list[tuple[float, float, int, int, Params]] = []
    for r in records:
        value = score(r, rule)
        if r.phase == "search" and r.state == "complete" and value is not None:
            ranked.append((-value, abs(r.params["rate"]), r.params.get("warmup", 0), r.number, r.params))
    distinct: list[Params] = []
    for *_, params in sorted(ranked, key=lambda entry: entry[:4]):
        if len(distinct) == rule.finalists:
            break
        if params not in distinct:
            distinct.append(params)
    return distinct


def confirmed(records: Sequence[Record], params: Params | None) -> dict[int, Record]:
    """The confirmation runs with these parameters that completed or diverged, by training seed."""
    runs = [r for r in records if r.phase == "confirmation" and r.state in ("complete", "diverged")]
    return {run.train_seed: run for run in runs if run.params == params}


def winner(candidates: Sequence[Params], records: Sequence[Record], rule: Selection) -> Params | None:
    """The finalist with the highest mean noisy-validation accuracy over the fresh seeds, `None` where there is none.

    While confirmations run, only seeds on which every finalist has ended are compared; before the first, the first of
    the `candidates` stands. A finalist that diverged on a fresh seed stands behind all that diverged on fewer.
    """
    arms = [confirmed(records, params) for params in candidates]
    common = set.intersection(*(set(arm) for arm in arms)) if arms else set()
    if not common:
        return candidates[0] if candidates else None

    def standing(arm: Mapping[int, Record]) -> tuple[int, float]:
        complete = [arm[seed] for seed in common if arm[seed].state == "complete"]
        scores = [value for run in complete if (value := score(run, rule)) is not None]
        return len(complete), statistics.fmean(scores) if scores else -math.inf

    return max(zip(candidates, arms, strict=True), key=lambda pair: standing(pair[1]))[0]


def outcomes(runs: Mapping[int, Record], metric: str, level: Level, rule: Rule = "last") -> dict[int, float]:
    """An accuracy of each run by its training seed, in percent, without those that are unknown.

    A diverged run counts at chance level, whatever it last reported: leaving it out would flatter its parameters.
    """
    if metric == "test_accuracy" and not level.test_size:
        return {}
    chance = 100 / level.classes
    values = {s: chance if run.state == "diverged" else at_epoch(run, metric, rule) for s, run in runs.items()}
    return {seed: value for seed, value in values.items() if value is not None}


def estimated_noise_rate(records: Sequence[Record]) -> float | None:
    """The share of wrong labels, in [0, 1], by the noisy labels alone: the mean over all runs that told one.

    Only plain cross-entropy does, of search and confirmation alike (`trainables.noise_estimate`). One cell's records.
    """
    told = [value for record in records if (value := record.last("noise_rate_estimate")) is not None]
    return statistics.fmean(told) if told else None


def theory_rate(noise_rate: float | None, classes: int) -> float | None:
    """The rate that undoes symmetric noise in expectation; `None` where the noise is too much for any, or unknown.

    Wei et al. 2022 (arXiv 2106.04149) at a clean optimum of 0: rho = e K / (K - 1), r = -rho / (1 - rho) for rho < 1.
    Human noise is not symmetric: there it is a guide only.
    """
    if noise_rate is None:
        return None
    rho = noise_rate * classes / (classes - 1)
    return 1 - 1 / (1 - rho) if rho < 1 - 1e-9 else None


def paired_gain(arm: Mapping[int, float], ce: Mapping[int, float]) -> tuple[float | None, float | None, float | None]:
    """Mean difference over the seeds both have, and its paired 95 % t interval (`None` for less than two seeds)."""
    gains = [arm[seed] - ce[seed] for seed in sorted(arm.keys() & ce.keys())]
    if len(gains) < 2:
        return (gains[0] if gains else None), None, None
    mean = statistics.fmean(gains)
    half = float(stdtrit(len(gains) - 1, 0.975)) * statistics.stdev(gains) / math.sqrt(len(gains))
    return mean, mean - half, mean + half


def gain_width(records: Sequence[Record], level: Level, params: Params, ce: Params) -> float | None:
    """How wide the paired 95 % interval of the gain over CE is, in points; `None` for less than two seeds.

    By clean test accuracy where there is a test set, else by noisy validation.
    """
    metric = "test_accuracy" if level.test_size else "val_accuracy"
    arm, other = (outcomes(confirmed(records, each), metric, level) for each in (params, ce))
    _, low, high = paired_gain(arm, other)
    return None if low is None or high is None else high - low


def best_row(
    level: Level,
    method: str,
    records: Sequence[Record],
    rule: Selection,
    best: Params | None,
    baselines: Baselines,
    bounds: tuple[float, float] | None,
    sureness: Sureness | None = None,
) -> Row:
    """The row of the cell (`level`, `method`), for which `best` was chosen; records of other cells are passed over.

    `bounds`: rates searched.
    """
    records = [record for record in records if record.level == level.name and record.method == method]
    arm, ce, ls = (confirmed(records, params) for params in (best, baselines.ce, baselines.ls))
    test, ce_test, ls_test = (outcomes(runs, "test_accuracy", level) for runs in (arm, ce, ls))
    at_best = outcomes(arm, "test_accuracy", level, "best")
    gain, gain_low, gain_high = paired_gain(test, ce_test)
    oracle_rate, oracle_test_accuracy = _oracle(records)
    estimate = estimated_noise_rate(records)
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
        best_rate=best["rate"] if best else None,
        rate_low=sureness.rate_low if sureness else None,
        rate_high=sureness.rate_high if sureness else None,
        best_warmup=best.get("warmup") if best else None,
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
        theory_rate=theory_rate(noise_rate, level.classes),
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
    wide = None if best is None else gain_width(records, level, best, baselines.ce)
    notes = [*_on_search(row, level, rule, on_bound), *_on_confirmation(row, rule, arms, wide)]
    if best and best.get("lr_factor", 1.0) != baselines.ce.get("lr_factor", 1.0):
        notes.append("gain includes that of another learning rate after the warm-up")
    if not level.test_size:
        notes += _on_validation(*(outcomes(runs, "val_accuracy", level) for runs in (arm, ce)))
    if failed := sum(record.phase == "confirmation" and record.state == "failed" for record in records):
        notes.append(f"confirmation runs that failed: {failed}")
    return replace(row, note="; ".join(notes))


def _mean(values: Mapping[int, float]) -> float | None:
    return statistics.fmean(values.values()) if values else None


def _oracle(records: Sequence[Record]) -> tuple[float | None, float | None]:
    """Rate and highest clean-test accuracy of any ended trial at any epoch; ties towards the smaller |rate|."""
    ended = [record for record in records if record.state in ENDED]
    seen = [(m.get("test_accuracy"), r.params["rate"]) for r in ended for m in r.curve]
    known = [(accuracy, rate) for accuracy, rate in seen if accuracy is not None]
    accuracy, rate = max(known, key=lambda pair: (pair[0], -abs(pair[1])), default=(None, None))
    return rate, accuracy


def _close(rate: float, bound: float) -> bool:
    """Whether a rate is the bound, or within 1 % of it on a symmetric log scale."""
    return math.isclose(signed_log(rate), signed_log(bound), rel_tol=0.01)


def _on_search(row: Row, level: Level, rule: Selection, on_bound: Sequence[float]) -> list[str]:
    if row.best_rate is None:
        notes = ["no trial completed"]
    else:
        notes = ["plain cross-entropy is the best rate found"] if row.best_rate == 0 else []
        notes += [f"best rate lies on the bound {bound:g}" for bound in on_bound]
        notes += ["trials scored at their best epoch by noisy validation"] if rule.epoch == "best" else []
    if row.rate_low is not None and row.rate_high is not None and row.rate_low <= 0 <= row.rate_high:
        notes.append("no evidence for smoothing: the interval of the best rate holds 0")
    if row.theory_rate is None and row.noise_rate is not None:
        notes.append("theory gives no rate for this much noise")
    elif row.theory_rate and not level.symmetric:
        notes.append("theory assumes symmetric noise")
    if row.noise_rate_source == "estimated":
        notes.append("noise rate, and theory with it, estimated from the noisy labels")
    return notes if level.test_size else [*notes, "no clean test labels"]


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
    if row.best_rate and row.gain_low is not None and row.gain_high is not None:
        if row.gain_high < 0:
            notes.append("worse than CE on the clean test set")
        elif row.gain_low <= 0:
            notes.append("gain over CE is within seed noise")
    return notes

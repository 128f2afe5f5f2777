"""Pure functions from records to the best rate, and to its comparison with cross-entropy.

The noisy validation chooses, always. Whatever looked at clean test labels to choose is called oracle.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scipy.special import stdtrit

from search.parameters import Params, smallness
from search.records import Level, Record, Rule, at_epoch
from trainables.config import require

MOST = 1000  # fresh seeds, and finalists: each is a training of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """How the best parameters of a cell are chosen, and on how many fresh seeds they are confirmed."""

    readout: Literal["posterior", "best"] = "posterior"  # of a smooth model of all trials, or the best single trial
    epoch: Rule = "last"  # whose noisy-validation accuracy scores a trial
    seeds: int | Literal["auto"] = 5  # fresh training seeds on which the best rate, CE and LS are trained again
    gain_interval: float | None = None  # `auto` adds seeds until the gain's 95 % interval is so narrow, points; None: 1
    max_seeds: int | None = None  # `auto` adds no more than so many; None: 20
    # Distinct parameters confirmed; the best mean over the fresh seeds is chosen. auto: one or two, as `search.choice`
    # finds necessary.
    finalists: int | Literal["auto"] = "auto"
    keep_weights: Literal["first", "all"] = "first"  # networks kept: of the first fresh seed, or of each

    def __post_init__(self) -> None:
        require(self.readout in ("posterior", "best"), "selection.readout", self.readout, "posterior or best")
        require(self.epoch in ("last", "best"), "selection.epoch", self.epoch, "last or best")
        kept = self.keep_weights in ("first", "all")
        require(kept, "selection.keep_weights", self.keep_weights, "first or all")
        auto = self.seeds == "auto"
        for key, number in (("seeds", self.seeds), ("finalists", self.finalists)):
            some = number == "auto" or 1 <= number <= MOST
            require(some, f"selection.{key}", number, f"at least 1 and at most {MOST}, or auto")
        for key, value, least in (("gain_interval", self.gain_interval, 0), ("max_seeds", self.max_seeds, 2)):
            require(value is None or auto, f"selection.{key}", value, "for `seeds: auto` alone")
            require(value is None or value >= least, f"selection.{key}", value, f"at least {least}")
        fits = self.max_seeds is None or self.max_seeds <= MOST
        require(fits, "selection.max_seeds", self.max_seeds, f"at most {MOST}")

    @property
    def most_seeds(self) -> int:
        """Fresh seeds at most: all of them, unless `auto` is content with fewer."""
        return self.seeds if isinstance(self.seeds, int) else 20 if self.max_seeds is None else self.max_seeds

    @property
    def fewest_seeds(self) -> int:
        """Fresh seeds that are confirmed in any case: three that say how far seeds differ, under `auto`."""
        return self.seeds if isinstance(self.seeds, int) else min(3, self.most_seeds)

    @property
    def fewest_finalists(self) -> int:
        """Finalists that are confirmed in any case."""
        return self.finalists if isinstance(self.finalists, int) else 1

    @property
    def most_finalists(self) -> int:
        """Finalists at most."""
        return self.finalists if isinstance(self.finalists, int) else 2

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


def score(record: Record, rule: Selection) -> float | None:
    """The noisy-validation accuracy by which a trial is judged, in percent; `None` where it has none."""
    return at_epoch(record, "val_accuracy", rule.epoch)


def finalists(records: Sequence[Record], rule: Selection) -> list[Params]:
    """The parameters to confirm, best first: distinct, of complete search trials of one cell.

    Ties go towards the smaller |rate|, then the smaller warm-up, then the earlier trial.
    """
    ranked: list[tuple[float, tuple[float, int], int, Params]] = []
    for r in records:
        value = score(r, rule)
        if r.phase == "search" and r.state == "complete" and value is not None:
            ranked.append((-value, smallness(r.params), r.number, r.params))
    distinct: list[Params] = []
    for *_, params in sorted(ranked, key=lambda entry: entry[:3]):
        if len(distinct) == rule.most_finalists:
            break
        if params not in distinct:
            distinct.append(params)
    return distinct


def confirmed(records: Sequence[Record], params: Params | None) -> dict[int, Record]:
    """The confirmation runs with these parameters that completed or diverged, by training seed."""
    runs = [r for r in records if r.phase == "confirmation" and r.state in ("complete", "diverged")]
    return {run.train_seed: run for run in runs if run.params == params}


def borrowed(level: str, method: str, records: Iterable[Record]) -> list[Record]:
    """The runs of gls that other cells of the level confirmed, named as the cell would: its baselines may be there."""
    mark = {} if method == "gls" else {"method": "gls"}
    others = [r for r in records if r.phase == "confirmation" and r.level == level and r.method != method]
    return [
        replace(r, params={key: value for key, value in r.params.items() if key != "method"} | mark)
        for r in others
        if r.params.get("method", r.method) == "gls"
    ]


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

"""Comparison of configurations by their runs: the best single trials, the winner of the confirmation, gain over CE.

The noisy validation chooses, always. Whatever looked at clean test labels to choose is called oracle.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from scipy.special import stdtrit

from tosmooth.search.records import Level, Record, Rule, at_epoch
from tosmooth.search.spec.parameters import BASELINE_METHOD, Params, smallness

FEWEST = 3  # fresh seeds that say how far a gain differs: the interval of two is arbitrary


def score(record: Record, epoch: Rule) -> float | None:
    """Noisy-validation accuracy by which a trial is judged, in percent; `None` where it has none."""
    return at_epoch(record, "val_accuracy", epoch)


def best_trials(records: Sequence[Record], epoch: Rule, most: int) -> list[Params]:
    """Configurations of the best complete search trials of one cell, best first, distinct; at most `most`.

    Ties go towards the smaller |rate|, then the smaller warm-up, then the earlier trial.
    """
    ranked: list[tuple[float, tuple[float, int], int, Params]] = []
    for r in records:
        value = score(r, epoch)
        if r.phase == "search" and r.state == "complete" and value is not None:
            ranked.append((-value, smallness(r.params), r.number, r.params))
    distinct: list[Params] = []
    for *_, params in sorted(ranked, key=lambda entry: entry[:3]):
        if len(distinct) == most:
            break
        if params not in distinct:
            distinct.append(params)
    return distinct


def confirmed(records: Sequence[Record], params: Params | None, method: str) -> dict[int, Record]:
    """Confirmation runs of a configuration of a method that completed or diverged, by training seed."""
    runs = [r for r in records if r.phase == "confirmation" and r.state in ("complete", "diverged")]
    return {run.train_seed: run for run in runs if run.loss == method and run.params == params}


def borrowed(level: str, method: str, records: Iterable[Record]) -> list[Record]:
    """Runs of gls that other cells of the level confirmed: the baselines of this method's cell may be among them."""
    others = [r for r in records if r.phase == "confirmation" and r.level == level and r.method != method]
    return [r for r in others if r.loss == BASELINE_METHOD]


def winner(candidates: Sequence[Params], records: Sequence[Record], epoch: Rule, method: str) -> Params | None:
    """Finalist with the highest mean noisy-validation accuracy over the fresh seeds; `None` where there is none.

    While confirmations run, only seeds on which every finalist has ended are compared; before the first, the first of
    the `candidates` stands. A finalist that diverged on a fresh seed stands behind all that diverged on fewer.
    """
    arms = [confirmed(records, params, method) for params in candidates]
    common = set.intersection(*(set(arm) for arm in arms)) if arms else set()
    if not common:
        return candidates[0] if candidates else None

    def standing(arm: Mapping[int, Record]) -> tuple[int, float]:
        complete = [arm[seed] for seed in common if arm[seed].state == "complete"]
        scores = [value for run in complete if (value := score(run, epoch)) is not None]
        return len(complete), statistics.fmean(scores) if scores else -math.inf

    return max(zip(candidates, arms, strict=True), key=lambda pair: standing(pair[1]))[0]


def outcomes(runs: Mapping[int, Record], metric: str, level: Level, rule: Rule = "last") -> dict[int, float]:
    """Accuracy of each run by its training seed, in percent, without those that are unknown.

    A diverged run counts at chance level, whatever it last reported: leaving it out would flatter its parameters.
    """
    if metric == "test_accuracy" and not level.test_size:
        return {}
    chance = 100 / level.classes
    values = {s: chance if run.state == "diverged" else at_epoch(run, metric, rule) for s, run in runs.items()}
    return {seed: value for seed, value in values.items() if value is not None}


def estimated_noise_rate(records: Sequence[Record]) -> float | None:
    """Share of wrong labels, in [0, 1], by the noisy labels alone: the mean over all runs that estimated one.

    Only plain cross-entropy does, of search and confirmation alike (`trainables.noise.estimate`). One cell's records.
    """
    told = [value for record in records if (value := record.last("noise_rate_estimate")) is not None]
    return statistics.fmean(told) if told else None


def paired_gain(arm: Mapping[int, float], ce: Mapping[int, float]) -> tuple[float | None, float | None, float | None]:
    """Mean difference over the seeds both have, and its paired 95 % t interval (`None` for fewer than two seeds)."""
    gains = [arm[seed] - ce[seed] for seed in sorted(arm.keys() & ce.keys())]
    if len(gains) < 2:
        return (gains[0] if gains else None), None, None
    mean = statistics.fmean(gains)
    half = float(stdtrit(len(gains) - 1, 0.975)) * statistics.stdev(gains) / math.sqrt(len(gains))
    return mean, mean - half, mean + half


def gain_width(records: Sequence[Record], level: Level, params: Params, method: str, ce: Params) -> float | None:
    """Width of the paired 95 % interval of the gain over CE, in points; `None` for fewer than two seeds.

    By clean test accuracy where there is a test set, else by noisy validation.
    """
    metric = "test_accuracy" if level.test_size else "val_accuracy"
    arms = confirmed(records, params, method), confirmed(records, ce, BASELINE_METHOD)
    arm, other = (outcomes(runs, metric, level) for runs in arms)
    _, low, high = paired_gain(arm, other)
    return None if low is None or high is None else high - low

"""Comparison of configurations by their runs: the best single trials, the winner of the confirmation, gain over CE.

The noisy validation chooses, always. Whatever looked at clean test labels to choose is called oracle.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from scipy.special import stdtrit

from tosmooth.search.records import Level, Record, Score
from tosmooth.search.spec.parameters import BASELINE_METHOD, Params, smallness

ENDS = Score()  # by which metrics are those of the last epoch
FEWEST = 3  # fresh seeds that say how far a gain differs: the interval of two is arbitrary


def best_trials(records: Sequence[Record], score: Score, most: int) -> list[Params]:
    """Configurations of the best complete search trials of one cell, best first, distinct; at most `most`.

    Ties go towards the smaller |rate|, then the smaller warm-up, then the earlier trial.
    """
    ranked: list[tuple[float, tuple[float, int], int, Params]] = []
    for r in records:
        value = score.of(r)
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


def winner(candidates: Sequence[Params], records: Sequence[Record], score: Score, method: str) -> Params | None:
    """Finalist with the highest mean score over the fresh seeds; `None` where there is none.

    While confirmations run, only seeds on which every finalist has ended are compared; before the first, the first of
    the `candidates` stands. A finalist that diverged on a fresh seed stands behind all that diverged on fewer.
    """
    arms = [confirmed(records, params, method) for params in candidates]
    common = set.intersection(*(set(arm) for arm in arms)) if arms else set()
    if not common:
        return candidates[0] if candidates else None

    def standing(arm: Mapping[int, Record]) -> tuple[int, float]:
        complete = [arm[seed] for seed in common if arm[seed].state == "complete"]
        scores = [value for run in complete if (value := score.of(run)) is not None]
        return len(complete), statistics.fmean(scores) if scores else -math.inf

    return max(zip(candidates, arms, strict=True), key=lambda pair: standing(pair[1]))[0]


def best_cross_entropy(own: Params, records: Sequence[Record], level: Level, score: Score) -> Params:
    """Cross-entropy to compare a choice with: `own`, of the choice's recipe, unless that of another one does better.

    Where a recipe's values are searched, such as the weight decay, those that suit one loss may not suit another: a
    gain over cross-entropy with those would be one of tuning. `records` has the runs that other cells of the level
    confirmed; another recipe counts as better if its paired 95 % interval on the noisy validation lies above 0.
    """
    candidates = [own]
    for run in records:
        if run.phase == "confirmation" and run.loss == BASELINE_METHOD and run.params not in candidates:
            alike = run.params.keys() == own.keys() and run.params["rate"] == own["rate"]
            candidates += [run.params] if alike and own else []
    best = winner(candidates, records, score, BASELINE_METHOD)
    if best is None or best == own:
        return own
    runs = (confirmed(records, params, BASELINE_METHOD) for params in (best, own))
    _, low, _ = paired_gain(*(outcomes(each, score.validation, level, score) for each in runs))
    return best if low is not None and low > 0 else own


def outcomes(runs: Mapping[int, Record], metric: str, level: Level, score: Score = ENDS) -> dict[int, float]:
    """Metric of each run by its training seed, in percent, at the epoch that scores it, where it is known.

    A diverged run counts at chance level, whatever it last reported: leaving it out would flatter its parameters.
    """
    if metric.startswith("test_") and not level.test_size:
        return {}
    chance = 100 / level.classes
    values = {s: chance if run.state == "diverged" else score.at(run, metric) for s, run in runs.items()}
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


def judged(level: Level, records: Sequence[Record], score: Score) -> Level:
    """Level as its runs can be judged: without its test set where code of the user's reports nothing of it."""
    ended = [record for record in records if record.state == "complete"]
    metric = score.compared(level)
    if not level.test_size or not ended or any(record.last(metric) is not None for record in ended):
        return level
    remark = f"the test set is left out: no trial reports {metric}"
    return replace(level, test_size=0, remarks=(*level.remarks, remark))


def gain_width(
    records: Sequence[Record], level: Level, score: Score, params: Params, method: str, ce: Params
) -> float | None:
    """Width of the paired 95 % interval of the gain over CE, in points; `None` for fewer than two seeds.

    On the clean test set where there is one, else on the noisy validation.
    """
    level = judged(level, records, score)
    metric = score.compared(level)
    arms = confirmed(records, params, method), confirmed(records, ce, BASELINE_METHOD)
    arm, other = (outcomes(runs, metric, level) for runs in arms)
    _, low, high = paired_gain(arm, other)
    return None if low is None or high is None else high - low

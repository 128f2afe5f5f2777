"""What pictures of a cell and of a study show, whoever draws them: arms, trials, curves over the epochs, theory."""

import re
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tosmooth.search.records import Level, Record
from tosmooth.search.report.best_rates import rest_in_words
from tosmooth.search.report.figure_style import GREEN, INK, ORANGE, RED, signed
from tosmooth.search.report.row import Row
from tosmooth.search.selection.comparison import confirmed
from tosmooth.search.selection.theory import theory_rate
from tosmooth.search.spec.parameters import in_short, method_of, smallness


class Arm(NamedTuple):
    """Parameters that were confirmed, as they are drawn."""

    label: str
    colour: str
    marker: str
    place: float | None  # on the axis; None: the baselines of a method without rates
    runs: dict[int, Record]  # by training seed


class Trials(NamedTuple):
    """Trials of a search, as they are told apart in a picture."""

    same: list[Record]  # complete, at the chosen warm-up
    others: list[Record]  # complete, at another one
    pruned: list[Record]
    diverged: list[Record]


def noisy(level: Level) -> str:
    """Word for labels of the level that may be wrong; none where it is known that none is."""
    return "" if level.noise_rate == 0 else "noisy "


def axis_of(records: Sequence[Record]) -> str:
    """Choose the hyperparameter on the horizontal axis: the rate, the method's first parameter, else the warm-up."""
    searched = next((record.params for record in records if record.phase == "search"), {"rate": 0.0})
    return next((name for name in searched if method_of(name) is not None), "warmup")


def trials_of(records: Sequence[Record], axis: str, warmup: int | None = None) -> Trials:
    """Tell the trials of the search apart; `warmup`: the chosen one, None where it does not matter."""
    search = [record for record in records if record.phase == "search"]
    same, others = list[Record](), list[Record]()
    for r in (record for record in search if record.state == "complete"):
        alike = warmup is None or not r.params[axis] or r.params.get("warmup", 0) == warmup
        (same if alike else others).append(r)
    pruned, diverged = ([r for r in search if r.state == state] for state in ("pruned", "diverged"))
    return Trials(same, others, pruned, diverged)


def arms_of(records: Sequence[Record], row: Row, axis: str) -> list[Arm]:
    """Arms that were confirmed: the chosen parameters first, then by rate."""
    distinct: list[tuple[str, dict[str, Any]]] = []
    for record in records:
        if record.phase == "confirmation" and (record.loss, record.params) not in distinct:
            distinct.append((record.loss, record.params))
    arms = []
    for method, params in sorted(distinct, key=lambda arm: smallness(arm[1])):
        rate, warmup = params.get("rate"), params.get("warmup")
        name = in_short(params) if rate is None else f"r = {signed(rate)}"
        label = "cross-entropy" if rate == 0 else name + (f", warm-up {warmup}" if warmup else "")
        look = (RED, "v") if rate is None or rate < 0 else (ORANGE, "^") if rate > 0 else (INK, "s")
        own = (rate, warmup, rest_in_words(params)) == (row.best_rate, row.best_warmup, row.best_parameters)
        chosen = own and method == row.method
        if chosen:
            label, look = f"chosen {label}", (GREEN, "D")
        arms.append((not chosen, Arm(label, *look, params.get(axis), confirmed(records, params, method))))
    return [arm for _, arm in sorted(arms, key=lambda pair: pair[0]) if arm.runs]


def band(runs: Sequence[Record], metric: str) -> list[tuple[int, float, float, float]]:
    """Epoch, mean, lowest and highest over the runs that reached it."""
    band = []
    for i in range(max((run.epochs for run in runs), default=0)):
        values = [v for run in runs if i < run.epochs and (v := run.curve[i].get(metric)) is not None]
        if values:
            band.append((i + 1, statistics.fmean(values), min(values), max(values)))
    return band


def curve_panels(level: Level, row: Row) -> list[tuple[str, str]]:
    """Metrics of the learning curves, and the words for where each was measured."""
    words, score = noisy(level), row.chosen_by
    panels = [("train_accuracy", "train (noisy labels)" if words else "train")]
    panels += [(score.validation, f"{words}validation")]
    return panels + ([(score.compared(level), "clean test")] if level.test_size else [])


def known_rates(rows: Sequence[Row]) -> list[tuple[float, float, Row]]:
    """Noise rate, best rate and row, where both rates are known."""
    return [(e, r, row) for row in rows if (e := row.noise_rate) is not None and (r := row.best_rate) is not None]


def kind_of(row: Row) -> str:
    """Kind of a noise level: `symmetric` of `symmetric-0.4`.

    Levels that differ in their noise rate alone are one line, if it was measured.
    """
    kind = re.sub(r"-[\d.]+$", "", row.noise)
    return f"{kind} (noise rate estimated)" if row.noise_rate_source == "estimated" else kind


def theory_line(known: Sequence[tuple[float, float, Row]], classes: int) -> tuple[float, list[tuple[float, float]]]:
    """End of an axis of noise rates that shows the known ones, and theory's rate up to there."""
    end = 1.08 * max([0.05, *(e for e, _, _ in known)])
    return end, [(e, r) for e in np.linspace(0, end, 200).tolist() if (r := theory_rate(e, classes)) is not None]


def rate_limits(known: Sequence[tuple[float, float, Row]]) -> tuple[float, float]:
    """Ends of an axis of rates: all intervals fit in. Theory's rate falls without limit, and leaves the picture."""
    ends = [each for _, r, row in known for each in (r, row.rate_low, row.rate_high) if each is not None]
    return 1.25 * min([-0.5, *ends]), max([1.0, *ends]) + 0.15

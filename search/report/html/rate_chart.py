"""Chart of a cell: accuracy of its trials over the smoothing rate, with the model by which the best was chosen."""

import statistics
from collections.abc import Iterable
from typing import Any

import altair as alt
import numpy as np

from tosmooth.search.records import Record
from tosmooth.search.report.figure_style import BLUE, GREEN, INK, PURPLE, RED, signed
from tosmooth.search.report.html.chart_parts import (
    PALE_GREEN,
    PAPER,
    SHAPES,
    WIDTH,
    Charted,
    Data,
    Legend,
    Look,
    Spec,
    panel,
    same_axis,
    short,
    shown_as,
    tips,
    widened,
    zoomable,
)
from tosmooth.search.report.picture_data import Arm, arms_of, axis_of, noisy, trials_of
from tosmooth.search.report.rate_axis import SYMLOG, model_over_axis, ticks_of
from tosmooth.search.report.results import View
from tosmooth.search.report.row import Row
from tosmooth.search.selection.comparison import outcomes
from tosmooth.search.surrogate.posterior import Posterior

HEIGHT = 210  # of a panel
NEAR = 0.2  # of the model's nearness to trials, from which it is drawn in full
PALE = 0.3  # share of its strength that is left elsewhere
OTHERS, PRUNED, DIVERGED = "search trial, another warm-up", "pruned, at its last epoch", "diverged"
MODEL = "the search's model, 95 %; pale: far from trials"
CE_LINE = "cross-entropy, fresh seeds"

Over = list[tuple[Any, ...]]  # rate, mean, lower and upper end of the model, and the run of places that it belongs to


def rate_chart(view: View) -> Charted:
    """Noisy-validation and, below, clean-test accuracy of a cell's trials, as `plots.accuracy_over_rate` has them."""
    level, score, axis, data = view.level, view.row.chosen_by, axis_of(view.records), Data()
    panels = [_Panel(data, view, axis, score.validation, f"{noisy(level)}validation", "y0")]
    if level.test_size:
        panels.append(_Panel(data, view, axis, score.compared(level), "clean test", "y1"))
    legend = Legend(look for each in panels for look in each.looks())
    charts = [each.chart(legend, each is panels[-1]) for each in panels]
    spec = {"vconcat": charts, "spacing": 12, "resolve": {"scale": {"x": "shared"}}}
    return Charted(zoomable(spec, *(each.column for each in panels)), data)


class _Panel:
    """Accuracies of one kind over the rate, or over a method's parameter."""

    def __init__(self, data: Data, view: View, axis: str, metric: str, measured: str, y: str) -> None:
        self.data = data
        self.row, self.axis, self.metric, self.measured = view.row, axis, metric, measured
        self.rated, self.name, self.column = axis == "rate", axis.split(".")[-1], y
        self.trials = trials_of(view.records, axis, self.row.best_warmup if self.rated else None)
        found = (
            (arm, list(outcomes(arm.runs, metric, view.level).values()))
            for arm in arms_of(view.records, self.row, axis)
        )
        self.arms = [(arm, values) for arm, values in found if values]
        self.over = None if view.model is None or metric != self.row.chosen_by.validation else self._over(view.model)
        ce = [statistics.fmean(values) for arm, values in self.arms if arm.colour == INK]
        self.ce = ce[-1] if ce else None  # it may be confirmed twice: once as chosen, and last as the baseline
        self.x, self.y = self._x(None), self._y()

    def chart(self, legend: Legend, last: bool) -> Spec:
        """Draw it; the `last` panel names the axis."""
        self.x = self._x(self._x_title() if last else None)
        scales = legend.layer(self.data, "stroke", "fill", "shape").encode(x=self.x, y=self.y)
        layers = [*self._interval(), *self._model(), *self._lines(), *self._trials(), *self._diverged()]
        layers = [scales, *layers, *self._confirmed()]
        return panel(self.column, layers, width=WIDTH, height=HEIGHT)

    def looks(self) -> Iterable[Look]:
        """What the legend is to explain of it."""
        row = self.row
        yield Look(self._same, BLUE, "circle", BLUE)
        kinds = ((OTHERS, self.trials.others, "circle"), (PRUNED, self.trials.pruned, "triangle-down"))
        yield from (Look(label, BLUE, shape) for label, found, shape in kinds if found)
        if self.trials.diverged:
            yield Look(DIVERGED, RED, "cross", RED)
        for arm, _ in self.arms:
            yield Look(_confirmed(arm), arm.colour, SHAPES[arm.marker], arm.colour)
        if self._has_interval:
            yield Look(_interval(row), PALE_GREEN, "square", PALE_GREEN)
        for rate, label, colour, _ in self._rates():
            yield Look(f"{label}, {signed(rate)}", colour)
        if self.over:
            yield Look(MODEL, BLUE)
        if self.ce is not None:
            yield Look(CE_LINE, INK)

    @property
    def _same(self) -> str:
        return f"search trial{f', warm-up {self.row.best_warmup}' if self.trials.others else ''}"

    @property
    def _has_interval(self) -> bool:
        return self.rated and self.row.rate_low is not None and self.row.rate_high is not None

    def _rates(self) -> Iterable[tuple[float, str, str, list[int]]]:
        lines = (
            (self.row.best_rate, "chosen rate", GREEN, [1, 0]),
            (self.row.theory_rate, "theory's rate", PURPLE, [6, 4]),
        )
        return ((rate, *look) for rate, *look in lines if self.rated and rate is not None)  # type: ignore[misc]

    def _searched(self) -> list[Record]:
        return [record for found in self.trials for record in found]

    def _x_title(self) -> str:
        rate = "smoothing rate r (linear near 0, logarithmic beyond)"
        return rate if self.rated else f"{self.name} of {self.row.method}"

    def _x(self, title: str | None) -> alt.X:
        row = self.row
        places = [r.params[self.axis] for r in self._searched()] + [arm.place for arm, _ in self.arms]
        places += [row.best_rate, row.rate_low, row.rate_high, row.theory_rate] if self.rated else []
        known = [float(place) for place in places if place is not None] or [0.0]
        constant = SYMLOG["linthresh"] if self.rated else None
        kind: dict[str, Any] = {"type": "symlog", "constant": constant} if self.rated else {}
        domain = widened(min(known), max(known), constant)
        scale = alt.Scale(domain=domain, nice=False, zero=False, **kind)
        ticks: dict[str, Any] = {"values": ticks_of(known)} if self.rated else {}
        return alt.X("x:Q", scale=scale, axis=alt.Axis(title=title, format="~g", labelOverlap="greedy", **ticks))

    def _y(self) -> alt.Y:
        """Axis of accuracies: far from all trials the model falls to chance, and would squeeze them."""
        ended = [*self.trials.same, *self.trials.others, *self.trials.pruned]
        known = [value for r in ended if (value := r.last(self.metric)) is not None]
        known += [end for _, values in self.arms for end in _ends(values)]
        known += [mean for _, mean, *_, run in self.over or () if run.startswith("near")]
        low, high = min(known, default=0.0), max(known, default=100.0)
        margin = (high - low) or 1.0
        scale = alt.Scale(domain=[low - 0.14 * margin, high + 0.06 * margin], nice=False, zero=False)
        title = [self.measured, f"{self.row.chosen_by.words} (%)"]
        return alt.Y(f"{self.column}:Q", scale=scale, axis=alt.Axis(title=title))

    def _over(self, model: Posterior) -> Over:
        """Model in runs of places that lie near trials or far from them; a run ends where the next one begins."""
        complete = [*self.trials.same, *self.trials.others]
        over, nearness = model_over_axis(model, [r.params[self.axis] for r in complete])
        near = (nearness >= NEAR).tolist()
        rows: Over = []
        run = 0
        for i, point in enumerate(np.round(over, 4).tolist()):
            if i and near[i] != near[i - 1]:
                rows.append((*point, rows[-1][-1]))
                run += 1
            rows.append((*point, f"{'near' if near[i] else 'far'} {run}"))
        return rows

    def _interval(self) -> Iterable[alt.Chart]:
        if self._has_interval:
            data = self.data.chart(("x", "end"), [(self.row.rate_low, self.row.rate_high)])
            label = _interval(self.row)
            shown = shown_as(label, "fill")
            span = data.mark_rect(opacity=1, clip=True)
            yield span.encode(x=self.x, x2="end:Q", tooltip=alt.TooltipValue(label), **shown)

    def _model(self) -> Iterable[alt.Chart]:
        if not self.over:
            return
        data = self.data.chart(("x", self.column, "low", "high", "run"), self.over)
        for kind, strength in (("far", PALE), ("near", 1.0)):
            part = data.transform_filter(f"indexof(datum.run, '{kind}') == 0")
            area = part.mark_area(opacity=0.15 * strength, clip=True, color=BLUE)
            yield area.encode(x=self.x, y=same_axis(self.y, "low"), y2="high:Q", detail="run:N")
            line = part.mark_line(opacity=strength, clip=True, strokeWidth=1.6)
            yield line.encode(x=self.x, y=self.y, detail="run:N", **shown_as(MODEL, "stroke"))

    def _lines(self) -> Iterable[alt.Chart]:
        for rate, name, _, dash in self._rates():
            label = f"{name}, {signed(rate)}"
            rule = self.data.chart(("x",), [(rate,)]).mark_rule(strokeWidth=1.3, strokeDash=dash, clip=True)
            yield rule.encode(x=self.x, tooltip=alt.TooltipValue(label), **shown_as(label, "stroke"))
        if self.ce is not None:
            rule = self.data.chart((self.column,), [(self.ce,)]).mark_rule(
                strokeWidth=1.3, strokeDash=[2, 3], clip=True
            )
            tip = alt.TooltipValue(f"{CE_LINE}: {self.ce:.2f} %")
            yield rule.encode(y=self.y, tooltip=tip, **shown_as(CE_LINE, "stroke"))

    def _trials(self) -> Iterable[alt.Chart]:
        told = tips(("x", self.name), (self.column, f"{self.measured} (%)"), ("warmup", "warm-up"), ("trial", "trial"))
        for label, found in zip((self._same, OTHERS, PRUNED), self.trials, strict=False):
            values = [(r, value) for r in found if (value := r.last(self.metric)) is not None]
            points = [(r.params[self.axis], short(value), r.params.get("warmup"), r.number) for r, value in values]
            if points:
                data = self.data.chart(("x", self.column, "warmup", "trial"), points)
                shown = shown_as(label, "stroke", "fill", "shape")
                yield data.mark_point(size=46, clip=True, strokeWidth=1.4, opacity=1).encode(
                    x=self.x, y=self.y, tooltip=told, **shown
                )

    def _diverged(self) -> Iterable[alt.Chart]:
        """Crosses at the bottom, below all others, whatever they last reported."""
        lost = [(r.params[self.axis], r.params.get("warmup"), r.number, r.reason) for r in self.trials.diverged]
        if lost:
            told = tips(("x", self.name), ("warmup", "warm-up"), ("trial", "trial"), ("why", "diverged"))
            data = self.data.chart(("x", "warmup", "trial", "why"), lost)
            marks = data.mark_point(size=52, clip=True, opacity=1, angle=45, strokeWidth=0)
            shown = shown_as(DIVERGED, "stroke", "fill", "shape")
            yield marks.encode(x=self.x, y=alt.value(HEIGHT - 9), tooltip=told, **shown)

    def _confirmed(self) -> Iterable[alt.Chart]:
        told = [
            ("name", "confirmed"),
            ("x", self.name),
            (self.column, f"{self.measured} (%)"),
            ("std", "std"),
            ("seeds", "seeds"),
        ]
        for arm, values in self.arms:
            if arm.place is None:
                continue
            low, mean, high = map(short, _ends(values))
            point = (arm.place, mean, low, high, arm.label, len(values), short((high - low) / 2))
            data = self.data.chart(("x", self.column, "low", "high", "name", "seeds", "std"), [point])
            bar = data.mark_rule(strokeWidth=2.6, clip=True).encode(x=self.x, y=same_axis(self.y, "low"), y2="high:Q")
            yield bar.encode(**shown_as(_confirmed(arm), "stroke"))
            marks = data.mark_point(size=110, clip=True, strokeWidth=1.2, opacity=1)
            shown = shown_as(_confirmed(arm), "fill", "shape") | {"stroke": alt.value(PAPER)}
            yield marks.encode(x=self.x, y=self.y, tooltip=tips(*told), **shown)


def _ends(values: list[float]) -> tuple[float, float, float]:
    """Mean, and one standard deviation below and above it, in rising order."""
    mean, std = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
    return mean - std, mean, mean + std


def _confirmed(arm: Arm) -> str:
    return f"{arm.label}: fresh seeds ± std"


def _interval(row: Row) -> str:
    return f"95 % interval of the best rate, {signed(row.rate_low or 0.0)} to {signed(row.rate_high or 0.0)}"

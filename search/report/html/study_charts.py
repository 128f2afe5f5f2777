"""Charts of the report beside the one over the rate: learning curves of a cell, best rates over the noise rates."""

from collections.abc import Sequence
from itertools import cycle

import altair as alt

from tosmooth.search.report.figure_style import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY
from tosmooth.search.report.html.chart_parts import (
    NOTHING,
    PAPER,
    WIDTH,
    Charted,
    Data,
    Legend,
    Look,
    panel,
    same_axis,
    short,
    shown_as,
    tips,
    widened,
    zoomable,
)
from tosmooth.search.report.picture_data import (
    arms_of,
    axis_of,
    band,
    curve_panels,
    kind_of,
    known_rates,
    rate_limits,
    theory_line,
)
from tosmooth.search.report.rate_axis import SYMLOG, ticks_of
from tosmooth.search.report.results import View
from tosmooth.search.report.row import Row

MOST_EPOCHS = 60  # of a curve that are shown
FEW_EPOCHS = 15  # up to which each is a point
DASHES = ((1, 0), (6, 3), (6, 3, 2, 3), (2, 3))
SERIES = (
    (BLUE, "circle"),
    (ORANGE, "square"),
    (GREEN, "diamond"),
    (RED, "triangle-down"),
    (SKY, "triangle-up"),
    (INK, "cross"),
)
EXTENT = "from lowest to highest seed"


def curve_chart(view: View) -> Charted:
    """Accuracies over the epochs of what was confirmed, as `plots.learning_curves` has them."""
    arms = arms_of(view.records, view.row, axis_of(view.records))
    panels = curve_panels(view.level, view.row)
    looks = [
        Look(arm.label, arm.colour, fill=arm.colour, dash=dash) for arm, dash in zip(arms, cycle(DASHES), strict=False)
    ]
    width = (WIDTH - 52 * (len(panels) - 1)) // len(panels)
    legend, charts, data = Legend(looks, columns=3, lines=True), [], Data()
    for number, (metric, measured) in enumerate(panels):
        rows = [
            (epoch, short(mean), short(low), short(high), arm.label)
            for arm in arms
            for epoch, mean, low, high in _thinned(band(list(arm.runs.values()), metric))
        ]
        layers = _curves(data, rows, f"y{number}", legend, view.row.best_warmup)
        charts.append(panel(f"y{number}", layers, width=width, height=190, title=measured))
    spec = {"hconcat": charts, "spacing": 52, "bounds": "flush"}
    return Charted(zoomable(spec, *(f"y{number}" for number in range(len(panels)))), data)


def _thinned(points: Sequence[tuple[int, float, float, float]]) -> list[tuple[int, float, float, float]]:
    """Every so many epochs, and the last."""
    step = -(-len(points) // MOST_EPOCHS) or 1
    return [point for i, point in enumerate(points) if (len(points) - 1 - i) % step == 0]


def _curves(
    data: Data,
    rows: Sequence[tuple[int, float, float, float, str]],
    column: str,
    legend: Legend,
    warmup: int | None,
) -> list[alt.Chart]:
    """Layers of one panel; the first panel says of what its axis is."""
    last = max((epoch for epoch, *_ in rows), default=1)
    table = data.chart(("x", column, "low", "high", "name"), rows)
    axis = alt.Axis(title="epoch", format="d", tickMinStep=1, tickCount=6)
    x = alt.X("x:Q", scale=alt.Scale(nice=False, zero=False), axis=axis)
    title = "accuracy (%)" if column == "y0" else None
    ends = [end for _, _, low, high, _ in rows for end in (low, high)] or [0.0, 100.0]
    domain = widened(min(ends), max(ends))
    y = alt.Y(f"{column}:Q", scale=alt.Scale(domain=domain, nice=False, zero=False), axis=alt.Axis(title=title))
    extent = table.mark_area(opacity=0.18, clip=True)
    lines = table.mark_line(strokeWidth=2, clip=True).encode(x=x, y=y, **legend.by("name", "stroke", "strokeDash"))
    told = (("name", "trained with"), ("x", "epoch"), (column, "mean (%)"), ("low", "lowest"), ("high", "highest seed"))
    points = table.mark_point(size=26, clip=True, opacity=1 if last <= FEW_EPOCHS else 0, strokeWidth=0)
    layers = [
        lines,
        extent.encode(x=x, y=same_axis(y, "low"), y2="high:Q", **legend.by("name", "fill")),
        points.encode(x=x, y=y, tooltip=tips(*told), **legend.by("name", "fill")),
    ]
    if warmup and warmup < last:
        rule = data.chart(("x",), [(warmup,)]).mark_rule(strokeDash=[2, 3], color=INK, clip=True)
        layers.append(rule.encode(x=x, tooltip=alt.TooltipValue(f"end of warm-up: epoch {warmup}")))
    return layers


def noise_chart(rows: Sequence[Row], classes: int) -> Charted:
    """Best rates with their intervals over the noise rates, beside theory's, as in `plots.rate_over_noise`."""
    known, data = known_rates(rows), Data()
    end, theory = theory_line(known, classes)
    bottom, top = rate_limits(known)
    kinds = sorted({kind_of(row) for *_, row in known})
    line = f"theory: symmetric noise, {classes} classes"
    found = list(zip(kinds, cycle(SERIES), strict=False))
    looks = [Look(f"best rate, {kind}", colour, shape, colour) for kind, (colour, shape) in found]
    legend = Legend([*looks, Look(line, PURPLE, fill=NOTHING)])
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[-0.04 * end, end], nice=False),
        axis=alt.Axis(title="noise rate (share of wrong training labels)", tickCount=8),
    )
    scale = alt.Scale(type="symlog", constant=SYMLOG["linthresh"], domain=[bottom, top], nice=False)
    y = alt.Y(
        "y:Q",
        scale=scale,
        axis=alt.Axis(
            title="smoothing rate r (0: plain cross-entropy)",
            values=ticks_of([bottom, top]),
            format="~g",
            labelOverlap="greedy",
        ),
    )
    curve = [(short(e), short(r)) for e, r in theory if bottom <= r <= top]
    layers = [
        legend.layer(data, "stroke", "fill", "shape").encode(x=x, y=y),
        data.chart(("y",), [(0,)]).mark_rule(strokeWidth=0.8, color=INK).encode(y=y),
        data.chart(("x", "y"), curve)
        .mark_line(strokeWidth=1.8, strokeDash=[6, 4], clip=True)
        .encode(x=x, y=y, **shown_as(line, "stroke")),
    ]
    for kind, _ in found:
        layers += _series([point for point in known if kind_of(point[2]) == kind], f"best rate, {kind}", data, x, y)
    return Charted(zoomable(panel("noise", layers, width=WIDTH, height=300), "noise"), data)


def _series(known: Sequence[tuple[float, float, Row]], label: str, data: Data, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Best rates of one kind of noise: a line, bars and points."""
    points = [
        (
            short(e),
            r,
            r if row.rate_low is None else row.rate_low,
            r if row.rate_high is None else row.rate_high,
            _level(row),
            row.gain_over_ce,
        )
        for e, r, row in sorted(known, key=lambda point: point[:2])
    ]
    table = data.chart(("x", "y", "low", "high", "level", "gain"), points)
    told = tips(
        ("level", "level"),
        ("x", "noise rate"),
        ("y", "best rate"),
        ("low", "from (95 %)"),
        ("high", "to"),
        ("gain", "gain over CE"),
    )
    bars = table.mark_rule(strokeWidth=1.6, clip=True).encode(x=x, y=same_axis(y, "low"), y2="high:Q")
    marks = table.mark_point(size=90, clip=True, opacity=1, strokeWidth=1.2)
    shown = shown_as(label, "fill", "shape") | {"stroke": alt.value(PAPER)}
    return [
        table.mark_line(strokeWidth=1.5, clip=True).encode(x=x, y=y, **shown_as(label, "stroke")),
        bars.encode(**shown_as(label, "stroke")),
        marks.encode(x=x, y=y, tooltip=told, **shown),
    ]


def _level(row: Row) -> str:
    return row.noise if row.method == "gls" else f"{row.noise}, {row.method}"

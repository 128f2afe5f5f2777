"""Charts of an analysis: reliability, accuracy of each class, confusion matrix."""

from collections.abc import Sequence

import altair as alt
import numpy as np

from tosmooth.search.records import Level
from tosmooth.search.report.figure_style import BLUE, GREEN, INK, ORANGE
from tosmooth.search.report.html.analysis_part import ArmNumbers, CellNumbers, shown_classes
from tosmooth.search.report.html.chart_parts import WIDTH, Charted, Data, Legend, Look, panel, short, tips, zoomable

LOOKS = {"chosen": (GREEN, "diamond"), "CE": (INK, "square"), "LS": (ORANGE, "triangle-up")}
DIM = "#999999"
LETTERS = 24  # of a class's name beside an axis
DARK_TEXT, LIGHT_TEXT = "#1A1A1A", "#FFFFFE"  # on a cell of the matrix: the same by day and by night


def reliability_chart(cell: CellNumbers) -> Charted:
    """Accuracy over confidence, as trained and after temperature scaling, over all seeds; as `plots.reliability`."""
    data, legend = Data(), _legend(cell.arms)
    panels = ((False, "as trained"), (True, "temperature fitted on the noisy validation"))
    lowest = min((each.confidence for arm in cell.arms for each in arm.bins(False)), default=0.0)
    domain = [0.48 if lowest >= 0.5 else 0.0, 1.02]
    charts = []
    for number, (scaled, words) in enumerate(panels):
        column = f"y{number}"
        x = alt.X("x:Q", scale=alt.Scale(domain=domain, nice=False), axis=alt.Axis(title="confidence", tickCount=6))
        title = "share of right predictions" if number == 0 else None
        y = alt.Y(f"{column}:Q", scale=alt.Scale(domain=[-0.02, 1.02], nice=False), axis=alt.Axis(title=title))
        rows = [(*each, arm.words) for arm in cell.arms for each in arm.bins(scaled)]
        table = data.chart(("x", column, "examples", "name"), rows)
        told = tips(("name", "trained with"), ("x", "confidence"), (column, "right"), ("examples", "examples"))
        line = data.chart(("x", column), [(domain[0], domain[0]), (1, 1)]).mark_line(color=DIM, strokeDash=[2, 3])
        points = table.mark_point(opacity=1, strokeWidth=0, clip=True, size=50)
        layers = [
            table.mark_line(strokeWidth=1.6, clip=True).encode(x=x, y=y, **legend.by("name", "stroke")),
            line.encode(x=x, y=y),
            points.encode(x=x, y=y, tooltip=told, **legend.by("name", "fill", "shape")),
        ]
        charts.append(panel(column, layers, width=(WIDTH - 60) // 2, height=240, title=words))
    return Charted(zoomable({"hconcat": charts, "spacing": 52, "bounds": "flush"}, "y0", "y1"), data)


def class_chart(cell: CellNumbers, level: Level) -> Charted:
    """Accuracy of each class of the clean test set, an arm a mark."""
    data, legend, shown = Data(), _legend(cell.arms), shown_classes(cell)
    names = _short_names(level, shown)
    rows = [
        (short(float(accuracy[k])), name, arm.words)
        for arm in cell.arms
        if (accuracy := arm.by_class()) is not None
        for k, name in zip(shown, names, strict=True)
        if np.isfinite(accuracy[k])
    ]
    table = data.chart(("x", "class", "name"), rows)
    x = alt.X("x:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title="accuracy on the clean test set (%)"))
    y = alt.Y("class:N", sort=names, axis=alt.Axis(title=None, grid=True, labelLimit=200))
    told = [alt.Tooltip("class:N", title="class"), *tips(("name", "trained with"), ("x", "accuracy (%)"))]
    marks = table.mark_point(size=70, opacity=0.9, strokeWidth=0)
    layers = [marks.encode(x=x, y=y, tooltip=told, **legend.by("name", "fill", "shape"))]
    return Charted(panel("classes", layers, width=WIDTH - 120, height={"step": 18}), data)


def confusion_chart(arm: ArmNumbers, level: Level, shown: Sequence[int]) -> Charted:
    """Confusion matrix of an arm over all seeds: the share of each true class that is predicted as each class."""
    assert arm.confusion is not None  # noqa: S101 - whoever asks has looked
    data, names = Data(), _short_names(level, shown)
    totals = arm.confusion.sum(axis=1)
    rows = [
        (names[i], names[j], short(float(arm.confusion[i, j] / totals[i])), int(arm.confusion[i, j]))
        for i in shown
        for j in shown
        if totals[i]
    ]
    table = data.chart(("true", "predicted", "share", "count"), rows)
    x = alt.X("predicted:N", sort=names, axis=alt.Axis(title="predicted", labelLimit=110, orient="top"))
    y = alt.Y("true:N", sort=names, axis=alt.Axis(title="right class", labelLimit=160))
    colours = alt.Scale(domain=[0, 1], range=["#F1F6FA", BLUE.lower()])
    told = [
        alt.Tooltip(f"{name}:N", title=title) for name, title in (("true", "right class"), ("predicted", "predicted"))
    ]
    told += [alt.Tooltip("share:Q", title="share of the class", format=".1%"), alt.Tooltip("count:Q", title="examples")]
    fill = alt.Fill("share:Q", scale=colours, legend=alt.Legend(title=None, format=".0%", orient="right"))
    layers = [table.mark_rect().encode(x=x, y=y, fill=fill, tooltip=told)]
    if len(shown) <= 12:
        colour = alt.condition("datum.share > 0.55", alt.value(LIGHT_TEXT), alt.value(DARK_TEXT))
        text = alt.Text("share:Q", format=".0%")
        layers.append(table.mark_text(fontSize=11).encode(x=x, y=y, text=text, fill=colour))
    side = max(150, min(420, 42 * len(shown)))
    return Charted(panel("matrix", layers, width=side, height=side), data)


def _legend(arms: Sequence[ArmNumbers]) -> Legend:
    looks = ((arm.words, *LOOKS[arm.name]) for arm in arms)
    return Legend([Look(words, colour, shape, colour) for words, colour, shape in looks], columns=3)


def _short_names(level: Level, shown: Sequence[int]) -> list[str]:
    """Names of classes, cut where they are long; each is another."""
    names = []
    for k in shown:
        name = level.name_of(k)
        name = name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
        names.append(f"{name} ({k})" if name in names else name)
    return names

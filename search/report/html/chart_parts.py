"""Parts that the report's charts share: looks and their legend, data, what is said below the pointer, zooming."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import altair as alt

WIDTH = 640  # of a chart
NOTHING = "rgba(0,0,0,0)"  # inside of what is hollow
PALE_GREEN = "rgba(0,158,115,0.14)"  # of an interval
PAPER = "#FFFFFF"  # around what stands before others: the page's own colour, in the dark too
SHAPES = {"o": "circle", "s": "square", "D": "diamond", "v": "triangle-down", "^": "triangle-up", "P": "cross"}
ZOOM = "wheel![event.ctrlKey || event.metaKey]"  # the wheel alone scrolls the page
TEXTS = ("name", "why", "level", "interval", "answer")  # columns; all others hold numbers


class Look(NamedTuple):
    """How something is drawn, and shown in the legend."""

    label: str
    colour: str
    shape: str = "stroke"  # a line
    fill: str = NOTHING
    dash: tuple[int, ...] = (1, 0)


class Legend:
    """One legend for all layers of a chart."""

    def __init__(self, looks: Iterable[Look], columns: int = 2, lines: bool = False) -> None:
        """Take the looks in the order of the legend; of those of one label the last. `lines`: all of them are."""
        self._looks = list({look.label: look for look in looks}.values())
        self._columns, self._lines = columns, lines

    def layer(self, data: "Data", *channels: str) -> alt.Chart:
        """Layer of no mark, which has the scales of these channels (stroke, fill, shape) for all others of a chart."""
        layer: alt.Chart = data.chart(("look",), []).mark_point().encode(**self.by("look", *channels))
        return layer

    def by(self, field: str, *channels: str) -> dict[str, Any]:
        """Have these channels show the labels that stand in a column."""
        kinds: dict[str, Any] = {
            "stroke": alt.Stroke,
            "fill": alt.Fill,
            "shape": alt.Shape,
            "strokeDash": alt.StrokeDash,
        }
        return {each: kinds[each](f"{field}:N", **self._scale(each)) for each in channels}

    def _scale(self, channel: str) -> dict[str, Any]:
        where = {"stroke": "colour", "fill": "fill", "shape": "shape", "strokeDash": "dash"}[channel]
        values = [getattr(look, where) for look in self._looks]
        scale = alt.Scale(domain=[look.label for look in self._looks], range=values)
        lines: dict[str, Any] = {"symbolType": "stroke", "symbolSize": 400} if self._lines else {}
        return {"scale": scale, "legend": alt.Legend(title=None, columns=self._columns, **lines)}


def shown_as(label: str, *channels: str) -> dict[str, Any]:
    """Have these channels (stroke, fill, shape) of a layer show what the legend calls so."""
    kinds: dict[str, Any] = {"stroke": alt.StrokeDatum, "fill": alt.FillDatum, "shape": alt.ShapeDatum}
    return {each: kinds[each](label, type="nominal") for each in channels}


class Data:
    """Rows of a chart's layers, which stand beside them: Altair copies what stands in a layer many times over."""

    def __init__(self) -> None:
        self.tables: dict[str, list[list[Any]]] = {}  # names of the columns, then the values of each row

    def chart(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> alt.Chart:
        """Layer of rows."""
        name = f"data-{len(self.tables)}"
        self.tables[name] = [list(columns), *map(list, rows)]
        return alt.Chart(alt.NamedData(name=name))


Spec = dict[str, Any]  # Vega-Lite


class Charted(NamedTuple):
    """Chart with its rows, which stand in it by the names of their tables."""

    spec: Spec
    data: Data


def panel(name: str, layers: Iterable[alt.Chart], **properties: Any) -> Spec:
    """Lay layers over each other; the first has the panel's name. Altair's own way copies each of them many times."""
    first, *others = (_plain(layer) for layer in layers)
    return {"layer": [first | {"name": name}, *(_without_axes(each, first) for each in others)], **properties}


def _without_axes(layer: Spec, first: Spec) -> Spec:
    """Layer that leaves the axes to the first one, where they are the same."""
    encoding = dict(layer["encoding"])
    for channel in ("x", "y"):
        own = encoding.get(channel, {})
        if "axis" in own and own["axis"] == first["encoding"].get(channel, {}).get("axis"):
            encoding[channel] = {key: value for key, value in own.items() if key != "axis"}
    return layer | {"encoding": encoding}


def zoomable(spec: Spec, *panels: str) -> Spec:
    """Have a chart zoom with Ctrl and the wheel, move by dragging, go back by a double click.

    Its panels move together along the columns of one name.
    """
    zoom = {"name": "zoom", "bind": "scales", "select": {"type": "interval", "zoom": ZOOM}, "views": list(panels)}
    return {"params": [zoom], **spec}


def _plain(layer: alt.Chart) -> Spec:
    spec = layer.to_dict(validate=False)  # a test does, of charts of every kind
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}


def same_axis(axis: Any, field: str) -> Any:
    """The same axis of another column."""
    found = axis.copy()
    found.shorthand = f"{field}:Q"
    return found


def tips(*named: tuple[str, str]) -> list[alt.Tooltip]:
    """Columns that are told of what lies below the pointer, with their titles."""
    number: dict[str, Any] = {"format": ".4~g"}
    return [
        alt.Tooltip(f"{field}:{'N' if field in TEXTS else 'Q'}", title=title, **({} if field in TEXTS else number))
        for field, title in named
    ]


def short(value: float) -> float:
    """Number with the digits that can be seen."""
    return round(value, 3)


def widened(low: float, high: float, constant: float | None = None) -> list[float]:
    """Ends of an axis with some room beside what it shows; `constant`: of a symmetric log scale."""
    if constant is None:
        margin = 0.03 * (high - low) or 0.5
        return [low - margin, high + margin]
    first, last = (math.copysign(math.log1p(abs(end) / constant), end) for end in (low, high))
    margin = 0.03 * (last - first) or 0.5
    return [math.copysign(constant * math.expm1(abs(end)), end) for end in (first - margin, last + margin)]

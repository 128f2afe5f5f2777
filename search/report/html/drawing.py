"""Charts for a page: what its JavaScript draws, and the same as a picture for paper and where no script runs."""

import base64
import io
import json
import re
from typing import Any, NamedTuple

import vl_convert
from PIL import Image

from tosmooth.search.report.figure_style import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY
from tosmooth.search.report.html.chart_parts import PAPER, Charted, Data

TEXT, GRID, LINE = "#444444", "#DDDDDD", "#888888"
DARK = {  # the same in the dark, where a page has another ground
    INK: "#F0F0F0",
    BLUE: "#5BB0EA",
    SKY: "#9AD2F7",
    GREEN: "#2CC79B",
    ORANGE: "#F2B632",
    RED: "#FF8A4A",
    PURPLE: "#DE8ED0",
    TEXT: "#C8CCD2",
    GRID: "#3A4048",
    LINE: "#7C848E",
    PAPER: "#16191D",
}
CONFIG: dict[str, Any] = {
    "aria": False,  # a chart says in one sentence what it shows, and has its numbers in a table
    "background": None,
    "font": "Helvetica, Arial, Liberation Sans, sans-serif",  # of one width on every machine: texts are placed by it
    "view": {"stroke": None},
    "axis": {
        "labelColor": TEXT,
        "titleColor": TEXT,
        "gridColor": GRID,
        "domainColor": LINE,
        "tickColor": LINE,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridWidth": 0.7,
    },
    "legend": {
        "orient": "bottom",
        "labelColor": TEXT,
        "labelFontSize": 11,
        "labelLimit": 0,
        "symbolOpacity": 1,
        "symbolStrokeWidth": 2,
        "columnPadding": 32,
        "offset": 14,
    },
    "title": {"color": TEXT, "fontSize": 12, "fontWeight": 600, "anchor": "start"},
}
# Attributes that are said once for the whole page, or to no one.
NEEDLESS = ("class", "role", "aria-[a-z]+", "pointer-events", "xmlns:xlink", "version", "font-family")
LARGE = 60_000  # letters of a drawing from which one of pixels may be smaller


class Drawing(NamedTuple):
    """Chart as it stands in a page."""

    spec: str  # Vega-Lite as JSON, without what all charts share; its rows have their names once
    picture: str  # SVG, or an address of pixels where they are smaller
    pixels: bool
    zooms: bool


def drawing(charted: Charted, number: int) -> Drawing:
    """Draw a chart; its `number` tells it from the others of the page."""
    spec, zooms = charted.spec, "params" in charted.spec
    still = _still(spec) | {"config": CONFIG, "datasets": _named(charted.data)}
    svg = _compact(vl_convert.vegalite_to_svg(still), number)
    text = json.dumps(spec | {"datasets": charted.data.tables}, separators=(",", ":"), ensure_ascii=False)
    if len(svg) > LARGE:
        png = base64.b64encode(_small(vl_convert.vegalite_to_png(still | {"background": "white"}, scale=1.25))).decode()
        if len(png) < len(svg):
            return Drawing(text, f"data:image/png;base64,{png}", pixels=True, zooms=zooms)
    return Drawing(text, svg, pixels=False, zooms=zooms)


def _small(png: bytes) -> bytes:
    """Picture of 256 colours, which takes a fifth."""
    small = io.BytesIO()
    colours = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE)
    colours.save(small, "PNG", optimize=True)
    return small.getvalue()


def _named(data: Data) -> dict[str, list[dict[str, Any]]]:
    """Tables as Vega-Lite reads them: each row with the names of its columns."""
    tables = data.tables.items()
    return {name: [dict(zip(columns, row, strict=True)) for row in rows] for name, (columns, *rows) in tables}


def _still(part: Any) -> Any:
    """Chart without what answers a pointer."""
    if isinstance(part, dict):
        return {key: _still(value) for key, value in part.items() if key not in ("params", "tooltip")}
    return [_still(each) for each in part] if isinstance(part, list) else part


def _compact(svg: str, number: int) -> str:
    """SVG of fewer letters, whose names are those of no other picture of the page; its texts stay as they are."""
    svg = re.sub(r"<[^>]+>", lambda found: _compact_tag(found[0], number), svg)
    svg = svg.replace('<path d="" display="none"/>', "")
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def _compact_tag(tag: str, number: int) -> str:
    tag = re.sub(r"\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), tag)
    tag = re.sub(rf' (?:{"|".join(NEEDLESS)})="[^"]*"', "", tag)
    tag = re.sub(r' (?:opacity|stroke-width)="1"', "", tag)
    return re.sub(r"(clip|gradient_)(\d+)", rf"p{number}\1\2", tag)

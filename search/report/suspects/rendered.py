"""A list of suspects for readers: CSV, a page of HTML with the pictures, and what the terminal shows."""

import base64
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image
from rich import box
from rich.table import Table
from rich.text import Text

from tosmooth.search.report.escaping import csv_text
from tosmooth.search.report.suspects.files import FORMATS, ON_PAGE, SuspectList, to_parquet
from tosmooth.search.spec.parameters import in_short
from tosmooth.trainables.errors import require

if TYPE_CHECKING:
    from torch import Tensor

BASELINES = {"CE": "cross-entropy", "LS": "label smoothing"}
SHOWN = 10  # rows on a terminal
SIDE = 96  # pixels of a picture on a page, at most
SMALL = 64  # and of one that is kept beside a list
MEASURES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "precision_at_100": "precision at 100",
    "precision_at_likely": "precision at cleanlab's count",
    "precision_at_wrong": "precision at the true count",
    "proposed_right": "proposed label right",
}


def render(
    found: SuspectList,
    format: str,
    top: int | None,
    pictures: "Mapping[int, Tensor] | None",
    own: Callable[[pa.Table], pa.Table] | None = None,
) -> str | bytes:
    """Render the first `top` suspects (None: all; of a page 100) in one of `FORMATS`; Parquet as bytes.

    `pictures`: of the rows, uint8 [H, W, 3], where the data have some. `own`: columns of the user's beside rows of the
    list.
    """
    require(format in FORMATS, "--format", format, f"one of {', '.join(FORMATS)}")
    table = found.table.slice(0, (ON_PAGE if format == "html" else None) if top is None else top)
    beside = pa.table({}) if own is None else own(table)
    if format == "html":
        return _page(found, table, pictures or {}, beside)
    at = table.column_names.index("row") + 1
    for name in reversed(beside.column_names):
        table = table.add_column(at, name, beside[name])
    return to_parquet(table) if format == "parquet" else _csv(table)


def _csv(table: pa.Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in table.to_pylist():
        cells = (f"{v:.6g}" if isinstance(v, float) else v for v in row.values())
        writer.writerow([csv_text(value) if isinstance(value, str) else value for value in cells])
    return text.getvalue()


def _page(found: SuspectList, table: pa.Table, pictures: "Mapping[int, Tensor]", beside: pa.Table) -> str:
    environment = Environment(
        loader=PackageLoader("tosmooth.search.report.suspects", "."), autoescape=True, undefined=StrictUndefined
    )
    own = [list(row.values()) for row in beside.to_pylist()] or [[]] * len(table)
    rows = [
        {**row, "own": mine, "picture": _thumbnail(pictures.get(row["row"]))}
        for row, mine in zip(table.to_pylist(), own, strict=True)
    ]
    return environment.get_template("page.html").render(
        about=found.about,
        rows=rows,
        own=beside.column_names,
        summary=list(summary(found.about)),
        heads=heads(found.about),
        measures=list(lines(found.about)),
        illustrated=any(row["picture"] for row in rows),
        placed=any(row["place"] for row in rows),
        known=any(row["clean"] is not None for row in rows),
    )


def _thumbnail(picture: "Tensor | None", side: int = SIDE) -> str:
    """A picture as the text of a PNG in a page; "" for none. A small one is not blown up: the browser does that."""
    if picture is None:
        return ""
    image, file = Image.fromarray(picture.numpy()), io.BytesIO()
    image.thumbnail((side, side))
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def thumbnails(pictures: "Mapping[int, Tensor]") -> dict[int, str]:
    """Pictures as the texts of small PNGs in a page, by their rows."""
    return {row: _thumbnail(picture, SMALL) for row, picture in pictures.items()}


def summary(about: Mapping[str, Any]) -> Iterator[str]:
    """Say what a list is of, in sentences."""
    likely, rows = about["likely_errors"], about["rows"]
    arm = BASELINES.get(about["arm"], f"the chosen {in_short(about['parameters'])}")
    seeds = "" if len(about["seeds"]) == 1 else f", {len(about['seeds'])} training seeds"
    yield (
        f"{rows} labels ({about['training_rows']} of the training set, {about['validation_rows']} of the noisy "
        f"validation) judged by networks of {arm} that had not seen them: {about['folds']} folds{seeds}."
    )
    if likely is not None:
        yield f"cleanlab counts {likely} of them as wrong ({100 * likely / rows:.1f} %)."
    if (quality := about["quality"]) is not None:
        wrong, known, best = quality["wrong_rows"], quality["known_rows"], quality["list"]
        what = f"{wrong} of the {known} whose right label is known are wrong ({100 * wrong / known:.1f} %)"
        first = best["precision_at_wrong"]
        told = "" if first is None else f"; of the first {wrong} of them in the list {100 * first:.1f} % are"
        yield f"In truth {what}{told}."
    yield from (f"Note: {note}." for note in about["notes"])


def heads(about: Mapping[str, Any]) -> list[str]:
    """Heads of the columns of the table of measures."""
    arms = [] if about["quality"] is None else about["quality"]["arms"]
    compared = len(arms) > 1
    named = [
        f"{each['arm']} ({in_short(each['parameters'])})" if each["arm"] == "chosen" else each["arm"] for each in arms
    ]
    minus = [f"{about['arm']} \N{MINUS SIGN} CE (95 %)"] if compared and about["arm"] != "CE" else []
    return ["", *named, *minus] if arms else []


def lines(about: Mapping[str, Any]) -> Iterator[list[str]]:
    """Lines of the table of measures, in percent and points: means over the seeds, with 95 % intervals."""
    if about["quality"] is None:
        return
    arms: Sequence[Mapping[str, Any]] = about["quality"]["arms"]
    own = next(each for each in arms if each["arm"] == about["arm"])
    for name, words in MEASURES.items():
        cells = [_percent(each["measures"][name], "mean", "low", "high", "") for each in arms]
        if len(arms) > 1 and about["arm"] != "CE":
            cells.append(_percent(own["measures"][name], "minus_ce", "minus_ce_low", "minus_ce_high", "+"))
        if any(cells):
            yield [f"{words} (%)", *cells]


def _percent(values: Mapping[str, float | None], middle: str, low: str, high: str, sign: str) -> str:
    mean, ends = values[middle], [values[low], values[high]]
    if mean is None:
        return ""
    told = [f"{100 * end:.2f}" for end in ends if end is not None]
    return f"{100 * mean:{sign}.2f}" + (f" [{', '.join(told)}]" if len(told) == len(ends) else "")


def terminal_tables(found: SuspectList) -> Iterator[Table]:
    """What the terminal shows: the first suspects, and the measures where clean labels are known."""
    about, first = found.about, found.table.slice(0, SHOWN).to_pylist()
    named = about["level"] if about["method"] == "gls" else f"{about['level']}, {about['method']}"
    placed = any(row["place"] for row in first)
    heads_here = ["", "row", *(["place"] if placed else []), "label", "proposed", "p(label)", "p(proposed)"]
    cells = [
        [
            *(str(row["rank"]), str(row["row"]), *([row["place"]] if placed else []), row["given"], row["proposed"]),
            *(f"{row['p_given']:.3g}", f"{row['p_proposed']:.3g}"),
        ]
        for row in first
    ]
    yield _table(f"suspects, {named}", heads_here, cells, " ".join(summary(about)))
    if measures := list(lines(about)):
        yield _table(f"how good the list is, {named}", heads(about), measures, "")


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, show_edge=False)
    table.title_justify, table.title_style = "left", "bold"
    for i, name in enumerate(names):
        table.add_column(name, justify="left" if i == 0 and not name else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    table.caption, table.caption_justify, table.caption_style = Text(caption), "left", ""
    return table

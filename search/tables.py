"""Best-rate rows and trials as CSV, Markdown, LaTeX, Parquet, JSON, and as a table for the terminal.

Every format starts from one Arrow table, so that names, order and types are the same in all of them.
"""

import csv
import io
import json
import math
import os
import re
import typing
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich import box
from rich.table import Table
from rich.text import Text

from search.records import Record, at_epoch, best_epoch
from search.rows import Row
from trainables.config import InputError, require

ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64()}
COLUMNS = tuple(field.name for field in fields(Row))


def render(rows: Sequence[Row], format: str) -> str | bytes:
    """The best-rate table in one of `FORMATS`: Parquet as bytes, the others as text."""
    return _render(rows_table(rows), format)


def render_trials(records: Sequence[Record], format: str) -> str | bytes:
    """Every trial, a row each, in one of `FORMATS`: Parquet as bytes, the others as text."""
    return _render(trials_table(records), format)


def rows_table(rows: Sequence[Row]) -> pa.Table:
    """The best-rate rows; a column has its type even where it holds nothing."""
    schema = pa.schema([(name, ARROW[_plain(kind)]) for name, kind in typing.get_type_hints(Row).items()])
    return pa.Table.from_pylist([{k: _finite(v) for k, v in asdict(row).items()} for row in rows], schema)


def trials_table(records: Sequence[Record]) -> pa.Table:
    """The trials in the order given; every searched parameter beyond rate and warm-up has a column of its own.

    `epochs` are those it trained, besides `epochs_spared`, which it took from a trunk. `test_accuracy` is that of the
    last epoch, `oracle_test_accuracy` the highest of any epoch that was tested.
    """
    searched = sorted({name for record in records for name in record.params} - {"rate", "warmup"})
    columns: dict[str, pa.Array] = {}
    for name, kind, read in _TRIAL_COLUMNS:
        columns[name] = pa.array([_finite(read(record)) for record in records], ARROW[kind])
        if name == "warmup":
            columns |= {key: _parameter([record.params.get(key) for record in records]) for key in searched}
    return pa.table(columns)


def write(content: str | bytes, path: Path) -> None:
    """Write a file whole or not at all: a reader never sees half of it. Folders are made as needed."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())  # so that a power cut cannot leave a whole name on half a file
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: cannot be written ({error.strerror}); name a file you may write") from error


def terminal_table(rows: Sequence[Row], width: int = 80) -> Table:
    """What a reader needs at a glance; the notes stand below. Accuracies and gains in percent.

    Where the terminal's `width` is too small, spread and interval go to a line of their own: no number is ever cut.
    """
    several = len({row.dataset for row in rows}) > 1
    levels = [f"{row.dataset}/{row.noise}" if several else row.noise for row in rows]
    methods = any(row.method != "gls" for row in rows)
    joint = " " if width >= 86 + max(map(len, levels), default=0) else "\n"
    title = "best smoothing rate" + (f", {rows[0].dataset}" if rows and not several else "")
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False)
    table.padding = 0  # the box leaves one space between columns
    level = "level" if several else "noise"
    best = "best rate\n(95 %)"
    tested = any(row.test_accuracy is not None for row in rows)
    accuracy = "test\nacc." if tested else "noisy\nval. acc."
    names = ("noise\nrate", best, "warm-\nup", accuracy, "CE", "LS", "gain over CE\n(95 %)", "theory")
    table.add_column(f"{level},\nmethod" if methods else level, no_wrap=True)
    for name in names[1:-1] if methods else names:  # with methods' names there is no room for all
        table.add_column(name, justify="right", no_wrap=True, style="bold" if name == best else "")
    notes: dict[str, list[str]] = {}
    for i, (row, level) in enumerate(zip(rows, levels, strict=True)):
        rate = ("~" if row.noise_rate_source == "estimated" else "") + _fixed(row.noise_rate, 3)
        own = [_best(row, joint), _short(row.best_warmup)]
        own.append(_spread(row, joint) if tested else _fixed(row.val_accuracy))
        baselines = [_fixed(row.ce_test_accuracy), _fixed(row.ls_test_accuracy)]
        if not methods:
            table.add_row(level, rate, *own, *baselines, _gain(row, joint), _rate(row.theory_rate))
        else:
            if level not in levels[:i]:  # what all methods of a level share
                table.add_row(f"{level} ({rate})" if rate else level, "", "", "", *baselines, "")
            table.add_row(f"  {row.method}", *own, "", "", _gain(row, joint))
        for note in row.note.split("; ") if row.note else ():
            notes.setdefault(note, []).append(f"{level}/{row.method}" if methods else level)
    lines = [f"{note}: {', '.join(where)}" for note, where in notes.items()]
    table.caption, table.caption_justify, table.caption_style = Text("\n".join(lines)), "left", ""
    return table


# name, type, and how it is read from a record; searched parameters come after `warmup`
_TRIAL_COLUMNS: tuple[tuple[str, type, Callable[[Record], Any]], ...] = (
    ("study", str, lambda r: r.study),
    ("dataset", str, lambda r: r.level.partition("/")[0]),
    ("noise", str, lambda r: r.level.partition("/")[2]),
    ("method", str, lambda r: r.method),
    ("phase", str, lambda r: r.phase),
    ("number", int, lambda r: r.number),
    ("state", str, lambda r: r.state),
    ("rate", float, lambda r: r.params.get("rate")),
    ("warmup", int, lambda r: r.params.get("warmup")),
    ("train_seed", int, lambda r: r.train_seed),
    ("epochs", int, lambda r: r.trained),
    ("epochs_spared", int, lambda r: r.spared),
    ("seconds", float, lambda r: r.seconds),
    ("train_accuracy", float, lambda r: r.last("train_accuracy")),
    ("val_accuracy", float, lambda r: r.last("val_accuracy")),
    ("test_accuracy", float, lambda r: r.last("test_accuracy")),
    ("best_epoch", int, best_epoch),
    ("best_epoch_val_accuracy", float, lambda r: at_epoch(r, "val_accuracy", "best")),
    ("best_epoch_test_accuracy", float, lambda r: at_epoch(r, "test_accuracy", "best")),
    (
        "oracle_test_accuracy",
        float,
        lambda r: max((a for m in r.curve if (a := m.get("test_accuracy")) is not None), default=None),
    ),
    ("attempts", int, lambda r: r.attempts),
    ("reason", str, lambda r: r.reason),
)


def _plain(kind: type) -> type:
    """`float` of `float | None`."""
    return next((part for part in typing.get_args(kind) if part is not type(None)), kind)


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parameter(values: Sequence[Any]) -> pa.Array:
    """A column of the narrowest type that holds all values: truth values, integers, numbers, else text."""
    kinds = {type(value) for value in values if value is not None}
    for allowed, kind in (({bool}, pa.bool_()), ({int}, pa.int64()), ({int, float}, pa.float64())):
        if kinds and kinds <= allowed:
            return pa.array(values, kind)
    return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())


def _filled(table: pa.Table) -> pa.Table:
    """Only the columns that hold something."""
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return table.select(
        [name for name, cells in columns.items() if any(c not in (None, "") for c in cells) or not cells]
    )


def _texts(table: pa.Table) -> list[bool]:
    return [pa.types.is_string(kind) for kind in table.schema.types]


def _cell(name: str, value: object) -> str:
    """A value rounded to be read: two decimals for percents and times, three significant digits for other numbers."""
    if isinstance(value, float) and name.endswith(_TWO_DECIMALS):
        return _fixed(value)
    return _short(value) if isinstance(value, float) else "" if value is None else str(value)


_TWO_DECIMALS = ("accuracy", "accuracy_std", "gain_over_ce", "gain_low", "gain_high", "hours", "seconds")


def _fixed(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:z.{digits}f}"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _rate(value: float | None) -> str:
    """Short, but a rate near 0 is not shown as 0."""
    return f"{value:.1g}" if value and abs(value) < 0.095 else _fixed(value)


def _end(rate: float | None) -> str:
    """Of an interval: its sign counts, however near 0 it lies, and there one digit does."""
    return "" if rate is None else f"{rate:.1g}" if abs(rate) < 0.01 else f"{rate:.2g}"


def _best(row: Row, joint: str) -> str:
    if row.best_rate is None:
        return joint.join(map(_rounded, row.best_parameters.split(", "))) if row.best_parameters else ""
    interval = "" if row.rate_low is None else f"{joint}[{_end(row.rate_low)}, {_end(row.rate_high)}]"
    return _rate(row.best_rate) + interval


def _rounded(parameter: str) -> str:
    """Such as "q=0.7" of "gce.q=0.700123", to be read at a glance."""
    name, _, value = parameter.partition("=")
    number = re.fullmatch(r"-?[\d.e+-]+", value)
    return f"{name.rpartition('.')[2]}={float(value):.3g}" if number else f"{name.rpartition('.')[2]}={value}"


def _spread(row: Row, joint: str) -> str:
    spread = "" if row.test_accuracy_std is None else f"{joint}±{row.test_accuracy_std:.2f}"
    return _fixed(row.test_accuracy) + spread


def _gain(row: Row, joint: str) -> str:
    if row.gain_over_ce is None:
        return ""
    interval = "" if row.gain_low is None else f"{joint}[{row.gain_low:.2f}, {row.gain_high:.2f}]"
    return f"{row.gain_over_ce:+.2f}{interval}"


def _escape(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


_TEX = {letter: f"\\{letter}" for letter in "&%$#_{}"}
_TEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_TEX |= {"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"}


def _render(table: pa.Table, format: str) -> str | bytes:
    require(format in FORMATS, "--format", format, f"one of {', '.join(FORMATS)}")
    return FORMATS[format](table)


def _csv(table: pa.Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(row.values() for row in table.to_pylist())  # None is written as an empty cell
    return text.getvalue()


def _json(table: pa.Table) -> str:
    return json.dumps(table.to_pylist(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return typing.cast(bytes, sink.getvalue().to_pybytes())


def _markdown(table: pa.Table) -> str:
    table = _filled(table)
    lines = [table.column_names, [":---" if text else "---:" for text in _texts(table)]]
    lines += [[_cell(k, v).replace("|", "\\|") for k, v in row.items()] for row in table.to_pylist()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _latex(table: pa.Table) -> str:
    table = _filled(table)
    # A long note must wrap, or it pushes the table off the page.
    kinds = [
        "p{5cm}" if k == "note" else "l" if t else "r" for k, t in zip(table.column_names, _texts(table), strict=True)
    ]
    lines = [[_escape(name) for name in table.column_names]]
    for row in table.to_pylist():
        cells = [(_cell(name, value), isinstance(value, str)) for name, value in row.items()]
        lines.append([f"${cell}$" if not text and cell.startswith("-") else _escape(cell) for cell, text in cells])
    body = [" & ".join(cells) + r" \\" for cells in lines]
    head = ["% needs \\usepackage{booktabs}", f"\\begin{{tabular}}{{{''.join(kinds)}}}", r"\toprule"]
    return "\n".join([*head, body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}", ""])


FORMATS: dict[str, Callable[[pa.Table], str | bytes]] = {
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
    "parquet": _parquet,
    "json": _json,
}

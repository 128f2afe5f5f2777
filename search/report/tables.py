"""Best-rate rows and trials as CSV, Markdown, LaTeX, Parquet and JSON.

Every format starts from one Arrow table, so that names, order and types are the same in all of them.
"""

import csv
import io
import json
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tosmooth.search.columns import TRIAL, Column
from tosmooth.search.records import Record
from tosmooth.search.report.escaping import csv_text, latex, markdown
from tosmooth.search.report.row import COLUMNS, Row
from tosmooth.trainables.errors import require

ACCURACIES = {"val_accuracy", "test_accuracy", "test_accuracy_std", "ce_test_accuracy", "ls_test_accuracy"}
SCORES = {"metric", "score", "score_std", "ce_score", "ls_score"}  # shown in their place where they are none
READ = ("markdown", "latex")  # formats for people
SHORT = {
    *("dataset", "noise", "method", "noise_rate", "best_rate", "rate_low", "rate_high", "best_parameters"),
    *("best_warmup", *ACCURACIES, *SCORES),
    *("gain_over_ce", "gain_low", "gain_high", "theory_rate", "note"),
}
ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64()}
# A column of trials by its name in the study file.
HYPERPARAMETER = Column("a hyperparameter that was searched", exact=True)
Columns = Mapping[str, Column]  # by name; a hyperparameter that was searched is none of them


def render(rows: Sequence[Row], format: str, columns: str | None = None) -> str | bytes:
    """Render the best-rate table in one of `FORMATS`: Parquet as bytes, the others as text.

    `columns`: "short", those that the terminal shows, or "all"; by default short for the formats that people read.
    """
    table = rows_table(rows)
    if (columns or ("short" if format in READ else "all")) == "short":
        table = table.select(short_columns(rows))
    return _render(table, COLUMNS, format)


def short_columns(rows: Sequence[Row]) -> list[str]:
    """Names of the columns that the terminal shows of these rows, in the order of the table."""
    tested, several = any(row.test_accuracy is not None for row in rows), len({row.dataset for row in rows}) > 1
    methods = any(row.method != "gls" for row in rows)
    left_out = {*(() if several else ("dataset",)), *(("val_accuracy",) if tested else ("test_accuracy",))}
    left_out |= SCORES if all(row.metric == "accuracy" for row in rows) else ACCURACIES
    left_out |= {"theory_rate"} if methods else {"method", "best_parameters"}
    return [name for name in COLUMNS if name in SHORT and name not in left_out]


def render_trials(records: Sequence[Record], format: str) -> str | bytes:
    """Render every trial, a row each, in one of `FORMATS`: Parquet as bytes, the others as text."""
    return _render(trials_table(records), TRIAL, format)


def render_table(table: pa.Table, format: str) -> str | bytes:
    """Render any table in one of `FORMATS`: Parquet as bytes, the others as text."""
    return _render(table, {}, format)


def rows_table(rows: Sequence[Row]) -> pa.Table:
    """Arrow table of the best-rate rows; a column has its type even where it holds nothing."""
    schema = pa.schema([(name, ARROW[column.kind]) for name, column in COLUMNS.items()])
    return pa.Table.from_pylist([{k: _finite(v) for k, v in asdict(row).items()} for row in rows], schema)


def trials_table(records: Sequence[Record]) -> pa.Table:
    """Arrow table of the trials, in the order given.

    Every hyperparameter that was searched, beyond rate and warm-up, has a column of its own, after `warmup`.
    """
    searched = sorted({name for record in records for name in record.params} - {"rate", "warmup"})
    columns: dict[str, pa.Array] = {}
    for name, column in TRIAL.items():
        columns[name] = pa.array([_finite(column.read(record)) for record in records], ARROW[column.kind])
        if name == "warmup":
            columns |= {key: _parameter([record.params.get(key) for record in records]) for key in searched}
    return pa.table(columns)


def curves_table(records: Sequence[Record]) -> pa.Table:
    """Arrow table of the epochs of the trials: what identifies a trial, the epoch from 1, and all metrics."""
    rows = [(record, i + 1, metrics) for record in records for i, metrics in enumerate(record.curve)]
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(record, name) for record, *_ in rows], ARROW[int if name == "number" else str])
        for name in ("study", "level", "method", "phase", "number")
    }
    columns["epoch"] = pa.array([epoch for _, epoch, _ in rows], pa.int64())
    metrics = dict.fromkeys(name for *_, own in rows for name in own)
    columns |= {name: pa.array([_finite(own.get(name)) for *_, own in rows], pa.float64()) for name in metrics}
    return pa.table(columns)


def readable(table: pa.Table, columns: Columns = COLUMNS) -> pa.Table:
    """Table whose values are texts, rounded to be read."""
    return pa.table({n: [_text(columns, n, v) for v in table[n].to_pylist()] for n in table.column_names})


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
    """Keep only the columns that hold something."""
    columns = {name: table[name].to_pylist() for name in table.column_names}
    return table.select(
        [name for name, cells in columns.items() if any(c not in (None, "") for c in cells) or not cells]
    )


def _texts(table: pa.Table) -> list[bool]:
    return [pa.types.is_string(kind) for kind in table.schema.types]


def _text(columns: Columns, name: str, value: object) -> str:
    return columns.get(name, HYPERPARAMETER).text(value)


def _render(table: pa.Table, columns: Columns, format: str) -> str | bytes:
    require(format in FORMATS, "--format", format, f"one of {', '.join(FORMATS)}")
    return FORMATS[format](table, columns)


def _csv(table: pa.Table, columns: Columns) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in _written(table, columns):  # None is written as an empty cell
        writer.writerow([csv_text(value) if isinstance(value, str) else value for value in row.values()])
    return text.getvalue()


def _json(table: pa.Table, columns: Columns) -> str:
    return json.dumps(_written(table, columns), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _written(table: pa.Table, columns: Columns) -> list[dict[str, object]]:
    """Rows whose numbers have the digits that mean something."""
    return [
        {name: columns.get(name, HYPERPARAMETER).written(value) for name, value in row.items()}
        for row in table.to_pylist()
    ]


def _parquet(table: pa.Table, columns: Columns) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return typing.cast(bytes, sink.getvalue().to_pybytes())


def _markdown(table: pa.Table, columns: Columns) -> str:
    table = _filled(table)
    lines = [[markdown(name) for name in table.column_names], [":---" if text else "---:" for text in _texts(table)]]
    lines += [[markdown(_text(columns, k, v)) for k, v in row.items()] for row in table.to_pylist()]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _latex(table: pa.Table, columns: Columns) -> str:
    table = _filled(table)
    wraps = [columns.get(name, HYPERPARAMETER).wraps for name in table.column_names]
    kinds = ["p{5cm}" if w else "l" if text else "r" for w, text in zip(wraps, _texts(table), strict=True)]
    lines = [[latex(name) for name in table.column_names]]
    for row in table.to_pylist():
        cells = [(_text(columns, name, value), isinstance(value, str)) for name, value in row.items()]
        lines.append([f"${cell}$" if not text and cell.startswith("-") else latex(cell) for cell, text in cells])
    body = [" & ".join(cells) + r" \\" for cells in lines]
    head = ["% needs \\usepackage{booktabs}", f"\\begin{{tabular}}{{{''.join(kinds)}}}", r"\toprule"]
    return "\n".join([*head, body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}", ""])


FORMATS: dict[str, Callable[[pa.Table, Columns], str | bytes]] = {
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
    "parquet": _parquet,
    "json": _json,
}

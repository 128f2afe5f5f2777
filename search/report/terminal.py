"""Best-rate table for the terminal: what a reader needs at a glance, in 80 columns where that can be."""

import re
from collections.abc import Callable, Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from tosmooth.search.columns import fixed, short
from tosmooth.search.report.answer import advice
from tosmooth.search.report.escaping import markdown
from tosmooth.search.report.narrow import stacked, width_of
from tosmooth.search.report.row import COLUMNS, Row

SHARED = (  # by a level's methods
    *("ce_test_accuracy", "ls_test_accuracy", "ce_val_accuracy", "ls_val_accuracy"),
    *("ce_score", "ls_score"),
)
TESTED = ("test_accuracy", "ce_test_accuracy", "ls_test_accuracy")
SCORED = ("score", "ce_score", "ls_score")  # where trials were not chosen by accuracy
HEADINGS = {"balanced_accuracy": "bal.\nacc.", "macro_f1": "macro\nF1"}  # of a score
UNTESTED = ("val_accuracy", "ce_val_accuracy", "ls_val_accuracy")  # where there is no test set


def terminal_table(rows: Sequence[Row], width: int = 80) -> Table:
    """Show the rows at a glance; the notes stand below. Accuracies and gains in percent.

    Where the terminal's `width` is too small, spread and interval go to a line of their own, and where that does not
    do, each number: none is ever cut.
    """
    several = len({row.dataset for row in rows}) > 1
    levels = [f"{row.dataset}/{row.noise}" if several else row.noise for row in rows]
    methods = any(row.method != "gls" for row in rows)
    columns = shown_columns(rows, methods)
    title = "best smoothing rate" + (f", {rows[0].dataset}" if rows and not several else "")
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False)
    table.padding = 0  # the box leaves one space between columns
    heading = "level" if several else COLUMNS["noise"].heading
    table.add_column(f"{heading},\nmethod" if methods else heading, no_wrap=True)
    for name in columns:
        style = "bold" if name == "best_rate" else ""
        table.add_column(heading_of(name, rows), justify="right", no_wrap=True, style=style)
    joint = " " if width >= 86 + max(map(len, levels), default=0) else "\n"
    for line in _by_method(rows, levels, columns, joint) if methods else _by_level(rows, levels, columns, joint):
        table.add_row(*line)
    names = [f"{level}/{row.method}" for level, row in zip(levels, rows, strict=True)] if methods else levels
    if width_of(table) > width:
        table = _stacked(width, rows, names, [*(["noise_rate"] if methods else []), *columns])
        table.title, table.title_justify, table.title_style = title, "left", "bold"
    table.caption, table.caption_justify, table.caption_style = Text("\n".join(_words(rows, names))), "left", ""
    return table


def markdown_table(rows: Sequence[Row], gap: str = "") -> str:
    """Markdown table of the terminal's columns, a line for each row. `gap`: stands before all columns but the first."""
    methods = any(row.method != "gls" for row in rows)
    several = len({row.dataset for row in rows}) > 1
    columns = [*(["noise_rate"] if methods else []), *shown_columns(rows, methods)]
    names = [*(["dataset"] if several else []), "noise", *(["method"] if methods else [])]
    lines = [[*names, *(_one_line(heading_of(column, rows)) for column in columns)]]
    for row in rows:
        texts = [*(getattr(row, name) for name in names), *(CELLS[column](row, " ") for column in columns)]
        lines.append([markdown(text) for text in texts])
    first, *others = [f"| {f' | {gap}'.join(cells)} |" for cells in lines]
    return "\n".join([first, f"|{' :--- |' * len(names)}{' ---: |' * len(columns)}", *others])


def notes(rows: Sequence[Row]) -> list[str]:
    """List what must be known before rows are quoted, each note once, with the rows that have it."""
    several, methods = len({row.dataset for row in rows}) > 1, any(row.method != "gls" for row in rows)
    levels = [f"{row.dataset}/{row.noise}" if several else row.noise for row in rows]
    return notes_by_row(rows, [f"{n}/{r.method}" for n, r in zip(levels, rows, strict=True)] if methods else levels)


def _one_line(heading: str) -> str:
    return heading.replace("-\n", "-").replace("\n", " ")


def _stacked(width: int, rows: Sequence[Row], names: Sequence[str], columns: Sequence[str]) -> Table:
    """Table with a line for each number, below the name of its row."""
    headings = {column: _one_line(heading_of(column, rows)) for column in columns}
    return stacked(
        width,
        (
            (name, [(heading, CELLS[column](row, " ")) for column, heading in headings.items()])
            for row, name in zip(rows, names, strict=True)
        ),
    )


def shown_columns(rows: Sequence[Row], methods: bool) -> list[str]:
    """Columns that are shown, beside the level: with the names of methods there is no room for all."""
    tested = any(getattr(row, name) is not None for row in rows for name in TESTED)
    known = any(getattr(row, name) is not None for row in rows for name in UNTESTED)
    accuracies = UNTESTED if known and not tested else TESTED
    scored = any(row.metric != "accuracy" for row in rows)
    names = ["best_rate", "best_warmup", *(SCORED if scored else accuracies), "gain_over_ce"]
    return names if methods else ["noise_rate", *names, "theory_rate"]


def heading_of(column: str, rows: Sequence[Row]) -> str:
    """Heading of a column; scores by one metric have its name."""
    metrics = {row.metric for row in rows}
    own = HEADINGS if column == "score" and len(metrics) == 1 else {}
    return own.get(metrics.pop(), COLUMNS[column].heading) if metrics else COLUMNS[column].heading


def _by_level(
    rows: Sequence[Row], levels: Sequence[str], columns: Sequence[str], joint: str
) -> Iterator[Sequence[str]]:
    for row, level in zip(rows, levels, strict=True):
        yield level, *(CELLS[name](row, joint) for name in columns)


def _by_method(
    rows: Sequence[Row], levels: Sequence[str], columns: Sequence[str], joint: str
) -> Iterator[Sequence[str]]:
    """Lines of the methods below one that has what all methods of their level share."""
    for i, (row, level) in enumerate(zip(rows, levels, strict=True)):
        cells = {name: CELLS[name](row, joint) for name in columns}
        if level not in levels[:i]:
            rate = CELLS["noise_rate"](row, joint)
            yield f"{level} ({rate})" if rate else level, *(cells[n] if n in SHARED else "" for n in columns)
        yield f"  {row.method}", *("" if name in SHARED else cells[name] for name in columns)


def _words(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Say what each row comes to, then what must be known before it is quoted."""
    notes = notes_by_row(rows, names)
    return [
        *(f"{name}: {advice(row)}" for row, name in zip(rows, names, strict=True)),
        *(["", *notes] if notes else []),
    ]


def notes_by_row(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """List each note once, with the rows that have it."""
    found: dict[str, list[str]] = {}
    for row, name in zip(rows, names, strict=True):
        for note in row.note.split("; ") if row.note else ():
            found.setdefault(note, []).append(name)
    return [f"{note}: {', '.join(where)}" for note, where in found.items()]


def _noise_rate(row: Row, joint: str) -> str:
    return ("~" if row.noise_rate_source == "estimated" else "") + fixed(row.noise_rate, 3)


def _rate(value: float | None) -> str:
    """Write a rate short, but one near 0 not as 0."""
    return f"{value:.1g}" if value and abs(value) < 0.095 else fixed(value)


def _end(rate: float | None) -> str:
    """End of an interval: its sign counts, however near 0 it lies, and there one digit does."""
    return "" if rate is None else f"{rate:.1g}" if abs(rate) < 0.01 else f"{rate:.2g}"


def _best(row: Row, joint: str) -> str:
    if row.best_rate is None:
        return joint.join(map(_rounded, row.best_parameters.split(", "))) if row.best_parameters else ""
    interval = "" if row.rate_low is None else f"{joint}[{_end(row.rate_low)}, {_end(row.rate_high)}]"
    return _rate(row.best_rate) + interval


def _rounded(parameter: str) -> str:
    """Shorten a parameter to be read at a glance: "q=0.7" of "gce.q=0.700123"."""
    name, _, value = parameter.partition("=")
    number = re.fullmatch(r"-?[\d.e+-]+", value)
    return f"{name.rpartition('.')[2]}={float(value):.3g}" if number else f"{name.rpartition('.')[2]}={value}"


def _spread(value: float | None, std: float | None, joint: str) -> str:
    return fixed(value) + ("" if std is None else f"{joint}±{std:.2f}")


def _gain(row: Row, joint: str) -> str:
    if row.gain_over_ce is None:
        return "-" if row.best_rate == 0 and row.seeds else ""  # cross-entropy over itself
    interval = "" if row.gain_low is None else f"{joint}[{row.gain_low:.2f}, {row.gain_high:.2f}]"
    return f"{row.gain_over_ce:+.2f}{interval}"


# A column with what stands beside it, such as its interval; the second argument joins the two.
CELLS: dict[str, Callable[[Row, str], str]] = {
    "noise_rate": _noise_rate,
    "best_rate": _best,
    "best_warmup": lambda row, joint: short(row.best_warmup),
    "val_accuracy": lambda row, joint: fixed(row.val_accuracy),
    "test_accuracy": lambda row, joint: _spread(row.test_accuracy, row.test_accuracy_std, joint),
    "score": lambda row, joint: _spread(row.score, row.score_std, joint),
    "ce_score": lambda row, joint: fixed(row.ce_score),
    "ls_score": lambda row, joint: fixed(row.ls_score),
    "ce_test_accuracy": lambda row, joint: fixed(row.ce_test_accuracy),
    "ls_test_accuracy": lambda row, joint: fixed(row.ls_test_accuracy),
    "ce_val_accuracy": lambda row, joint: fixed(row.ce_val_accuracy),
    "ls_val_accuracy": lambda row, joint: fixed(row.ls_val_accuracy),
    "gain_over_ce": _gain,
    "theory_rate": lambda row, joint: _rate(row.theory_rate),
}

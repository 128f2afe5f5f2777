"""Tables of the report: what the terminal shows of the best rates, and all columns with what they say."""

from collections.abc import Sequence
from typing import NamedTuple

from tosmooth.search.report.answer import advice
from tosmooth.search.report.row import COLUMNS, Row
from tosmooth.search.report.tables import readable, rows_table
from tosmooth.search.report.terminal import CELLS, heading_of, shown_columns
from tosmooth.search.spec.parameters import BASELINE_METHOD


class PageTable(NamedTuple):
    """Table of a page: its first column heads the rows."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


class Explained(NamedTuple):
    """Column of the whole table, which is a row of it here."""

    name: str
    unit: str
    says: str
    values: list[str]


def names_of(rows: Sequence[Row]) -> list[str]:
    """Name each row: by its level, with the dataset and the method where these differ."""
    several, methods = len({row.dataset for row in rows}) > 1, any(row.method != BASELINE_METHOD for row in rows)
    levels = [f"{row.dataset}/{row.noise}" if several else row.noise for row in rows]
    return [f"{name}, {row.method}" if methods else name for name, row in zip(levels, rows, strict=True)]


def at_a_glance(rows: Sequence[Row]) -> PageTable:
    """Columns that the terminal shows; the share of wrong labels too where there are methods."""
    methods = any(row.method != BASELINE_METHOD for row in rows)
    columns = [*(["noise_rate"] if methods else []), *shown_columns(rows, methods)]
    cells = [[CELLS[column](row, "\n") for column in columns] for row in rows]
    return PageTable([heading_of(column, rows) for column in columns], list(zip(names_of(rows), cells, strict=True)))


def answers(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Name, verdict and advice of each row."""
    return [(name, row.verdict, advice(row)) for name, row in zip(names_of(rows), rows, strict=True)]


def all_columns(rows: Sequence[Row]) -> list[Explained]:
    """Columns of the whole table that hold something."""
    table = readable(rows_table(rows)).to_pydict()
    found = [Explained(name, column.unit, column.says, table[name]) for name, column in COLUMNS.items()]
    return [each for each in found if any(each.values) and each.name != "note"]

"""Tables for a narrow terminal: where one row a line does not fit, each of its cells gets a line, and none is cut."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

WIDEST = 1000  # columns that no table takes


def width_of(table: Table) -> int:
    """Columns that a table takes if nothing is cut or wrapped."""
    console = Console(width=WIDEST)
    return Measurement.get(console, console.options, table).maximum


def fitting(table: Table, width: int) -> Table:
    """Return the table, or one of the same cells with a line for each below the first of its row, if that is wider."""
    if width_of(table) <= width:
        return table
    names, *others = ([str(cell) for cell in column.cells] for column in table.columns)
    headings = [str(column.header) for column in table.columns[1:]]
    rows = [(name, list(zip(headings, cells, strict=True))) for name, *cells in zip(names, *others, strict=True)]
    narrow = stacked(width, rows)
    narrow.title, narrow.title_justify, narrow.title_style = table.title, table.title_justify, table.title_style
    narrow.caption, narrow.caption_justify, narrow.caption_style = table.caption, "left", table.caption_style
    return narrow


def stacked(width: int, rows: Iterable[tuple[str, Sequence[tuple[str, str]]]]) -> Table:
    """Table with a line for each heading and cell below the name of its row; empty cells are left out."""
    rows = list(rows)
    table = Table(box=None, show_header=False)
    table.padding = (0, 1, 0, 0)
    first = max((len(word) for name, cells in rows for word in (name, *(f"  {head}" for head, _ in cells))), default=0)
    table.add_column("", overflow="fold")
    table.add_column("", overflow="fold", min_width=max(1, width - first - 2))  # what stands below is as wide
    for name, cells in rows:
        table.add_row(Text(name, "bold"), "")
        for heading, cell in cells:
            if cell:
                table.add_row(f"  {heading}", cell)
    return table

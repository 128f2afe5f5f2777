"""Tables whose cells are whole on every terminal."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from tosmooth.search.report.narrow import fitting, width_of


def table() -> Table:
    made = Table("level", "classes", "noise rate", box=None, pad_edge=False)
    made.add_row("symmetric-0.4", "2", "41.167 %")
    made.add_row("clean", "2", "")
    return made


def lines(made: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(made)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_table_that_fits_is_left_as_it_is() -> None:
    made = table()
    assert fitting(made, width_of(made)) is made


def test_one_that_is_too_wide_has_a_line_for_each_cell_that_says_something() -> None:
    made = table()
    assert lines(fitting(made, width_of(made) - 1), 30) == [
        "symmetric-0.4",
        "  classes     2",
        "  noise rate  41.167 %",
        "clean",
        "  classes     2",
    ]


@pytest.mark.parametrize("width", [20, 30, 60])
def test_no_cell_is_cut_however_narrow_the_terminal_is(width: int) -> None:
    shown = "".join("".join(lines(fitting(table(), width), width)).split())
    for part in ("symmetric-0.4", "41.167%"):
        assert part in shown
    assert "…" not in shown

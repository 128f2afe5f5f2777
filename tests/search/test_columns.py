"""Columns are declared once: the terminal has what the declaration says (of the documentation: tests/docs)."""

from tosmooth.search.columns import TRIAL, Column
from tosmooth.search.report.row import COLUMNS
from tosmooth.search.report.terminal import CELLS


def test_terminal_has_a_heading_for_each_of_its_columns_and_no_other() -> None:
    assert {name for name, column in COLUMNS.items() if column.heading} == {"noise", *CELLS}


def test_columns_have_the_names_and_types_of_what_they_annotate() -> None:
    assert [(name, COLUMNS[name].kind) for name in ("noise", "best_warmup", "seeds", "rate_low")] == [
        ("noise", str),
        ("best_warmup", int),
        ("seeds", int),
        ("rate_low", float),
    ]
    assert all(name == column.name and column.says for name, column in [*COLUMNS.items(), *TRIAL.items()])


def test_a_value_is_rounded_as_its_column_says_and_the_unknown_is_empty() -> None:
    percent, rate = Column("", decimals=2), Column("")
    assert [percent.text(value) for value in (65.18765, -0.001, 1234567.891, None)] == [
        "65.19",
        "0.00",
        "1234567.89",
        "",
    ]
    assert [rate.text(value) for value in (-0.43512, -0.0004, 3, "x", None)] == ["-0.435", "-0.0004", "3", "x", ""]

"""Columns are declared once: the documentation and the terminal have what the declaration says."""

from tests.conftest import ROOT
from tosmooth.search.columns import TRIAL, Column, documented
from tosmooth.search.report.row import COLUMNS
from tosmooth.search.report.terminal import CELLS

BEGIN = "| column | unit | what it says |\n"


def table_in(file: str) -> str:
    """The table of columns that stands in a file of the documentation."""
    _, _, rest = (ROOT / file).read_text(encoding="utf-8").partition(BEGIN)
    return BEGIN + rest.partition("\n\n")[0].rstrip("\n") + "\n"


def test_readme_has_every_column_of_the_best_rate_table_with_its_words() -> None:
    assert table_in("README.md") == documented(COLUMNS.values())


def test_docs_have_every_column_of_the_trials_with_its_words() -> None:
    assert table_in("docs/trials.md") == documented(TRIAL.values())


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

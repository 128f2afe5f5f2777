"""No text breaks a table: whatever it holds, a cell stays one cell of one line."""

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.search.builders import record
from tosmooth.search.report.escaping import FORMULA, csv_text, latex, markdown, one_line
from tosmooth.search.report.tables import render_trials

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def rendered(reason: str, format: str) -> str:
    content = render_trials([record(0, state="failed", reason=f"x{reason}x"), record(1)], format)
    assert isinstance(content, str)
    return content


@given(TEXTS)
@example("two\nlines\r\nand\u2028more")
@example("\x1b[31mred\x07")
def test_a_text_is_put_on_one_line_without_control_characters(text: str) -> None:
    found = one_line(text)
    assert found.isprintable()
    if text.isprintable():
        assert found == text


@given(TEXTS)
@example("a|b\\|c")
@example("\\")
@example("<script>|")
def test_a_markdown_table_keeps_its_lines_and_cells(text: str) -> None:
    lines = rendered(text, "markdown").split("\n")
    assert lines[-1] == ""
    cells = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines[:-1]}
    assert len(lines) == 5
    assert len(cells) == 1
    assert not re.search(r"(?<!\\)(?:\\\\)*<", markdown(text))


@given(TEXTS)
@example("100 % & $5 #1 {a_b} \\input{/etc/passwd} ~^")
def test_a_latex_table_keeps_its_lines_and_runs_no_command(text: str) -> None:
    assert len(rendered(text, "latex").split("\n")) == len(rendered("", "latex").split("\n"))
    left = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]", "", latex(text))
    assert not set(left) & set("&%$#_{}\\~^")


@given(TEXTS)
@example("=HYPERLINK(1)")
@example("+1+1")
@example("-@SUM(A1)")
@example("-0.5")
@example("")
def test_a_csv_gives_back_what_it_was_given_and_no_formula(text: str) -> None:
    cell = csv_text(text)
    if cell.startswith(FORMULA):
        float(cell)
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    assert cell in (plain, f"'{plain}")
    content = render_trials([record(0, state="failed", reason=text)], "csv")
    assert isinstance(content, str)
    (row,) = csv.DictReader(io.StringIO(content, newline=""))
    assert row["reason"] == cell


@pytest.mark.parametrize("text", ["-0.5", "+1e-3", "rate = 1", "a-b", "1.5"])
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert csv_text(text) == text

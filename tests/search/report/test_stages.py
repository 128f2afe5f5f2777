"""What a command says of its stages: plain lines, one line on a terminal, nothing, or the seconds that they took."""

import io

import pytest

from tosmooth.search.report.stages import StageConsole


def console(terminal: bool = False) -> StageConsole:
    return StageConsole(file=io.StringIO(), width=60, force_terminal=terminal, color_system=None, legacy_windows=False)


def said(shown: StageConsole) -> str:
    with shown.status("Loading") as stage:
        stage.update("Measuring")
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


def test_stages_are_lines_where_there_is_no_terminal_and_they_are_asked_for() -> None:
    shown = console()
    assert said(shown) == ""
    shown.plain = True
    assert said(shown) == "Loading ...\nMeasuring ...\n"


def test_on_a_terminal_they_are_one_line_that_is_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    shown = console(terminal=True)
    shown.plain = True
    text = said(shown)
    assert "Measuring" in text
    assert text.endswith("\x1b[2K")
    assert "..." not in text


def test_a_terminal_that_cannot_write_over_a_line_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown = console(terminal=True)
    shown.plain = True
    assert said(shown) == "Loading ...\nMeasuring ...\n"


def test_quiet_says_nothing_and_verbose_the_seconds() -> None:
    shown = console()
    shown.plain = shown.quiet = True
    assert said(shown) == ""
    shown.quiet, shown.verbose = False, True
    lines = said(shown).splitlines()
    assert lines[0] == "Loading ..."
    assert lines[1].endswith(" s: Loading")
    assert lines[3].endswith(" s: Measuring")

"""Words for what is wrong with a study file that is no YAML."""

import re
from collections.abc import Sequence

import yaml

from tosmooth.trainables.errors import SHOWN, shown

CLOSED = {"while parsing a flow mapping": "{", "while parsing a flow sequence": "["}
INDICATORS = "%@`&*!|>"  # no text begins with one, but in quotes


def explained(error: yaml.MarkedYAMLError, text: str) -> tuple[int | None, str]:
    """Return the line in which a parser's error lies, from 1, and what is wrong there; `None` where it names none."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return None, cut(error.problem or error.context or "no YAML")
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)  # as YAML counts them
    at, words = _explained(error, mark, [*lines, ""])
    line = lines[at].strip(" ") if at < len(lines) else ""
    return at + 1, f"{words}: {shown(lines[at])}" if line else words


def cut(text: str) -> str:
    """Put a library's message on one line and cut it short."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN and line.isprintable() else shown(line).strip("'")


def _explained(error: yaml.MarkedYAMLError, mark: yaml.Mark, lines: Sequence[str]) -> tuple[int, str]:
    """Line, from 0, and words."""
    problem, context, at = error.problem or "", error.context or "", mark.line
    line = lines[at]
    if "'\\t'" in problem or "\t" in line[: len(line) - len(line.lstrip())]:
        return at, "a tab: use spaces"
    if problem == "mapping values are not allowed here":
        return _colon(lines, at, mark.column)
    if "<block end>" in problem or "<block mapping start>" in problem:
        return at, _indented(lines, at) if mark.column <= _depth(line) else _beyond(line, mark.column)
    begun = error.context_mark.line if error.context_mark is not None else at
    if context in CLOSED and (begun == at or line[mark.column : mark.column + 1] in "]}"):
        return at, f"a comma that is missing, or a {CLOSED[context]} that is not closed as it was opened"
    if context in CLOSED:
        return begun, f"a {CLOSED[context]} that is not closed, or a comma that is missing before line {at + 1}"
    if "quoted scalar" in context and "end of stream" in problem:
        return begun, "a quotation mark that is not closed"
    if "<stream end>" in problem:
        return _above(lines, at) or 0, "the file ends within it: a { or a [ is not closed"
    if "another document" in problem:
        return at, "a second document begins: a file holds one study; take the --- away"
    if "cannot start any token" in problem and line[mark.column : mark.column + 1] in INDICATORS:
        return at, f"a text that begins with {line[mark.column]!r} is written in quotes"
    return at, cut(problem or context)


def _colon(lines: Sequence[str], at: int, column: int) -> tuple[int, str]:
    """Explain a colon where none may be."""
    line = lines[at]
    if ": " in line[:column]:
        return at, "a second colon in one line: a text that holds one is written in quotes"
    above = _above(lines, at)
    if above is not None and _depth(lines[above]) >= _depth(line) and ":" in lines[above]:
        return above, "a space is missing after the colon"
    return at, _indented(lines, at)


def _beyond(line: str, column: int) -> str:
    """Explain what stands behind a value that has ended."""
    if line[column] in "]}":
        return f"a {line[column]} too many"
    if line[:column].rstrip().endswith(("'", '"')):
        return "a quotation mark within a text: write that text in the other kind of quotes"
    return "a value that has ended, and more behind it"


def _indented(lines: Sequence[str], at: int) -> str:
    """Explain an indentation that fits no line above."""
    depth, above = _depth(lines[at]), _above(lines, at)
    there = sorted({_depth(line) for line in lines[:at] if line.strip() and not line.lstrip().startswith("#")})
    if above is not None and _depth(lines[above]) < depth:
        other = f"line {above + 1} by {_depth(lines[above])}"
    else:
        other = f"the lines above by {' or '.join(map(str, there))}"
    return f"indented by {depth}, {other}: the keys of one mapping are indented alike"


def _above(lines: Sequence[str], at: int) -> int | None:
    """Nearest line above that says something."""
    said = [i for i in range(at) if lines[i].strip() and not lines[i].lstrip().startswith("#")]
    return said[-1] if said else None


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))

"""Code blocks of a page of the documentation, and what a comment before each says a test is to do with it.

docs/development/writing-docs.md is the rule for authors.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

NUMBER = re.compile(r"[\[(]?[-+±]?\d[\d.,]*[%\])]*")  # with its sign, and what encloses it
RULE = re.compile("─+")  # as long as the columns are wide
MARK = re.compile(r"<!-- (run|not run|file|output|setup)\b(.*?)-->", re.DOTALL)


class MarkError(Exception):
    """A mark that cannot be followed; its message names the page and the line."""


@dataclass(frozen=True)
class Block:
    """A code block with its mark.

    `where`: page and line. `kind`: run, file, output, setup, not run, or "" without a mark. `status`: with which
    a run ends. `joins`: Python that goes on where the run before ended. `vary`: output whose numbers are not compared.
    """

    where: str
    language: str
    code: str
    kind: str = ""
    file: str = ""
    status: int = 0
    slow: bool = False
    joins: bool = False
    vary: bool = False


def blocks(text: str, page: str) -> list[Block]:
    """Read the code blocks of a page, and the set-ups in its comments, in their order."""
    found = []
    mark: Token | None = None
    for token in MarkdownIt("commonmark").parse(text):
        where = f"{page}:{token.map[0] + 1}" if token.map else page
        if mark is not None and token.type != "fence":
            raise MarkError(f"{page}:{_line(mark)}: no code block follows {mark.content.strip()!r}.")
        if token.type == "fence":
            language = token.info.strip()
            found.append(_marked(where, language, token.content, mark.content if mark else ""))
            mark = None
        elif token.type == "html_block" and (said := MARK.match(token.content)):
            if said[1] == "setup":
                found.append(Block(where, "sh", said[2], "setup"))
            else:
                mark = token
    if mark is not None:
        raise MarkError(f"{page}:{_line(mark)}: no code block follows {mark.content.strip()!r}.")
    return found


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _marked(where: str, language: str, code: str, comment: str) -> Block:
    """Make a block of a code block and the comment before it."""
    said = MARK.match(comment)
    kind, rest = (said[1], said[2].strip()) if said else ("", "")
    if rest and not rest.startswith(":"):
        raise MarkError(f"{where}: a colon stands between {kind!r} and {rest!r}.")
    rest = rest.removeprefix(":").strip()
    if kind in ("file", "not run") and not rest:
        raise MarkError(f"{where}: '{kind}' needs {'a name' if kind == 'file' else 'a reason'}: <!-- {kind}: ... -->")
    if kind == "file":
        return Block(where, language, code, kind, file=rest)
    if kind == "output":
        if rest not in ("", "numbers vary"):
            raise MarkError(f"{where}: {rest!r} is no option of 'output'; there is 'numbers vary'.")
        return Block(where, language, code, kind, vary=bool(rest))
    return _run(where, language, code, rest) if kind == "run" else Block(where, language, code, kind)


def _run(where: str, language: str, code: str, options: str) -> Block:
    """Make a block to be run as its options say."""
    if language not in ("sh", "python"):
        raise MarkError(f"{where}: {language!r} cannot be run; a block of 'sh' or 'python' can.")
    status, slow, joins = 0, False, False
    for option in filter(None, map(str.strip, options.split(","))):
        if option == "slow":
            slow = True
        elif option == "continued" and language == "python":
            joins = True
        elif match := re.fullmatch(r"exit (\d+)", option):
            status = int(match[1])
        else:
            raise MarkError(
                f"{where}: {option!r} is no option of a run of {language!r}: slow, exit N, and of python continued."
            )
    return Block(where, language, code, "run", status=status, slow=slow, joins=joins)


def steps(found: Sequence[Block]) -> Iterator[tuple[Block, list[Block]]]:
    """What there is to do for a page: each run, file and set-up, with the outputs that are shown of it.

    Blocks of Python that go on are one with the run before them.
    """
    step: tuple[Block, list[Block]] | None = None
    for block in found:
        if block.kind in ("", "not run"):
            continue
        if block.kind == "output" or block.joins:
            if step is None or step[0].kind != "run":
                raise MarkError(
                    f"{block.where}: there is no run right before it, whose output or process it could take up."
                )
            run, outputs = step
            if block.kind == "output":
                step = run, [*outputs, block]
            elif run.language == "python":
                step = replace(run, code=f"{run.code}\n{block.code}", status=block.status), outputs
            else:
                raise MarkError(f"{block.where}: the run right before it is not of Python.")
            continue
        if step is not None:
            yield step
        step = block, []
    if step is not None:
        yield step


def shows(block: Block, printed: str) -> bool:
    """Whether the lines of a block stand in what was printed, one after another.

    A line `...` stands for any lines, `...` in a line for any text in it. Runs of spaces count as one, empty lines not.
    """
    pattern = "".join(
        r"(.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in _lines(block.code, block.vary)
    )
    text = "".join(f"{line}\n" for line in _lines(printed, block.vary))
    return re.search(f"^{pattern}", text, re.MULTILINE) is not None


def _lines(text: str, vary: bool) -> list[str]:
    """Lines as they are compared: without their numbers, and rules of any length, where those vary."""
    if vary:
        text = RULE.sub("─", NUMBER.sub(" ", text))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in lines if line]


def pages(root: Path) -> list[Path]:
    """All pages of the documentation: the README, and what lies in docs/."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]

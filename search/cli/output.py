"""Output for whatever takes it: a terminal, file or pipe of any encoding and width, also one that is closed early."""

import codecs
import io
import json
import os
import re
import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.measure import Measurement

from tosmooth.search.report.stages import StageConsole
from tosmooth.trainables.errors import require
from tosmooth.trainables.redact import masked

# What has a way to be written everywhere. Of frames and bars rich itself has others, where it draws them.
PLAIN = {"−": "-", "–": "-", "±": "+-", "…": "...", "→": "->", "≤": "<=", "≥": ">=", "×": "x", "•": "*"}  # noqa: RUF001
WIDEST = 1000  # columns of a table
SURROGATES = re.compile("[\ud800-\udfff]")  # what Python makes of bytes that are no UTF-8
ERRORS = "tosmooth.plain"  # name of the error handler


def accept_any_character() -> None:
    """Have standard output and error take every character: one that their encoding lacks is written by others."""
    codecs.register_error(ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what a test or a notebook puts in its place
            stream.reconfigure(errors=ERRORS)


def check_names() -> None:
    """Raise `InputError` for a name that is no text: Ray, MLflow and pyarrow take paths in UTF-8 alone."""
    named = [(name, value) for name, value in os.environ.items() if name.startswith("TOSMOOTH_") or name == "PWD"]
    for key, value in [*(("command line", word) for word in sys.argv[1:]), *named]:
        require(not SURROGATES.search(value), key, masked(value), "names are in UTF-8; rename it")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_written, error.object[error.start : error.end])), error.end


def _written(character: str) -> str:
    if "\u2500" <= character <= "\u257f":  # lines of frames
        return "|" if character in "│┃║" else "-"
    if "\u2800" <= character <= "\u28ff":  # braille, of what turns while one waits
        return "*"
    return PLAIN.get(character) or json.dumps(character)[1:-1]  # as JSON and Python read it, too


class Output(Console):
    """Console for results: no markup, since what is printed may hold brackets of a user's."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, highlight=False, **settings)

    def print_whole(self, table: RenderableType) -> None:
        """Print a table with all of its numbers, however narrow the terminal is: that wraps what is too long."""
        needed = Measurement.get(self, self.options.update(width=WIDEST), table).maximum
        Console(width=max(self.width, needed), file=self.file).print(table, crop=False)


class Messages(Output, StageConsole):
    """Console for progress, questions and errors, without which a command goes on: its reader may have gone."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def warn(self, words: str) -> None:
        """Print a warning, also where nothing else is said."""
        self.insist(f"warning: {words}")

    def insist(self, words: str, style: str | None = None) -> None:
        """Print what `--quiet` does not hide: warnings and errors."""
        quiet, self.quiet = self.quiet, False
        self.print(words, style=style, soft_wrap=True)
        self.quiet = quiet or self.quiet  # the reader may have gone

    @property
    def is_terminal(self) -> bool:
        """True where lines can be written over. FORCE_COLOR, which a notebook sets, makes no terminal of a file."""
        return super().is_terminal and self.file.isatty()

    def on_broken_pipe(self) -> None:
        """Say no more, where `Console` would end the process."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

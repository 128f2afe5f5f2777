"""Console that tells what a command is about from its first second: one line that changes, or plain lines."""

import time
from contextlib import nullcontext
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.status import Status


class StageConsole(Console):
    """Console whose `status` is a line that updates on a terminal and, where `plain` is set, a line each elsewhere.

    `verbose`: the seconds that each stage took are told, too.
    """

    plain = False
    verbose = False
    line_every = 10.0  # seconds between two plain lines of progress

    def status(self, status: Any, **options: Any) -> Any:
        """Show a stage for as long as the context lasts; `update` begins the next one."""
        return Stage(self, str(status), **options)

    @property
    def animated(self) -> bool:
        """True if lines can be written over."""
        return self.is_terminal and not self.is_dumb_terminal


class Stage:
    """One stage after another of a command."""

    def __init__(self, console: StageConsole, words: str, **options: Any) -> None:
        self._console, self._words = console, words
        self._status = Status(words, console=console, **options) if console.animated else nullcontext()
        self._since = 0.0

    def __enter__(self) -> Self:
        self._status.__enter__()
        self._begin()
        return self

    def update(self, words: str) -> None:
        """Begin the next stage."""
        self._end()
        self._words = words
        if isinstance(self._status, Status):
            self._status.update(words)
        self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.__exit__(kind, error, trace)
        self._end()

    def _begin(self) -> None:
        self._since = time.monotonic()
        if self._console.plain and not self._console.animated:
            self._console.print(f"{self._words} ...", soft_wrap=True)

    def _end(self) -> None:
        tell_time(self._console, self._words, time.monotonic() - self._since)


def tell_time(console: Console, words: str, seconds: float) -> None:
    """Tell how long a stage took, where that is asked for."""
    if isinstance(console, StageConsole) and console.verbose:
        console.print(f"{seconds:6.1f} s: {words}", soft_wrap=True)

"""What a study says while it runs, shown where the user is: a terminal, a notebook, or lines elsewhere."""

import re
import sys
from typing import Any

TRANSIENT = re.compile(r"trials \d+/\d+, confirmation |.* \.\.\.$")  # lines of progress, and of a stage that begins
NOTEBOOK_EVERY, LINE_EVERY = 1.0, 10.0  # seconds between two lines of progress


class Messages:
    """Display of a study's words. In a notebook progress is one line that changes, and the rest stays below it."""

    def __init__(self) -> None:
        self._notebook = _notebook()
        self._line: Any = None
        # A terminal shows a live table; what stands in the place of the stream has no file of its own.
        self.inherited = self._notebook is None and sys.stderr is sys.__stderr__ and _is_terminal()

    @property
    def line_every(self) -> float:
        """Seconds between two lines of progress."""
        return LINE_EVERY if self._notebook is None else NOTEBOOK_EVERY

    def show(self, line: str) -> None:
        """Show a line."""
        if self._notebook is None or TRANSIENT.match(line) is None:
            print(line, file=sys.stderr, flush=True)
            return
        text = {"text/plain": line}
        if self._line is None:
            self._line = self._notebook.display(text, raw=True, display_id=True)
        else:
            self._line.update(text, raw=True)

    def end(self) -> None:
        """Take the changing line away."""
        if self._line is not None:
            self._line.update({"text/plain": "", "text/html": ""}, raw=True)
            self._line = None


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # closed
        return False


def _notebook() -> Any:
    """IPython's `display` module where a kernel runs this process; none is imported that is not there."""
    python: Any = sys.modules.get("IPython")
    shell = None if python is None else python.get_ipython()
    return None if getattr(shell, "kernel", None) is None else sys.modules.get("IPython.display")

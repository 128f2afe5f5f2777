"""What tests of either package use: a port, patience, a picture's bytes, and a pickle that does something."""

import io
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from PIL import Image


def free_port() -> int:
    """A port that no one listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, there: Callable[[], bool], seconds: float = 120) -> None:
    """Until `there()` is true."""
    deadline = time.monotonic() + seconds
    while not there():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def encoded(pixels: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """A picture as a file of that kind, without loss where nothing else is asked for."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


class Payload:
    """Pickles into a call that makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.mark,)


TRAPS = ("search.py", "trainables.py", "studies.py", "records.py", "select.py", "study/__init__.py")
TRAP = """import sys
with open({mark!r}, "a") as file:
    file.write(f"{{__name__}} by {{sys.argv or sys.orig_argv}}\\n")
"""


def set_traps(folder: Path, names: Iterable[str] = TRAPS) -> Path:
    """Put modules into a folder as people have them beside a study, of names that others have, too.

    Returns the file beside the folder in which each leaves a line when it is run.
    """
    mark = folder.with_name(f"{folder.name}.run")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(TRAP.format(mark=str(mark)), encoding="utf-8")
    return mark


def sprung(mark: Path) -> list[str]:
    """What was run of the modules that `set_traps` laid."""
    return mark.read_text(encoding="utf-8").splitlines() if mark.exists() else []

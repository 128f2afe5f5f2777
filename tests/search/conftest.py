"""A small study, run once through the command line for all tests that look at a finished one."""

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.search.tools import TINY, tosmooth
from tosmooth.search.cli import main as cli


@dataclass(frozen=True)
class Finished:
    """The study `tiny` at its end. To be copied before anything is changed in its home."""

    home: Path
    file: Path
    process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two cells of four trials and six confirmation runs each, one run after another: about 20 s."""
    folder = tmp_path_factory.mktemp("finished")
    file = folder / "tiny.yaml"
    file.write_text(TINY, encoding="utf-8")
    process = tosmooth("run", file, "--home", "home", cwd=folder)  # relative: Ray's workers have a folder of their own
    assert process.returncode == 0, process.stderr
    return Finished(folder / "home", file, process)


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Calls the console script in this process, in a folder of its own; `answer` is what the user types."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, answer: str = "") -> Said:
        monkeypatch.setattr(sys, "argv", ["tosmooth", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    return call

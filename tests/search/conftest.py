"""A small study, run once through the command line for all tests that look at a finished one."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.search.tools import TINY, tosmooth


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

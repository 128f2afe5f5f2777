"""The man page: it says what the commands take today, and is well-formed."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "docs" / "man"


def test_the_page_is_what_the_commands_say(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("write_man_page", FOLDER / "write.py")
    assert spec is not None
    assert spec.loader is not None
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    told = "write it anew: .venv/bin/python docs/man/write.py"
    assert writer.page() == (FOLDER / "tosmooth.1").read_text(encoding="utf-8"), told


@pytest.mark.skipif(shutil.which("man") is None, reason="There is no man here.")
def test_man_finds_the_page_and_has_nothing_to_warn_of() -> None:
    beside = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}", "MANWIDTH": "100", "LC_ALL": "C"}
    found = subprocess.run(
        ["man", "-w", "tosmooth"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert Path(found.strip()) == beside.parent / "share" / "man" / "man1" / "tosmooth.1"
    arguments = ["man", "--warnings", "-l", str(FOLDER / "tosmooth.1")]
    shown = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    for words in ("tosmooth run STUDY", "-q, --quiet", "Environment: TOSMOOTH_HOME", "tosmooth data fetch NAME"):
        assert words in shown.stdout, words

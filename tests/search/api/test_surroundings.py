"""Whatever called the command and whatever other tools have set, it runs, or says in a line why it does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.conftest import Finished
from tests.search.tools import TOSMOOTH, table_of


def shell(line: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=os.environ | more)


def test_pictures_are_drawn_whatever_is_set_for_matplotlib(finished: Finished, tmp_path: Path) -> None:
    for backend in ("module://matplotlib_inline.backend_inline", "nonsense"):
        done = shell(f"'{TOSMOOTH}' plot tiny --home '{finished.home}' --output '{tmp_path}'", MPLBACKEND=backend)
        assert (done.returncode, done.stderr) == (0, "")
    done = shell(f"'{TOSMOOTH}' plot tiny --home '{finished.home}' --output '{tmp_path}'", HOME="/nonexistent")
    assert (done.returncode, done.stderr) == (0, "")  # where Matplotlib can keep nothing
    assert len(list(tmp_path.glob("*.png"))) == len(done.stdout.splitlines()) > 0


def test_warnings_that_are_errors_for_other_code_end_no_command(finished: Finished) -> None:
    line = f"'{TOSMOOTH}' doctor --home '{finished.home}'"
    done = shell(line, PYTHONWARNINGS="error")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "PYTHONWARNINGS is not used: what a library warns of ends no command\n"
    assert "PYTHONWARNINGS" not in shell(line, PYTHONWARNINGS="ignore").stderr


def test_a_stop_that_python_drops_is_asked_for_again_and_leaves_no_traceback() -> None:
    code = """
import os, signal, time
from tosmooth.search.api.surroundings import stop_on_signals

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)  # where the signal is heard

class Fails:
    def __del__(self):
        raise ValueError("still shown")

stop_on_signals()
Fails()
try:
    Swallows()
    print("dropped")
    time.sleep(30)
except KeyboardInterrupt:
    print("stopped")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "dropped\nstopped\n"), done.stderr
    assert "ValueError: still shown" in done.stderr
    assert "KeyboardInterrupt" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
@pytest.mark.parametrize("command", ["studies", "-h", "export tiny --trials", "show tiny"])
def test_an_output_that_takes_no_more_is_one_message(finished: Finished, command: str) -> None:
    home = "" if command == "-h" else f"--home '{finished.home}'"
    done = shell(f"'{TOSMOOTH}' {command} {home} >/dev/full")
    words = "error: the output, or a file: No space left on device; make room, or write elsewhere\n"
    assert (done.returncode, done.stderr) == (2, words)


def test_closed_streams_are_opened_before_files_take_their_places(finished: Finished) -> None:
    done = shell(f"'{TOSMOOTH}' status tiny --home '{finished.home}' <&- 2>&-")
    assert (done.returncode, done.stdout.splitlines()[0].strip()) == (0, "twonorm, finished")
    assert shell(f"'{TOSMOOTH}' status none --home '{finished.home}' >&- 2>&-").returncode == 2


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_with_all_streams_closed_ends_as_any(finished: Finished, tmp_path: Path) -> None:
    done = shell(f"'{TOSMOOTH}' run '{finished.file}' --home '{tmp_path / 'home'}' <&- >&- 2>&-")
    assert done.returncode == 0
    assert table_of(tmp_path / "home") == table_of(finished.home)

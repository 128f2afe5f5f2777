"""No command fails for a character, a closed pipe or a narrow terminal, and what it prints can be read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.conftest import Finished
from tests.search.tools import TOSMOOTH

EVERYTHING = """
import sys
from tosmooth.search.cli.options import err, out
from tosmooth.search.cli.output import accept_any_character
accept_any_character()
every = "".join(map(chr, (*range(32, 0x3000), 0xDC80, 0x1F600)))
for console in (out, err):
    console.print(every, soft_wrap=True)
print(every)
print("gain \\u2212 0.3 \\u00b1 0.1, \\u2500\\u2500", end="")
"""


def said(
    *arguments: object, encoding: str = "utf-8", columns: int = 80, **more: str
) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": str(columns)} | more
    return subprocess.run([TOSMOOTH, *map(str, arguments)], env=environment, capture_output=True)


@pytest.mark.parametrize(
    ("encoding", "ends"),
    [
        ("latin-1", "gain - 0.3 ± 0.1, --"),
        ("cp1252", "gain - 0.3 ± 0.1, --"),
        ("ascii", "gain - 0.3 +- 0.1, --"),
        ("utf-8", "gain − 0.3 ± 0.1, ──"),  # noqa: RUF001
    ],
)
def test_every_character_is_written_somehow(encoding: str, ends: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-P", "-c", EVERYTHING], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode(encoding)
    assert out.endswith(ends)
    assert "\\udc80" in out  # of a path that is no UTF-8
    assert all(char in out for char in map(chr, range(32, 127)))


STAGE = """
import time
from tosmooth.search.cli.options import err
with err.status("Looking at the data"):
    time.sleep(0.5)
err.print("done")
"""


def test_nothing_turns_in_a_file_where_colour_is_forced() -> None:
    environment = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm-color"}  # as a notebook's kernel sets it
    done = subprocess.run([sys.executable, "-P", "-c", STAGE], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "done\n")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_commands_in_any_encoding(finished: Finished, encoding: str, tmp_path: Path) -> None:
    home = tmp_path / "hömé → ±"
    home.symlink_to(finished.home)
    for command in (("status", "tiny"), ("run", finished.file)):
        done = said(*command, "--home", home, encoding=encoding)
        assert done.returncode == 0, done.stderr
        done.stdout.decode(encoding)
    assert json.loads(said("export", "tiny", "--home", home, "--format", "json", encoding=encoding).stdout)
    refused = said("status", "none", "--home", home, encoding=encoding)
    shown = {"ascii": "h\\u00f6m\\u00e9 -> +-", "latin-1": "hömé -> ±"}[encoding]
    assert refused.returncode == 2
    assert shown in refused.stderr.decode(encoding)


@pytest.mark.slow
def test_no_number_is_cut_on_a_narrow_terminal(finished: Finished) -> None:
    more = {"NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C"}
    for command in (("status", "tiny"), ("run", str(finished.file))):
        wide, narrow = (said(*command, "--home", finished.home, columns=n, **more).stdout for n in (80, 40))
        assert "…" not in narrow.decode()
        assert b"\x1b" not in narrow  # no colours where it is no terminal
        numbers = [word for word in wide.decode().split() if word[0].isdigit()]
        assert set(numbers) <= set(narrow.decode().split())


@pytest.mark.parametrize("columns", [50, 60, 79, 80, 120])
def test_help_cuts_no_name_on_a_narrow_terminal(columns: int) -> None:
    for command in ("run", "data fetch"):
        told = said(*command.split(), "-h", columns=columns).stdout.decode()
        assert "…" not in told
        assert "TOSMOOTH_DATA_DIR" in told
        assert all(len(line) <= columns for line in told.splitlines())


def test_a_reader_that_has_enough_ends_a_command_without_a_traceback(finished: Finished) -> None:
    command = f"'{TOSMOOTH}' export tiny --trials --home '{finished.home}' | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True)
    assert (done.returncode, done.stderr) in ((0, b""), (1, b""))


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_whose_messages_no_one_reads_goes_on_to_its_end(finished: Finished, tmp_path: Path) -> None:
    run = f"'{TOSMOOTH}' run '{finished.file}' --home '{tmp_path / 'home'}' --set search.trials=2"
    done = subprocess.run(["bash", "-c", f"({run} >table; echo $? >code) 2>&1 | true; wait"], cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "code").read_text() == "0\n"
    assert "best smoothing rate, twonorm" in (tmp_path / "table").read_text(encoding="utf-8")


def test_a_path_that_is_no_utf_8_is_refused_and_can_be_read(tmp_path: Path) -> None:
    command = [str(TOSMOOTH).encode(), b"status", b"x", b"--home", bytes(tmp_path) + b"/\xff"]
    done = subprocess.run(command, capture_output=True)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"error: command line: '{tmp_path}/\\udcff' is refused: names are in UTF-8")

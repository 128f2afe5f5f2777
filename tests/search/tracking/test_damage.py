"""MLflow's own database, damaged in each way that SQLite can notice, or left by a set-up that was cut off."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.search.tracking.tools import THREE_POINTS, client, points, runs, track, trial
from tosmooth.search.tracking import check_database
from tosmooth.search.tracking.store import connect
from tosmooth.trainables.errors import InputError

ADVICE = "move it away: the next `tosmooth run` of each study shows it anew"


def test_a_whole_database_and_none_are_fine(home: Path, tmp_path: Path) -> None:
    track(home, trial(1))
    before = (home / "mlflow.db").read_bytes()
    check_database(home)
    check_database(tmp_path / "none")
    assert (home / "mlflow.db").read_bytes() == before
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("place", [0, 20, 101, "middle", "page", "half", "no database"])
def test_damage_is_named_with_what_to_do(place: int | str, home: Path) -> None:
    file = home / "mlflow.db"
    content = bytearray(file.read_bytes())
    if place == "middle":
        content[len(content) // 2 :] = bytes(len(content) // 2)
    elif place == "page":  # the head of some pages within
        for start in range(40_960, len(content), 40_960):
            content[start : start + 16] = Random(start).randbytes(16)
    elif place == "half":
        del content[len(content) // 2 :]
    elif place == "no database":
        content[:] = b"<html>" * 1000
    else:
        content[int(place)] ^= 255
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"mlflow\.db: damaged \(.*\): {ADVICE}"):
        check_database(home)
    file.rename(home / "mlflow.damaged.db")
    assert track(home, trial(1)) == 0
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


def test_a_database_in_use_is_no_damaged_one(home: Path) -> None:
    writer = sqlite3.connect(home / "mlflow.db", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    before = time.monotonic()
    check_database(home)
    assert time.monotonic() - before < 20
    writer.close()


# As a study set it up that was killed meanwhile, before this was done beside its place.
SET_UP = "from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S; S('sqlite:///mlflow.db', 'a:/')"


@pytest.mark.parametrize("size", [1, 100_000, 200_000])
def test_a_database_that_was_cut_off_while_set_up_is_made_again(
    size: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "mlflow.db"
    process = subprocess.Popen([sys.executable, "-c", SET_UP], cwd=tmp_path, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (file.exists() and file.stat().st_size >= size):
        time.sleep(0.001)
    process.kill()
    process.wait()
    check_database(tmp_path)
    assert f"{file}: its set-up was cut off; it is made again" in caplog.text
    assert not file.exists()
    assert connect(tmp_path, None).get_experiment_by_name("Default") is not None

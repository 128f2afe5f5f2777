"""MLflow's database lies under the home, can be moved and freed, and is shown on this machine alone."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from tests.search.tracking.tools import LEVEL, LEVELS, SOON, THREE_POINTS, client, points, runs, track, tracker, trial
from tosmooth.search.tracking import Tracker, delete_experiment, ui_command
from tosmooth.search.tracking.store import check_uri, connect
from tosmooth.trainables.errors import InputError


def test_nothing_in_the_database_names_the_place_of_the_home(home: Path) -> None:
    (home / "mlflow.db").unlink()  # a new one, not the copy that the other tests use
    connect(home, None)
    track(home, trial(1))
    assert str(home.parent).encode() not in (home / "mlflow.db").read_bytes()


ODD = (
    "feature%2Fy", "100%25", "what?", "a#b", "a&b;c", """it's "so\"""", "sp ace", "ünï→", "-dash", "a:b@c", "[x]+=~",
    "back\\slash", "new\nline", "x" * 250,
)  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_home_of_any_name_has_its_database_and_nothing_is_made_beside_it(tmp_path: Path, name: str) -> None:
    home = tmp_path / name / "home"
    assert track(home, trial(1)) == 0
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS
    assert {file.name for file in home.iterdir()} == {"mlflow.db", ".setup.lock"}
    assert [[file.name for file in folder.iterdir()] for folder in (tmp_path, tmp_path / name)] == [[name], ["home"]]


def test_an_address_whose_path_is_not_encoded_is_refused(tmp_path: Path) -> None:
    (folder := tmp_path / "feature%2Fy").mkdir()
    with pytest.raises(InputError, match=r"--tracking-uri: .* is refused: its folder is not there; in an address"):
        check_uri(f"sqlite:///{folder}/mlflow.db")
    check_uri(f"sqlite:///{tmp_path}/feature%252Fy/mlflow.db")


def test_an_address_without_its_slashes_is_refused() -> None:
    with pytest.raises(InputError, match=r"^--tracking-uri: 'sqlite:mlflow.db' is no address of a database, such as"):
        check_uri("sqlite:mlflow.db")


def test_a_deleted_study_frees_its_room_and_its_name(home: Path, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_bytes(b"x" * 10_000)
    session = tracker(home)
    session.catch_up(trial(number, epochs=50) for number in range(30))
    session.artifacts(LEVEL.name, "gls", [tmp_path / "plot.png"])
    session.close(SOON)
    size = (home / "mlflow.db").stat().st_size
    delete_experiment(home, None, "tiny")
    assert client(home).get_experiment_by_name("tiny") is None
    assert (home / "mlflow.db").stat().st_size < size - 300_000  # 30 trials of 150 points of 80 bytes and more
    assert list((home / "artifacts").iterdir()) == []
    assert track(home, trial(1)) == 0
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


def test_to_delete_one_study_leaves_the_others_alone(home: Path) -> None:
    track(home, trial(1))
    other = Tracker(home, None, "other", "", LEVELS)
    other.update(trial(1, study="other"))
    other.close(SOON)
    delete_experiment(home, None, "other")
    delete_experiment(home, None, "no such study")
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


@pytest.mark.slow  # MLflow tries for 20 s
def test_database_that_another_process_has_locked_is_told_in_our_words(home: Path) -> None:
    track(home, trial(1))
    with closing(sqlite3.connect(home / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        words = (
            r"mlflow\.db: MLflow does not delete study 'tiny': another process has locked its database; it is written"
        )
        with pytest.raises(InputError, match=words):
            delete_experiment(home, None, "tiny")
    assert len(runs(client(home))) == 1


def test_to_delete_from_an_empty_home_makes_no_database(tmp_path: Path) -> None:
    delete_experiment(tmp_path, None, "tiny")
    assert list(tmp_path.iterdir()) == []


def test_the_ui_listens_on_this_machine_alone_and_its_command_line_holds_no_password(tmp_path: Path) -> None:
    command, environment = ui_command(tmp_path, "postgresql://me:hunter2@db/mlflow", port=5001)
    assert command[1:] == [
        *("-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "5001", "--workers", "1"),
        *("--serve-artifacts", "--artifacts-destination", (tmp_path / "artifacts").as_uri()),
    ]
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:hunter2@db/mlflow"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_server_needs_no_ui_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'http://\*\*\*@host:5000' is refused.*open this address"):
        ui_command(tmp_path, "http://me:hun@ter2@host:5000")


@pytest.mark.parametrize("uri", ["htp://me:hunter2@host:5000", "localhost:5000", "mlruns"])
def test_an_address_that_mlflow_could_never_be_reached_at_is_refused(uri: str) -> None:
    with pytest.raises(
        InputError, match=r"^--tracking-uri: '.*' is refused: .* server \(http, https\) or of a database"
    ) as e:
        check_uri(uri)
    assert "hunter2" not in str(e.value)
    for fine in ("http://127.0.0.1:9", "postgresql://me:hunter2@127.0.0.1:9/mlflow"):  # away, perhaps for a while
        check_uri(fine)


def test_a_database_that_was_being_set_up_at_a_kill_is_set_up_anew(tmp_path: Path) -> None:
    # Killed as soon as the first table is there: of some seventy.
    partial = tmp_path / ".mlflow.db.partial"
    process = connecting(tmp_path)
    while process.poll() is None and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert partial.exists()
    assert not (tmp_path / "mlflow.db").exists()
    assert connect(tmp_path, None).get_experiment_by_name("Default") is not None
    assert [file.name for file in tmp_path.iterdir() if file.name != ".setup.lock"] == ["mlflow.db"]


def connecting(home: Path) -> subprocess.Popen[bytes]:
    """Another process that opens the home's database."""
    code = "from pathlib import Path; from tosmooth.search.tracking.store import connect; connect(Path.cwd(), None)"
    return subprocess.Popen([sys.executable, "-c", code], cwd=home, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_two_who_begin_at_once_set_up_one_database_and_one_id(tmp_path: Path) -> None:
    code = "from pathlib import Path; from tosmooth.search.storage.home_id import home_id; print(home_id(Path.cwd()))"
    command = [sys.executable, "-c", code]
    with FileLock(tmp_path / ".setup.lock"):  # so that all have seen that there is none before the first may make it
        ids = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        setting_up = [connecting(tmp_path) for _ in range(2)]
        time.sleep(8)
    assert len({process.communicate(timeout=60)[0] for process in ids}) == 1
    assert [process.communicate(timeout=60)[1] for process in setting_up] == [b""] * 2
    assert [process.returncode for process in ids] == [0] * 3
    assert [process.returncode for process in setting_up] == [0] * 2
    assert sorted(file.name for file in tmp_path.iterdir()) == [".setup.lock", "id", "mlflow.db"]

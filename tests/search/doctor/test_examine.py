"""`tosmooth doctor` on this machine: with everything embedded, with services that are away, hang or are damaged."""

import http.server
import json
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from tests.faults.mlflow_server import MlflowServer
from tests.search.conftest import Command, Finished
from tests.search.tools import TINY
from tests.tools import free_port
from tosmooth.search.doctor import examine
from tosmooth.search.preflight.checks import Check
from tosmooth.search.tracking.store import connect
from tosmooth.search.tracking.store import database as own_database
from tosmooth.trainables.config import TableSource

Lines = dict[str, dict[str, Any]]


@pytest.fixture
def home(finished: Finished, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.home, tmp_path / "home"))


def look(command: Command, *arguments: object) -> tuple[int, Lines]:
    """The exit code, and each check by its name."""
    code, out, err = command("doctor", "--json", *arguments)
    assert code in (0, 1), err
    assert "hunter2" not in out + err
    found = json.loads(out)
    assert found["failed"] == sum(check["state"] == "failed" for check in found["checks"])
    assert code == (1 if found["failed"] else 0)
    assert all(check["advice"] for check in found["checks"] if check["state"] != "ok")
    return code, {check["name"]: check for check in found["checks"]}


def states(lines: Lines) -> dict[str, str]:
    return {name: line["state"] for name, line in lines.items()}


ALL = ["Ray", "Optuna's storage", "MLflow", "home", "cache-dir", "data", "versions", "disk space"]
STUDY = ["resources", "budget"]  # what is looked at besides where a study is named


def test_embedded_everything_is_fine_and_nothing_is_left(command: Command, home: Path, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    code, lines = look(command, "tiny", "--home", home)
    assert (code, states(lines)) == (0, dict.fromkeys([*ALL, *STUDY], "ok"))
    assert "one of its own is started" in lines["Ray"]["found"]
    assert "1 journal file in the home, whole" in lines["Optuna's storage"]["found"]
    assert f"{home / 'mlflow.db'} is whole and can be written to" in lines["MLflow"]["found"]
    assert lines["data"]["found"].startswith("twonorm: clean ")
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert command("doctor", "--home", tmp_path / "none").code == 0
    assert not (tmp_path / "none").exists()


def test_resources_and_a_budget_that_run_refuses_or_warns_of_are_told(command: Command, tmp_path: Path) -> None:
    study = tmp_path / "tiny.yaml"
    study.write_text(TINY, encoding="utf-8")
    code, lines = look(command, study, "--set", "resources={cpus: 6400, gpus: 2}")
    assert (code, lines["resources"]["state"]) == (1, "failed")
    assert lines["resources"]["found"].startswith("6400 CPUs and 2 GPUs a trial are refused: Ray found ")
    assert "time not estimated: the trials take a GPU" in lines["budget"]["found"]
    _, lines = look(command, study, "--set", "training.epochs=100000", "--set", "confirmation.seeds=1000")
    assert lines["budget"]["state"] == "warning"
    assert lines["budget"]["found"].startswith("at most 800,800,000 epochs; at most about ")


def test_what_mlflow_lacks_of_a_study_is_found(command: Command, home: Path) -> None:
    client = MlflowClient(own_database(home))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`tosmooth.kind` = 'trial'")
    client.delete_run(runs[0].info.run_id)
    code, lines = look(command, "tiny", "--home", home)
    assert (code, lines["MLflow"]["state"]) == (1, "failed")
    assert f"but lacks 1 of the {len(runs)} trials of 'tiny' that ended" in lines["MLflow"]["found"]
    (home / "mlflow.db").unlink()
    lost = f"but lacks {len(runs)} of the {len(runs)} trials"
    assert lost in look(command, "tiny", "--home", home)[1]["MLflow"]["found"]
    with closing(sqlite3.connect(home / "mlflow.db")) as other:  # a later MLflow's, say
        other.executescript("CREATE TABLE experiments (a); INSERT INTO experiments VALUES (1); CREATE TABLE x (a)")
    found = look(command, "--home", home)[1]["MLflow"]
    assert (found["state"], "mlflow.db: " in found["found"]) == ("failed", True)


def test_a_temporary_folder_too_long_for_ray_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examine, "places", lambda: [tmp_path / ("x" * 100)])
    code, lines = look(command)
    assert (code, lines["Ray"]["state"]) == (1, "failed")
    assert "but TMPDIR: " in lines["Ray"]["found"]


def test_text_shows_settings_then_checks_and_what_to_do(command: Command) -> None:
    code, out, _ = command("doctor", "--storage", "postgresql://me:hunter2@127.0.0.1:9/x")
    settings, checks = out.split("\n\n")
    assert code == 1
    assert "hunter2" not in out
    assert ["storage", "postgresql://***@127.0.0.1:9/x", "--storage"] in [line.split() for line in settings.split("\n")]
    line = "failed   Optuna's storage: postgresql://***@127.0.0.1:9/x: nothing answers at 127.0.0.1:9"
    (at,) = [i for i, each in enumerate(checks.splitlines()) if each.startswith(line)]
    assert checks.splitlines()[at + 1].startswith("         -> start the database, or check the address")


def test_services_that_are_away_keep_no_other_check_from_being_done(command: Command) -> None:
    away = f"127.0.0.1:{free_port()}"
    services = ("--storage", f"postgresql://me:hunter2@{away}/x", "--tracking-uri", f"http://me:hunter2@{away}")
    code, lines = look(command, "--address", away, *services)
    expected = dict.fromkeys(ALL, "ok") | dict.fromkeys(("Ray", "Optuna's storage", "MLflow"), "failed")
    assert (code, states(lines)) == (1, expected)
    assert f"'{away}' is refused: no Ray cluster answers there" in lines["Ray"]["found"]
    assert f"http://***@{away}: nothing answers at {away}" in lines["MLflow"]["found"]


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_services_that_take_a_connection_and_say_nothing_are_given_up(command: Command, silent: str) -> None:
    services = ("--storage", f"postgresql://me:hunter2@{silent}/x", "--tracking-uri", f"http://me:hunter2@{silent}")
    code, lines = look(command, *services)
    expected = dict.fromkeys(ALL, "ok") | dict.fromkeys(("Optuna's storage", "MLflow"), "failed")
    assert (code, states(lines)) == (1, expected)
    # By the library's own limit, or on a busy machine by ours.
    late = "no answer within 20 s"
    assert any(words in lines["Optuna's storage"]["found"] for words in ("cannot be opened (ConnectionTimeout)", late))
    assert any(words in lines["MLflow"]["found"].lower() for words in ("timed out", late))


def test_a_service_whose_library_never_comes_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()

    def hang() -> Check:
        end.wait()
        return Check("some", "ok", "")

    monkeypatch.setattr(examine, "PATIENCE", 0.1)
    found = examine.Asked("some", hang).answer()
    end.set()
    assert (found.state, found.found) == ("failed", "no answer within 0.1 s")


def test_wrong_input_is_exit_code_2(command: Command) -> None:
    code, out, err = command("doctor", "twonrom")
    assert (code, out, "did you mean 'twonorm'?" in err) == (2, "", True)


def test_damaged_journal_and_database_of_the_home_are_named(command: Command, home: Path) -> None:
    journal = home / "studies" / "tiny" / "journal.log"
    content = bytearray(journal.read_bytes())
    content[50] ^= 1
    journal.write_bytes(content)
    with (home / "mlflow.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 5000)
    for study in ([], ["tiny"]):
        code, lines = look(command, *study, "--home", home)
        assert code == 1
        assert "journal.log, line 1: damaged" in lines["Optuna's storage"]["found"]
        assert f"{home / 'mlflow.db'}: damaged" in lines["MLflow"]["found"]


def test_data_that_changed_since_the_study_was_first_run_fail(command: Command, home: Path) -> None:
    levels = home / "studies" / "tiny" / "levels.json"
    known = json.loads(levels.read_text())
    known["twonorm/clean"]["digest"] = "0" * 16
    levels.write_text(json.dumps(known))
    code, lines = look(command, "tiny", "--home", home)
    assert (code, lines["data"]["state"]) == (1, "failed")
    assert "twonorm/clean: the data changed since study 'tiny' was first run" in lines["data"]["found"]


def test_data_that_are_missing_fail_with_what_brings_them(command: Command, tmp_path: Path) -> None:
    code, lines = look(command, "cifar10n", "--data-dir", tmp_path / "none")
    assert (code, lines["data"]["state"]) == (1, "failed")
    assert "`tosmooth data fetch cifar10" in lines["data"]["found"]


def test_a_folder_for_trunks_that_cannot_be_written_fails(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    (tmp_path / "taken").write_text("a file where a folder should be")
    file.write_text(f"{TINY}trunks: {{folder: {tmp_path / 'taken'}}}\n", encoding="utf-8")
    code, lines = look(command, file)
    assert (code, lines["home"]["state"], lines["trunks"]["state"]) == (1, "ok", "failed")
    assert f"driver: '{tmp_path / 'taken'}' is refused" in lines["trunks"]["found"]
    assert "trunks.folder" in lines["trunks"]["advice"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="Not even root can write to /proc, where there is one.")
def test_a_read_only_folder_for_trunks_and_cache_fails(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(f"{TINY}trunks: {{folder: /proc/self}}\n", encoding="utf-8")
    _, lines = look(command, file, "--cache-dir", "/proc/self/cache")
    assert {name for name, state in states(lines).items() if state == "failed"} == {"trunks", "cache-dir"}
    assert lines["cache-dir"]["found"].startswith("driver: /proc/self: ")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of Optuna's with a study."""
    file = tmp_path / "optuna.db"
    optuna.create_study(storage=f"sqlite:///{file}", study_name="one")
    return file


def test_schema_of_the_database_is_compared_with_this_optunas(command: Command, database: Path) -> None:
    def tables() -> set[str]:
        with closing(sqlite3.connect(database)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}

    before = tables()
    code, lines = look(command, "--storage", f"sqlite:///{database}")
    assert code == 0
    assert f"sqlite:///{database}: its schema is v" in lines["Optuna's storage"]["found"]
    assert tables() == before
    for version, advice in (("v3.0.0.a", "optuna storage upgrade"), ("v9.0.0.a", "install the Optuna that made it")):
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
            connection.commit()
        code, lines = look(command, "--storage", f"sqlite:///{database}")
        assert (code, lines["Optuna's storage"]["state"]) == (1, "failed")
        assert f"its schema is {version}; this Optuna's is v" in lines["Optuna's storage"]["found"]
        assert advice in lines["Optuna's storage"]["advice"]


def test_a_database_that_is_not_there_yet_is_not_made(command: Command, tmp_path: Path) -> None:
    places = ("--storage", f"sqlite:///{tmp_path / 'new.db'}", "--tracking-uri", f"sqlite:///{tmp_path / 'flow.db'}")
    code, lines = look(command, *places)
    assert code == 0
    assert f"the first study makes {tmp_path / 'new.db'}" in lines["Optuna's storage"]["found"]
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_the_home_is_not_looked_for_in_a_database(command: Command, home: Path, database: Path) -> None:
    code, lines = look(command, "tiny", "--home", home, "--storage", f"sqlite:///{database}")
    assert code == 1
    assert "study 'tiny' has its record in this home; leave --storage out" in lines["Optuna's storage"]["found"]


def test_a_database_of_mlflow_is_looked_at_and_left_as_it_was(command: Command, tmp_path: Path) -> None:
    connect(tmp_path, None)
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code, lines = look(command, "--tracking-uri", address)
    assert (code, lines["MLflow"]["state"]) == (0, "ok"), lines["MLflow"]
    assert lines["MLflow"]["found"].endswith(f"{address}, of this MLflow's version")
    assert [each.name for each in MlflowClient(address).search_experiments(view_type=ViewType.ALL)] == ["Default"]


@pytest.mark.slow
def test_a_server_is_written_to_and_left_as_it_was(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    server = MlflowServer(folder)
    try:
        for _ in range(2):
            code, lines = look(command, "--tracking-uri", server.url)
            assert (code, states(lines)) == (0, dict.fromkeys(ALL, "ok"))
            assert lines["MLflow"]["found"].endswith(f" at {server.url} can be written to")
        client = MlflowClient(server.url)
        assert [each.name for each in client.search_experiments()] == ["Default"]
        trash = client.search_experiments(view_type=ViewType.DELETED_ONLY)
        assert [each.name for each in trash] == ["tosmooth-doctor"]
        assert [file for file in (folder / "artifacts").rglob("*") if file.is_file()] == []
        shutil.rmtree(folder / "artifacts")
        (folder / "artifacts").write_text("a file where artifacts should be")
        code, lines = look(command, "--tracking-uri", server.url)
        assert (code, lines["MLflow"]["state"]) == (1, "failed")
        assert "takes no artifacts" in lines["MLflow"]["found"]
    finally:
        server.kill()


def test_a_page_that_is_no_server_of_mlflow_is_said(command: Command, served: str) -> None:
    code, lines = look(command, "--tracking-uri", served)
    assert (code, lines["MLflow"]["state"]) == (1, "failed")
    assert f"{served}: what answers is no MLflow server (404)" in lines["MLflow"]["found"]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A web server of someone else's."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    (tmp_path / "served").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "served")) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_nodes_need_no_files_of_what_they_fetch_from_the_hub(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("a,label\n1,x\n", encoding="utf-8")
    for train, files in (("hf://someone/features", []), ("test.csv", [tmp_path / "test.csv"] * 2)):
        table = TableSource(train=train, test="test.csv", features=("a",))
        assert examine._own_files(table, tmp_path) == files
    assert [path.name for path in tmp_path.iterdir()] == ["test.csv"]

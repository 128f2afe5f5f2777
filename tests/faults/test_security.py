"""No one let in: what listens, who is called, what becomes of passwords. `test_security_files` has what is in files.

A study is run once, and watched from outside: its processes, what they listen on and connect to, and what they write.
"""

import importlib
import ipaddress
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray
from rich.console import Console

from tests.faults.servers import PASSWORD, postgres
from tests.search.tools import TINY, TOSMOOTH, apart, start, tosmooth
from tests.tools import Payload, free_port, wait_for
from tosmooth.search.api.credentials import resolve
from tosmooth.search.run.ray_cluster import cluster
from tosmooth.search.run.session_folder import PREFIX, places
from tosmooth.search.spec.loading import read_study
from tosmooth.search.tracking import is_loopback
from tosmooth.search.tracking.store import connect, delete_experiment
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.redact import masked

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(600)]
psutil: Any = importlib.import_module("psutil")  # Ray brings it along

SECRETS = {  # each is a real part of an address, or a real variable, and must be seen nowhere
    "storage": "correct-horse",
    "tracking": "battery-staple",
    "MLFLOW_TRACKING_TOKEN": "hunter2-token",
    "MLFLOW_TRACKING_PASSWORD": "hunter2-password",
}
# In every Python process: who is spoken to, as Python itself is told of it. Loopback and sockets of files are no one.
GUARD = """
import os, sys

def look(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        where = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        where = where[0] if isinstance(where, tuple) else where
        where = where.decode() if isinstance(where, bytes) else str(where)
        if not where.startswith(("/", "127.", "::1", "::ffff:127.", "localhost")) and where not in ("", "None"):
            note(f"{event} {where}")

def note(words):
    with open(os.environ["GUARD"], "a") as file:
        file.write(f"{words} by {' '.join(sys.orig_argv)[:200]}\\n")

note("watched")
sys.addaudithook(look)
"""


@dataclass
class Watched:
    """What was seen of a study's processes while it ran, and what it left."""

    home: Path
    code: int
    out: str
    err: str
    session: dict[str, bytes]  # files of Ray's, and what stood in each when it was last there
    guard: list[str]
    mark: Path  # appears where the pickles in Tune's folder are executed
    commands: set[str] = field(default_factory=set)
    listening: set[str] = field(default_factory=set)
    spoken_to: set[str] = field(default_factory=set)


def look_at(pid: int, seen: Watched) -> None:
    """Note the command lines and sockets of a process and all that it started."""
    family = []
    with suppress(psutil.Error):  # it has just ended
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    for each in family:
        with suppress(psutil.Error, OSError):
            seen.commands.add(" ".join(each.cmdline()))
            for socket in each.net_connections(kind="inet"):
                if socket.status == psutil.CONN_LISTEN:
                    seen.listening.add(socket.laddr.ip)
                elif socket.raddr:
                    seen.spoken_to.add(socket.raddr.ip)


def keep_session(pid: int, seen: Watched) -> None:
    """Keep what stands in the files of Ray's session, which are gone when it has ended."""
    for session in sessions(pid):
        for folder, _, names in os.walk(session):  # unlike rglob it goes on where a folder is gone
            for file in (Path(folder, name) for name in names):
                with suppress(OSError):  # it is gone
                    if file.is_file():
                        seen.session[str(file)] = file.read_bytes()


def loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def leaks(secret: str, *places: Path) -> list[str]:
    """The files below some folders that hold a secret, in their content or name."""
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    return [str(file) for file in files if secret in file.name or secret.encode() in file.read_bytes()]


def sessions(pid: int) -> list[Path]:
    """The folders of the Ray clusters that a process started."""
    return [found for place in places() for found in place.glob(f"{PREFIX}*/*/session_*_{pid}")]


def private(file: Path, content: str) -> Path:
    file.write_text(f"{content}\n", encoding="utf-8")
    file.chmod(0o600)
    return file


def environment(folder: Path) -> dict[str, str]:
    """Ours, with secrets that MLflow takes and the guard in it, and another home directory."""
    (folder / "site").mkdir()
    (folder / "user").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(GUARD)
    mlflow = {name: secret for name, secret in SECRETS.items() if name.isupper()}
    guard = {"PYTHONPATH": os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])}
    return os.environ | mlflow | guard | {"GUARD": str(folder / "guard.log"), "HOME": str(folder / "user")}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A study whose two addresses hold a secret each, in files, and which finds harmful pickles in Tune's folder."""
    folder = tmp_path_factory.mktemp("watched")
    addresses = tmp_path_factory.mktemp("addresses")  # the databases lie here, under names that no one else may tell
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    files = [private(addresses / name, f"sqlite:///{addresses / SECRETS[name]}.db") for name in ("storage", "tracking")]
    mark = folder / "executed"
    tune = folder / "home" / "studies" / "tiny" / "tune" / "tiny"
    tune.mkdir(parents=True)
    for name in ("tuner.pkl", "trainable.pkl", "search_gen_state-1.json", "searcher-state-1.pkl", "basic-variant.json"):
        (tune / name).write_bytes(pickle.dumps(Payload(mark)))
    command = [str(TOSMOOTH), "run", "tiny.yaml", "--home", "home", "--set", "dataset.noise=[clean]"]
    command += [*("--set", "search.trials=2"), *("--storage", f"@{files[0]}"), *("--tracking-uri", f"@{files[1]}")]
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=out, stderr=err)
        seen = Watched(folder / "home", 0, "", "", {}, [], mark)
        deadline = time.monotonic() + 280
        while process.poll() is None and time.monotonic() < deadline:
            look_at(process.pid, seen)
            keep_session(process.pid, seen)
            time.sleep(0.2)
        process.kill()  # nothing, where it has ended
        seen.code = process.wait()
    assert sessions(process.pid) == []
    assert any(name.endswith("raylet.out") for name in seen.session)
    seen.out, seen.err = ((folder / name).read_text(encoding="utf-8") for name in ("out", "err"))
    seen.guard = (folder / "guard.log").read_text(encoding="utf-8").splitlines()
    assert seen.code == 0, seen.err
    assert not (folder / "user" / ".ray").exists()  # where Ray would keep a token of its own
    return seen


@pytest.mark.faults
def test_a_study_listens_on_loopback_alone(watched: Watched) -> None:
    assert len([command for command in watched.commands if "raylet" in command]) >= 2  # they were seen
    assert watched.listening
    assert {address for address in watched.listening if not loopback(address)} == set()


@pytest.mark.faults
def test_a_study_calls_no_one(watched: Watched) -> None:
    """Neither from Python, by name or by address, nor from Ray's own servers."""
    watchers = [line for line in watched.guard if line.startswith("watched by")]
    assert sum("tosmooth run" in line for line in watchers) == 1
    assert any("tosmooth.search.run.measure_worker" in line for line in watchers)
    assert any("default_worker.py" in line for line in watchers)
    assert [line for line in watched.guard if line not in watchers] == []
    assert {address for address in watched.spoken_to if not loopback(address)} == set()


@pytest.mark.faults
@pytest.mark.parametrize("kind", SECRETS)
def test_a_study_tells_no_secret(watched: Watched, kind: str) -> None:
    secret = SECRETS[kind]
    assert leaks(secret, watched.home) == []
    assert [name for name, content in watched.session.items() if secret in name or secret.encode() in content] == []
    assert [command for command in watched.commands if secret in command] == []
    assert secret not in watched.out + watched.err
    assert "warning" not in watched.err  # of files that others may read: these are private


@pytest.mark.faults
def test_what_lies_in_tunes_folder_is_never_unpickled(watched: Watched) -> None:
    assert not watched.mark.exists()
    assert not (watched.home / "studies" / "tiny" / "tune").exists()


def strangers_at_ray(folder: Path) -> list[subprocess.CompletedProcess[str]]:
    """What those hear who call a Ray that was started here: two without this run's token, one with it."""
    code = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]); print('in')"
    os.environ["HOME"] = str(folder)
    os.environ.pop("RAY_AUTH_MODE", None)
    before = dict(os.environ)
    with cluster(None, Console(quiet=True)):
        address, token = ray.get_runtime_context().gcs_address, os.environ["RAY_AUTH_TOKEN"]
        answers = []
        for known in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_TOKEN": token}):
            ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
            mode = {"RAY_AUTH_MODE": "token"} if token in known.values() else {}
            command = [sys.executable, "-c", code, address]
            answers.append(subprocess.run(command, env=ours | known | mode, capture_output=True, text=True))
        seen = Watched(folder, 0, "", "", {}, [], folder)
        look_at(os.getpid(), seen)
        (session,) = sessions(os.getpid())
        assert leaks(token, session) == []
        assert [command for command in seen.commands if token in command] == []
    told = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    assert [os.environ.get(name) for name in told] == [before.get(name) for name in told]  # a cluster may be next
    return answers


@pytest.mark.faults
def test_a_stranger_is_not_let_into_ray(tmp_path: Path) -> None:
    """Another user of the machine reaches loopback, and would have Ray run any code for him."""
    answers = apart(strangers_at_ray, tmp_path)
    assert [(answer.returncode, answer.stdout) for answer in answers] == [(1, ""), (1, ""), (0, "in\n")]
    assert all("AuthenticationError" in answer.stderr for answer in answers[:2])
    assert list(tmp_path.iterdir()) == []  # Ray's own token would lie there for all time, readable by others


def test_the_guard_sees_who_is_called(tmp_path: Path) -> None:
    code = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 9))"
    subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), check=True)
    lines = (tmp_path / "guard.log").read_text().splitlines()
    assert [line.split(" by ")[0] for line in lines] == ["watched", "socket.connect 192.0.2.1"]


@pytest.mark.parametrize("command", [("studies",), ("describe", "tiny.yaml"), ("status", "tiny"), ("ui",)])
def test_looking_calls_no_one(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    run = subprocess.run([TOSMOOTH, *command], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert run.returncode == (2 if command in (("status", "tiny"), ("ui",)) else 0), run.stderr  # no study is there
    assert {line.split(" by ")[0] for line in (tmp_path / "guard.log").read_text().splitlines()} == {"watched"}


@pytest.mark.faults
@pytest.mark.parametrize("host", [None, "0.0.0.0"])  # noqa: S104 - to see that it is said
def test_the_ui_listens_where_it_was_told_and_shows_no_secret(host: str | None, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    database = f"sqlite:///{tmp_path / SECRETS['tracking']}.db"
    connect(home, None)
    (home / "mlflow.db").rename(tmp_path / f"{SECRETS['tracking']}.db")
    address, port = private(tmp_path / "address", database), free_port()
    options = [] if host is None else ["--host", host]
    with start("ui", "--home", home, "--port", str(port), "--tracking-uri", f"@{address}", *options, cwd=home) as ui:
        try:
            seen = Watched(home, 0, "", "", {}, [], tmp_path)

            def answers() -> bool:
                assert ui.poll() is None
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                    return True
                return False

            wait_for("the UI", answers)
            look_at(ui.pid, seen)
        finally:
            os.killpg(ui.pid, signal.SIGTERM)
        out, err = ui.communicate(timeout=60)
    assert SECRETS["tracking"] not in out + err + " ".join(seen.commands)
    lines = [line for line in err.splitlines() if line.startswith("warning: ")]
    if host is None:
        assert seen.listening == {"127.0.0.1"}
        assert lines == []
    else:
        assert "0.0.0.0" in seen.listening  # noqa: S104
        assert len(lines) == 1
        assert "--host: MLflow asks no one for a password" in lines[0]


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *(("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.8.9.1", True)),
        *(("0.0.0.0", False), ("::", False), ("192.0.2.2", False), ("host.example", False), ("", False)),  # noqa: S104
    ],
)
def test_loopback_is_known(host: str, own: bool) -> None:
    assert is_loopback(host) == own


def test_an_address_is_read_from_a_file(tmp_path: Path) -> None:
    said: list[str] = []
    file = private(tmp_path / "address", "postgresql://me:hunter2@db/optuna")
    assert resolve(f"@{file}", "--storage", said.append) == "postgresql://me:hunter2@db/optuna"
    assert resolve("sqlite:///a@b.db", "--storage", said.append) == "sqlite:///a@b.db"
    assert resolve(None, "--storage", said.append) is None
    assert said == []
    file.chmod(0o644)
    assert resolve(f"@{file}", "--storage", said.append) == "postgresql://me:hunter2@db/optuna"
    assert [line.split(" may ")[0] for line in said] == ["--storage: other users of this machine"]
    assert "hunter2" not in said[0]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"postgresql://me:hunter2@db\nmore", b"hunter2\0", b"hunter2\xff", b"hunter2" * 2000]
)
def test_a_file_that_holds_no_address_is_refused_and_not_shown(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "address"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"--storage: '@.*address' is refused: the file") as caught:
        resolve(f"@{file}", "--storage", pytest.fail)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["", ".", "missing", "a\0b", "x" * 5000])
def test_a_file_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--tracking-uri: '@.* is refused: the file that holds the address is read"):
        resolve(f"@{tmp_path / name}", "--tracking-uri", pytest.fail)


def test_the_command_refuses_such_a_file_from_the_environment_too(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    env = os.environ | {"TOSMOOTH_STORAGE": "@missing"}
    command = [str(TOSMOOTH), "run", "tiny.yaml"]
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "")
    assert "error: --storage: '@missing' is refused" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("postgresql://me:hunter2@db:5432/x", "postgresql://***@db:5432/x"),
        (
            "--storage=postgresql+psycopg2://me:hun/ter2@p@db/x?sslmode=x",
            "--storage=postgresql+psycopg2://***@db/x?***",
        ),
        ("https://hunter2@host", "https://***@host"),
        ("sqlite:////a/b.db?hunter2", "sqlite:////a/b.db?***"),
        ("s3://AKIA:hun/ter2@bucket", "s3://***@bucket"),
        ("http://me:hun@ter2@host", "http://***@host"),
        ("postgresql://me:hun?ter2@host/db", "postgresql://***@host/db"),
        ("postgresql://me:hunter\n2@db", "postgresql://***@db"),
        ("@/run/secrets/db", "@/run/secrets/db"),
        ("question=Is it a@b?", "question=Is it a@b?"),
    ],
)
def test_what_is_printed_of_a_command_is_masked(argument: str, shown: str) -> None:
    assert masked(argument) == shown


@pytest.mark.faults
def test_a_stopped_study_does_not_print_its_password(tmp_path: Path) -> None:
    """The line by which it goes on repeats the command, and gets into logs."""
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    tracking = f"http://me:hunter2@127.0.0.1:{free_port()}"
    with start("run", "tiny.yaml", "--home", "home", "--tracking-uri", tracking, cwd=tmp_path) as process:
        try:
            wait_for("Ray", lambda: (tmp_path / "home" / "studies" / "tiny" / "history.jsonl").exists(), 200)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "--tracking-uri 'http://***@127.0.0.1:" in err
    assert "hunter2" not in out + err
    assert leaks("hunter2", tmp_path / "home") == []


def test_a_server_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    says = r"--tracking-uri: MLflow does not delete study 'tiny': .*127\.0\.0\.1"
    with pytest.raises(InputError, match=says) as caught:
        delete_experiment(tmp_path, f"http://me:hunter2@127.0.0.1:{free_port()}", "tiny")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_study_file_holds_no_password_of_a_store() -> None:
    says = r"trunks\.folder: 's3://\*\*\*@bucket/a' is refused: without a password"
    for password in ("hunter2", "hun/ter2", "hun@ter2", "hun?ter2", "12/ter2", "ter2:"):
        with pytest.raises(InputError, match=says) as caught:
            read_study(TINY, overrides=[f"trunks.folder=s3://me:{password}@bucket/a"])
        assert "ter2" not in str(caught.value)
    for fine in ("s3://bucket/a?region=eu", "gs://anonymous@bucket/a", "hdfs://me@name:8020/user/a@b", "/a:b@c"):
        assert read_study(TINY, overrides=[f"trunks.folder={fine}"]).trunks.folder == fine


@pytest.mark.faults
def test_a_database_with_a_password_keeps_it(tmp_path: Path) -> None:
    """Right, wrong, and with the server gone: the password is in no file, message or process list of ours."""
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    quick = ("--set", "search.trials=2", "--set", "dataset.noise=[clean]", "--set", "confirmation.seeds=2")
    with postgres() as server:
        address = private(tmp_path / "address", server.url)
        run = ("run", "tiny.yaml", "--home", "home", *quick, "--storage", f"@{address}")
        done = tosmooth(*run, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        private(address, server.url.replace(PASSWORD, f"not-{PASSWORD}"))
        wrong = tosmooth("status", "tiny", "--home", "home", "--storage", f"@{address}", cwd=tmp_path)
        private(address, server.url)
        server.stop()
        away = tosmooth("status", "tiny", "--home", "home", "--storage", f"@{address}", cwd=tmp_path)
        server.start()
    assert wrong.returncode == 2
    assert away.returncode == 2
    for process in (done, wrong, away):
        assert PASSWORD not in process.stdout + process.stderr
    assert leaks(PASSWORD, tmp_path / "home") == []
    assert re.search(r"storage: ", wrong.stderr)

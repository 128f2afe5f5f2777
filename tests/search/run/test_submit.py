"""A study as a job of a Ray cluster: what is handed in, what is refused, and a real job server that goes away."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search.conftest import Command
from tests.search.tools import TINY, left_after, lines_of, records_of, start, table_of, tosmooth, wait_for_lines
from tests.tools import free_port, wait_for
from tosmooth.search.run.submit import MAIN, entrypoint
from tosmooth.trainables.errors import InputError

pytestmark = pytest.mark.ray

RAY = Path(sys.executable).with_name("ray")


def test_the_job_runs_the_study_with_what_was_given_and_nothing_else() -> None:
    found = entrypoint("study.yaml", [("--home", "/shared/my home"), ("--storage", "@/etc/db"), ("--data-dir", None)])
    assert found == (f"python -c '{MAIN}' run study.yaml --address auto --home '/shared/my home' --storage @/etc/db")


def test_the_job_says_as_much_as_was_asked_for() -> None:
    assert entrypoint("study.yaml", [("--home", "/shared")], ["--quiet"]).endswith("--home /shared --quiet")


def test_a_password_does_not_travel() -> None:
    with pytest.raises(InputError) as caught:
        entrypoint("study.yaml", [("--storage", "postgresql://me:hunter2@db/optuna")])
    assert "hunter2" not in str(caught.value)
    assert "--storage: 'postgresql://***@db/optuna' is refused: without a password" in str(caught.value)
    assert "TOSMOOTH_STORAGE" in str(caught.value)


@pytest.mark.parametrize(
    ("address", "rule"),
    [("127.0.0.1:6379", "no Ray job server"), ("http://127.0.0.1:9", "no Ray job server answers there")],
)
def test_an_address_without_a_job_server_is_one_message(address: str, rule: str, command: Command) -> None:
    code, _, err = command("submit", "twonorm", "--address", address, "--home", "/shared")
    assert code == 2
    assert f"error: --address: '{address}' is refused: {rule}" in err
    assert "Traceback" not in err


def test_a_wrong_study_is_refused_before_the_cluster_is_asked(command: Command) -> None:
    code, _, err = command("submit", "twonorn", "--address", "http://127.0.0.1:9", "--home", "/shared")
    assert (code, "twonorn" in err, "job server" in err) == (2, True, False)


def test_a_prior_study_is_handed_on_like_what_run_takes(command: Command) -> None:
    arguments = ("submit", "twonorm", "--address", "http://127.0.0.1:9", "--home", "/shared")
    code, _, err = command(*arguments, "--prior-study", "../x")
    assert (code, "search.prior_study: '../x' is refused" in err) == (2, True)
    code, _, err = command(*arguments, "--prior-study", "earlier", "--quiet")
    assert (code, "no Ray job server answers there" in err) == (2, True)
    assert command(*arguments, "--quiet", "--verbose").err.startswith("error: --quiet: is refused together")


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Ray head with a job server, and its token in our environment."""
    port, dashboard, agent = free_port(), free_port(), free_port()  # the agent's own is taken where another Ray runs
    # The processes of a Ray that a test starts find the interpreter of the test by the name `python`.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        command = [str(RAY), "start", "--head", "--block", "--node-ip-address", "127.0.0.2", "--port", str(port)]
        command += ["--num-cpus", "2", "--object-store-memory", str(10**8), "--temp-dir", folder]
        command += ["--dashboard-agent-listen-port", str(agent)]
        command += ["--include-dashboard", "true", "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)]
        words = Path(folder) / "out"
        with words.open("w") as out:
            node = subprocess.Popen(command, stdout=out, stderr=out, text=True, start_new_session=True)
        try:
            wait_for("the head", lambda: "Ray runtime started" in words.read_text())
            yield f"http://127.0.0.1:{dashboard}"
        finally:
            os.killpg(node.pid, signal.SIGTERM)
            node.wait(60)
            assert left_after(20, node) == []


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.long
def test_a_study_is_handed_in_followed_left_found_again_and_stopped(head: str, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp_cors", reason="the job server is in ray[default]")
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    home = tmp_path / "home"
    command = ("submit", "tiny.yaml", "--address", head, "--home", home, "--set", "training.epochs=40")

    first = start(*command, cwd=tmp_path)
    wait_for_lines(home, 5, first)
    first.send_signal(signal.SIGINT)  # who follows goes; the study does not
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "The study goes on there." in err
    before = lines_of(home)
    wait_for("more epochs", lambda: lines_of(home) > before)

    done = tosmooth(*command, "--stop", cwd=tmp_path, seconds=120)
    assert done.returncode == 130, done.stderr
    assert "Stopped. What ended is kept" in done.stdout
    assert not [record for record in records_of(home) if record.state == "failed"]
    again = tosmooth(*command, "--stop", cwd=tmp_path)
    assert again.returncode == 2
    assert "no job of the cluster runs this study" in again.stderr

    done = tosmooth(*command, cwd=tmp_path, seconds=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "best smoothing rate, twonorm" in done.stdout
    assert {record.state for record in records_of(home)} <= {"complete", "diverged"}
    own = tosmooth("run", "tiny.yaml", "--home", "own", "--set", "training.epochs=40", cwd=tmp_path)
    assert own.returncode == 0, own.stderr
    assert table_of(home) == table_of(tmp_path / "own")

    wrong = tosmooth(*command, "--seed", "7", cwd=tmp_path)  # means something else than the study of that home
    assert wrong.returncode == 2
    assert "seed" in wrong.stdout

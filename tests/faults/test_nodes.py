"""A Ray cluster of several nodes that is joined with `--address`, and nodes of it that are lost while they train."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.test_kills import check_ended_as, check_shown
from tests.search.conftest import Finished
from tests.search.tools import left_after, records_of, session, start, tosmooth, wait_for_lines
from tests.tools import free_port, wait_for
from tosmooth.search.records import ENDED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.faults,
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere 127.0.0.1 is the only loopback address."),
]
RAY = Path(sys.executable).with_name("ray")
SETTINGS = {  # of the cluster, and of who joins it
    "RAY_AUTH_MODE": "token",
    "RAY_health_check_period_ms": "1000",  # a lost node is noticed after five checks, not after a quarter of a minute
    "RAY_py_gcs_connect_timeout_s": "5",
}


class Cluster:
    """Ray nodes on 127.0.0.2, 127.0.0.3 and so on (Ray takes 127.0.0.1 for another address of this machine)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.nodes: list[subprocess.Popen[str]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.2:{self.port}"

    def add(self, cpus: int, *within: str, declares: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a node, the head first, and wait until it is one of the cluster.

        `within`: a command that starts it. `declares`: further options, of what it says it has.
        """
        joins = ["--address", self.address]
        heads = ["--head", "--port", str(self.port), "--temp-dir", str(self.folder), "--include-dashboard", "false"]
        where = f"127.0.0.{len(self.nodes) + 2}"
        options = ["--num-cpus", str(cpus), "--object-store-memory", str(10**8), *(joins if self.nodes else heads)]
        options += declares
        words = self.folder / f"{where}.out"
        command = [*within, str(RAY), "start", "--block", "--node-ip-address", where, *options]
        with words.open("w") as out:
            node = subprocess.Popen(command, stdout=out, stderr=out, text=True, start_new_session=True)
        self.nodes.append(node)
        wait_for("a node: " + words.read_text(), lambda: "Ray runtime started" in words.read_text())
        return node

    @staticmethod
    def lose(node: subprocess.Popen[str]) -> None:
        """Kill a node with all that runs on it. Its raylet goes first: what is left would tell the driver at length."""
        found = session(node)
        for pid in sorted(found, key=lambda pid: "/raylet/raylet" not in found[pid]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        node.wait()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster without nodes, and its token in our environment."""
    for name, value in {**SETTINGS, "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
        monkeypatch.setenv(name, value)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        # Not pytest's folder: the names of sockets in it would be too long.
        found = Cluster(Path(folder))
        try:
            yield found
        finally:
            for node in found.nodes:
                found.lose(node)


def workers(node: subprocess.Popen[str]) -> list[int]:
    """The processes of a node that train."""
    return [pid for pid, command in session(node).items() if "TuneTrial" in command]


def ended(process: subprocess.Popen[str]) -> None:
    """Wait for a study's end, of which nothing but its table and progress is printed."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert out.startswith("best smoothing rate, twonorm")
    stage = " ..."
    assert all(line.startswith(("trials ", "Table, ")) or line.endswith(stage) for line in err.splitlines()), err
    assert left_after(20, process) == []


def test_node_is_lost_and_the_study_goes_on_where_another_joins(
    cluster: Cluster, finished: Finished, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    cluster.add(cpus=0)
    second = cluster.add(cpus=1)
    process = start("run", finished.file, "--home", "home", "--address", cluster.address, cwd=tmp_path)
    wait_for_lines(home, 10, process)
    # Not at once: between two trials a worker may be one that Ray has just started, under another name.
    wait_for("a worker of the second node", lambda: len(workers(second)) == 1)
    cluster.lose(second)
    third = cluster.add(cpus=1)
    wait_for("a worker of the third node", lambda: len(workers(third)) == 1)
    ended(process)
    assert Counter(record.attempts for record in records_of(home))[2] == 1
    check_ended_as(home, finished.home)


def test_trials_of_a_lost_node_go_on_from_their_checkpoints_on_those_that_are_left(
    cluster: Cluster, finished: Finished, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    history = home / "studies" / "tiny" / "history.jsonl"
    cluster.add(cpus=1)
    second = cluster.add(cpus=1)
    # Trials so long that the worker of either node comes to train, each epoch of which is kept.
    changes = ("training.epochs=200", "trial_checkpoint=0", "dataset.noise=[clean]", "search.trials=3")
    sets = [part for change in (*changes, "resources.concurrent=2") for part in ("--set", change)]
    process = start("run", finished.file, "--home", "home", "--address", cluster.address, *sets, cwd=tmp_path)

    def reported() -> list[dict[str, Any]]:
        text = history.read_text() if history.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def both_train() -> bool:
        latest = Counter(line["number"] for line in reported()[-30:])
        return len(latest) == 2 and min(latest.values()) >= 10 and len(workers(second)) == 1

    wait_for("two trials, one on each node", both_train)
    cluster.lose(second)
    ended(process)

    records = records_of(home)
    assert sum(record.phase == "search" for record in records) == 3  # the budget
    assert {record.state for record in records} <= set(ENDED)
    assert {record.epochs for record in records if record.state == "complete"} == {200}
    (lost,) = [record for record in records if record.attempts == 2]
    assert {record.attempts for record in records if record != lost} == {1}
    lines = [line for line in reported() if (line["phase"], line["number"]) == (lost.phase, lost.number)]
    (again,) = [i for i, line in enumerate(lines) if i and line["epoch"] == 1]
    before, after = lines[:again], lines[again:]
    assert [line["epoch"] for line in after] == list(range(1, lost.epochs + 1))
    # The same numbers, times included: none of these epochs was trained again.
    assert [line["metrics"] for line in after[: len(before)]] == [line["metrics"] for line in before]
    # No other trial trained an epoch twice.
    assert len(reported()) == sum(record.epochs for record in records) + len(before)
    check_shown(home)


def test_an_address_of_no_cluster_of_ours_is_one_message(
    cluster: Cluster, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:  # listens, and is no Ray, as another port of a cluster
        threading.Thread(target=_hang_up, args=(other,), daemon=True).start()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = tosmooth("run", finished.file, "--home", "home", "--address", address, cwd=tmp_path)
    assert done.returncode == 2
    assert f"error: --address: '{address}' is refused: no Ray cluster answers there" in done.stderr
    assert "Traceback" not in done.stderr

    cluster.add(cpus=1)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # of who comes without the token
    done = tosmooth("run", finished.file, "--home", "home", "--address", cluster.address, cwd=tmp_path)
    assert done.returncode == 2
    rule = "no Ray cluster answers there, or it asks for a token"
    assert f"error: --address: '{cluster.address}' is refused: {rule}" in done.stderr
    assert "Traceback" not in done.stderr


def _hang_up(server: socket.socket) -> None:
    """Answer nobody who calls, until the server is closed."""
    with suppress(OSError):
        while True:
            server.accept()[0].close()

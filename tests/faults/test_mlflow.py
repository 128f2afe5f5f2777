"""A study beside an MLflow server that stops, fails, dawdles, hangs or never learns: nothing waits, nothing is lost."""

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.faults.mlflow_server import Fate, MlflowServer, Proxy
from tests.search.conftest import Finished
from tests.search.tools import left_after, numbers, records_of, start, table_of, tosmooth
from tests.tools import free_port, wait_for
from tosmooth.search.records import ENDED, Record
from tosmooth.search.tracking.run import BOUND, drawn
from tosmooth.search.tracking.store import find_experiment

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]

STOPPED = "Stopped. What ended is kept; go on with: tosmooth run"
AWAY = "MLflow lacks what is new, and gets it later; training goes on ("
BACK = "MLflow is back and has everything"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One for all: each test has a home of its own, and so an experiment of its own."""
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def proxy(server: MlflowServer) -> Iterator[Proxy]:
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


def ended(home: Path) -> int:
    """How many trials have ended so far."""
    if not (home / "studies/tiny/journal.log").exists():
        return 0
    return sum(record.state in ENDED for record in records_of(home))


def wait_for_trials(home: Path, more: int) -> None:
    """Until so many more trials have ended: whatever is broken meanwhile, training goes on."""
    target = ended(home) + more
    wait_for(f"{target} trials", lambda: ended(home) >= target, seconds=300)


def check_ended_as(url: str, home: Path, undisturbed: Path) -> None:
    """The same trials, numbers and table, and in MLflow all of it, once."""
    records = records_of(home)
    assert numbers(records) == numbers(records_of(undisturbed))
    assert table_of(home) == table_of(undisturbed)
    client = MlflowClient(url)
    experiment, _ = find_experiment(client, home, url, "tiny")
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id], max_results=1000))
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["tosmooth.kind"] for run in runs} == {"cell", "trial"}
    cells = {run.data.tags["tosmooth.identity"]: run for run in runs if run.data.tags["tosmooth.kind"] == "cell"}
    trials = {run.data.tags["tosmooth.identity"]: run for run in runs if run.data.tags["tosmooth.kind"] == "trial"}
    assert len(cells) + len(trials) == len(runs)  # none twice
    assert set(cells) == {f"tiny/{record.level}/{record.method}" for record in records}
    assert set(trials) == {f"tiny/{r.level}/{r.method}/{r.phase}/{r.number}" for r in records}
    for record in records:
        parent = f"tiny/{record.level}/{record.method}"
        run = trials[f"{parent}/{record.phase}/{record.number}"]
        assert run.data.tags["mlflow.parentRunId"] == cells[parent].info.run_id
        assert run.data.tags["tosmooth.state"] == record.state
        assert points(client, run) == expected_points(record)
    assert "\n| clean |" in experiment.tags["mlflow.note.content"]
    rows = {row["noise"]: row for row in table_of(home)}
    for cell in cells.values():
        row = rows[cell.data.tags["tosmooth.noise"]]
        assert cell.data.metrics["test_accuracy"] == pytest.approx(float(row["test_accuracy"]), abs=0.005)
        files = {file.path for file in client.list_artifacts(cell.info.run_id)}
        assert {"best_rates.csv", "trials.parquet", "twonorm-rate-over-noise.png"} <= files
        table = client.download_artifacts(cell.info.run_id, "best_rates.csv", str(home))
        assert Path(table).read_bytes() == (home / "studies/tiny/best_rates.csv").read_bytes()


def points(client: MlflowClient, run: Run) -> dict[str, list[tuple[int, float]]]:
    """Step and value of every point of every metric; one that was logged twice stands here twice."""
    return {
        name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def expected_points(record: Record) -> dict[str, list[tuple[int, float]]]:
    names = {name for metrics in record.curve for name, value in metrics.items() if value is not None} - {"time"}
    return {
        name: [
            (epoch, drawn(name, value, BOUND))
            for epoch, metrics in enumerate(record.curve, 1)
            if (value := metrics.get(name)) is not None
        ]
        for name in names
    }


class OneInThree:
    """The third request, the sixth, ...; of each kind the first, the fourth, ... where `of_each`."""

    def __init__(self, fate: Fate, of_each: bool = False) -> None:
        self.fate, self.of_each = fate, of_each
        self.asked: Counter[str] = Counter()

    def __call__(self, request: str) -> Fate:
        kind = re.sub("/artifacts/.*", "/artifacts", request) if self.of_each else ""
        self.asked[kind] += 1
        return self.fate if self.asked[kind] % 3 == self.of_each else "pass"


@pytest.mark.long
def test_server_killed_and_started_again_then_frozen_for_a_minute(
    server: MlflowServer, proxy: Proxy, finished: Finished, tmp_path: Path
) -> None:
    # Trials long enough that the minute ends before the study; where it does not, a finished study waits as long.
    changes = ("training.epochs=10", "dataset.size=40000")
    sets = [part for change in changes for part in ("--set", change)]
    process = start("run", finished.file, *sets, "--home", "home", "--tracking-uri", proxy.url, cwd=tmp_path)
    home = tmp_path / "home"
    wait_for_trials(home, 2)
    server.kill()
    wait_for_trials(home, 2)
    server.start()
    wait_for_trials(home, 1)
    server.signal(signal.SIGSTOP)
    thaw = time.monotonic() + 60
    wait_for_trials(home, 3)
    time.sleep(max(0.0, thaw - time.monotonic()))
    server.signal(signal.SIGCONT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert AWAY in err
    assert tosmooth("run", finished.file, *sets, "--home", "undisturbed", cwd=tmp_path, seconds=600).returncode == 0
    check_ended_as(server.url, home, tmp_path / "undisturbed")


def test_requests_that_fail(server: MlflowServer, proxy: Proxy, finished: Finished, tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = start("run", finished.file, "--home", "home", "--tracking-uri", proxy.url, cwd=tmp_path)
    wait_for_trials(home, 2)
    proxy.fate = lambda request: "fail"
    wait_for_trials(home, 3)
    wait_for("failed requests", lambda: proxy.met["fail"] >= 10)
    proxy.fate = OneInThree("fail")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    # Once for what is told while it trains; what is put when it has ended, networks among it, may fail once more.
    assert 1 <= err.count(AWAY) == err.count(BACK) <= 2, err
    assert "MLflow lacks" not in err.rpartition(BACK)[2]
    assert proxy.met["fail"] > proxy.met["pass"] / 4
    check_ended_as(server.url, home, finished.home)


@pytest.mark.long
def test_answers_that_take_seconds(server: MlflowServer, proxy: Proxy, finished: Finished, tmp_path: Path) -> None:
    home, proxy.seconds = tmp_path / "home", 1.5
    process = start("run", finished.file, "--home", "home", "--tracking-uri", proxy.url, cwd=tmp_path)
    wait_for_trials(home, 14)  # both searches, and what the confirmation trains at least
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    said = [line for line in err.splitlines() if not line.endswith(" ...") and "tosmooth ui" not in line]
    assert not any("MLflow" in line for line in said)
    check_ended_as(server.url, home, finished.home)


def test_answers_that_are_cut_off(server: MlflowServer, proxy: Proxy, finished: Finished, tmp_path: Path) -> None:
    home, proxy.fate = tmp_path / "home", (fate := OneInThree("cut", of_each=True))
    done = tosmooth("run", finished.file, "--home", "home", "--tracking-uri", proxy.url, cwd=tmp_path, seconds=400)
    assert done.returncode == 0, done.stderr
    made = {"experiments/create", "runs/create", "runs/update", "runs/log-batch", "runs/log-inputs", "artifacts"}
    assert made <= {re.sub(".*/mlflow(-artifacts)?/", "", kind) for kind in fate.asked}  # the first of each was cut off
    assert proxy.met["cut"] > 20
    check_ended_as(server.url, home, finished.home)


@pytest.mark.parametrize(
    ("when", "number"),
    [
        ("while it trains", signal.SIGINT),
        ("when all else is done", signal.SIGTERM),
        pytest.param("while it trains", signal.SIGTERM, marks=pytest.mark.long),
        pytest.param("when all else is done", signal.SIGINT, marks=pytest.mark.long),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_ctrl_c_while_mlflow_hangs(
    when: str, number: signal.Signals, server: MlflowServer, proxy: Proxy, finished: Finished, tmp_path: Path
) -> None:
    home, command = tmp_path / "home", ("run", finished.file, "--home", "home", "--tracking-uri", proxy.url)
    process = start(*command, cwd=tmp_path)
    wait_for_trials(home, 3)
    proxy.fate = lambda request: "hang"
    wait_for("a request that hangs", lambda: proxy.met["hang"] > 0)
    if when == "when all else is done":
        wait_for("the end but for MLflow", (home / "studies/tiny/trials.parquet").exists)
        time.sleep(5)  # the plots
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to all in the foreground
    else:
        process.send_signal(number)
    before = time.monotonic()
    out, err = process.communicate(timeout=60)
    seconds = time.monotonic() - before
    print(f"{number.name} {when}: ended within {seconds:.2f} s")
    assert (process.returncode, out) == (130, ""), err
    assert err.splitlines()[-1].startswith(STOPPED), err
    # 5 s at most, and so many times as long where more wants to run than there are cores.
    assert seconds < 5 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert left_after(20, process) == []
    proxy.release()
    done = tosmooth(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check_ended_as(server.url, home, finished.home)


def test_server_that_is_away_from_the_start(server: MlflowServer, finished: Finished, tmp_path: Path) -> None:
    home, port = tmp_path / "home", free_port()
    command = ("run", finished.file, "--home", "home", "--tracking-uri", f"http://127.0.0.1:{port}")
    done = tosmooth(*command, cwd=tmp_path, seconds=400)  # a minute of which it waits
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(AWAY) == 1
    count = len(records_of(home))
    (left,) = re.findall(r"MLflow lacks (\d+) records \(.*refused.*\); run the command again", done.stderr)
    assert int(left) > count  # the files of the cells, too
    assert table_of(home) == table_of(finished.home)
    proxy = Proxy(server.port, port)
    try:
        again = tosmooth(*command, cwd=tmp_path)
        assert again.returncode == 0, again.stderr
    finally:
        proxy.close()
    assert len(records_of(home)) == count
    check_ended_as(server.url, home, finished.home)

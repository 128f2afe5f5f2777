"""A study of five levels on a cluster, parts and start commands as in `docker/compose.yaml`, beside its embedded run.

PostgreSQL, MLflow's server with passwords, a Ray head and two workers with a token, each on a machine of its own. The
workers declare three GPUs that they do not have; a trial takes a third of one. One worker is killed while it trains.
"""

import csv
import json
import os
import platform
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any
from unittest import mock

import pytest
import ray
from mlflow import MlflowClient

from tests.cluster.network import network
from tests.cluster.parts import Parts, require_parts
from tests.conftest import ROOT
from tests.search.tools import session, tosmooth
from tosmooth.search.records import ENDED, Record
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.reading import read_records
from tosmooth.search.tracking.run import identity

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(platform.system() != "Linux", reason="Namespaces and /proc are Linux's."),
]
# Proposals are drawn by number, so that the order in which trials end cannot matter to any of them.
STUDY = """
name: five
dataset:
  name: twonorm
  noise: [clean, symmetric-0.1, symmetric-0.2, symmetric-0.3, symmetric-0.4]
  size: 600
  validation_fraction: 0.5
  test_size: 200
network: {name: mlp, width: 8}
training: {epochs: 20, batch_size: 50}
space:
  rate: {low: -2, high: 0.8, scale: symlog}
  warmup: {low: 0, high: 2}
search: {sampler: random, trials: 2, head_start: false}
confirmation: {seeds: 2}
trial_checkpoint: 0
"""
TRAFFIC = ROOT / "build" / "cluster" / "traffic.json"


@dataclass
class Seen:
    """What a study on the cluster left, and what was seen of it while it ran."""

    parts: Parts
    home: Path
    embedded: Path
    out: str = ""
    code: int | None = None
    commands: set[str] = field(default_factory=set)  # of all processes that this one can look at
    trained: Counter[str] = field(default_factory=Counter)  # looks at which a trial was training on a node
    traffic: dict[str, int | None] = field(default_factory=dict)
    statements: dict[str, int] = field(default_factory=dict)

    def records(self, home: Path | None = None) -> list[Record]:
        folder = Home(home or self.home).existing("five")
        with mock.patch.dict(os.environ, {"PGPASSWORD": self.parts.secrets["TOSMOOTH_DB_PASSWORD"]}):
            storage = None if home else self.parts.storage
            return self.parts.machines["driver"].call(lambda: read_records(folder, folder.spec(), storage))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    require_parts()
    study = tmp_path_factory.mktemp("study")
    study.chmod(0o755)
    (study / "five.yaml").write_text(STUDY, encoding="utf-8")
    done = tosmooth("run", "five.yaml", "--home", "embedded", "--set", "resources.concurrent=2", cwd=study)
    assert done.returncode == 0, done.stderr
    names = ("postgres", "mlflow", "head", "worker-1", "worker-2", "driver")
    # Not pytest's folder: the names of sockets in it would be too long, and PostgreSQL's account cannot enter it.
    with TemporaryDirectory(prefix="ts-") as folder, network(*names, private=("postgres", "mlflow")) as machines:
        Path(folder).chmod(0o755)
        parts = Parts(Path(folder), machines)
        try:
            yield _run(Seen(parts, study / "home", study / "embedded"), study / "five.yaml")
        finally:
            parts.stop()


def _run(seen: Seen, file: Path) -> Seen:
    """Start all parts, run the study, lose a worker in the middle and have it back."""
    parts = seen.parts
    parts.start_services()
    parts.start_head()
    parts.start_worker("worker-1")
    parts.start_worker("worker-2")
    before = _traffic(parts)
    parts.sql("postgres", "SELECT pg_stat_statements_reset()")
    driver = parts.start_study(file, seen.home, "--set", "resources.gpus=0.33")
    third = _lines(seen.embedded) // 3
    _watch(seen, driver, lambda: _lines(seen.home) > third and min(_training(seen).values()) > 0)
    parts.lose("worker-2")
    parts.start_worker("worker-2")
    _watch(seen, driver, lambda: False)
    seen.code, seen.out = driver.poll(), parts.said("driver")
    seen.traffic = {name: None if n is None else n - (before[name] or 0) for name, n in _traffic(parts).items()}
    seen.statements = _statements(parts)
    return seen


def _watch(seen: Seen, driver: Popen[str], enough: Any) -> None:
    """Look at all processes until there is enough or the study ends."""
    deadline = monotonic() + 900
    while driver.poll() is None and not enough():
        assert monotonic() < deadline, seen.parts.said("driver")
        seen.commands |= set(_commands())
        seen.trained += _training(seen)
        sleep(0.1)


def _training(seen: Seen) -> Counter[str]:
    """How many trials are in an epoch just now, by node: Ray names a process after the call that it carries out."""
    nodes = [name for name in seen.parts.running if name.startswith("worker")]
    found = {name: list(session(seen.parts.running[name]).values()) for name in nodes}
    return Counter({name: sum(".train" in command for command in found[name]) for name in nodes})


def _commands() -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has just ended
            continue
    return found


def _lines(home: Path) -> int:
    history = home / "studies" / "five" / "history.jsonl"
    return history.read_bytes().count(b"\n") if history.exists() else 0


def _traffic(parts: Parts) -> dict[str, int | None]:
    found = {name: machine.bytes() for name, machine in parts.machines.items()}
    return found | {"mlflow to postgres": parts.machines["mlflow"].bytes("eth1")}


def _statements(parts: Parts) -> dict[str, int]:
    """Statements that each database was sent."""
    query = "SELECT datname, sum(calls) FROM pg_stat_statements s JOIN pg_database d ON s.dbid = d.oid GROUP BY datname"
    rows = [line.split("|") for line in parts.sql("postgres", query) if line]
    return {name: int(calls) for name, calls in rows if name != "postgres"}


def _table(home: Path) -> list[dict[str, str]]:
    """The best-rate table without what counts time, and without epochs, of which a lost node may have trained more."""
    without = ("hours", "epochs", "epochs_spared")
    with (Home(home).existing("five").path / "best_rates.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name not in without} for row in csv.DictReader(file)]


def test_study_ends_on_the_cluster(seen: Seen) -> None:
    assert seen.code == 0, seen.out
    assert "best smoothing rate, twonorm" in seen.out


def test_table_is_that_of_the_embedded_run_to_the_number(seen: Seen) -> None:
    assert len(_table(seen.embedded)) == 5
    assert _table(seen.home) == _table(seen.embedded)


def test_both_workers_trained(seen: Seen) -> None:
    assert {name for name, looks in seen.trained.items() if looks} == {"worker-1", "worker-2"}


def test_killed_worker_costs_nothing_but_time(seen: Seen) -> None:
    records = seen.records()
    assert Counter(record.phase for record in records)["search"] == 5 * 2  # the budget
    assert {record.state for record in records} <= set(ENDED)
    attempts = Counter(record.attempts for record in records)
    assert set(attempts) == {1, 2}
    assert attempts[2] <= 3  # as many as a worker has CPUs
    ours = {record.key: (record.params, record.train_seed, record.state) for record in records}
    theirs = {record.key: (record.params, record.train_seed, record.state) for record in seen.records(seen.embedded)}
    assert ours == theirs


def test_every_trial_is_in_the_server_under_its_parent_with_artifacts(seen: Seen) -> None:
    account = {"MLFLOW_TRACKING_USERNAME": "tosmooth"}
    account["MLFLOW_TRACKING_PASSWORD"] = seen.parts.secrets["MLFLOW_TRACKING_PASSWORD"]
    client = MlflowClient(seen.parts.tracking_uri)

    def look() -> tuple[list[Any], dict[str, list[str]]]:
        experiment = client.get_experiment_by_name("five")
        assert experiment is not None
        runs = list(client.search_runs([experiment.experiment_id], max_results=1000))
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        return runs, {
            run.info.run_id: [file.path for file in client.list_artifacts(run.info.run_id)] for run in parents
        }

    with mock.patch.dict(os.environ, account):
        runs, artifacts = seen.parts.machines["driver"].call(look)
    assert len(artifacts) == 5
    assert all("best_rates.csv" in files for files in artifacts.values())
    children = [run for run in runs if run.info.run_id not in artifacts]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == set(artifacts)
    assert sorted(run.data.tags["tosmooth.identity"] for run in children) == sorted(map(identity, seen.records()))
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_server_refuses_who_has_no_password_and_who_calls_it_by_another_name(seen: Seen) -> None:
    import requests

    page = f"{seen.parts.tracking_uri}/api/2.0/mlflow/experiments/get?experiment_id=0"
    account = ("tosmooth", seen.parts.secrets["MLFLOW_TRACKING_PASSWORD"])
    driver = seen.parts.machines["driver"]
    assert driver.call(lambda: requests.get(page, timeout=20)).status_code == 401
    assert driver.call(lambda: requests.get(page, auth=account, timeout=20)).status_code == 200
    forged = {"Host": "elsewhere.example"}
    assert driver.call(lambda: requests.get(page, auth=account, headers=forged, timeout=20)).status_code == 403


def test_secrets_are_in_no_file_row_or_command_line(seen: Seen) -> None:
    parts = seen.parts
    assert any("ray::" in command for command in seen.commands)  # processes were seen at all
    texts = {f"database {name}": parts.dump(name) for name in ("tosmooth", "mlflow", "mlflow_auth")}
    texts |= {"statements": "\n".join(parts.sql("postgres", "SELECT query FROM pg_stat_statements"))}
    texts |= {"command lines": "\n".join(seen.commands)}
    assert "five" in texts["database tosmooth"]
    assert "five" in texts["database mlflow"]
    files = [file for place in (seen.home, parts.folder) for file in place.rglob("*") if file.is_file()]
    assert any(file.name == "raylet.out" for file in files)
    for name, secret in parts.secrets.items():
        assert [place for place, text in texts.items() if secret in text] == [], name
        assert [str(file) for file in files if secret.encode() in file.read_bytes()] == [], name


def test_traffic_of_the_driver_is_counted_and_written_down(seen: Seen) -> None:
    """Not judged, but for what each trial must cost at least: the numbers are for docs/development/scale.md."""
    records = seen.records()
    found: dict[str, Any] = {"trials": len(records), "epochs": sum(record.epochs for record in records)}
    found["statements"] = seen.statements
    counted = {name: n for name, n in seen.traffic.items() if n is not None}
    if counted:  # what the driver says to Ray's nodes, and they to it, is what is left
        counted["driver and ray"] = counted["driver"] - counted["mlflow"] - counted["postgres"]
    found["bytes"] = counted
    found["statements per trial"] = {name: round(n / len(records), 1) for name, n in seen.statements.items()}
    found["bytes per trial"] = {name: round(n / len(records)) for name, n in counted.items()}
    TRAFFIC.parent.mkdir(parents=True, exist_ok=True)
    TRAFFIC.write_text(json.dumps(found | {"ray": ray.__version__}, indent=2), encoding="utf-8")
    print(json.dumps(found, indent=2))
    assert seen.statements["tosmooth"] > len(records)
    assert seen.statements["mlflow"] > len(records)
    assert all(n > 0 for n in counted.values())

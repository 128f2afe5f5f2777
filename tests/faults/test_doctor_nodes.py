"""`tosmooth doctor` on a cluster of two nodes, and on a real PostgreSQL: all is there, or a part of it is not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.servers import PASSWORD, postgres
from tests.faults.test_nodes import Cluster, cluster
from tests.search.tools import TINY, tosmooth

__all__ = ["cluster"]

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.faults, pytest.mark.timeout(600)]
nodes = pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere 127.0.0.1 is the only loopback address.")
TABLE = """
name: mine
dataset: {name: mine, noise: [given], table: {train: train.parquet, features: [a, b]}}
network: {name: mlp}
"""


def doctor(folder: Path, *arguments: str | Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and each check by its name."""
    done = tosmooth("doctor", *arguments, "--json", "--home", "home", cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def elsewhere(*commands: str) -> list[str]:
    """A command that starts another in a file system of its own, after these commands."""
    unshare = ["unshare", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount anything")
    return [*unshare, "sh", "-c", f'{" && ".join(commands)} && exec "$@"', "sh"]


@nodes
@pytest.mark.cluster
def test_two_nodes_are_counted_compared_and_written_from(cluster: Cluster, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    columns = {"a": generator.normal(size=40), "b": generator.normal(size=40), "label": np.arange(40) % 2}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    (tmp_path / "mine.yaml").write_text(TABLE, encoding="utf-8")
    cluster.add(cpus=1)
    cluster.add(cpus=2)
    code, found = doctor(tmp_path, "mine.yaml", "--address", cluster.address, "--data-dir", tmp_path)
    assert (code, {check["state"] for check in found.values()}) == (0, {"ok"}), found
    assert found["Ray"]["found"].endswith(f"at {cluster.address}: 2 nodes, 3 CPUs, 0 GPUs")
    assert found["home"]["found"] == f"{tmp_path / 'home'} can be written to by the driver and 2 nodes"
    assert found["versions"]["found"].endswith("; the same on 2 nodes")
    assert found["data on nodes"]["found"] == "1 files, of the same size on 2 nodes"
    left = sorted(path.name for path in tmp_path.rglob("*"))
    assert left == ["mine.yaml", "train.parquet"]


@nodes
@pytest.mark.cluster
@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is in util-linux")
def test_a_node_on_fewer_cores_than_it_offers_is_a_warning(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add(1)
    cluster.add(2, "taskset", "-c", "0")
    code, found = doctor(tmp_path, "--address", cluster.address)
    assert (code, found["cores"]["state"]) == (0, "warning"), found
    assert found["cores"]["found"] == "127.0.0.3 offers 2 CPUs, and may use 1"


@nodes
@pytest.mark.cluster
def test_a_node_that_cannot_write_the_trunks_is_named_by_doctor_and_refused_by_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    trunks, data = tmp_path / "trunks", tmp_path / "data"
    trunks.mkdir()
    data.mkdir()
    (tmp_path / "tiny.yaml").write_text(f"{TINY}trunks: {{folder: {trunks}}}\n", encoding="utf-8")
    cluster.add(cpus=1)
    bound = f"mount --bind '{trunks}' '{trunks}'"
    cluster.add(1, *elsewhere(bound, f"mount -o remount,bind,ro '{trunks}'"))
    code, found = doctor(tmp_path, "tiny.yaml", "--address", cluster.address)
    assert (code, [name for name, check in found.items() if check["state"] == "failed"]) == (1, ["trunks"]), found
    assert found["trunks"]["found"].startswith(f"127.0.0.3: '{trunks}' is refused: ")
    assert "Read-only file system" in found["trunks"]["found"]

    done = tosmooth("run", "tiny.yaml", "--home", "home", "--address", cluster.address, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: trunks: 127.0.0.3: '{trunks}' is refused: " in done.stderr
    assert "or name another folder as trunks.folder, which all nodes share" in done.stderr
    assert not (tmp_path / "home" / "studies" / "tiny" / "history.jsonl").exists()


@nodes
@pytest.mark.cluster
def test_a_folder_of_the_same_name_that_is_another_one_is_no_shared_home(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    cluster.add(cpus=1)
    cluster.add(1, *elsewhere(f"mount -t tmpfs none '{tmp_path / 'home'}'"))
    code, found = doctor(tmp_path, "--address", cluster.address)
    assert (code, [name for name, check in found.items() if check["state"] == "failed"]) == (1, ["home"]), found
    assert found["home"]["found"].startswith(f"127.0.0.3: {tmp_path / 'home'} is not the driver's folder")
    assert "one that all nodes share" in found["home"]["advice"]
    assert list((tmp_path / "home").iterdir()) == []


def test_postgresql_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    with postgres() as server:
        for _ in range(2):
            code, found = doctor(tmp_path, "--storage", server.url)
            assert (code, found["Optuna's storage"]["state"]) == (0, "ok")
            assert found["Optuna's storage"]["found"].endswith("is empty; the first study sets it up")
        optuna.create_study(storage=server.url, study_name="one")
        code, found = doctor(tmp_path, "--storage", server.url)
        assert (code, found["Optuna's storage"]["state"]) == (0, "ok")
        assert found["Optuna's storage"]["found"].endswith(", as this Optuna's")
        code, found = doctor(tmp_path, "--storage", server.url.replace(PASSWORD, "another"))
        assert (code, found["Optuna's storage"]["state"]) == (1, "failed")
        assert found["Optuna's storage"]["found"].endswith("cannot be opened (OperationalError)")
        code, found = doctor(tmp_path, "--tracking-uri", server.url)
        assert (code, found["MLflow"]["state"]) == (0, "ok")
        assert found["MLflow"]["found"].endswith("is empty; the first study sets it up")

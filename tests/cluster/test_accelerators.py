"""Types of GPU, and shares of one, on nodes that declare what they do not have."""

import json
import sys
from pathlib import Path

import pytest

from tests.faults.test_nodes import Cluster, cluster, workers
from tests.search.tools import TINY, records_of, start, tosmooth
from tests.tools import wait_for

__all__ = ["cluster"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere 127.0.0.1 is the only loopback address."),
]


def of_type(name: str, gpus: int) -> list[str]:
    return ["--num-gpus", str(gpus), "--resources", json.dumps({f"accelerator_type:{name}": 1})]


def test_trials_go_to_the_type_of_gpu_that_the_study_asks_for(cluster: Cluster, tmp_path: Path) -> None:
    study = TINY.replace("resources: {concurrent: 1}", "resources: {gpus: 0.5, accelerator: H100}")
    (tmp_path / "tiny.yaml").write_text(study.replace("epochs: 3", "epochs: 60"), encoding="utf-8")
    cluster.add(cpus=0)
    other = cluster.add(2, declares=of_type("A100", 2))
    wanted = cluster.add(2, declares=of_type("H100", 1))
    process = start("run", "tiny.yaml", "--home", "home", "--address", cluster.address, cwd=tmp_path)
    wait_for("two trials on the halves of its GPU", lambda: len(workers(wanted)) == 2)
    seen = set()
    while process.poll() is None:
        seen.update(workers(other))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert not seen
    assert {record.state for record in records_of(tmp_path / "home")} <= {"complete", "diverged"}

    change = ("--set", "resources.accelerator=T4", "--name", "other")
    done = tosmooth("run", "tiny.yaml", "--home", "home", "--address", cluster.address, *change, cwd=tmp_path)
    assert done.returncode == 2
    assert "resources.accelerator: 'T4' is refused: Ray found A100, H100" in done.stderr
    assert not (tmp_path / "home" / "studies" / "other").exists()

"""Nodes that share no home: data are copied by each, trunks, checkpoints and networks go by a place that all see."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.faults.test_doctor_nodes import elsewhere
from tests.faults.test_nodes import Cluster, cluster
from tests.search.tools import tosmooth
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.reading import read_records
from tosmooth.trainables.checkpointing.weights import read_weights

__all__ = ["cluster"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="Elsewhere 127.0.0.1 is the only loopback address."),
]
STUDY = """
name: mine
dataset: {name: mine, noise: [given], table: {train: train.parquet, test: test.parquet, features: [a, b]}}
network: {name: mlp, width: 8}
training: {epochs: 3, batch_size: 10}
space:
  rate: {low: -2, high: 0.8, scale: symlog}
  warmup: {low: 0, high: 2}
search: {trials: 4}
confirmation: {seeds: 2}
"""


def test_a_study_runs_on_a_node_that_has_a_home_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "store").mkdir()
    for name in ("train", "test"):
        a, b = generator.normal(size=(2, 80))
        columns = {"a": a, "b": b, "label": (a > 0).astype(int)}
        pq.write_table(pa.table(columns), tmp_path / "store" / f"{name}.parquet")
    (tmp_path / "mine.yaml").write_text(f"{STUDY}trunks: {{folder: {(tmp_path / 'shared').as_uri()}}}\n")
    home = tmp_path / "home"
    home.mkdir()
    cluster.add(cpus=0)
    cluster.add(1, *elsewhere(f"mount -t tmpfs none '{home}'"))  # all that trains writes into another home than ours
    options = ("--home", home, "--address", cluster.address, "--data-dir", (tmp_path / "store").as_uri())
    done = tosmooth("run", "mine.yaml", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = Home(home).existing("mine")
    spec = folder.spec()
    records = read_records(folder, spec, None)
    assert {record.state for record in records} <= {"complete", "diverged"}
    fresh = [record for record in records if (record.phase, record.state) == ("confirmation", "complete")]
    first = [record for record in fresh if record.train_seed == spec.confirmation_seeds()[0]]
    assert len(first) >= 2
    for record in first:
        read_weights(folder.weights(record.key))  # whole, or it raises
    assert not [path for path in (tmp_path / "shared").rglob("*") if path.is_file()]
    best = tosmooth("best", "mine", "--level", "given", "--home", home, "--output", "best", cwd=tmp_path)
    assert best.returncode == 0, best.stderr

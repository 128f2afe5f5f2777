"""Paths as people and machines have them: whatever is in their names a study works, and writes into its home alone."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.search.tools import TOSMOOTH, mlflow_runs

ODD = "-a feat%2Fy? #&;'\"ü→" + "x" * 200
TRAIN = "train ?%41#.parquet"
STUDY = f"""
name: tiny
dataset:
  name: mine
  noise: [symmetric-0.2]
  table: {{train: '{TRAIN}', test: test.parquet, features: [a, b], label: label}}
network: {{name: mlp, width: 8}}
training: {{epochs: 2, batch_size: 50}}
space:
  rate: {{low: -2, high: 0.8, scale: symlog}}
search: {{trials: 2}}
confirmation: {{seeds: 2}}
"""


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.ray
def test_home_data_study_and_temporary_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    for name in ("data", "tmp"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    table = pa.table({"a": random.normal(labels, 1), "b": random.normal(-labels, 1), "label": labels})
    for name in (TRAIN, "test.parquet"):
        pq.write_table(table, str(folder / "data" / name))
    (folder / "st%2Fudy ?.yaml").write_text(STUDY, encoding="utf-8")

    def tosmooth(*arguments: str) -> str:
        command = [str(TOSMOOTH), *arguments, "--home", f"{ODD}/home", "--data-dir", f"{ODD}/data"]
        environment = os.environ | {"TMPDIR": str(folder / "tmp"), "XDG_RUNTIME_DIR": str(folder)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "MLflow lacks" not in tosmooth("run", f"./{ODD}/st%2Fudy ?.yaml")
    assert "failed " not in tosmooth("doctor", "tiny")
    assert names(tmp_path) == {ODD}
    assert names(folder) == {"home", "data", "tmp", "st%2Fudy ?.yaml"}
    assert names(folder / "data") == {TRAIN, "test.parquet"}
    assert not any(name.startswith("tosmooth-") for name in names(folder / "tmp"))
    assert {"mlflow.db", "artifacts", "studies"} <= names(folder / "home")
    assert len([run for run in mlflow_runs(folder / "home") if run.data.tags["tosmooth.kind"] == "trial"]) == 6

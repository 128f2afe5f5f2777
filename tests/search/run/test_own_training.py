"""A study whose trials a function of the user's trains, run by Ray: searched, pruned, confirmed, and kept."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.search.tools import tosmooth
from tosmooth.search.storage.home import Home

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[3] / "docs" / "tutorials" / "own_code"
FOREST = """
name: forest
dataset: {name: twonorm, noise: [symmetric-0.2], size: 600, validation_fraction: 0.5, test_size: 200}
trainable: "my_forest:train"
training: {epochs: 4}
space:
  arguments.depth: {low: 1, high: 4}
  arguments.lr: {low: 0.02, high: 1, scale: log}
  arguments.features: {values: [sqrt, log2]}
search: {trials: 6, pruner: median}
confirmation: {seeds: 2}
resources: {concurrent: 1}
"""


def test_a_study_without_a_rate_is_searched_pruned_and_confirmed(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "my_forest.py", tmp_path)
    (tmp_path / "forest.yaml").write_text(FOREST, encoding="utf-8")
    done = tosmooth("run", "forest.yaml", "--home", "home", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained by my_forest:train: no warm-up is shared" in " ".join(done.stdout.split())
    folder = Home(tmp_path / "home").study("forest")
    trials = pq.read_table(folder.path / "trials.parquet").to_pylist()
    states = [trial["state"] for trial in trials]
    assert set(states) <= {"complete", "pruned"}
    assert states.count("pruned") >= 1
    fresh = [trial for trial in trials if trial["phase"] == "confirmation"]
    assert {trial["method"] for trial in trials} == {"ce"}
    assert len({trial["params"] if isinstance(trial["params"], str) else str(trial["params"]) for trial in fresh}) >= 1
    assert len({trial["train_seed"] for trial in fresh}) == 2
    done = tosmooth("best", "forest", "--level", "symmetric-0.2", "--home", "home", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".yaml", ".zip"}
    done = tosmooth("analyse", "forest", "--home", "home", cwd=tmp_path)
    assert (done.returncode, "your own code's" in done.stderr) == (2, True)


def test_a_function_that_cannot_be_called_with_a_trial_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "my_forest.py").write_text("def train(trial, more): pass\n", encoding="utf-8")
    (tmp_path / "forest.yaml").write_text(FOREST, encoding="utf-8")
    done = tosmooth("run", "forest.yaml", "--home", "home", cwd=tmp_path)
    assert done.returncode == 2
    assert "trainable: 'my_forest:train' is refused: it is called with the trial alone" in done.stderr
    assert not (tmp_path / "home/studies").exists()

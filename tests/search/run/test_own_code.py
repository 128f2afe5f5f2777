"""A study whose network is made by the user's code: run, refused once that changed, and used from the home alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.tools import TINY, tosmooth
from tests.tools import set_traps, sprung
from tosmooth.search.storage.home import Home

MODELS = """
import sys
print("what it prints is no part of any answer", flush=True)
import my_layers
def make(shape, classes, width):
    print("nor this", shape, classes)
    return my_layers.net(shape[0], width, classes)
"""
LAYERS = """
from torch import nn
def net(inputs, width, classes):
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))
"""
FACTORY = ("network: {name: mlp, width: 8}", 'network: {factory: "my_models:make", arguments: {width: 8}}')


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's folder with a study, its code and modules of other names, after the study was run."""
    folder = tmp_path_factory.mktemp("own") / "mine"
    folder.mkdir()
    set_traps(folder)
    (folder / "torch.py").write_text("raise SystemExit", encoding="utf-8")
    (folder / "my_models.py").write_text(MODELS, encoding="utf-8")
    (folder / "my_layers.py").write_text(LAYERS, encoding="utf-8")
    (folder / "tiny.yaml").write_text(TINY.replace(*FACTORY), encoding="utf-8")
    done = tosmooth("run", "tiny.yaml", "--set", "dataset.noise=[symmetric-0.4]", "--home", "home", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_its_code_alone_was_run_and_is_kept(mine: Path) -> None:
    assert sprung(mine.with_name("mine.run")) == []
    code = Home(mine / "home").study("tiny").code()
    assert code is not None
    assert set(code.files) == {"my_models.py", "my_layers.py"}
    assert {path.name for path in (mine / "home/cache/code").rglob("*.py")} == set(code.files)


def test_looking_at_it_executes_nothing_and_needs_no_code_beside_it(mine: Path, tmp_path: Path) -> None:
    for command in (["status", "tiny"], ["show", "tiny"], ["export", "tiny"]):
        done = tosmooth(*command, "--home", mine / "home", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "what it prints" not in done.stdout + done.stderr


def test_what_ended_is_not_continued_by_other_code(mine: Path) -> None:
    before = (mine / "my_layers.py").read_text(encoding="utf-8")
    (mine / "my_layers.py").write_text(before + "# other\n", encoding="utf-8")
    try:
        done = tosmooth("run", "tiny.yaml", "--home", "home", cwd=mine)
    finally:
        (mine / "my_layers.py").write_text(before, encoding="utf-8")
    assert done.returncode == 2
    assert "  code changed: my_layers.py\n" in done.stderr


def test_its_networks_are_made_again_from_what_the_home_keeps(mine: Path, tmp_path: Path) -> None:
    home = mine / "home"
    done = tosmooth("best", "tiny", "--level", "symmetric-0.4", "--home", home, "--output", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in tmp_path.iterdir()} == {".yaml", ".safetensors", ".zip"}
    (weights,) = tmp_path.glob("*.safetensors")
    command = [sys.executable, "-P", "-m", "tosmooth.trainables", str(weights), "--json", "--code"]
    done = subprocess.run([*command, str(home / "studies/tiny/study.zip")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["epoch"] == 3
    other = tmp_path / "other"
    other.mkdir()
    (other / "my_models.py").write_text("def make(shape, classes, width): pass\n", encoding="utf-8")
    done = subprocess.run([*command, str(other)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "the trial is of other code than" in done.stderr
    done = tosmooth("analyse", "tiny", "--attacked", "0", "--no-student", "--home", home, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_code_that_ends_the_process_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "my_models.py").write_text("import os\nos._exit(0)\n", encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(TINY.replace(*FACTORY), encoding="utf-8")
    done = tosmooth("run", "tiny.yaml", "--home", "home", cwd=tmp_path)
    assert done.returncode == 2
    assert "ended without an answer: code of the study ended it" in done.stderr
    (tmp_path / "my_models.py").write_text("\n1 / 0\n", encoding="utf-8")
    done = tosmooth("describe", "tiny.yaml", "--home", "home", cwd=tmp_path)
    assert done.returncode == 2
    said = "network.factory 'my_models:make': importing it raised ZeroDivisionError: division by zero (my_models.py:2)"
    assert said in done.stderr
    assert not (tmp_path / "home/studies").exists()

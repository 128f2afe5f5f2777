"""Weights are those of the trial that they are said to be of, or they are named."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.search.builders import record
from tests.search.conftest import Command, Finished
from tests.search.tools import tiny
from tosmooth.search.report.saved_weights import check_weights
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.reading import read_records
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.checkpointing.weights import save_weights
from tosmooth.trainables.errors import InputError


@pytest.fixture
def folder(finished: Finished, tmp_path: Path) -> StudyFolder:
    shutil.copytree(finished.home, tmp_path / "home")
    return Home(tmp_path / "home").existing("tiny")


def test_weights_fit_their_runs_and_no_other(folder: StudyFolder) -> None:
    confirmed = [run for run in read_records(folder, tiny(), None) if run.phase == "confirmation"]
    runs = [run for run in confirmed if folder.weights(run.key).exists()]
    assert len(runs) >= 4
    for run in runs:
        check_weights(folder.weights(run.key), tiny("training.test_every=2"), run, "")
        for other in runs:
            if other != run:
                with pytest.raises(InputError, match=r"holds the weights of another trial than twonorm/.*: do this"):
                    check_weights(folder.weights(other.key), tiny(), run, "do this")


def test_weights_that_changed_places_are_neither_copied_nor_analysed(folder: StudyFolder, command: Command) -> None:
    one, other, *_ = sorted((folder.path / "weights").iterdir())
    one.rename(folder.path / "kept")
    other.rename(one)
    (folder.path / "kept").rename(other)
    home = folder.path.parents[1]
    for arguments in (["best", "tiny", "--level", "clean"], ["analyse", "tiny", "--attacked", "0", "--no-student"]):
        code, out, err = command(*arguments, "--home", home)
        assert (code, out) == (2, "")
        assert "holds the weights of another trial than twonorm/clean/gls/confirmation" in err
    assert not list(Path.cwd().glob("*.safetensors"))


def test_weights_are_those_of_their_trial_wherever_its_matrix_lies_now(tmp_path: Path) -> None:
    before, now = (tiny("dataset.noise=[matrix-m]", f"dataset.matrices={{m: {file}}}") for file in ("a.csv", "b/a.csv"))
    run = record(level="twonorm/matrix-m", phase="confirmation")
    (cell,) = before.cells()
    file = tmp_path / "weights.safetensors"
    save_weights(file, {"w": torch.zeros(1)}, json.dumps(before.trial_config(cell, run.params, 0).to_dict()))
    check_weights(file, now, run, "do this")
    with pytest.raises(InputError, match="holds the weights of another trial"):
        check_weights(file, now, replace(run, train_seed=1), "do this")

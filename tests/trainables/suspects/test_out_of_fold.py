"""Networks of folds: what they say, what they share, and how it is kept."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tosmooth.trainables.checkpointing.trunks import Trunks
from tosmooth.trainables.config import DataConfig, NetworkConfig, OptimizerConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.prepare import Prepared, prepared
from tosmooth.trainables.suspects.folds import Folds
from tosmooth.trainables.suspects.out_of_fold import FoldDivergedError, FoldLogits, fold_logits

TRIAL = TrialConfig(
    data=DataConfig(dataset="twonorm", noise="symmetric-0.2", size=300, validation_fraction=0.5, test_size=20),
    network=NetworkConfig(name="mlp", width=16),
    training=TrainingConfig(epochs=4, batch_size=25, optimizer=OptimizerConfig(lr=0.1, momentum=0.9)),
)


def ready_of(folders: Folders, **changes: object) -> tuple[Prepared, Folds]:
    config = dataclasses.replace(TRIAL, **changes)  # type: ignore[arg-type]
    data = load_level(config.data, folders)
    return prepared(config, data, folders), Folds.of(data, 3, seed=0)


def test_a_fold_is_told_of_by_logits_in_float32_of_its_own_examples_alone(folders: Folders) -> None:
    ready, folds = ready_of(folders)
    said = fold_logits(ready, folds, 1)
    assert said.train.shape == ((folds.train == 1).sum(), 2)
    assert said.validation.shape == ((folds.validation == 1).sum(), 2)
    assert said.train.dtype == said.validation.dtype == np.float32
    # Better than chance by far on clean labels, although 20 % of those it learned were wrong.
    clean = ready.data.validation.clean
    assert clean is not None
    assert (said.validation.argmax(axis=1) == clean.numpy()[folds.validation == 1]).mean() > 0.7


def test_arms_of_one_fold_and_seed_share_the_warmup_and_say_the_same_without(folders: Folders, tmp_path: Path) -> None:
    ce, folds = ready_of(folders)
    negative, _ = ready_of(folders, rate=-1.0, warmup=2)
    alone = fold_logits(negative, folds, 0)
    trunks = Trunks(str(tmp_path / "trunks"), frozenset([2]))
    fold_logits(ce, folds, 0, trunks)
    (kept,) = (tmp_path / "trunks").rglob("*.trunk")
    before = kept.stat().st_mtime_ns
    shared = fold_logits(negative, folds, 0, trunks)
    assert kept.stat().st_mtime_ns == before
    assert (shared.train == alone.train).all()
    fold_logits(ce, folds, 1, trunks)  # other data: a trunk of its own
    assert len(list((tmp_path / "trunks").rglob("*.trunk"))) == 2


def test_a_network_that_diverges_says_nothing(folders: Folders) -> None:
    ready, folds = ready_of(folders, training=dataclasses.replace(TRIAL.training, optimizer=OptimizerConfig(lr=1e30)))
    with pytest.raises(FoldDivergedError):
        fold_logits(ready, folds, 0)


def test_what_is_kept_is_read_back_and_a_damaged_file_is_none(tmp_path: Path) -> None:
    said = FoldLogits(np.ones((3, 2), np.float32), np.zeros((1, 2), np.float32), diverged=1)
    said.save(tmp_path / "folds" / "a.npz")
    found = FoldLogits.read(tmp_path / "folds" / "a.npz")
    assert found is not None
    assert (found.train.tolist(), found.validation.tolist(), found.diverged) == ([[1, 1]] * 3, [[0, 0]], 1)
    assert [path.name for path in (tmp_path / "folds").iterdir()] == ["a.npz"]
    content = bytearray((tmp_path / "folds" / "a.npz").read_bytes())
    content[200] ^= 1
    (tmp_path / "folds" / "a.npz").write_bytes(content)
    assert FoldLogits.read(tmp_path / "folds" / "a.npz") is None
    (tmp_path / "folds" / "a.npz").write_bytes(content[:100])
    assert FoldLogits.read(tmp_path / "folds" / "a.npz") is None
    assert FoldLogits.read(tmp_path / "none.npz") is None


def test_what_a_kill_left_of_a_file_is_gone_when_it_is_written_again(tmp_path: Path) -> None:
    code = """
import os, sys
import numpy as np
from pathlib import Path
from tosmooth.trainables.suspects.out_of_fold import FoldLogits

np.savez = lambda *args, **arrays: os._exit(9)
FoldLogits(np.ones((3, 2)), np.zeros((1, 2))).save(Path(sys.argv[1]))
"""
    file = tmp_path / "a.npz"
    killed = subprocess.run([sys.executable, "-c", code, str(file)], cwd=ROOT)
    assert (killed.returncode, file.exists(), len(list(tmp_path.iterdir()))) == (9, False, 1)
    FoldLogits(np.ones((3, 2), np.float32), np.zeros((1, 2), np.float32)).save(file)
    assert list(tmp_path.iterdir()) == [file]

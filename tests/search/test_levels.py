"""Measuring levels in a process of its own: what it finds, what it refuses, and that none is left behind."""

import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from search.levels import Measuring, measure_levels
from tests.search.tools import tiny
from trainables.config import InputError
from trainables.folders import Folders


def folders(folder: Path) -> Folders:
    return Folders(data=folder / "data", cache=folder / "cache")


def test_levels_are_measured_by_name(tmp_path: Path) -> None:
    found = measure_levels(tiny(), folders(tmp_path))
    assert list(found) == ["twonorm/clean", "twonorm/symmetric-0.4"]
    noisy = found["twonorm/symmetric-0.4"]
    assert (noisy.classes, noisy.train_size, noisy.validation_size, noisy.test_size) == (2, 300, 300, 200)
    assert noisy.noise_rate == pytest.approx(0.4, abs=0.06)
    assert noisy.symmetric
    assert found["twonorm/clean"].noise_rate == 0


def test_a_level_with_a_matrix_is_measured_like_any_other(tmp_path: Path) -> None:
    spec = tiny("dataset.levels=[matrix-a, instance-0.3]", "dataset.matrices={a: a.csv}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("0,1\n0,1\n")
    found = measure_levels(spec, folders(tmp_path))
    assert found["twonorm/matrix-a"].noise_rate == pytest.approx(0.5, abs=0.11)  # all of class 0
    assert found["twonorm/instance-0.3"].noise_rate == pytest.approx(0.3, abs=0.1)
    (tmp_path / "data" / "a.csv").write_text("0,1\n0.5,0.4\n")
    with pytest.raises(InputError, match=r"a\.csv, row 1: 0\.9 is refused: a row sums to 1"):
        measure_levels(spec, folders(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dataset.validation_fraction=1e-9", "dataset.validation_fraction: 1e-09 is refused: at least one"),
        ("dataset.levels=[worst]", "noise level 'worst' is unknown for twonorm"),
        ("dataset.name=cifar10", "there is no CIFAR-10 here"),
        ("network={name: cnn}", "network.name: 'cnn' is refused: images take"),
    ],
)
def test_what_the_data_refuse_reaches_the_driver_as_it_was_said(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        measure_levels(tiny(change), folders(tmp_path))


def test_process_is_gone_when_the_context_ends_before_it_has_measured(tmp_path: Path) -> None:
    with Measuring(tiny(), folders(tmp_path)) as measuring:
        process = measuring._process
        assert process.poll() is None
    assert process.returncode is not None


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    table = "{train: train.parquet, image: img}"
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"img": [b"x"] * 20, "label": [0, 1] * 10}), tmp_path / "data" / "train.parquet")
    (tmp_path / "cache").write_text("a file where a folder should be")
    spec = tiny(f"dataset={{name: mine, levels: [given], table: {table}}}", "network={name: cnn}")
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'cache'}: File exists; name a folder")):
        measure_levels(spec, folders(tmp_path))


def test_modules_of_the_working_directory_are_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "search.py").write_text("raise SystemExit('a module of the user')")
    monkeypatch.chdir(tmp_path)
    assert len(measure_levels(tiny(), folders(tmp_path))) == 2


def test_process_that_dies_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(RuntimeError, match="measuring the data failed"):
        measure_levels(tiny(), folders(tmp_path))

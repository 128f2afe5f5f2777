"""Measuring levels in a process of its own: what it finds, what it refuses, and that none is left behind."""

import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.search.tools import tiny
from tosmooth.search.records import Level
from tosmooth.search.run.level_measurement import Measuring, measure_levels
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders


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


def test_a_run_is_timed_on_the_data_beside(tmp_path: Path) -> None:
    with Measuring(tiny(), folders(tmp_path)) as measuring:
        measuring.levels()
        pace = measuring.pace
    assert pace is not None
    assert 0 < pace.epoch_seconds < 10
    assert pace.network_bytes == 4 * (20 * 8 + 8 + 8 * 2 + 2)


def test_a_level_with_a_matrix_is_measured_like_any_other(tmp_path: Path) -> None:
    spec = tiny("dataset.noise=[matrix-a, instance-0.3]", "dataset.matrices={a: a.csv}")
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
        ("dataset.noise=[worst]", "noise level 'worst' is unknown for twonorm"),
        ("dataset.name=cifar10", "there is no CIFAR-10 here"),
        ("network={name: cnn}", "network.name: 'cnn' is refused: pictures take"),
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
    spec = tiny(f"dataset={{name: mine, noise: [given], table: {table}}}", "network={name: cnn}")
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'cache'}: File exists; name a folder")):
        measure_levels(spec, folders(tmp_path))


def test_modules_of_the_working_directory_are_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "search.py").write_text("raise SystemExit('a module of the user')")
    monkeypatch.chdir(tmp_path)
    assert len(measure_levels(tiny(), folders(tmp_path))) == 2


def test_process_that_the_system_ends_is_one_message(tmp_path: Path) -> None:
    with Measuring(tiny(), folders(tmp_path)) as measuring:
        measuring._process.kill()  # as when memory is short
        with pytest.raises(InputError, match=r"was ended by signal 9, perhaps for lack of memory; set dataset\.size"):
            measuring.levels()


def test_process_that_dies_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(RuntimeError, match="measuring the data failed"):
        measure_levels(tiny(), folders(tmp_path))


def of_table(folder: Path, rows: list[float], labels: list[int], *changes: str) -> Level:
    """Measure a table of one feature `f` and its label `y`."""
    (folder / "data").mkdir(exist_ok=True)
    pq.write_table(pa.table({"f": rows, "y": labels}), folder / "data" / "a.parquet")
    pq.write_table(pa.table({"f": [0.0, 1.0, 2.5, 3.5], "y": [0, 1, 1, 1]}), folder / "data" / "b.parquet")
    own = "dataset={name: mine, noise: [given], table: {train: a.parquet, test: b.parquet, features: [f], label: y}}"
    (found,) = measure_levels(tiny(own, *changes), folders(folder)).values()
    return found


def test_copies_and_frequent_labels_are_measured(tmp_path: Path) -> None:
    apart = of_table(tmp_path, [float(i // 2) for i in range(200)], [0, 1] * 100)
    assert (apart.copies, apart.shared, apart.untrained) == (0.5, 0.0, "")
    assert apart.test_shared == 0.5  # 0 and 1 are rows of the training set, 2.5 and 3.5 of none
    assert apart.test_commonest == 0.75
    spread = of_table(tmp_path, [float(i % 3) for i in range(200)], [0, 1] * 100)  # three groups: none can be held out
    assert (spread.copies, spread.shared) == (0.985, 1.0)


def test_class_that_has_no_training_example_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = [2 if i == 7 else i % 2 for i in range(40)]
    rows = [float(i) for i in range(40)]
    for seed in (5, 6):  # under 6 a split by rows alone would hold it out
        changes = ("dataset.validation_fraction=0.5", f"dataset.split_seed={seed}")
        assert of_table(tmp_path, rows, labels, *changes).untrained == ""
    assert "no training example" not in caplog.text
    assert of_table(tmp_path, rows, labels, "dataset.table.classes=[0, 1, 2, fox]").untrained == "'fox'"
    assert "class 'fox' has no training example" in caplog.text  # before anything is trained

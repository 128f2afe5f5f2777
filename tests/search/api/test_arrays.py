"""Data in memory as a study reads them: forms that people have, and what is refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray

from tosmooth.search.api.arrays import Written, written
from tosmooth.search.api.searching import _changes, _name, _proposed
from tosmooth.search.api.study import overrides
from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=(N, 4))
Y = RNG.integers(0, 3, N)
PICTURES = RNG.integers(0, 256, (N, 16, 16, 3)).astype(np.uint8)


def level(home: Path, data: Written, noise: str = "given") -> LevelData:
    """What a trial is trained on."""
    config = DataConfig(dataset="arrays", noise=noise, table=data.table, validation_fraction=0.3)
    return load_level(config, Folders(data.folder, home / "cache"))


def train_labels(home: Path, data: Written, noise: str = "given") -> list[str]:
    found = level(home, data, noise)
    rows = torch.cat([found.train.rows, found.validation.rows]).argsort()
    return [found.class_names[k] for k in torch.cat([found.train.labels, found.validation.labels])[rows]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: (X, Y),
        lambda: (X.astype(np.float32), Y.astype(np.uint8)),
        lambda: (X.astype(np.float16), Y.astype(float)),
        lambda: (X.tolist(), Y.tolist()),
        lambda: (torch.tensor(X).requires_grad_(), torch.tensor(Y)),
        lambda: (torch.tensor(X).bfloat16(), torch.tensor(Y)[:, None]),
        lambda: (np.asfortranarray(X), Y[::1]),
        lambda: (pd.DataFrame(X), pd.Series(Y)),
        lambda: (pd.DataFrame(X, index=range(5, 5 + N)), pd.Series(Y).astype("category")),
        lambda: (pa.table({f"f{i}": X[:, i] for i in range(4)}), pa.array(Y)),
    ],
)
def test_features_come_as_arrays_tensors_lists_and_tables(make: Callable[[], tuple[Any, Any]], tmp_path: Path) -> None:
    given, labels = make()
    data = written(tmp_path, given, labels)
    found = level(tmp_path, data)
    assert found.train.inputs.shape == (N, 4)
    expected = (X - X.mean(axis=0)) / X.std(axis=0)
    scaled = found.train.inputs.numpy()
    assert np.corrcoef(scaled[:, 1], expected[:, 1])[0, 1] > 0.999
    assert train_labels(tmp_path, data) == [str(y) for y in Y]
    assert found.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (PICTURES, PICTURES),
        (torch.tensor(PICTURES).permute(0, 3, 1, 2), PICTURES),
        (PICTURES[..., 0], np.repeat(PICTURES[..., :1], 3, axis=3)),
        (PICTURES / 255, PICTURES),
        (PICTURES[..., 0] > 100, np.repeat((PICTURES[..., :1] > 100) * 255, 3, axis=3)),
    ],
)
def test_pictures_come_as_bytes_floats_and_truth_values(
    pictures: Any, expected: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tosmooth.trainables.data.tables.in_memory.BLOCK", 16 * 16 * 3 * 7)  # several blocks
    found = level(tmp_path, written(tmp_path, pictures, Y))
    assert (found.train.inputs.numpy() == expected).all()


def test_labels_that_are_missing_are_left_out_and_texts_are_classes(tmp_path: Path) -> None:
    names = np.array(["cat", "dog", "fox"])[Y].tolist()
    gaps = [None if i % 10 == 0 else name for i, name in enumerate(names)]
    kept = [name for name in gaps if name is not None]
    for labels in (gaps, pd.Series(gaps), np.array(gaps, dtype=object)):
        assert train_labels(tmp_path, written(tmp_path, X, labels)) == kept
    floats = np.where(np.arange(N) % 10 == 0, np.nan, Y)
    minus = np.where(np.arange(N) % 10 == 0, -1, Y)
    numbers = [str(y) for i, y in enumerate(Y) if i % 10]
    assert train_labels(tmp_path, written(tmp_path, X, floats)) == numbers
    assert train_labels(tmp_path, written(tmp_path, X, minus, missing=[-1])) == numbers


def test_text_in_a_table_is_categories(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": X[:, 0], "colour": np.array(["red", "blue"])[Y % 2], "index": range(N)})
    found = level(tmp_path, written(tmp_path, frame, Y))
    assert found.train.inputs.shape == (N, 4)
    mixed = frame.to_numpy()  # of objects
    assert level(tmp_path, written(tmp_path, mixed, Y)).train.inputs.shape == (N, 4)


@pytest.mark.parametrize("form", ["matrix", "frame", "mapping", "table"])
def test_annotators_vote(form: str, tmp_path: Path) -> None:
    votes = {f"a{i}": np.where(RNG.random(N) < 0.2, np.nan, Y) for i in range(3)}
    annotators: Any = {
        "matrix": np.stack(list(votes.values()), axis=1),
        "frame": pd.DataFrame(votes),
        "mapping": votes,
        "table": pa.table({name: pa.array(each, from_pandas=True) for name, each in votes.items()}),
    }[form]
    seen = ~np.isnan(np.stack(list(votes.values()))).all(axis=0)
    data = written(tmp_path, X, None, annotators=annotators)
    assert train_labels(tmp_path, data, "majority") == [str(y) for y in Y[seen]]
    assert len(train_labels(tmp_path, data, "soft")) == seen.sum()


def test_clean_labels_and_a_test_set_are_used(tmp_path: Path) -> None:
    noisy = np.where(RNG.random(N) < 0.3, (Y + 1) % 3, Y)
    data = written(tmp_path, X, noisy, X[:20], Y[:20], clean=Y)
    found = level(tmp_path, data)
    assert found.noise_rate == pytest.approx((noisy != Y).mean())
    assert found.test is not None
    assert len(found.test) == 20


HOLES = np.where(np.arange(N) % 7 == 0, np.nan, X.T).T


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: HOLES, [f"x{i}" for i in range(4)]),
        (lambda: torch.tensor(HOLES), [f"x{i}" for i in range(4)]),
        (lambda: pd.DataFrame(HOLES, columns=list("abcd")), list("abcd")),
        (
            lambda: pa.table({name: pa.array(HOLES[:, i], from_pandas=True) for i, name in enumerate("abcd")}),
            list("abcd"),
        ),
    ],
    ids=["array", "tensor", "pandas", "arrow"],
)
def test_gaps_are_imputed_whatever_holds_them(make: Callable[[], Any], names: list[str], tmp_path: Path) -> None:
    data = written(tmp_path, make(), Y, make(), Y)
    found = level(tmp_path, data)
    assert data.table.impute == "median"
    assert found.preprocessing is not None
    assert [column.name for column in found.preprocessing.columns] == names
    assert found.train.inputs.shape[1] == 8  # each has a feature that says where it has a gap
    assert found.train.inputs.isfinite().all()


def test_gaps_of_the_test_set_alone_are_imputed_too(tmp_path: Path) -> None:
    train, test = pd.DataFrame({"n": range(N)}), pd.DataFrame({"n": [None, *range(N - 1)]})  # whole numbers and floats
    found = level(tmp_path, written(tmp_path, train, Y, test, Y))
    assert found.preprocessing is not None
    assert found.preprocessing.fitted.names == ("n",)
    assert found.test is not None
    raw = found.test.inputs[0] * found.preprocessing.std[0] + found.preprocessing.mean[0]
    assert raw.item() == pytest.approx(29.5, abs=1e-4)


def test_the_same_data_are_written_once_and_others_beside_them(tmp_path: Path) -> None:
    first, again = written(tmp_path, X, Y), written(tmp_path, X.copy(), Y.tolist())
    other = written(tmp_path, X, (Y + 1) % 3)
    assert first.folder == again.folder != other.folder
    assert sorted(each.name for each in (tmp_path / "arrays").iterdir()) == sorted([first.digest, other.digest])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda home: written(home, X, Y[:-1]), "y: '59 labels' is refused: one for each of the 60 rows"),
        (lambda home: written(home, X, Y + 0.5), "y: .* labels are classes"),
        (lambda home: written(home, X, np.eye(3)[Y]), r"y: \[60, 3\] is refused: one label for each row"),
        (lambda home: written(home, X, None), "y: None is refused"),
        (lambda home: written(home, X, Y, X_test=X), "X_test, y_test: 'one of them' is refused"),
        (lambda home: written(home, X, Y, X[:, :3], Y), "X_test: .* is refused: as X"),
        (lambda home: written(home, X[:, 0], Y), r"X: \[60\] is refused"),
        (lambda home: written(home, X[:0], Y[:0]), r"X: \[0, 4\] is refused"),
        (lambda home: written(home, X * 1j, Y), "X: 'complex128' is refused: real numbers"),
        (lambda home: written(home, [[1.0], [1.0, 2.0]], [0, 1]), "X: is refused: an array, whose rows"),
        (lambda home: written(home, X, ["a", 1] * 30), "y: is refused: labels of one kind"),
        (lambda home: written(home, X, Y, annotators={"one": Y}), "annotators: .* two or more"),
        (lambda home: written(home, pd.DataFrame({"label": X[:, 0]}), Y), "X: 'label' is refused"),
        (lambda home: level(home, written(home, np.where(X > 2, np.inf, X), Y)), "row"),
        (
            lambda home: written(home, pd.DataFrame({"a": X[:, 0]}), Y, pd.DataFrame({"a": list("xy") * 30}), Y),
            "X_test",
        ),
        (lambda home: level(home, written(home, PICTURES / 100, Y)), "input"),
        (lambda home: level(home, written(home, X, np.arange(N))), "class"),
    ],
)
def test_what_does_not_fit_is_named(call: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        call(tmp_path)


def test_the_study_is_the_one_that_init_proposes_changed_as_asked(tmp_path: Path) -> None:
    data = written(tmp_path, X, Y)
    folders = Folders(data.folder, tmp_path / "cache")
    plain = _proposed(data.table, folders, [], None)
    assert (plain.network.name, plain.training.epochs, plain.budget, plain.confirmation.seeds) == ("mlp", 40, 16, 5)
    changed = _proposed(data.table, folders, overrides(_changes({"name": "mlp", "width": 9}, 5, 7, 3)), 11)
    assert (changed.network.width, changed.training.epochs, changed.budget) == (9, 5, 7)
    assert (changed.confirmation.seeds, changed.seed, changed.space["warmup"].extremes) == (3, 11, (0, 3))
    more = _proposed(data.table, folders, ["search.trials=40"], None)
    assert _name(data.digest, plain) == _name(data.digest, more) != _name(data.digest, changed)
    pictures = written(tmp_path, PICTURES, Y)
    assert _proposed(pictures.table, Folders(pictures.folder, tmp_path / "cache"), [], None).network.name == "cnn"


def test_the_package_search_is_called_whatever_was_imported_before() -> None:
    script = """
import tosmooth as ts
for _ in range(2):
    try:
        ts.search([[1.0], [2.0]], [0])
    except ts.InputError as error:
        print(error)
    import tosmooth.search.columns
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == second
    assert "1" in first

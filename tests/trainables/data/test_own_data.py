"""The user's own Parquet, of features and of pictures. Generated and bundled sets are in test_datasets.py."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

if TYPE_CHECKING:
    from tests.trainables.conftest import SmallCifar

Save = Callable[..., Path]
RNG = np.random.default_rng(0)
CLEAN = np.arange(60) % 3
GIVEN = np.where(np.arange(60) < 15, (CLEAN + 1) % 3, CLEAN)  # 15 of 60 are wrong
COLUMNS = {"a": RNG.normal(5, 3, 60), "b": RNG.integers(0, 9, 60), "label": GIVEN, "clean": CLEAN}
FEATURES = TableSource(train="train.parquet", features=("a", "b"))
BOTH = dataclasses.replace(FEATURES, clean_label="clean")


def in_order(data: LevelData) -> torch.Tensor:
    """Labels of train and validation by row."""
    rows = torch.cat([data.train.rows, data.validation.rows])
    return torch.cat([data.train.labels, data.validation.labels])[rows.argsort()]


def load_table(folders: Folders, table: TableSource, **config: Any) -> LevelData:
    return load_level(DataConfig(**{"dataset": "mine", "noise": "given", "table": table, **config}), folders)


def test_table_without_clean_labels_leaves_what_needs_them_unknown(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", **COLUMNS)
    data = load_table(folders, FEATURES)
    assert in_order(data).tolist() == GIVEN.tolist()
    assert (data.noise_rate, data.symmetric, data.test, data.classes) == (None, False, None, 3)
    noisier = load_table(folders, FEATURES, noise="symmetric-0.5")
    assert (noisier.noise_rate, noisier.symmetric) == (None, False)
    assert in_order(noisier).tolist() != GIVEN.tolist()
    with pytest.raises(InputError, match=r"'clean' is refused: it needs clean labels, dataset\.table\.clean_label"):
        load_table(folders, FEATURES, noise="clean")
    with pytest.raises(InputError, match=r"dataset\.test_size: 5 is refused: this data has no test set"):
        load_table(folders, FEATURES, test_size=5)


def test_table_with_clean_labels_measures_its_noise(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", **COLUMNS)
    given = load_table(folders, BOTH)
    assert (given.noise_rate, given.symmetric) == (0.25, False)
    clean = load_table(folders, BOTH, noise="clean")
    assert (clean.noise_rate, in_order(clean).tolist()) == (0.0, CLEAN.tolist())
    drawn = load_table(folders, BOTH, noise="symmetric-0.5")
    assert drawn.symmetric
    assert drawn.noise_rate == (in_order(drawn).numpy() != CLEAN).mean()


def test_features_of_a_table_are_standardised_by_the_train_rows(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", **COLUMNS)
    save(folders.data / "test.parquet", a=COLUMNS["a"][:10], b=COLUMNS["b"][:10], label=CLEAN[:10])
    data = load_table(folders, dataclasses.replace(FEATURES, test="test.parquet"))
    rows = data.train.rows.numpy()
    expected = np.stack(
        [(COLUMNS[k][:10] - COLUMNS[k][rows].mean()) / COLUMNS[k][rows].std() for k in ("a", "b")], axis=1
    )
    assert data.test is not None
    np.testing.assert_allclose(data.test.inputs, expected, atol=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        1_760_000_000 + 20 * CLEAN + RNG.uniform(0, 12, 60),  # times in seconds since 1970
        1_760_000_000_000_000_000 + 20_000_000_000 * CLEAN,  # in nanoseconds, whole
        -3e30 + 1e25 * CLEAN,
        5e6 + 0.5 * CLEAN,  # a counter with a fraction
    ],
)
def test_feature_far_from_zero_keeps_its_spread(values: NDArray[Any], folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", a=values, b=COLUMNS["b"], label=GIVEN)
    save(folders.data / "test.parquet", a=values[:10], b=COLUMNS["b"][:10], label=CLEAN[:10])
    data = load_table(folders, dataclasses.replace(FEATURES, test="test.parquet"))
    rows, exact = data.train.rows.numpy(), np.array([float(int(v) - int(values[0])) + float(v % 1) for v in values])
    if values.dtype.kind == "f":
        exact = values - values[0]
    expected = (exact - exact[rows].mean()) / exact[rows].std()
    assert data.test is not None
    np.testing.assert_allclose(data.train.inputs[:, 0], expected, atol=1e-3)
    np.testing.assert_allclose(data.test.inputs[:, 0], expected[:10], atol=1e-3)


def test_feature_whose_values_no_float_tells_apart_is_refused(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", a=1e9 + 1e-7 * np.arange(60), b=COLUMNS["b"], label=GIVEN)
    with pytest.raises(
        InputError, match=r"column 'a': its values, near 1\d+.*, differ by .*: numbers of float64 keep 15"
    ):
        load_table(folders, FEATURES)


def test_features_near_zero_are_read_as_before(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", **COLUMNS)
    assert load_table(folders, FEATURES).digest == "9adc2d9aef0bc1cf"  # of a study that the version before ran


def test_table_of_pictures_is_read(folders: Folders, save: Save, small_cifar: "SmallCifar") -> None:
    small_cifar.write_parquet(folders.data, save)
    table = TableSource(train="cifar10/train.parquet", test="cifar10/test.parquet", image="img")
    data = load_table(folders, table, test_size=5)
    assert (data.train.inputs[data.train.rows].numpy() == small_cifar.train[data.train.rows]).all()
    assert in_order(data).tolist() == small_cifar.train_labels.tolist()
    assert data.mean == pytest.approx(small_cifar.train.mean(axis=(0, 1, 2)) / 255)
    assert data.test is not None
    assert data.test.labels.tolist() == small_cifar.test_labels[data.test.rows].tolist()
    assert len(data.test) == 5


@pytest.mark.parametrize(
    ("column", "content", "rule"),
    [
        ("label", GIVEN * 0, r"column 'label': only the class '0': two classes or more"),
        (
            "label",
            GIVEN / 2,
            r"column 'label', .*train\.parquet, row 0: 0\.5 is refused: a label is text or a whole number",
        ),
        ("label", np.arange(60), r"column 'label': 60 classes in 60 rows"),
        ("label", [None] * 60, r"column 'label': no label at all: two classes or more"),
        ("a", [*range(59), None], r"train\.parquet, row 59, column 'a': is empty"),
        (
            "a",
            [*range(7), float("nan"), *range(52)],
            r"train\.parquet, row 7, column 'a': nan is refused: a finite number",
        ),
        (
            "a",
            [*range(7), 1e300, *range(52)],
            r"train\.parquet, row 7, column 'a': 1e\+300 is refused: a finite number",
        ),
        ("b", ["x"] * 60, r"column 'b': .*categorical: onehot"),
    ],
)
def test_wrong_table_is_named_by_file_and_rule(
    folders: Folders, save: Save, column: str, content: Any, rule: str
) -> None:
    save(folders.data / "train.parquet", **{**COLUMNS, column: content})
    with pytest.raises(InputError, match=rule):
        load_table(folders, FEATURES)


def test_table_that_is_missing_or_lacks_columns_is_refused(folders: Folders, save: Save) -> None:
    with pytest.raises(InputError, match=r"table\.train: 'train\.parquet': there is no such file in .*--data-dir"):
        load_table(folders, FEATURES)
    save(folders.data / "train.parquet", **COLUMNS)
    with pytest.raises(
        InputError, match=r"table\.features: .*train\.parquet has no column 'c': its columns are a, b, label, clean"
    ):
        load_table(folders, dataclasses.replace(FEATURES, features=("a", "c")))
    for column in ("label", "clean"):
        with pytest.raises(
            InputError, match=rf"table\.features: '{column}' is refused: a column of labels is no feature"
        ):
            dataclasses.replace(FEATURES, label="label", clean_label="clean", features=("a", column))


def test_test_set_that_does_not_fit_its_training_set_is_refused(
    folders: Folders, save: Save, small_cifar: "SmallCifar"
) -> None:
    save(folders.data / "train.parquet", **COLUMNS)
    save(folders.data / "test.parquet", **{**COLUMNS, "label": CLEAN + 1})
    data = load_table(folders, dataclasses.replace(FEATURES, test="test.parquet"))
    assert data.remarks == ("33.3 % of the test set are of classes that no training row has: '3'",)
    save(folders.data / "test.parquet", **{**COLUMNS, "label": CLEAN + 10})
    with pytest.raises(
        InputError, match=r"the test set's 'label': its classes are '10', '11', '12', .* no class is in both"
    ):
        load_table(folders, dataclasses.replace(FEATURES, test="test.parquet"))
    small_cifar.write_parquet(folders.data, save)
    half = dataclasses.replace(small_cifar, test=small_cifar.test[:, :16])
    half.write_parquet(folders.data, save, train="other.parquet")
    with pytest.raises(
        InputError, match=r"table\.test: pictures: \[16, 32, 3\] is refused: .*, \[32, 32, 3\]: .*size makes them so"
    ):
        load_table(folders, TableSource(train="cifar10/train.parquet", test="cifar10/test.parquet", image="img"))

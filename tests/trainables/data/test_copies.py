"""Equal examples stay on one side of the split; data without any are split as ever."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.copies import held_out, keys_of
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.files.folders import Folders

Save = Callable[..., Path]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_equal_rows_have_equal_keys_and_others_do_not() -> None:
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, np.nextafter(1, 2)], [0.0, 1.0]])
    assert len(set(keys_of(rows).tolist())) == 2
    assert len(set(keys_of(np.arange(3000, dtype=np.float32)[:, None]).tolist())) == 3000


@pytest.mark.parametrize(
    ("config", "digest"),  # of the version before copies were looked for
    [
        (DataConfig(dataset="ringnorm", size=300, test_size=50), "e61499d7229fd62f"),
        (DataConfig(dataset="digits", noise="pairflip-0.2", split_seed=1), "72a66334e0d7f4c4"),
        (DataConfig(dataset="wine"), "9dcfd8e83982d99d"),
        (DataConfig(dataset="iris"), "c1e8c5c299a84e44"),  # has two equal rows, which lay on one side anyway
    ],
)
def test_data_without_copies_are_split_as_before(config: DataConfig, digest: str, folders: Folders) -> None:
    assert load_level(config, folders).digest == digest


def features(folders: Folders, save: Save, rows: NDArray[np.int64], fraction: float = 0.25) -> LevelData:
    """A table of one feature, by whose value its label goes."""
    save(folders.data / "t.parquet", f=rows.astype(float), label=rows % 2)
    table = TableSource(train="t.parquet", features=("f",))
    return load_level(DataConfig(dataset="mine", noise="given", table=table, validation_fraction=fraction), folders)


def apart(data: LevelData) -> bool:
    return not np.isin(data.validation.keys, data.train.keys).any()


@pytest.mark.parametrize("copies", [2, 4, 20])
def test_copies_stay_on_one_side(copies: int, folders: Folders, save: Save, rng: np.random.Generator) -> None:
    data = features(folders, save, rng.permutation(np.repeat(np.arange(150), copies)))
    assert apart(data)
    assert len(data.validation) == pytest.approx(150 * copies / 4, abs=2 * copies)
    assert len(data.train) + len(data.validation) == 150 * copies


def test_a_few_copies_move_few_rows(folders: Folders, save: Save) -> None:
    alone = np.arange(400)
    before, after = (features(folders, save, rows) for rows in (alone, np.where(alone < 8, alone // 2, alone)))
    assert apart(after)
    assert len(after.validation) in (99, 100)
    assert len(set(before.validation.rows.tolist()) ^ set(after.validation.rows.tolist())) <= 8


def test_a_group_larger_than_the_validation_is_trained_on_and_leaves_it_others(folders: Folders, save: Save) -> None:
    data = features(folders, save, np.r_[np.zeros(900, int), 1:101])
    assert apart(data)
    assert len(data.validation) == 25  # a quarter of the 101 groups, and so not all that are unlike the large one


def test_whatever_the_groups_both_sides_have_examples(rng: np.random.Generator) -> None:
    for n in range(4, 60):
        order, keys = rng.permutation(n), rng.integers(0, rng.integers(1, n + 1), n)
        assert 0 < held_out(order, keys, rng.integers(0, 3, n), max(1, n // 3)).sum() < n


@pytest.mark.parametrize("distinct", [1, 4, 24])
def test_so_few_distinct_rows_are_spread_as_all_rows_are(
    distinct: int, folders: Folders, save: Save, rng: np.random.Generator
) -> None:
    order, keys = rng.permutation(400), rng.integers(0, distinct, 400)
    assert held_out(order, keys, order % 2, 40).nonzero()[0].tolist() == list(range(40))


def test_many_labels_of_few_examples_leave_a_validation(folders: Folders, rng: np.random.Generator) -> None:
    order = rng.permutation(2000)
    keys, labels = order // 2, order // 4  # 500 labels of two examples, each there twice
    held = held_out(order, keys, labels, 200)
    assert held.sum() == pytest.approx(200, abs=4)
    assert not set(keys[held].tolist()) & set(keys[~held].tolist())
    assert set(labels[~held].tolist()) == set(range(500))


def test_labels_keep_their_shares_where_one_of_them_was_oversampled(
    folders: Folders, save: Save, rng: np.random.Generator
) -> None:
    rows = np.r_[2 * np.arange(400), np.repeat(1 + 2 * np.arange(20), 20)]  # label 1: 20 examples 20 times each
    data = features(folders, save, rng.permutation(rows), 0.1)
    assert apart(data)
    assert data.validation.labels.bincount().tolist() == [40, 40]
    assert data.train.labels.bincount().tolist() == [360, 360]


def test_equal_rows_with_other_labels_are_copies_too(folders: Folders, save: Save) -> None:
    rows = np.repeat(np.arange(100), 2)
    save(folders.data / "t.parquet", f=rows.astype(float), label=np.arange(200) % 2)
    table = TableSource(train="t.parquet", features=("f",))
    assert apart(load_level(DataConfig(dataset="mine", noise="given", table=table), folders))


def test_pictures_are_copies_when_they_decode_to_the_same(
    folders: Folders, save: Save, rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, 256, (40, 8, 8, 3), np.uint8)

    def packed(one: NDArray[np.uint8], kind: str) -> bytes:
        file = io.BytesIO()
        Image.fromarray(one).save(file, kind)
        return file.getvalue()

    both = [packed(one, kind) for kind in ("PNG", "BMP") for one in pixels]
    save(folders.data / "p.parquet", img=both, label=[*range(2)] * 40)
    table = TableSource(train="p.parquet", image="img")
    config = DataConfig(dataset="mine", noise="given", table=table, validation_fraction=0.25)
    data = load_level(config, folders)
    assert apart(data)
    assert (len(data.train), len(data.validation)) == (60, 20)
    assert data.digest == load_level(config, folders).digest  # decoded, then from the cache


def test_every_class_is_trained_on_whatever_labels_equal_examples_have(rng: np.random.Generator) -> None:
    for n in range(12, 80):
        order, keys = rng.permutation(n), rng.integers(0, n, n)
        labels = np.minimum(rng.geometric(0.4, n), 5)
        held = held_out(order, keys, labels, n // 4)
        assert set(labels[~held].tolist()) == set(labels.tolist())
        assert 0 < held.sum() <= n // 2

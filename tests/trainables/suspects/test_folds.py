"""Folds: each example is judged by a network that was trained neither on it nor on its equals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.suspects.folds import Folds, without


def level(folders: Folders, **changes: object) -> LevelData:
    values: dict[str, object] = {"dataset": "twonorm", "noise": "symmetric-0.2", "size": 100, "test_size": 20}
    return load_level(DataConfig(**values | {"validation_fraction": 0.3} | changes), folders)  # type: ignore[arg-type]


def test_each_class_is_spread_evenly_over_the_folds_of_training_set_and_validation(folders: Folders) -> None:
    data = level(folders)
    folds = Folds.of(data, 4, seed=0)
    for split, of in ((data.train, folds.train), (data.validation, folds.validation)):
        for k in (0, 1):
            counts = np.bincount(of[split.labels.numpy() == k], minlength=4)
            assert counts.max() - counts.min() <= 1, (k, counts)
    assert folds.unseen(data) == 0


def test_the_same_seed_gives_the_same_folds_and_another_others(folders: Folders) -> None:
    data = level(folders)
    assert (Folds.of(data, 4, 0).train == Folds.of(data, 4, 0).train).all()
    assert (Folds.of(data, 4, 0).train != Folds.of(data, 4, 1).train).any()


def test_equal_examples_share_a_fold_also_across_training_set_and_validation(folders: Folders) -> None:
    data = level(folders)
    keys = np.arange(70) // 2  # 35 pairs
    validation_keys = np.arange(30)  # each equals a pair of the training set
    data = replace(
        data,
        train=replace(data.train, known_keys=keys),
        validation=replace(data.validation, known_keys=validation_keys),
    )
    folds = Folds.of(data, 5, seed=3)
    assert (folds.train[0::2] == folds.train[1::2]).all()
    assert (folds.validation == folds.train[0:60:2]).all()


def test_a_network_of_a_fold_trains_on_none_of_it_and_sees_no_label_of_the_validation(folders: Folders) -> None:
    data = level(folders)
    folds = Folds.of(data, 5, seed=0)
    parts = [without(data, folds, fold) for fold in range(5)]
    own = set(data.train.rows.tolist())
    for fold, part in enumerate(parts):
        held = set(data.train.rows[torch.from_numpy(folds.train == fold)].tolist())
        assert set(part.train.rows.tolist()) == own - held
        assert set(part.validation.rows.tolist()) == held  # the study's own validation is in neither
        assert part.test is None
    assert len({part.digest for part in parts} | {data.digest}) == 6  # trunks are kept by it


def test_a_class_of_one_example_is_counted_as_one_that_no_other_fold_trains_on(folders: Folders) -> None:
    data = level(folders)
    labels = data.train.labels.clone()
    labels[0] = 2
    data = replace(data, classes=3, train=replace(data.train, labels=labels))
    assert Folds.of(data, 5, seed=0).unseen(data) == 1


@pytest.mark.parametrize("number", [1, 71])
def test_a_number_of_folds_that_cannot_be_is_refused(number: int, folders: Folders) -> None:
    with pytest.raises(InputError, match=f"--folds: {number} is refused: at least 2, and at most the 70 distinct"):
        Folds.of(level(folders), number, seed=0)

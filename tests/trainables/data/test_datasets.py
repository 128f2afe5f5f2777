"""Noise levels as trials see them: generated, bundled and the user's own."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor

from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.cifar import read
from tosmooth.trainables.data.datasets import DATASETS, Dataset, LevelData, Split, find_dataset, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

if TYPE_CHECKING:
    from tests.trainables.conftest import SmallCifar

Save = Callable[..., Path]
RNG = np.random.default_rng(0)


def tensors(data: LevelData) -> list[Tensor]:
    splits = [data.train, data.validation, *([data.test] if data.test else [])]
    return [tensor for split in splits for tensor in (split.inputs, split.rows, split.labels)]


def values(split: Split | None) -> Tensor:
    assert split is not None
    return split.inputs[split.rows]


def test_twonorm_has_its_published_means_and_variance(folders: Folders) -> None:
    data = load_level(DataConfig(dataset="twonorm"), folders)
    assert (len(data.train), len(data.validation), data.test and len(data.test)) == (22_500, 2_500, 10_000)
    points, labels = values(data.train), data.train.labels
    for label, sign in ((0, -1), (1, 1)):
        own = points[labels == label]  # about 11,250 points: 5 standard deviations of the mean are 0.047
        assert own.mean(dim=0).tolist() == pytest.approx([sign * 2 / 20**0.5] * 20, abs=0.047)
        assert own.var(dim=0).tolist() == pytest.approx([1.0] * 20, abs=0.067)
    assert labels.float().mean().item() == pytest.approx(0.5, abs=0.017)


def test_twonorm_is_separable_to_the_known_accuracy(folders: Folders) -> None:
    data = load_level(DataConfig(dataset="twonorm"), folders)
    assert data.test is not None
    best = (values(data.test).sum(dim=1) > 0).long()  # the best rule there is: Phi(2) = 97.72 %
    assert (best == data.test.labels).double().mean().item() == pytest.approx(0.9772, abs=0.0075)


def test_sizes_of_twonorm_do_not_disturb_each_other(folders: Folders) -> None:
    one = load_level(DataConfig(dataset="twonorm", size=100, test_size=50), folders)
    other = load_level(DataConfig(dataset="twonorm", size=200, test_size=70), folders)
    assert torch.equal(one.train.inputs, other.train.inputs[:100])
    assert torch.equal(values(one.test), values(other.test)[:50])


@pytest.mark.parametrize("dataset", ["twonorm", "digits"])
def test_same_seeds_give_the_same_arrays(folders: Folders, dataset: str) -> None:
    config = DataConfig(dataset=dataset, noise="symmetric-0.3", noise_seed=3, split_seed=4)
    one, other = load_level(config, folders), load_level(config, folders)
    assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))
    assert one.digest == other.digest


def test_split_seed_leaves_points_and_noise_as_they_are(folders: Folders) -> None:
    config = DataConfig(dataset="twonorm", noise="symmetric-0.3", size=1000)
    one, other = load_level(config, folders), load_level(dataclasses.replace(config, split_seed=1), folders)
    assert not torch.equal(one.validation.rows, other.validation.rows)
    assert torch.equal(one.train.inputs, other.train.inputs)
    assert torch.equal(in_order(one), in_order(other))
    assert one.digest != other.digest


def test_noise_seed_leaves_the_split_as_it_is(folders: Folders) -> None:
    config = DataConfig(dataset="digits", noise="symmetric-0.3")
    one, other = load_level(config, folders), load_level(dataclasses.replace(config, noise_seed=1), folders)
    assert torch.equal(one.validation.rows, other.validation.rows)
    assert not torch.equal(in_order(one), in_order(other))
    assert one.test is not None
    assert other.test is not None
    assert torch.equal(one.test.labels, other.test.labels)
    assert one.digest != other.digest


def in_order(data: LevelData) -> Tensor:
    """Labels of train and validation by row."""
    rows = torch.cat([data.train.rows, data.validation.rows])
    return torch.cat([data.train.labels, data.validation.labels])[rows.argsort()]


def test_levels_of_one_data_set_share_their_examples(folders: Folders) -> None:
    clean, noisy = (load_level(DataConfig(dataset="digits", noise=n), folders) for n in ("clean", "pairflip-0.4"))
    assert torch.equal(clean.train.rows, noisy.train.rows)
    assert torch.equal(clean.train.inputs, noisy.train.inputs)
    assert clean.digest != noisy.digest
    changed = (in_order(noisy) - in_order(clean)) % 10
    assert set(changed.tolist()) == {0, 1}  # pairflip: the next class or none
    assert noisy.noise_rate == (changed == 1).double().mean().item()


@pytest.mark.parametrize(
    (
        "dataset",
        "rows",
        "features",
        "classes",
    ),  # of scikit-learn: 1797, 569, 178, 150 rows, a third of them for the test
    [("digits", 1797, 64, 10), ("breast_cancer", 569, 30, 2), ("wine", 178, 13, 3), ("iris", 150, 4, 3)],
)
def test_bundled_sets_are_split_in_three_and_standardised(
    folders: Folders, dataset: str, rows: int, features: int, classes: int
) -> None:
    data = load_level(DataConfig(dataset=dataset), folders)
    assert data.test is not None
    assert len(data.test) == rows // 3
    assert len(data.train) + len(data.validation) == rows - rows // 3
    assert len(data.validation) == round(0.1 * (rows - rows // 3))
    assert (data.classes, data.noise_rate, data.symmetric) == (classes, 0.0, True)
    assert (data.mean, data.std) == ((0.0,), (1.0,))
    train = values(data.train).double()
    assert train.shape[1] == features
    assert train.mean(dim=0).abs().max() < 1e-5
    assert all(abs(std - 1) < 1e-5 or std == 0 for std in train.std(dim=0, correction=0).tolist())
    assert all(torch.isfinite(values(split)).all() for split in (data.train, data.validation, data.test))


def test_test_size_says_how_many_are_held_out(folders: Folders) -> None:
    data = load_level(DataConfig(dataset="iris", test_size=100), folders)
    assert data.test is not None
    assert (len(data.test), len(data.train) + len(data.validation)) == (100, 50)
    with pytest.raises(InputError, match=r"dataset\.test_size: 141 is refused: at most 140"):
        load_level(DataConfig(dataset="iris", test_size=141), folders)


def test_size_cuts_by_the_split_seed_and_a_smaller_cut_lies_in_a_larger(folders: Folders) -> None:
    cuts = [load_level(DataConfig(dataset="digits", size=size, noise="symmetric-0.5"), folders) for size in (100, 300)]
    rows = [set(data.train.rows.tolist()) | set(data.validation.rows.tolist()) for data in cuts]
    assert [len(data.train) for data in cuts] == [90, 270]
    assert [len(one) for one in rows] == [100, 300]
    assert rows[0] < rows[1]
    with pytest.raises(InputError, match=r"dataset\.size: 5000 is refused: there are 1198 examples"):
        load_level(DataConfig(dataset="digits", size=5000), folders)


def test_validation_without_an_example_is_refused(folders: Folders) -> None:
    with pytest.raises(InputError, match=r"dataset\.validation_fraction: 0\.01 is refused: at least one of the 10"):
        load_level(DataConfig(dataset="twonorm", size=10, validation_fraction=0.01), folders)


def test_noise_that_is_even_is_called_symmetric(folders: Folders) -> None:
    def symmetric(dataset: str, noise: str) -> bool:
        return load_level(DataConfig(dataset=dataset, noise=noise), folders).symmetric

    assert symmetric("digits", "symmetric-0.3")
    assert not symmetric("digits", "pairflip-0.3")
    assert symmetric("breast_cancer", "pairflip-0.3")  # of two classes the next is the only other


def test_unknown_data_set_lists_the_nearest_first(folders: Folders) -> None:
    rule = r"dataset\.name: 'cifar1O' is unknown: one of cifar10, cifar10n, .*dataset\.table"
    with pytest.raises(InputError, match=rule):
        load_level(DataConfig(dataset="cifar1O"), folders)


@pytest.mark.parametrize(
    ("dataset", "noise", "known"),
    [
        ("cifar10n", "wurst", "worst, "),
        ("cifar100n", "worst", r".*noisy"),
        ("cifar10", "aggre", r".*asymmetric-E"),
        ("twonorm", "asymmetric-0.2", "symmetric-E, "),
        ("digits", "given", r".*clean"),
    ],
)
def test_unknown_level_lists_those_of_this_data_set(dataset: str, noise: str, known: str) -> None:
    with pytest.raises(InputError, match=rf"'{noise}' is unknown for {dataset}: one of {known}"):
        find_dataset(DataConfig(dataset=dataset, noise=noise))


def test_every_data_set_lists_its_levels() -> None:
    files = ["matrix-NAME", "cleaned-NAME"]
    assert DATASETS["twonorm"].levels() == ["clean", "symmetric-E", "pairflip-E", "instance-E", *files]
    human = ["aggre", "random1", "random2", "random3", "worst"]
    like, drawn = [f"like-{name}" for name in human], ["symmetric-E", "pairflip-E", "asymmetric-E", "instance-E"]
    assert DATASETS["cifar10"].levels() == ["clean", *drawn, *like, *files]
    assert DATASETS["cifar10n"].levels() == ["clean", *human, *drawn, *like, *files]
    assert DATASETS["cifar100n"].levels() == ["clean", "noisy", *drawn, "like-noisy", *files]


def test_human_labels_follow_their_images_through_subset_and_split(
    small_cifar: "SmallCifar", folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_cifar.unpack(folders.data)
    worst = small_cifar.train_labels.copy()
    worst[::2] = (worst[::2] + 1) % 10  # 25 of 50, at the even rows
    torch.save({"clean_label": small_cifar.train_labels, "worse_label": worst}, folders.data / "CIFAR-10_human.pt")
    dataset = Dataset(partial(read, small_cifar.about), human=small_cifar.about.human)
    monkeypatch.setitem(DATASETS, "cifar10n", dataset)
    data = load_level(DataConfig(dataset="cifar10n", noise="worst", size=20), folders)
    rows, labels = (
        torch.cat([data.train.rows, data.validation.rows]),
        torch.cat([data.train.labels, data.validation.labels]),
    )
    assert labels.tolist() == worst[rows].tolist()
    assert data.noise_rate == (rows % 2 == 0).double().mean().item()
    assert (values(data.train).numpy() == small_cifar.train[data.train.rows]).all()
    assert data.test is not None
    assert data.test.labels.tolist() == small_cifar.test_labels.tolist()

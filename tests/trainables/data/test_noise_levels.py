"""Levels by their names: matrices from files, noise like that of people, noise that depends on the example."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.cifar import read
from tosmooth.trainables.data.datasets import DATASETS, Dataset, LevelData, find_dataset, load_level
from tosmooth.trainables.data.noise_levels import pattern
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.synthetic import Synthetic, transition_matrix

if TYPE_CHECKING:
    from tests.trainables.conftest import SmallCifar
    from tests.trainables.data.test_datasets import Save

FLIP = "0.9,0.1,0\n0,0.5,0.5\n0,0,1\n"


def in_order(data: LevelData) -> Tensor:
    """Labels of train and validation by row."""
    rows = torch.cat([data.train.rows, data.validation.rows])
    return torch.cat([data.train.labels, data.validation.labels])[rows.argsort()]


def waveform(noise: str, folders: Folders, **config: Any) -> LevelData:
    return load_level(DataConfig(dataset="waveform", noise=noise, **config), folders)


def put(folders: Folders, content: str, name: str = "mine.csv") -> Path:
    folders.data.mkdir(exist_ok=True)
    path = folders.data / name
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("noise", "listed"),
    [
        ("symmetric-0.4", "symmetric-E"),
        ("instance-.3", "instance-E"),
        ("matrix-mine", "matrix-NAME"),
        ("matrix-0.4", "matrix-NAME"),
        ("matrix-", "matrix-"),
        ("matrix", "matrix"),
        ("like-worst", "like-worst"),
        ("clean", "clean"),
    ],
)
def test_names_of_levels_are_listed_by_their_kind(noise: str, listed: str) -> None:
    assert pattern(noise) == listed


def test_labels_are_drawn_by_the_matrix_of_a_file(folders: Folders) -> None:
    put(folders, FLIP)
    data, clean = waveform("matrix-mine", folders, matrix="mine.csv"), waveform("clean", folders)
    assert data.transition is not None
    np.testing.assert_allclose(data.transition, [[0.9, 0.1, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]], atol=0.028)
    assert (data.transition == 0).sum() == 4  # what has no probability never happens: it is exactly zero
    assert data.noise_rate == (in_order(data) != in_order(clean)).double().mean().item()
    assert (data.symmetric, clean.symmetric) == (False, True)
    assert data.digest == waveform("matrix-mine", folders, matrix="mine.csv").digest


def test_what_a_matrix_holds_is_in_the_digest_and_where_it_lies_is_not(folders: Folders) -> None:
    path = put(folders, FLIP)
    before = waveform("matrix-mine", folders, matrix="mine.csv").digest
    path.rename(path.parent / "other.csv")
    assert waveform("matrix-mine", folders, matrix=str(path.parent / "other.csv")).digest == before
    put(folders, FLIP.replace("0.9,0.1,0", "0.8,0.2,0"))
    assert waveform("matrix-mine", folders, matrix="mine.csv").digest != before


def test_an_even_matrix_is_symmetric_noise(folders: Folders) -> None:
    put(folders, "0.8,0.1,0.1\n0.1,0.8,0.1\n0.1,0.1,0.8\n")
    data, named = waveform("matrix-a", folders, matrix="mine.csv"), waveform("symmetric-0.2", folders)
    assert data.symmetric
    assert torch.equal(in_order(data), in_order(named))


def test_a_matrix_of_other_classes_or_no_file_is_refused(folders: Folders) -> None:
    put(folders, "1,0\n0,1\n")
    with pytest.raises(InputError, match=r"mine\.csv: 2 rows: the data has 3 classes"):
        waveform("matrix-mine", folders, matrix="mine.csv")
    with pytest.raises(InputError, match=r"none\.csv: there is no such file: dataset\.matrices is relative"):
        waveform("matrix-mine", folders, matrix="none.csv")


@pytest.mark.parametrize(("noise", "matrix"), [("matrix-mine", None), ("clean", "mine.csv"), ("matrix", "mine.csv")])
def test_a_file_is_given_for_levels_with_a_matrix_alone(noise: str, matrix: str | None) -> None:
    rule = rf"dataset\.matrix: {matrix!r} is refused: a file for levels matrix-NAME, and for them alone; .*'{noise}'"
    with pytest.raises(InputError, match=rule):
        DataConfig(dataset="waveform", noise=noise, matrix=matrix)


def test_a_matrix_without_a_name_is_no_level() -> None:
    with pytest.raises(InputError, match=r"noise level 'matrix-' is unknown for iris: one of matrix-NAME, "):
        find_dataset(DataConfig(dataset="iris", noise="matrix-", matrix="mine.csv"))


@pytest.mark.parametrize("dataset", ["waveform", "digits"])
def test_instance_noise_is_measured_and_wrong_where_the_example_says(dataset: str, folders: Folders) -> None:
    config = DataConfig(dataset=dataset, noise="instance-0.4")
    data, again = load_level(config, folders), load_level(config, folders)
    clean = in_order(load_level(dataclasses.replace(config, noise="clean"), folders))
    n = len(clean)
    assert data.noise_rate == (in_order(data) != clean).double().mean().item()
    assert data.noise_rate == pytest.approx(0.4, abs=5 * (0.24 / n) ** 0.5)
    assert (data.symmetric, data.digest) == (False, again.digest)
    other = load_level(dataclasses.replace(config, split_seed=1), folders)
    assert torch.equal(in_order(other), in_order(data))  # noise is drawn before the split
    assert not torch.equal(in_order(load_level(dataclasses.replace(config, noise_seed=1), folders)), in_order(data))


def test_of_two_classes_instance_noise_is_symmetric(folders: Folders) -> None:
    assert load_level(DataConfig(dataset="breast_cancer", noise="instance-0.3"), folders).symmetric


def test_a_table_without_clean_labels_takes_drawn_noise_and_measures_nothing(folders: Folders, save: "Save") -> None:
    rng = np.random.default_rng(0)
    save(folders.data / "train.parquet", a=rng.normal(size=90), b=np.full(90, 1e9), label=np.arange(90) % 3)
    table = TableSource(train="train.parquet", features=("a", "b"))
    put(folders, FLIP)
    for noise, matrix in (("instance-0.5", None), ("matrix-m", "mine.csv")):
        data = load_level(DataConfig(dataset="mine", noise=noise, table=table, matrix=matrix), folders)
        assert (data.noise_rate, data.transition, data.symmetric) == (None, None, False)
        assert 5 < (in_order(data).numpy() != np.arange(90) % 3).sum() < 80


def test_the_transition_is_measured_over_train_and_validation(folders: Folders) -> None:
    data = waveform("pairflip-0.3", folders, size=600)
    clean, noisy = in_order(waveform("clean", folders, size=600)).numpy(), in_order(data).numpy()
    expected = [[np.mean(noisy[clean == i] == j) for j in range(3)] for i in range(3)]
    assert data.transition is not None
    np.testing.assert_allclose(data.transition, expected)
    still = waveform("clean", folders).transition
    assert still is not None
    assert (still == np.eye(3)).all()


def test_of_too_many_classes_no_transition_is_measured(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tosmooth.trainables.data.datasets.MOST_CLASSES", 2)
    data = waveform("symmetric-0.2", folders)
    assert (data.transition, data.noise_rate is None) == (None, False)


@pytest.fixture
def people(small_cifar: "SmallCifar", folders: Folders, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """A small CIFAR-10 whose `worse_label` is wrong by pairflip for every class but 0, and never for that one."""
    small_cifar.unpack(folders.data)
    clean = small_cifar.train_labels
    worst = np.where(clean == 0, 0, (clean + 1) % 10)
    torch.save({"clean_label": clean, "worse_label": worst}, folders.data / "CIFAR-10_human.pt")
    for name, levels in (("cifar10", False), ("cifar10n", True)):
        source = partial(read, small_cifar.about)
        dataset = Dataset(source, human=small_cifar.about.human, human_levels=levels)
        monkeypatch.setitem(DATASETS, name, dataset)
    return folders


@pytest.mark.parametrize("dataset", ["cifar10", "cifar10n"])
def test_noise_like_that_of_people_has_their_transition_matrix(people: Folders, dataset: str) -> None:
    data = load_level(DataConfig(dataset=dataset, noise="like-worst"), people)
    worst = load_level(DataConfig(dataset="cifar10n", noise="worst"), people)
    assert data.transition is not None
    assert worst.transition is not None
    pairflip = transition_matrix(Synthetic("pairflip", 1.0), 10)
    pairflip[0] = np.eye(10)[0]
    assert (worst.transition == pairflip).all()
    assert (data.transition == pairflip).all()  # each row has one class: nothing is left to chance
    assert (data.noise_rate, data.symmetric) == (0.9, False)


def test_noise_like_that_of_people_needs_their_labels(people: Folders) -> None:
    (people.data / "CIFAR-10_human.pt").unlink()
    with pytest.raises(InputError, match=r"human\.pt: there is no such file: `tosmooth data fetch cifar10n`"):
        load_level(DataConfig(dataset="cifar10", noise="like-worst"), people)


@pytest.mark.parametrize("dataset", ["twonorm", "cifar100n"])
def test_noise_like_that_of_people_is_known_where_there_are_some(dataset: str) -> None:
    with pytest.raises(InputError, match=rf"'like-worst' is unknown for {dataset}: one of"):
        find_dataset(DataConfig(dataset=dataset, noise="like-worst"))

"""Label noise: names, matrices, draws, and the human labels of CIFAR-N."""

import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tosmooth.trainables.data.cifar import CIFAR_10, CIFAR_100, SUPERCLASS
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.noise.human_labels import human_labels
from tosmooth.trainables.noise.synthetic import (
    SYNTHETIC,
    Synthetic,
    by_rows,
    corrupt,
    is_symmetric,
    measured_transition,
    noise_rate,
    parse_level,
    stream,
    transition_matrix,
)

CLEAN = np.arange(1000) % 10


def test_level_names_are_read() -> None:
    assert parse_level("symmetric-0.4") == Synthetic("symmetric", 0.4)
    assert parse_level("pairflip-.45") == Synthetic("pairflip", 0.45)
    assert parse_level("asymmetric-0") == Synthetic("asymmetric", 0.0)
    assert parse_level("instance-0.3") == Synthetic("instance", 0.3)
    assert parse_level("worst") is None


@pytest.mark.parametrize(
    "name", ["symmetric", "symmetric-", "pairflip-1", "symmetric--0.1", "asymmetric-nan", "symmetric-E", "instance-1.5"]
)
def test_synthetic_noise_without_a_rate_below_one_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"dataset\.noise.*from 0 to below 1"):
        parse_level(name)


def test_symmetric_noise_is_spread_over_the_other_classes() -> None:
    matrix = transition_matrix(Synthetic("symmetric", 0.3), 4)
    np.testing.assert_allclose(matrix[0], [0.7, 0.1, 0.1, 0.1])  # 0.3 over 3 others


def test_pairflip_goes_to_the_next_class_and_from_the_last_to_the_first() -> None:
    expected = [[0.8, 0.2, 0], [0, 0.8, 0.2], [0.2, 0, 0.8]]
    np.testing.assert_allclose(transition_matrix(Synthetic("pairflip", 0.2), 3), expected)


def test_asymmetric_noise_of_cifar10_confuses_the_usual_classes_alone() -> None:
    matrix = transition_matrix(Synthetic("asymmetric", 0.4), 10, CIFAR_10.flips)
    assert {(a, b) for a, b in np.argwhere(matrix == 0.4)} == {(9, 1), (2, 0), (4, 7), (3, 5), (5, 3)}
    assert [k for k in range(10) if matrix[k, k] == 1] == [0, 1, 6, 7, 8]


def test_asymmetric_noise_of_cifar100_goes_round_each_superclass() -> None:
    assert [CIFAR_100.flips[k] for k in (4, 30, 55, 72, 95)] == [30, 55, 72, 95, 4]  # aquatic mammals
    assert all(SUPERCLASS[a] == SUPERCLASS[b] and a != b for a, b in CIFAR_100.flips.items())
    assert sorted(CIFAR_100.flips.values()) == list(range(100))


def test_asymmetric_noise_without_a_known_confusion_is_refused() -> None:
    with pytest.raises(InputError, match=r"pairflip-E is its like"):
        transition_matrix(Synthetic("asymmetric", 0.2), 3)


@given(st.sampled_from(SYNTHETIC), st.floats(0, 0.99), st.integers(2, 20))
def test_every_row_of_a_matrix_is_a_distribution(kind: str, rate: float, classes: int) -> None:
    matrix = transition_matrix(Synthetic(kind, rate), classes, {0: 1})
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_noise_has_the_rates_of_its_matrix() -> None:
    labels = np.arange(100_000) % 10
    noisy = corrupt(labels, transition_matrix(Synthetic("symmetric", 0.4), 10), seed=0)
    assert noise_rate(noisy, labels) == pytest.approx(0.4, abs=0.008)  # 5 standard deviations
    counts = np.bincount(noisy[labels == 3], minlength=10)
    assert np.delete(counts, 3) / 10_000 == pytest.approx(0.4 / 9, abs=0.011)


def test_noise_without_a_rate_changes_nothing() -> None:
    assert (corrupt(CLEAN, np.eye(10), seed=0) == CLEAN).all()


def test_noise_depends_on_its_seed_alone() -> None:
    matrix = transition_matrix(Synthetic("symmetric", 0.5), 10)
    assert (corrupt(CLEAN, matrix, seed=1) == corrupt(CLEAN, matrix, seed=1)).all()
    assert (corrupt(CLEAN, matrix, seed=1) != corrupt(CLEAN, matrix, seed=2)).any()
    assert (corrupt(CLEAN[:300], matrix, seed=1) == corrupt(CLEAN, matrix, seed=1)[:300]).all()


def test_streams_of_one_seed_are_unrelated() -> None:
    a, b = (stream(5, purpose).standard_normal(10_000) for purpose in ("a", "b"))
    assert abs(float(np.mean(a * b))) < 0.05  # 5 standard deviations of their correlation


def test_noise_rate_is_the_share_of_wrong_labels() -> None:
    assert noise_rate(np.array([0, 1, 2, 3]), np.array([0, 1, 2, 0])) == 0.25


def test_a_transition_is_measured_row_by_row() -> None:
    clean, noisy = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 2, 1, 0])
    assert measured_transition(noisy, clean, 3).tolist() == [[0.75, 0, 0.25], [0.5, 0.5, 0], [0, 0, 1]]  # 2: stays


def test_the_measured_transition_of_drawn_noise_is_near_its_matrix() -> None:
    labels, matrix = np.arange(100_000) % 10, transition_matrix(Synthetic("pairflip", 0.3), 10)
    measured = measured_transition(corrupt(labels, matrix, seed=0), labels, 10)
    np.testing.assert_allclose(measured, matrix, atol=0.023)  # 5 standard deviations of 10,000
    assert (measured[matrix == 0] == 0).all()


def test_counts_become_shares_of_their_row() -> None:
    assert by_rows(np.array([[1, 3], [0, 0]])).tolist() == [[0.25, 0.75], [0, 1]]


@pytest.mark.parametrize(
    ("matrix", "even"),
    [
        (np.eye(3), True),
        (transition_matrix(Synthetic("symmetric", 0.4), 5), True),
        (transition_matrix(Synthetic("pairflip", 0.4), 2), True),
        (transition_matrix(Synthetic("pairflip", 0.4), 3), False),
        (np.array([[0.9, 0.1], [0.2, 0.8]]), False),
    ],
)
def test_noise_is_symmetric_where_its_matrix_is_even(matrix: NDArray[np.float64], even: bool) -> None:
    assert is_symmetric(matrix) is even


def label_file(path: Path, **labels: Any) -> Path:
    torch.save(labels, path)
    return path


def test_human_labels_are_read(tmp_path: Path) -> None:
    worst = (CLEAN + 1) % 10
    file = label_file(tmp_path / "a.pt", clean_label=CLEAN, worse_label=worst, coarse=[1, 2])
    assert (human_labels(file, "worse_label", CLEAN) == worst).all()


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_human_labels_are_read_whichever_numpy_wrote_them(tmp_path: Path, module: bytes) -> None:
    written = label_file(tmp_path / "written.pt", clean_label=CLEAN)
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(tmp_path / "a.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, re.sub(rb"numpy\._?core\.multiarray", module, old.read(name)))
    assert module in (tmp_path / "a.pt").read_bytes()
    assert (human_labels(tmp_path / "a.pt", "clean_label", CLEAN) == CLEAN).all()


def test_missing_label_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"human\.pt: there is no such file.*tosmooth data fetch cifar10n"):
        human_labels(tmp_path / "human.pt", "worse_label", CLEAN)


def test_label_file_beside_or_below_its_place_is_named(tmp_path: Path) -> None:
    deeper = tmp_path / "cifar-10-100n" / "data" / "human.pt"
    deeper.parent.mkdir(parents=True)
    label_file(deeper, clean_label=CLEAN)
    with pytest.raises(InputError, match=r"no such file.*; it may be .*cifar-10-100n/data/human\.pt: move it here"):
        human_labels(tmp_path / "human.pt", "worse_label", CLEAN)
    np.save(tmp_path / "human_ordered.npy", np.array({"clean_label": CLEAN}))  # as in CIFAR-N's repository: a pickle
    with pytest.raises(
        InputError, match=r"no such file.*human_ordered\.npy beside it is.*order of TensorFlow Datasets"
    ):
        human_labels(tmp_path / "human.pt", "worse_label", CLEAN)


def test_ordered_labels_in_the_place_of_the_label_file_are_named(tmp_path: Path) -> None:
    with (tmp_path / "human.pt").open("wb") as file:
        np.save(file, np.array({"clean_label": CLEAN}))
    with pytest.raises(InputError, match=r"human\.pt: is a pickle .*in the order of TensorFlow Datasets.*data fetch"):
        human_labels(tmp_path / "human.pt", "worse_label", CLEAN)


def test_label_file_with_a_missing_key_is_refused(tmp_path: Path) -> None:
    file = label_file(tmp_path / "a.pt", clean_label=CLEAN, noisy_label=CLEAN)
    with pytest.raises(InputError, match=r"a\.pt: the key 'worse_label' is missing.*clean_label, noisy_label"):
        human_labels(file, "worse_label", CLEAN)


def test_label_file_of_another_length_is_refused(tmp_path: Path) -> None:
    file = label_file(tmp_path / "a.pt", clean_label=CLEAN, worse_label=CLEAN[:999])
    with pytest.raises(InputError, match=r"worse_label has 999 labels: the data set has 1000"):
        human_labels(file, "worse_label", CLEAN)


def test_label_file_of_another_data_set_says_how_many_labels_differ(tmp_path: Path) -> None:
    other = CLEAN.copy()
    other[:17] += 1
    other[9] = 0
    file = label_file(tmp_path / "a.pt", clean_label=other, worse_label=CLEAN)
    with pytest.raises(InputError, match=r"clean_label differs from the images' labels in 17 of 1000"):
        human_labels(file, "worse_label", CLEAN)


@pytest.mark.parametrize("wrong", [CLEAN / 2, CLEAN.tolist(), CLEAN.reshape(2, 500), CLEAN + 1, CLEAN - 1])
def test_labels_that_are_no_classes_are_refused(tmp_path: Path, wrong: object) -> None:
    file = label_file(tmp_path / "a.pt", clean_label=CLEAN, worse_label=wrong)
    with pytest.raises(InputError, match=r"a\.pt"):
        human_labels(file, "worse_label", CLEAN)


class _Payload:
    """Pickles into a call of os.mkdir."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_label_file_that_would_run_code_is_refused_and_does_not(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    file = label_file(tmp_path / "a.pt", clean_label=_Payload(mark))
    torch.load(file, weights_only=False)  # so that the payload is one
    assert mark.exists()
    mark.rmdir()
    with pytest.raises(InputError, match=r"a\.pt: damaged or unsafe"):
        human_labels(file, "clean_label", CLEAN)
    assert not mark.exists()


@pytest.mark.parametrize("keep", [0, 10, 300, -1])
def test_truncated_label_file_is_refused(tmp_path: Path, keep: int) -> None:
    file = label_file(tmp_path / "a.pt", clean_label=CLEAN)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.pt: damaged"):
        human_labels(file, "clean_label", CLEAN)

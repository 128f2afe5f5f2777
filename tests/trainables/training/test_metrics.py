"""Metrics against literal numbers and a slow version that does one example after another."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.training.metrics import Sums

CPU = torch.device("cpu")


def measured(logits: Tensor, labels: Tensor, batch: int = 64) -> dict[str, float | None]:
    sums = Sums(CPU)
    for part, answers in zip(logits.split(batch), labels.split(batch), strict=True):
        sums.add(part, answers)
    return sums.result(sums.totals)


def logits_of(confidences: Sequence[float]) -> Tensor:
    """Logits [n, 2] by which class 0 has these probabilities, each above one half."""
    return torch.tensor([[math.log(p / (1 - p)), 0.0] for p in confidences])


def slowly(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """The same by their definitions, in float64."""
    p = np.exp(logits.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    y, K = labels.numpy(), p.shape[1]
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    ece = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            ece += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    with warnings.catch_warnings(action="ignore"):  # of a class that is predicted and not there
        balanced = balanced_accuracy_score(y, p.argmax(axis=1))
    return {
        "loss": -np.log(p[np.arange(len(y)), y]).mean(),
        "accuracy": 100 * right.mean(),
        "ece": ece,
        "brier": ((p - np.eye(K)[y]) ** 2).sum(axis=1).mean(),
        "confidence_right": np.average(confidence, weights=right) if right.any() else math.nan,
        "confidence_wrong": np.average(confidence, weights=~right) if not right.all() else math.nan,
        "mean_abs_logit": logits.double().abs().mean().item(),
        "balanced_accuracy": 100 * balanced,
        "macro_f1": 100 * f1_score(y, p.argmax(axis=1), average="macro", zero_division=0),
    }


@pytest.mark.parametrize("K", [2, 10, 100])
@pytest.mark.parametrize("batch", [7, 500])
def test_metrics_equal_a_slow_version_however_the_split_is_batched(K: int, batch: int) -> None:
    generator = torch.Generator().manual_seed(K)
    labels = torch.randint(0, K, (500,), generator=generator)
    logits = 2 * torch.randn(500, K, generator=generator)
    logits[torch.arange(500), labels] += 2  # so that many are right
    assert measured(logits, labels, batch) == pytest.approx(slowly(logits, labels), rel=1e-5)


def test_undecided_predictions_have_known_numbers() -> None:
    result = measured(torch.zeros(4, 10), torch.tensor([0, 0, 1, 2]))  # ties go to class 0
    expected = {
        "loss": math.log(10),
        "accuracy": 50.0,
        "ece": 0.4,  # half are right at a confidence of 0.1
        "brier": 0.9,  # 0.9^2 + 9 * 0.1^2
        "confidence_right": 0.1,
        "confidence_wrong": 0.1,
        "mean_abs_logit": 0.0,
        "balanced_accuracy": 100 / 3,
        "macro_f1": 100 * (2 / 3) / 3,  # of the classes 0 to 2: no one is of the others, or taken for one
    }
    assert result == pytest.approx(expected)


def test_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    # 8 of 10 right at 0.9 and 7 of 10 at 0.62: 0.5 * |0.8 - 0.9| + 0.5 * |0.7 - 0.62|
    labels = torch.tensor([0] * 8 + [1] * 2 + [0] * 7 + [1] * 3)
    assert measured(logits_of([0.9] * 10 + [0.62] * 10), labels)["ece"] == pytest.approx(0.09)


def test_calibration_error_cancels_inside_a_bin_and_not_between_two() -> None:
    labels = torch.tensor([0] * 5 + [1] * 5)
    # 0.61 and 0.66 lie in (9/15, 10/15]: |5 - 5 * 0.61 - 5 * 0.66| / 10
    assert measured(logits_of([0.61] * 5 + [0.66] * 5), labels)["ece"] == pytest.approx(0.135)
    # 0.68 lies in (10/15, 11/15]: (|5 - 5 * 0.61| + |0 - 5 * 0.68|) / 10
    assert measured(logits_of([0.61] * 5 + [0.68] * 5), labels)["ece"] == pytest.approx(0.535)


def test_full_confidence_falls_into_the_last_bin() -> None:
    result = measured(torch.tensor([[500.0, -500.0]] * 4), torch.tensor([0, 0, 0, 1]))
    assert result["ece"] == pytest.approx(0.25)
    assert result["brier"] == pytest.approx(0.5)  # one of four is off by (1, 1)
    assert result["loss"] == pytest.approx(250)


def test_all_right_leaves_no_confidence_on_wrong_ones() -> None:
    result = measured(logits_of([0.8, 0.9]), torch.tensor([0, 0]))
    assert (result["accuracy"], result["confidence_wrong"]) == (100, None)
    assert result["confidence_right"] == pytest.approx(0.85)


def test_all_wrong_leaves_no_confidence_on_right_ones() -> None:
    result = measured(logits_of([0.8, 0.9]), torch.tensor([1, 1]))
    assert (result["accuracy"], result["confidence_right"]) == (0, None)
    assert result["confidence_wrong"] == pytest.approx(0.85)


def test_half_precision_logits_are_measured_in_float32() -> None:
    logits, labels = torch.randn(200, 10, generator=torch.Generator().manual_seed(0)), torch.arange(200) % 10
    rounded = logits.bfloat16()
    assert measured(rounded, labels) == pytest.approx(slowly(rounded, labels), rel=1e-5)


def test_logits_that_are_not_finite_do_not_look_good() -> None:
    result = measured(torch.tensor([[math.nan, 0.0], [1.0, 0.0]]), torch.tensor([1, 0]))
    assert all(math.isnan(result[name] or 0) for name in ("loss", "ece", "brier"))


@pytest.mark.parametrize(
    ("labels", "predicted"),
    [
        ([0] * 99 + [1], [0] * 100),  # the largest class alone is predicted
        ([0, 0, 2, 2, 2], [0, 3, 2, 2, 0]),  # 1 is neither there nor predicted, 3 is predicted alone
        ([4, 4, 4], [4, 4, 4]),
        ([1, 1], [0, 0]),  # nothing is right
    ],
    ids=["largest", "absent", "one class", "all wrong"],
)
def test_classes_that_are_absent_or_never_predicted_count_as_in_scikit_learn(
    labels: list[int], predicted: list[int]
) -> None:
    logits = 5 * functional.one_hot(torch.tensor(predicted), 5).float()
    result, expected = measured(logits, torch.tensor(labels), 2), slowly(logits, torch.tensor(labels))
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert result[name] == pytest.approx(expected[name], abs=1e-9), name


def test_accuracy_of_each_class_and_of_none_where_there_is_no_example() -> None:
    sums = Sums(CPU)
    assert (sums.of_classes(sums.totals), sums.result(sums.totals)["macro_f1"]) == ([], None)
    logits = functional.one_hot(torch.tensor([0, 0, 1, 3]), 4).float()
    sums.add(logits, torch.tensor([0, 1, 1, 0]))
    assert sums.of_classes(sums.totals) == [50.0, 50.0, None, None]
    sums.add(logits, torch.tensor([0, 0, 1, 3]))
    assert sums.of_classes(sums.totals) == [75.0, pytest.approx(200 / 3), None, 100.0]

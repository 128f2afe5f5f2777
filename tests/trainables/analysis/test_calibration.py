"""Calibration against slow versions, scikit-learn, torchmetrics' numbers and cases that can be done by hand."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import brier_score_loss, log_loss
from torch import Tensor

from tosmooth.trainables.analysis.calibration import (
    aurc,
    expected_calibration_error,
    fit_temperature,
    reliability,
    scores,
)
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.training.metrics import Sums


def predictions(n: int = 500, K: int = 10, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits [n, K] of a network that is often right, and labels [n]; numpy draws the same ones everywhere."""
    rng = np.random.default_rng(K)
    labels = torch.from_numpy(rng.integers(0, K, n))
    logits = torch.from_numpy(rng.standard_normal((n, K))) * scale
    logits[torch.arange(n), labels] += scale
    return logits, labels


def binary(confidences: list[float]) -> Tensor:
    """Probabilities [n, 2] that predict class 0."""
    return torch.tensor([[p, 1 - p] for p in confidences], dtype=torch.float64)


def slow_error(p: Tensor, labels: Tensor, groups: list[list[int]]) -> float:
    """The mean gap of groups of examples, one example after another."""
    total = 0.0
    for group in groups:
        right = sum(int(p[i].argmax()) == int(labels[i]) for i in group)
        total += abs(right - sum(float(p[i].max()) for i in group))
    return total / len(labels)


@pytest.mark.parametrize("K", [2, 10, 100])
@pytest.mark.parametrize("bins", [1, 15, 40])
def test_equal_width_bins_equal_a_slow_version(K: int, bins: int) -> None:
    logits, labels = predictions(K=K)
    p = logits.softmax(dim=1)
    groups: list[list[int]] = [[] for _ in range(bins)]
    for i, row in enumerate(p):
        groups[next(m for m in range(bins) if float(row.max()) <= (m + 1) / bins)].append(i)
    assert expected_calibration_error(p, labels, bins) == pytest.approx(slow_error(p, labels, groups))
    found = reliability(p, labels, bins)
    assert found.count.tolist() == [len(group) for group in groups]
    assert found.edges.tolist() == pytest.approx([m / bins for m in range(bins + 1)])


@pytest.mark.parametrize(("n", "bins"), [(500, 15), (500, 1), (20, 20), (23, 5)])
def test_adaptive_bins_equal_a_slow_version(n: int, bins: int) -> None:
    logits, labels = predictions(n)
    p = logits.softmax(dim=1)
    order = sorted(range(n), key=lambda i: float(p[i].max()))
    groups = [[order[j] for j in range(n) if j * bins // n == m] for m in range(bins)]
    found = reliability(p, labels, bins, adaptive=True)
    assert found.error == pytest.approx(slow_error(p, labels, groups))
    assert max(found.count) - min(found.count) <= 1
    lowest, highest = float(p.max(dim=1).values.min()), float(p.max(dim=1).values.max())
    assert (float(found.edges[0]), float(found.edges[-1])) == (lowest, highest)


# MulticlassCalibrationError(K, n_bins=15, norm="l1") of torchmetrics 1.9.0 on the same predictions.
TORCHMETRICS = {2: 0.0847191, 10: 0.2145274, 100: 0.1588362}


@pytest.mark.parametrize("K", TORCHMETRICS)
def test_calibration_error_is_that_of_torchmetrics(K: int) -> None:
    logits, labels = predictions(K=K)
    found = expected_calibration_error(logits.softmax(dim=1), labels)
    assert found == pytest.approx(TORCHMETRICS[K], abs=1e-7)  # it sums in float32


def test_calibration_error_is_that_which_every_epoch_reports() -> None:
    logits, labels = predictions()
    sums = Sums(torch.device("cpu"))
    sums.add(logits, labels)
    found = expected_calibration_error(logits.softmax(dim=1), labels)
    assert found == pytest.approx(sums.result(sums.totals)["ece"] or 0, abs=1e-6)


def test_diagram_holds_histograms_of_right_and_wrong_and_means_where_there_are_examples() -> None:
    p = binary([0.62, 0.64, 0.9, 0.9])
    found = reliability(p, torch.tensor([0, 1, 0, 0]), bins=5).to_dict()
    assert found["count"] == [0, 0, 0, 2, 2]  # (0.6, 0.8] and (0.8, 1]
    assert found["right"] == [0, 0, 0, 1, 2]
    assert found["accuracy"] == [None, None, None, 0.5, 1.0]
    assert found["confidence"][:3] == [None] * 3
    assert found["confidence"][3:] == pytest.approx([0.63, 0.9])


def test_equal_confidences_share_their_right_ones_whatever_the_order() -> None:
    p, labels = binary([0.9] * 6 + [0.6] * 2), torch.tensor([0, 0, 0, 1, 1, 1, 0, 1])
    found = [
        reliability(p, labels[torch.tensor([*order, 6, 7])], 4, adaptive=True).right.tolist()
        for order in itertools.permutations(range(6))
    ]
    assert all(right == [1, 1, 1, 1] for right in found)


def test_more_adaptive_bins_than_examples_are_refused() -> None:
    with pytest.raises(InputError, match=r"^bins: 3 is refused: at most the 2 examples$"):
        reliability(binary([0.6, 0.9]), torch.tensor([0, 0]), 3, adaptive=True)


@pytest.mark.parametrize("K", [2, 10])
def test_area_under_the_risk_coverage_curve_equals_a_slow_version(K: int) -> None:
    logits, labels = predictions(200, K)
    p = logits.softmax(dim=1)
    order = sorted(range(200), key=lambda i: -float(p[i].max()))
    wrong = [int(p[i].argmax()) != int(labels[i]) for i in order]
    risks = [sum(wrong[:k]) / k for k in range(1, 201)]
    best = [sum(sorted(wrong)[:k]) / k for k in range(1, 201)]
    assert aurc(p, labels) == pytest.approx((np.mean(risks), np.mean(risks) - np.mean(best)))


def test_area_of_known_orders() -> None:
    p = binary([0.9, 0.8, 0.7, 0.6])
    # Wrong last: risks 0, 0, 0, 1/4. Wrong first: 1, 1/2, 1/3, 1/4.
    assert aurc(p, torch.tensor([0, 0, 0, 1])) == pytest.approx((1 / 16, 0))
    assert aurc(p, torch.tensor([1, 0, 0, 0])) == pytest.approx((25 / 48, 25 / 48 - 3 / 48))
    assert aurc(p, torch.zeros(4, dtype=torch.int64)) == (0, 0)
    assert aurc(p, torch.ones(4, dtype=torch.int64)) == (1, 0)


def test_optimal_area_tends_to_its_closed_form() -> None:
    # Geifman, Uziel and El-Yaniv 2019: r + (1 - r) ln(1 - r), for many examples.
    labels = (torch.arange(100_000) >= 70_000).long()
    p = torch.linspace(0.99, 0.51, 100_000, dtype=torch.float64)
    area, excess = aurc(torch.stack([p, 1 - p], dim=1), labels)
    assert area == pytest.approx(0.3 + 0.7 * math.log(0.7), abs=1e-5)
    assert excess == pytest.approx(0, abs=1e-12)


def test_equal_confidences_have_the_mean_area_of_all_their_orders() -> None:
    p, wrong = binary([0.9, 0.7, 0.7, 0.7, 0.7, 0.6]), (0, 1, 0, 0, 1, 1)
    areas = []
    for inner in itertools.permutations(wrong[1:5]):
        order = (wrong[0], *inner, wrong[5])
        areas.append(np.mean([sum(order[:k]) / k for k in range(1, 7)]))
    assert aurc(p, torch.tensor(wrong))[0] == pytest.approx(np.mean(areas))


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of scikit-learn whose inputs are its logits."""

    def __init__(self, K: int = 2) -> None:
        self.K = K

    def fit(self, X: Any, y: Any) -> "Given":
        self.classes_ = np.arange(self.K)
        return self

    def decision_function(self, X: Any) -> Any:
        return X

    def predict(self, X: Any) -> Any:
        return X.argmax(axis=1)


@pytest.mark.parametrize("scale", [0.3, 2.0, 20.0])
@pytest.mark.parametrize("K", [3, 10])
def test_temperature_is_that_of_scikit_learn(K: int, scale: float) -> None:
    logits, labels = predictions(K=K, scale=scale)
    model = FrozenEstimator(Given(K).fit(None, None))
    fitted = CalibratedClassifierCV(model, method="temperature").fit(logits.numpy(), labels.numpy())
    theirs = fitted.predict_proba(logits.numpy())
    ours = (logits / fit_temperature(logits, labels)).softmax(dim=1)
    assert ours.numpy() == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_by_which_labels_were_drawn_is_found(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 5, generator=generator)
    labels = (logits / temperature).softmax(dim=1).multinomial(1, generator=generator)[:, 0]
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)


def test_temperature_has_the_least_loss_and_is_undone_by_a_scale() -> None:
    logits, labels = predictions()
    found = fit_temperature(logits, labels)
    around = [found * factor for factor in (0.98, 1.0, 1.02)]
    losses = [torch.nn.functional.cross_entropy(logits / t, labels).item() for t in around]
    assert losses[1] == min(losses)
    assert fit_temperature(7 * logits, labels) == pytest.approx(7 * found, rel=1e-5)


def test_all_right_makes_surer_without_end_and_all_wrong_unsure() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]] * 5)
    assert fit_temperature(logits, torch.tensor([0, 1] * 5)) < 0.05  # the loss is 0 there
    assert fit_temperature(logits, torch.tensor([1, 0] * 5)) == pytest.approx(math.exp(10), rel=0.01)


def test_temperature_of_noisy_labels_is_too_high_for_clean_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(20_000, 5, generator=generator)
    clean = logits.softmax(dim=1).multinomial(1, generator=generator)[:, 0]
    drawn = torch.randint(0, 5, (20_000,), generator=generator)
    noisy = torch.where(torch.rand(20_000, generator=generator) < 0.3, drawn, clean)
    scaled = logits / fit_temperature(logits, noisy)
    assert fit_temperature(logits, noisy) > 1.5 > fit_temperature(logits, clean)
    found = scores(scaled, clean)
    assert found["confidence_right"] is not None
    assert scaled.softmax(dim=1).max(dim=1).values.mean().item() < (found["accuracy"] or 0) / 100 - 0.1  # too unsure


@pytest.mark.parametrize("K", [2, 10])
def test_scores_are_those_of_scikit_learn_and_the_functions(K: int) -> None:
    logits, labels = predictions(K=K)
    p, y = logits.softmax(dim=1), labels.numpy()
    found = scores(logits, labels)
    assert found["nll"] == pytest.approx(log_loss(y, p.numpy(), labels=range(K)), rel=1e-5)
    brier = brier_score_loss(y, p.numpy(), labels=range(K), scale_by_half=False)
    assert found["brier"] == pytest.approx(brier, rel=1e-5)
    assert found["accuracy"] == 100 * float((p.argmax(dim=1) == labels).double().mean())
    assert found["adaptive_ece"] == expected_calibration_error(p, labels, adaptive=True)
    assert (found["aurc"], found["excess_aurc"]) == aurc(p, labels)
    assert found.keys() == {
        *("nll", "accuracy", "ece", "brier", "confidence_right", "confidence_wrong", "mean_abs_logit"),
        *("adaptive_ece", "aurc", "excess_aurc", "balanced_accuracy", "macro_f1"),
    }


def test_loss_of_a_sure_and_wrong_network_is_not_cut_off() -> None:
    found = scores(torch.tensor([[500.0, 0.0], [500.0, 0.0]]), torch.tensor([0, 1]))
    assert found["nll"] == pytest.approx(250)  # scikit-learn's log_loss would say 18, that of the least float64

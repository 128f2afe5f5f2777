"""Bias and variance against hand-made seeds, slow sums, and means over all draws of the seeds."""

import itertools
import math

import pytest
import torch

from tosmooth.trainables.analysis.bias_variance import error_decomposition, loss_decomposition
from tosmooth.trainables.errors import InputError


def test_seeds_that_agree_have_no_variance() -> None:
    labels, predicted = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 0])
    assert error_decomposition(predicted.expand(3, 4), labels, 3) == (25, 25, 0)


def test_two_seeds_that_always_differ() -> None:
    # Two tosses of a fair coin differ in half of the cases. Always to differ is twice its variance of 25.
    found = error_decomposition(torch.tensor([[0], [1]]), torch.tensor([0]), 2)
    assert found == pytest.approx((50, 0, 50))


def test_error_is_the_mean_error_of_the_seeds_and_the_sum_of_its_parts() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (200,), generator=generator)
    predicted = torch.randint(0, 5, (4, 200), generator=generator)
    found = error_decomposition(predicted, labels, 5)
    assert found.total == pytest.approx(100 * (predicted != labels).double().mean().item())
    assert found.total == pytest.approx(found.bias + found.variance)


@pytest.mark.parametrize("S", [2, 3, 4])
def test_parts_are_unbiased_for_few_seeds(S: int) -> None:
    # A network that predicts 0, 1, 2 with these probabilities; all draws of S seeds, weighted.
    p, label = (0.6, 0.3, 0.1), 1
    mean = torch.zeros(3, dtype=torch.float64)
    for draw in itertools.product(range(3), repeat=S):
        found = error_decomposition(torch.tensor(draw)[:, None], torch.tensor([label]), 3)
        mean += math.prod(p[k] for k in draw) * torch.tensor(found, dtype=torch.float64)
    variance = 50 * (1 - sum(q**2 for q in p))
    bias = 50 * sum((q - (k == label)) ** 2 for k, q in enumerate(p))
    assert mean.tolist() == pytest.approx([70, bias, variance])


def test_loss_equals_a_slow_version_and_the_sum_of_its_parts() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 30, 5, generator=generator)
    labels = torch.randint(0, 5, (30,), generator=generator)
    p = logits.double().softmax(dim=2)
    bias = variance = total = 0.0
    for i in range(30):
        middle = [math.prod(float(p[s, i, k]) for s in range(4)) ** (1 / 4) for k in range(5)]
        middle = [q / sum(middle) for q in middle]
        bias -= math.log(middle[labels[i]]) / 30
        for s in range(4):
            total -= math.log(p[s, i, labels[i]]) / 120
            variance += sum(q * math.log(q / p[s, i, k]) for k, q in enumerate(middle)) / 120  # KL(mean || seed)
    found = loss_decomposition(logits, labels)
    assert found == pytest.approx((total, bias, variance))
    assert found.total == pytest.approx(found.bias + found.variance)


def test_loss_of_equal_seeds_is_all_bias() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]]).expand(3, 2, 2)
    found = loss_decomposition(logits, torch.tensor([0, 0]))
    assert found.variance == pytest.approx(0, abs=1e-12)
    assert found.bias == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.e)) / 2)


def test_one_seed_has_no_variance_to_tell() -> None:
    with pytest.raises(InputError, match=r"^seeds: 1 is refused: at least 2"):
        error_decomposition(torch.tensor([[0]]), torch.tensor([0]), 2)
    with pytest.raises(InputError, match=r"^seeds: 1 is refused: at least 2"):
        loss_decomposition(torch.zeros(1, 1, 2), torch.tensor([0]))

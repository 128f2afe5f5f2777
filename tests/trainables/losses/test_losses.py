"""Generalised label smoothing against its definition, torch's cross-entropy and backward correction."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.losses import gls_loss
from tosmooth.trainables.noise.synthetic import Synthetic, transition_matrix

RATES = [-8.0, -0.4, 0.0, 0.1, 1.0]


def batch(K: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(16, K, generator=generator, dtype=dtype)
    return logits, torch.randint(0, K, (16,), generator=generator)


def targets(labels: Tensor, K: int, rate: float) -> Tensor:
    """(1 - r) * onehot + r / K, as DESIGN and Wei et al. 2022 define them."""
    return (1 - rate) * functional.one_hot(labels, K).double() + rate / K


@given(rate=st.floats(-8, 1), K=st.sampled_from([2, 10, 100]), seed=st.integers(0, 1000))
def test_loss_equals_soft_target_cross_entropy(rate: float, K: int, seed: int) -> None:
    logits, labels = batch(K, seed)
    expected = -(targets(labels, K, rate) * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(gls_loss(logits, labels, rate), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.1, 1.0])
def test_rates_that_torch_knows_equal_its_label_smoothing(rate: float) -> None:
    logits, labels = batch(10)
    expected = functional.cross_entropy(logits, labels, label_smoothing=rate)
    torch.testing.assert_close(gls_loss(logits, labels, rate), expected)


def test_negative_rate_differs_from_plain_cross_entropy_where_torch_gives_that_silently() -> None:
    logits, labels = batch(10)
    plain = functional.cross_entropy(logits, labels)
    assert functional.cross_entropy(logits, labels, label_smoothing=-0.4) == plain
    difference = (gls_loss(logits, labels, -0.4) - plain).item()
    # GLS - CE = r * (z_y - mean(z)), from the definition
    expected = -0.4 * (logits.gather(1, labels[:, None])[:, 0] - logits.mean(dim=1)).mean().item()
    assert difference == pytest.approx(expected)
    assert abs(difference) > 0.1


def test_literal_values() -> None:
    z, y = torch.tensor([[math.log(3), 0.0]]), torch.tensor([0])  # p = (3/4, 1/4)
    assert gls_loss(z, y, 0.0).item() == pytest.approx(math.log(4 / 3))
    assert gls_loss(z, y, 1.0).item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)  # uniform targets
    assert gls_loss(z, y, -1.0).item() == pytest.approx(1.5 * math.log(4 / 3) - 0.5 * math.log(4))  # targets 3/2, -1/2
    for rate in RATES:  # targets sum to 1 at every rate, so that equal logits cost ln K
        assert gls_loss(torch.zeros(1, 10), y, rate).item() == pytest.approx(math.log(10))


def test_negative_rate_is_unbounded_below() -> None:
    # logsumexp 100, minus 2 * z_y = 200, plus mean 50: the surer, the lower, for ever
    assert gls_loss(torch.tensor([[100.0, 0.0]]), torch.tensor([0]), -1.0).item() == -50
    assert gls_loss(torch.tensor([[200.0, 0.0]]), torch.tensor([0]), -1.0).item() == -100


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("K", [2, 10, 100])
def test_gradient_is_probability_minus_target(rate: float, K: int) -> None:
    logits, labels = batch(K)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: gls_loss(z, labels, rate), logits)
    gls_loss(logits, labels, rate).backward()
    expected = (logits.detach().softmax(dim=1) - targets(labels, K, rate)) / len(labels)
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize("rate", [1.0000001, 2.0, math.inf, math.nan])
def test_rate_above_one_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match=r"rate: .* is refused: a smoothing rate of at most 1"):
        gls_loss(*batch(10), rate)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_logits_give_a_float32_loss(dtype: torch.dtype) -> None:
    logits, labels = batch(100, dtype=torch.float32)
    logits = logits.to(dtype)
    loss = gls_loss(logits, labels, -8.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(gls_loss(logits.double(), labels, -8.0).item(), abs=1e-5)


@pytest.mark.parametrize(("rate", "K", "smoothing"), [(0.1, 10, -0.125), (0.4, 10, -0.8), (0.6, 10, -2), (0.4, 2, -4)])
def test_backward_correction_of_symmetric_noise_is_smoothing_at_the_theory_rate(
    rate: float, K: int, smoothing: float
) -> None:
    """Sum over k of (T^-1)[y, k] * CE(z, k) (Patrini et al. 2017) is GLS itself, no factor left over.

    With rho = e K / (K - 1), T = (1 - rho) I + (rho / K) 11^T, so that T^-1 = (I - (rho / K) 11^T) / (1 - rho). Its
    row y holds the targets (1 - r) * onehot + r / K at r = -rho / (1 - rho), which undoes the noise (Wei et al. 2022).
    """
    rho = rate * K / (K - 1)
    assert -rho / (1 - rho) == pytest.approx(smoothing)
    logits, labels = batch(K)
    inverse = torch.from_numpy(np.linalg.inv(transition_matrix(Synthetic("symmetric", rate), K)))
    corrected = -(inverse[labels] * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(gls_loss(logits, labels, smoothing), corrected)

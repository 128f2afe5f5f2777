"""Each loss against its formula as the papers write it: one example after the other, in Python's own floats."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.losses.correction import backward_loss, forward_loss, inverse_of, peer_loss
from tosmooth.trainables.losses.logits import logit_clip_loss, logit_norm_loss
from tosmooth.trainables.losses.memory import bootstrap_hard_loss, bootstrap_soft_loss, elr_loss
from tosmooth.trainables.losses.mixup import mixup_loss
from tosmooth.trainables.losses.robust import gce_loss, mae_loss, nce_rce_loss, sce_loss
from tosmooth.trainables.losses.smoothing import confidence_penalty_loss, online_smoothing_loss

Vector = list[float]
Slow = Callable[[Vector, int], float]  # the loss of one example: logits [K], label
Fast = Callable[[Tensor, Tensor], Tensor]  # the mean loss [] of a batch: logits [B, K], labels [B]

K = 5
T = np.random.default_rng(0).dirichlet(np.ones(K), size=K) * 0.4 + 0.6 * np.eye(K)  # rows sum to 1
INVERSE = np.linalg.inv(T)
SOFT = np.random.default_rng(1).dirichlet(np.ones(K), size=K)


def log_p(z: Vector) -> Vector:
    top = max(z)
    total = top + math.log(math.fsum(math.exp(each - top) for each in z))
    return [each - total for each in z]


def p(z: Vector) -> Vector:
    return [math.exp(each) for each in log_p(z)]


def onehot(y: int) -> Vector:
    return [1.0 if k == y else 0.0 for k in range(K)]


def cross(target: Vector, z: Vector) -> float:
    """-sum_k target_k log p_k, where 0 log 0 is 0."""
    return -math.fsum(t * each for t, each in zip(target, log_p(z), strict=True) if t != 0)


def smooth(z: Vector, y: int, rate: float) -> float:
    return cross([(1 - rate) * each + rate / K for each in onehot(y)], z)


def reverse(z: Vector, y: int) -> float:
    """Cross-entropy the other way round, with labels kept 1e-4 from 0."""
    return -math.fsum(prob * math.log(max(t, 1e-4)) for prob, t in zip(p(z), onehot(y), strict=True))


def norm(z: Vector) -> float:
    """With what the authors' codes of logit normalisation and clipping add before they divide."""
    return math.sqrt(math.fsum(each**2 for each in z)) + 1e-7


def normed(z: Vector, temperature: float) -> Vector:
    return [each / (norm(z) * temperature) for each in z]


def clipped(z: Vector, tau: float) -> Vector:
    return [tau * each / norm(z) for each in z] if norm(z) >= tau else z


def mixed_target(y: int, share: float, other: Vector) -> Vector:
    return [share * a + (1 - share) * b for a, b in zip(onehot(y), other, strict=True)]


FORMS: dict[str, tuple[Fast, Slow]] = {
    "confidence-penalty": (
        partial(confidence_penalty_loss, beta=0.3),
        lambda z, y: cross(onehot(y), z) - 0.3 * cross(p(z), z),
    ),
    "online-smoothing": (
        lambda z, y: online_smoothing_loss(z, y, torch.from_numpy(SOFT), 0.3),
        lambda z, y: 0.3 * cross(onehot(y), z) + 0.7 * cross(SOFT[y].tolist(), z),
    ),
    "forward": (
        lambda z, y: forward_loss(z, y, torch.from_numpy(T)),
        lambda z, y: -math.log(math.fsum(prob * float(T[j, y]) for j, prob in enumerate(p(z)))),
    ),
    "backward": (
        lambda z, y: backward_loss(z, y, inverse_of(torch.from_numpy(T))),
        lambda z, y: math.fsum(float(INVERSE[y, k]) * cross(onehot(k), z) for k in range(K)),
    ),
    "sce": (
        partial(sce_loss, alpha=0.1, beta=1.5),
        lambda z, y: 0.1 * cross(onehot(y), z) + 1.5 * reverse(z, y),
    ),
    "gce": (partial(gce_loss, q=0.7), lambda z, y: (1 - p(z)[y] ** 0.7) / 0.7),
    "mae": (mae_loss, lambda z, y: math.fsum(abs(a - b) for a, b in zip(onehot(y), p(z), strict=True))),
    "nce-rce": (
        partial(nce_rce_loss, alpha=2.0, beta=0.5),
        lambda z, y: 2 * cross(onehot(y), z) / math.fsum(cross(onehot(k), z) for k in range(K)) + 0.5 * reverse(z, y),
    ),
    "bootstrap-soft": (
        partial(bootstrap_soft_loss, beta=0.8),
        lambda z, y: cross(mixed_target(y, 0.8, p(z)), z),
    ),
    "bootstrap-hard": (
        partial(bootstrap_hard_loss, beta=0.6),
        lambda z, y: cross(mixed_target(y, 0.6, onehot(max(range(K), key=lambda k: z[k]))), z),
    ),
    "logit-norm": (
        partial(logit_norm_loss, temperature=0.04, rate=-0.7),
        lambda z, y: smooth(normed(z, 0.04), y, -0.7),
    ),
    "logit-clip": (
        partial(logit_clip_loss, tau=5.0, rate=-0.7),
        lambda z, y: smooth(clipped(z, 5.0), y, -0.7),
    ),
}


def batch(seed: int, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(12, K, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, K, (12,), generator=generator)


def slowly(slow: Slow, logits: Tensor, labels: Tensor) -> Tensor:
    losses = [slow(z, y) for z, y in zip(logits.tolist(), labels.tolist(), strict=True)]
    return torch.tensor(math.fsum(losses) / len(losses), dtype=torch.float64)


@pytest.mark.parametrize("name", FORMS)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.01, 1.0, 10.0, 300.0]))
def test_loss_equals_its_formula(name: str, seed: int, scale: float) -> None:
    fast, slow = FORMS[name]
    logits, labels = batch(seed, scale)
    torch.testing.assert_close(fast(logits, labels), slowly(slow, logits, labels), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", FORMS)
def test_gradient_is_that_of_small_differences(name: str) -> None:
    logits, labels = batch(0)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: FORMS[name][0](z, labels), logits)


@given(seed=st.integers(0, 1000), alpha=st.floats(0, 3), floor=st.sampled_from([0.0, 1e-5, 0.1]))
def test_peer_loss_equals_its_formula(seed: int, alpha: float, floor: float) -> None:
    logits, labels = batch(seed)
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(12, (2, 12), generator=generator)

    def nats(i: int, j: int) -> float:
        """The loss of prediction i by label j."""
        return -math.log(p(logits[i].tolist())[int(labels[j])] + floor)

    expected = [nats(n, n) - alpha * nats(int(first[n]), int(second[n])) for n in range(12)]
    loss = peer_loss(logits, labels, first, second, alpha, floor)
    torch.testing.assert_close(loss.item(), math.fsum(expected) / 12)


def test_peer_loss_is_bounded_below_by_its_floor() -> None:
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    labels, swapped = torch.tensor([0, 1]), torch.tensor([1, 0])
    # each right and sure, each peer wrong and sure: 0 - (-log 1e-5)
    assert peer_loss(logits, labels, torch.arange(2), swapped, 1.0).item() == pytest.approx(math.log(1e-5), rel=1e-5)
    assert peer_loss(logits, labels, torch.arange(2), swapped, 1.0, floor=0.0).item() == -1e4


@given(seed=st.integers(0, 1000), lam=st.floats(0, 10))
def test_elr_equals_its_formula(seed: int, lam: float) -> None:
    logits, labels = batch(seed)
    targets = np.random.default_rng(seed).dirichlet(np.ones(K), size=12)
    expected = []
    for z, y, t in zip(logits.tolist(), labels.tolist(), targets.tolist(), strict=True):
        agreement = math.fsum(min(max(prob, 1e-4), 1 - 1e-4) * each for prob, each in zip(p(z), t, strict=True))
        expected.append(cross(onehot(y), z) + lam * math.log(1 - agreement))
    loss = elr_loss(logits, labels, torch.from_numpy(targets), lam)
    torch.testing.assert_close(loss.item(), math.fsum(expected) / 12)


@given(seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_mixup_is_torchs_cross_entropy_against_mixed_labels(seed: int, share: float) -> None:
    logits, labels = batch(seed)
    partners = labels.roll(1)
    mixed = share * functional.one_hot(labels, K).double() + (1 - share) * functional.one_hot(partners, K).double()
    weight = torch.tensor(share, dtype=torch.float64)
    torch.testing.assert_close(mixup_loss(logits, labels, partners, weight), functional.cross_entropy(logits, mixed))


def test_forward_correction_takes_logarithms_before_anything_underflows() -> None:
    z, y = torch.tensor([[0.0, 1e4]]), torch.tensor([0])
    assert forward_loss(z, y, torch.eye(2)).item() == 1e4  # no noise: cross-entropy, as sure as it is
    swaps = torch.tensor([[1.0, 0.0], [0.25, 0.75]])  # a quarter of class 1 carries label 0
    assert forward_loss(z, y, swaps).item() == pytest.approx(math.log(4))


def test_bounded_losses_are_bounded_where_cross_entropy_is_not() -> None:
    """Sure and wrong, at 10,000 nats of cross-entropy."""
    z, y = torch.tensor([[0.0, 1e4]]), torch.tensor([0])
    assert mae_loss(z, y).item() == 2
    assert gce_loss(z, y, 0.7).item() == pytest.approx(1 / 0.7)
    assert nce_rce_loss(z, y, 1.0, 1.0).item() == pytest.approx(1 + math.log(1e4))  # NCE is at most 1
    assert sce_loss(z, y, 0.1, 1.0).item() == pytest.approx(1000 + math.log(1e4))


def test_norm_of_zero_logits_has_a_finite_gradient() -> None:
    for loss in (partial(logit_norm_loss, temperature=0.04), partial(logit_clip_loss, tau=1.0)):
        z = torch.zeros(2, K, requires_grad=True)
        value = loss(z, torch.tensor([0, 1]), rate=-1.0)
        assert value.item() == pytest.approx(math.log(K))
        value.backward()
        assert z.grad is not None
        assert z.grad.isfinite().all()


def test_clipping_leaves_short_logits_alone() -> None:
    logits, labels = batch(0, scale=0.1)
    short = float(logits.norm(dim=1).max()) + 0.1
    expected = functional.cross_entropy(logits, labels)
    torch.testing.assert_close(logit_clip_loss(logits, labels, tau=short), expected, rtol=0, atol=1e-14)
    assert logit_clip_loss(logits, labels, tau=short / 3) > expected


@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        (partial(confidence_penalty_loss, beta=-0.1), r"beta: -0\.1 is refused: a finite number, 0 or more"),
        (partial(sce_loss, alpha=math.nan, beta=1), "alpha: nan is refused"),
        (partial(nce_rce_loss, alpha=1, beta=math.inf), "beta: inf is refused"),
        (partial(gce_loss, q=0), r"q: 0 is refused: in \(0, 1\]"),
        (partial(gce_loss, q=1.1), r"q: 1\.1 is refused"),
        (partial(bootstrap_soft_loss, beta=1.1), r"beta: 1\.1 is refused: in \[0, 1\]"),
        (partial(bootstrap_hard_loss, beta=-1), "beta: -1 is refused"),
        (partial(logit_norm_loss, temperature=0), "temperature: 0 is refused: a finite number above 0"),
        (partial(logit_clip_loss, tau=-1), "tau: -1 is refused"),
        (partial(logit_clip_loss, tau=1, rate=2), "rate: 2 is refused: a smoothing rate of at most 1"),
    ],
)
def test_values_outside_a_parameters_range_are_refused(loss: Fast, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        loss(*batch(0))

"""What binds generalised label smoothing to other losses: the identities of Wei et al. 2022 and what follows from them.

Written L_k for the loss of label k, generalised smoothing at a rate r is `(1 - r) L_y + r mean_k L_k` (GLS).
"""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.losses import gls_loss
from tosmooth.trainables.losses.correction import backward_loss, forward_loss, inverse_of, peer_loss
from tosmooth.trainables.losses.logits import logit_clip_loss, logit_norm_loss
from tosmooth.trainables.losses.memory import bootstrap_hard_loss, bootstrap_soft_loss, elr_loss
from tosmooth.trainables.losses.robust import gce_loss, mae_loss, nce_rce_loss, sce_loss
from tosmooth.trainables.losses.smoothing import confidence_penalty_loss, online_smoothing_loss
from tosmooth.trainables.noise.synthetic import Synthetic, transition_matrix

CLASSES = [2, 3, 10]


def batch(K: int, seed: int = 0, size: int = 30) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size, K, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, K, (size,), generator=generator)


def ce(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels)


def mean_of_classes(logits: Tensor) -> Tensor:
    """mean_k L_k, averaged over the batch []."""
    return -functional.log_softmax(logits, dim=1).mean()


def limit(logits: Tensor, labels: Tensor) -> Tensor:
    """L_y - mean_k L_k, averaged over the batch []."""
    return ce(logits, labels) - mean_of_classes(logits)


def symmetric(rate: float, K: int) -> Tensor:
    return torch.from_numpy(transition_matrix(Synthetic("symmetric", rate), K))


@pytest.mark.parametrize("K", CLASSES)
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.45])
def test_backward_correction_of_symmetric_noise_is_gls_at_the_theory_rate(rate: float, K: int) -> None:
    rho = rate * K / (K - 1)
    logits, labels = batch(K)
    corrected = backward_loss(logits, labels, inverse_of(symmetric(rate, K)))
    torch.testing.assert_close(corrected, gls_loss(logits, labels, -rho / (1 - rho)))


@pytest.mark.parametrize("K", CLASSES)
def test_backward_correction_is_in_expectation_the_clean_cross_entropy(K: int) -> None:
    T = torch.from_numpy(transition_matrix(Synthetic("pairflip", 0.3), K))
    logits, clean = batch(K)
    inverse = inverse_of(T)
    per_label = torch.stack(
        [torch.stack([backward_loss(z[None], torch.tensor([k]), inverse) for k in range(K)]) for z in logits]
    )  # [B, K]
    torch.testing.assert_close((T[clean] * per_label).sum(dim=1).mean(), ce(logits, clean))


@pytest.mark.parametrize("K", CLASSES)
@pytest.mark.parametrize("rate", [-8.0, -0.4, 0.1, 1.0])
def test_smoothing_at_the_opposite_rate_is_twice_cross_entropy_less_the_other(rate: float, K: int) -> None:
    """LS at a rate r is 2 CE - GLS(-r), and NLS the other way round: GLS is linear in r, and CE at r = 0."""
    logits, labels = batch(K)
    # Where -r is beyond 1 the loss is refused; the form with soft targets takes any.
    targets = (1 + rate) * functional.one_hot(labels, K).double() - rate / K
    opposite = -(targets * functional.log_softmax(logits, dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(opposite, 2 * ce(logits, labels) - gls_loss(logits, labels, rate))
    if -rate <= 1:
        torch.testing.assert_close(gls_loss(logits, labels, -rate), opposite)


@pytest.mark.parametrize("K", CLASSES)
def test_far_negative_rates_tend_to_the_loss_of_the_label_less_the_mean_of_all(K: int) -> None:
    """GLS(r) / (1 - r) = L_y + r / (1 - r) mean_k L_k: it differs from its limit by mean_k L_k / (1 - r)."""
    logits, labels = batch(K)
    expected = limit(logits, labels)
    for rate in (-10.0, -1e3, -1e8):
        scaled = gls_loss(logits, labels, rate) / (1 - rate)
        torch.testing.assert_close(scaled - expected, mean_of_classes(logits) / (1 - rate), rtol=1e-4, atol=1e-12)
    z_label = logits.gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(expected, (logits.mean(dim=1) - z_label).mean())  # linear in the logits


@pytest.mark.parametrize("alpha", [0.3, 0.9, 1.0])
def test_peer_loss_is_in_expectation_gls_where_labels_are_even(alpha: float) -> None:
    """Peer loss with plain cross-entropy rests on the limit of GLS: at alpha = 1 it is that limit.

    Over all pairs of peers, with as many noisy labels of each class, the peers' loss is mean_k L_k. So peer loss is
    L_y - alpha mean_k L_k, which for alpha < 1 is (1 - alpha) GLS at r = -alpha / (1 - alpha).
    """
    K = 5
    logits, _ = batch(K)
    labels = torch.arange(30) % K
    pairs = torch.tensor(list(itertools.product(range(30), repeat=2)))  # [900, 2]
    of_pairs = [
        peer_loss(logits, labels, first, second, alpha, floor=0.0)
        for first, second in (chunk.unbind(1) for chunk in pairs[torch.randperm(900)].split(30))
    ]
    expected = limit(logits, labels) if alpha == 1 else (1 - alpha) * gls_loss(logits, labels, -alpha / (1 - alpha))
    torch.testing.assert_close(torch.stack(of_pairs).mean(), expected)


@pytest.mark.parametrize("K", CLASSES)
def test_limit_is_the_loss_of_the_label_against_a_complementary_one(K: int) -> None:
    """K / (K - 1) times the limit is L_y less the loss of a label drawn evenly from the K - 1 others: complementary
    labels, whose likelihood is to fall (Ishida et al. 2017, arXiv 1705.07541; Kim et al. 2019, arXiv 1908.07387).
    """
    logits, labels = batch(K)
    others = [ce(logits, (labels + shift) % K) for shift in range(1, K)]  # each complementary label once
    expected = ce(logits, labels) - torch.stack(others).mean()
    torch.testing.assert_close(K / (K - 1) * limit(logits, labels), expected)


@pytest.mark.parametrize("K", CLASSES)
def test_unbiased_loss_of_a_complementary_label_is_gls_at_rate_k(K: int) -> None:
    """A complementary label c, drawn evenly from the wrong ones, has the unbiased loss `-(K - 1) L_c + sum_k L_k`
    (Ishida et al. 2019, arXiv 1810.04327): backward correction of symmetric noise at rate 1, where rho = K / (K - 1)
    and -rho / (1 - rho) = K. It is -(K - 1) times the limit, plus mean_k L_k.
    """
    logits, complementary = batch(K)
    T = (torch.ones(K, K, dtype=torch.float64) - torch.eye(K, dtype=torch.float64)) / (K - 1)
    corrected = backward_loss(logits, complementary, inverse_of(T))
    torch.testing.assert_close(corrected, -(K - 1) * ce(logits, complementary) + K * mean_of_classes(logits))
    at_rate_k = (1 - K) * ce(logits, complementary) + K * mean_of_classes(logits)
    torch.testing.assert_close(corrected, at_rate_k)
    by_limit = -(K - 1) * limit(logits, complementary) + mean_of_classes(logits)
    torch.testing.assert_close(corrected, by_limit)


@pytest.mark.parametrize("K", CLASSES)
def test_each_method_has_a_value_at_which_it_is_cross_entropy(K: int) -> None:
    logits, labels = batch(K)
    eye = torch.eye(K, dtype=torch.float64)
    every = torch.arange(30)
    losses = [
        gls_loss(logits, labels, 0.0),
        confidence_penalty_loss(logits, labels, 0.0),
        online_smoothing_loss(logits, labels, torch.ones(K, K) / K, 1.0),
        forward_loss(logits, labels, eye),
        backward_loss(logits, labels, eye),
        peer_loss(logits, labels, every, every, 0.0, floor=0.0),
        sce_loss(logits, labels, 1.0, 0.0),
        bootstrap_soft_loss(logits, labels, 1.0),
        bootstrap_hard_loss(logits, labels, 1.0),
        elr_loss(logits, labels, torch.zeros(30, K), 3.0),
        logit_clip_loss(logits, labels, 1e6),
    ]
    for loss in losses:
        torch.testing.assert_close(loss, ce(logits, labels))
    torch.testing.assert_close(gce_loss(logits, labels, 1e-7), ce(logits, labels), rtol=1e-5, atol=0)


def test_generalised_cross_entropy_ends_at_half_the_mean_absolute_error() -> None:
    logits, labels = batch(10)
    torch.testing.assert_close(gce_loss(logits, labels, 1.0), mae_loss(logits, labels) / 2)
    # Reverse cross-entropy alone is MAE, too, but for its factor -A / 2.
    torch.testing.assert_close(sce_loss(logits, labels, 0.0, 1.0), mae_loss(logits, labels) * math.log(1e4) / 2)


def test_even_soft_labels_are_label_smoothing() -> None:
    logits, labels = batch(10)
    loss = online_smoothing_loss(logits, labels, torch.full((10, 10), 0.1, dtype=torch.float64), 0.7)
    torch.testing.assert_close(loss, gls_loss(logits, labels, 0.3))


@pytest.mark.parametrize("K", CLASSES)
def test_normalised_cross_entropy_sums_to_one_over_the_labels(K: int) -> None:
    """And RCE to -A (K - 1): both are symmetric losses, which Ma et al. 2020 prove to be robust to noise."""
    logits, _ = batch(K)
    labels = [torch.full((30,), k) for k in range(K)]
    nce = torch.stack([nce_rce_loss(logits, each, 1.0, 0.0) for each in labels]).sum()
    rce = torch.stack([nce_rce_loss(logits, each, 0.0, 1.0) for each in labels]).sum()
    assert nce.item() == pytest.approx(1)
    assert rce.item() == pytest.approx(math.log(1e4) * (K - 1))


@pytest.mark.parametrize("K", CLASSES)
@pytest.mark.parametrize("rate", [-100.0, -8.0, 0.0, 0.8])
def test_bounded_logits_bound_negative_smoothing(rate: float, K: int) -> None:
    """ln K - (1 - r) R sqrt(1 - 1 / K), where |z| <= R. Without the bound the same logits give far less."""
    logits, _ = batch(K)
    logits = 1000 * logits
    labels = logits.argmax(dim=1)  # as surely right as can be
    R = 25.0
    least = math.log(K) - (1 - rate) * R * math.sqrt(1 - 1 / K)
    for loss in (logit_norm_loss(logits, labels, 1 / R, rate), logit_clip_loss(logits, labels, R, rate)):
        assert loss.item() >= least
    if rate < 0:
        assert gls_loss(logits, labels, rate).item() < least

"""Losses that remember, and losses that draw: against slow versions, and bit for bit when they go on."""

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.losses import Facts, MixingLoss, StatefulLoss, Step, gls_loss, make_loss
from tosmooth.trainables.losses.correction import peer_pairs
from tosmooth.trainables.losses.memory import EarlyLearning
from tosmooth.trainables.losses.mixup import mix, mixing_share
from tosmooth.trainables.losses.smoothing import OnlineSmoothing, disturbed_labels

K, N, B = 4, 24, 8
CPU = torch.device("cpu")
FACTS = Facts(K, N, CPU)


def epochs(count: int, seed: int = 0) -> Iterator[list[tuple[Tensor, Tensor, Step]]]:
    """Batches of `count` epochs: logits [B, K], labels [B], step. Each example comes once an epoch."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(K, (N,), generator=generator)
    for epoch in range(count):
        order = torch.randperm(N, generator=generator)
        yield [
            (
                2 * torch.randn(B, K, generator=generator) + 2 * functional.one_hot(labels[index], K),
                labels[index],
                Step(epoch, float(epoch), index, generator),
            )
            for index in order.split(B)
        ]


def trained(loss: StatefulLoss, count: int) -> list[float]:
    losses = []
    for steps in epochs(count):
        losses += [loss(*step).item() for step in steps]
        loss.end_epoch()
    return losses


def softmax(z: Tensor) -> np.ndarray[Any, Any]:
    powers = np.exp(z.numpy().astype(float) - float(z.max()))
    shares: np.ndarray[Any, Any] = powers / powers.sum()
    return shares


def test_early_learning_follows_its_formula_over_epochs() -> None:
    beta, lam = 0.7, 3.0
    loss = EarlyLearning(beta, lam, FACTS)
    targets: dict[int, np.ndarray[Any, Any]] = {i: np.zeros(K) for i in range(N)}
    for steps in epochs(4):
        for logits, labels, step in steps:
            expected = []
            for z, y, i in zip(logits, labels.tolist(), step.index.tolist(), strict=True):
                p = np.clip(softmax(z), 1e-4, 1 - 1e-4)
                targets[i] = beta * targets[i] + (1 - beta) * p / p.sum()
                expected.append(-math.log(softmax(z)[y]) + lam * math.log(1 - float(p @ targets[i])))
            assert loss(logits, labels, step).item() == pytest.approx(np.mean(expected), rel=1e-5)
        loss.end_epoch()


def test_early_learning_lets_no_gradient_into_its_targets() -> None:
    """The gradient is that with the target as a constant; through it there would be another."""
    [[(logits, labels, step), *_]] = epochs(1)
    z = logits.clone().requires_grad_()
    loss = EarlyLearning(0.7, 3.0, FACTS)
    loss(z, labels, step).backward()
    again = logits.clone().requires_grad_()
    p = again.softmax(dim=1)
    targets = 0.3 * p.detach()
    regulariser = (1 - (p * targets).sum(dim=1)).log().mean()
    (functional.cross_entropy(again, labels) + 3 * regulariser).backward()
    torch.testing.assert_close(z.grad, again.grad, rtol=1e-3, atol=1e-5)
    assert not loss.targets.requires_grad


def test_online_smoothing_follows_its_definition_over_epochs() -> None:
    alpha = 0.5
    loss = OnlineSmoothing(alpha, FACTS)
    soft = np.full((K, K), 1 / K)
    for steps in epochs(4):
        right: dict[int, list[Any]] = {k: [] for k in range(K)}
        for logits, labels, step in steps:
            expected = []
            for z, y in zip(logits, labels.tolist(), strict=True):
                p = softmax(z)
                expected.append(-alpha * math.log(p[y]) - (1 - alpha) * float(soft[y] @ np.log(p)))
                if p.argmax() == y:
                    right[y].append(p)
            assert loss(logits, labels, step).item() == pytest.approx(np.mean(expected), rel=1e-5)
        for k, seen in right.items():
            if seen:
                soft[k] = np.mean(seen, axis=0)
        loss.end_epoch()
        np.testing.assert_allclose(loss.soft, soft, rtol=1e-5)
    assert not np.allclose(soft, 1 / K)


def test_class_of_which_none_was_right_keeps_its_soft_label() -> None:
    loss = OnlineSmoothing(0.5, FACTS)
    step = Step(0, 0.0, torch.arange(2), torch.Generator())
    loss(torch.tensor([[9.0, 0, 0, 0], [9.0, 0, 0, 0]]), torch.tensor([0, 1]), step)  # right for 0, wrong for 1
    loss.end_epoch()
    assert loss.soft[0, 0] > 0.99
    assert loss.soft[1].tolist() == [0.25] * 4
    loss.end_epoch()  # an epoch that saw none at all
    assert loss.soft[0, 0] > 0.99


@pytest.mark.parametrize("name", ["elr", "online-smoothing"])
@pytest.mark.parametrize("at", ["the end of an epoch", "within one"])
def test_loss_that_goes_on_from_its_state_gives_the_same_numbers_bit_for_bit(name: str, at: str) -> None:
    loss = make_loss(name, {}, FACTS)
    assert isinstance(loss, StatefulLoss)
    trained(loss, 2)
    more = next(epochs(1, seed=1))
    if at == "within one":
        loss(*more.pop())
    file = io.BytesIO()
    torch.save(loss.state(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    other = make_loss(name, {}, FACTS)
    assert isinstance(other, StatefulLoss)
    other.load(state)
    kept = {key: value.clone() for key, value in state.items()}
    for each in (loss, other):
        each.end_epoch()
    assert [loss(*step).item() for step in more] == [other(*step).item() for step in more]
    for key, value in loss.state().items():
        assert torch.equal(value, other.state()[key])
    assert all(torch.equal(kept[key], state[key]) for key in kept)  # what was loaded is not written to


@pytest.mark.parametrize("name", ["elr", "online-smoothing"])
def test_state_of_other_data_is_refused(name: str) -> None:
    loss, other = (make_loss(name, {}, Facts(classes, N, CPU)) for classes in (K, K + 1))
    assert isinstance(loss, StatefulLoss)
    assert isinstance(other, StatefulLoss)
    with pytest.raises(InputError, match="is refused: a state of the shape"):
        loss.load(other.state())


def test_disturbed_labels_are_in_expectation_label_smoothing_at_rate_alpha() -> None:
    """The label stays with probability 1 - alpha + alpha / K, each other class comes with alpha / K: LS's targets."""
    alpha, draws = 0.3, 200_000
    generator = torch.Generator().manual_seed(0)
    labels = torch.full((draws,), 2)
    shares = disturbed_labels(labels, K, alpha, generator).bincount(minlength=K) / draws
    expected = torch.tensor([alpha / K] * K)
    expected[2] += 1 - alpha
    # five standard errors: sqrt(0.25 / 200,000) = 0.0011
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.0056)

    logits = 2 * torch.randn(6, K, generator=generator, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    loss = make_loss("disturb-label", {"alpha": alpha}, FACTS)
    step = Step(0, 0.0, torch.arange(6), generator)
    seen = torch.stack([loss(logits, y, step) for _ in range(4000)])
    error = seen.std().item() / math.sqrt(len(seen))
    assert abs(seen.mean().item() - gls_loss(logits, y, alpha).item()) < 5 * error
    assert abs(seen.mean().item() - functional.cross_entropy(logits, y).item()) > 5 * error


def test_labels_are_disturbed_anew_each_step_and_all_or_none_at_the_ends() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(1000, dtype=torch.int64)
    first, second = (disturbed_labels(labels, K, 0.5, generator) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(disturbed_labels(labels, K, 0.0, generator), labels)
    assert (disturbed_labels(labels, K, 1.0, generator) != 0).float().mean().item() == pytest.approx(0.75, abs=0.06)


def test_peers_are_drawn_evenly_and_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(3, 3)
    for _ in range(2000):
        first, second = peer_pairs(3, generator)
        counts.index_put_((first, second), torch.ones(3), accumulate=True)
    assert counts.diag().sum() == 0
    # 6,000 draws over 6 pairs: 1,000 each, standard deviation 29
    assert (counts[~torch.eye(3, dtype=torch.bool)] - 1000).abs().max() < 150


def test_peers_in_a_batch_of_one() -> None:
    assert [each.tolist() for each in peer_pairs(1, torch.Generator())] == [[0], [0]]


@pytest.mark.parametrize("alpha", [0.05, 0.3, 1.0, 8.0])
def test_shares_are_drawn_from_the_beta_distribution(alpha: float) -> None:
    generator = torch.Generator().manual_seed(0)
    shares = np.array([mixing_share(alpha, generator).item() for _ in range(2000)])
    assert np.isfinite(shares).all()
    if alpha < 0.1:  # most are 0 or 1 in float32, as they should be: torch's float32 knows none nearer
        assert np.mean(shares < 0.5) == pytest.approx(0.5, abs=0.06)
        assert np.mean((shares > 0.01) & (shares < 0.99)) == pytest.approx(
            np.diff(stats.beta(alpha, alpha).cdf([0.01, 0.99]))[0], abs=0.05
        )
    else:
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_mixing_takes_one_share_and_a_permutation_of_the_batch() -> None:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(B, 3, 4, 4, generator=generator).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(B)  # so that a partner's label tells which example it is
    out, mixed = mix(inputs, labels, 1.0, generator)
    assert sorted(mixed.labels.tolist()) == labels.tolist()
    assert 0 < mixed.share.item() < 1
    torch.testing.assert_close(out, mixed.share * inputs + (1 - mixed.share) * inputs[mixed.labels])
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert mix(inputs.bfloat16(), labels, 1.0, generator)[0].dtype == torch.bfloat16


def test_mixup_takes_its_loss_from_how_the_inputs_were_mixed() -> None:
    loss = make_loss("mixup", {"alpha": 2.0}, FACTS)
    assert isinstance(loss, MixingLoss)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(B) % K
    _, mixed = loss.mix(torch.zeros(B, 2), labels, generator)
    logits = torch.randn(B, K, generator=generator)
    targets = mixed.share * functional.one_hot(labels, K) + (1 - mixed.share) * functional.one_hot(mixed.labels, K)
    value = loss(logits, labels, Step(0, 0.0, torch.arange(B), generator, mixed))
    torch.testing.assert_close(value, functional.cross_entropy(logits, targets))
    with pytest.raises(ValueError, match="mixed first"):
        loss(logits, labels, Step(0, 0.0, torch.arange(B), generator))

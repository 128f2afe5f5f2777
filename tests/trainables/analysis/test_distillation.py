"""Distillation against a slow loss, and students that learn what their teachers say."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.analysis.tools import CPU, by_hand, features, images, trained, trial
from tosmooth.trainables.analysis.distillation import distil, distillation_loss, student_network
from tosmooth.trainables.config import NetworkConfig, OptimizerConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.training.trainer import Trainer


def test_loss_equals_a_slow_version() -> None:
    generator = torch.Generator().manual_seed(0)
    z, t = (3 * torch.randn(7, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    labels = torch.randint(0, 4, (7,), generator=generator)
    expected = 0.0
    for b in range(7):
        p, q = ((row[b] / 3).softmax(dim=0) for row in (t, z))
        soft = sum(float(p[k] * (p[k] / q[k]).log()) for k in range(4))
        expected += (0.7 * 9 * soft - 0.3 * float(z[b].log_softmax(dim=0)[labels[b]])) / 7
    assert distillation_loss(z, t, labels, 3.0, 0.7).item() == pytest.approx(expected, rel=1e-5)


def test_loss_of_a_student_like_its_teacher_is_0_and_has_no_gradient() -> None:
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = distillation_loss(z, z.detach(), torch.zeros(5, dtype=torch.int64), 4.0, 1.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert z.grad is not None
    assert z.grad.abs().max().item() == pytest.approx(0, abs=1e-6)


def test_high_temperature_matches_logits() -> None:
    # Hinton et al. 2015, 2.1: for large T and logits of mean 0 the gradient, times T^2, is (z - v) / K.
    generator = torch.Generator().manual_seed(0)
    z, v = (torch.randn(1, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    z, v = ((each - each.mean()) for each in (z, v))
    z.requires_grad_()
    distillation_loss(z, v, torch.tensor([0]), 300.0, 1.0).backward()
    assert z.grad is not None
    assert z.grad.numpy() == pytest.approx(((z - v) / 6).detach().numpy(), abs=5e-3)


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        (NetworkConfig(), NetworkConfig(width=16)),
        (NetworkConfig(width=200, depth=3), NetworkConfig(width=50, depth=3)),
        (NetworkConfig(name="cnn"), NetworkConfig(name="cnn", width=8)),
        (NetworkConfig(name="fastcnn", width=2), NetworkConfig(name="fastcnn", width=1)),
        (NetworkConfig(name="resnet34"), NetworkConfig(name="cnn", width=32)),
    ],
)
def test_student_is_a_small_network_for_the_same_inputs(teacher: NetworkConfig, student: NetworkConfig) -> None:
    assert student_network(teacher) == student


class Rule(nn.Module):
    """A teacher that knows Twonorm's best answer, or the opposite of it."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = sign
        self.told = 0

    def forward(self, x: Tensor) -> Tensor:
        self.told += len(x)
        score = self.sign * x.float().sum(dim=1)
        return torch.stack([-score, score], dim=1)


def test_student_learns_from_the_teacher_and_not_from_the_labels() -> None:
    data = features("symmetric-0.4", size=2000, test_size=1000)
    config = trial(epochs=4, optimizer=OptimizerConfig(lr=0.05))
    wise, fool = (distil(Rule(sign), config, data, CPU).metrics["test_accuracy"] for sign in (1.0, -1.0))
    assert (wise or 0) > 95  # of at most 97.7, although 2 of 5 labels are wrong
    assert (fool or 100) < 5


def test_without_the_teacher_it_is_a_run_of_cross_entropy() -> None:
    data = features(size=400, test_size=200)
    config, student = trial(epochs=2), NetworkConfig(width=5)
    found = distil(Rule(1.0), config, data, CPU, student, alpha=0.0).metrics
    plain = trained(trial(epochs=2, width=5), data).curve[-1]
    assert found["test_loss"] == pytest.approx(plain["test_loss"])
    assert found["train_accuracy"] == plain["train_accuracy"]


def test_the_trial_s_rate_warm_up_and_second_phase_are_not_the_student_s() -> None:
    data = features(size=400, test_size=200)
    plain = trial(epochs=2)
    smoothed = trial(epochs=2, rate=-4.0, recipe="two-phase", second_optimizer=OptimizerConfig(lr=1e-9))
    one, two = (distil(Rule(1.0), config, data, CPU).metrics for config in (plain, smoothed))
    assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in two.items() if k != "seconds"}


@pytest.mark.parametrize("name", ["cnn", "fastcnn"])
def test_teacher_sees_the_images_as_the_student_does_and_stays_as_it_was(name: Any) -> None:
    data = images()
    config = trial(name, epochs=2, augment="crop-flip")
    teacher = trained(config, data).network
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    grads = [parameter.grad for parameter in teacher.parameters()]
    found = distil(teacher, config, data, CPU)
    assert found.epoch == 2
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(a is b for a, b in zip(grads, (p.grad for p in teacher.parameters()), strict=True))


def test_criterion_gets_what_the_network_got_and_takes_the_place_of_the_loss() -> None:
    data = features(size=300, test_size=100)
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def criterion(inputs: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        seen.append((inputs, logits.detach(), labels))
        return logits.square().mean() + 7

    trainer = Trainer(trial(batch_size=10_000), data, CPU, criterion=criterion)
    with torch.no_grad():
        first = trainer.network(by_hand(data, data.train))
    metrics = trainer.run_epoch().metrics
    ((inputs, logits, labels),) = seen
    order = [int((data.train.inputs[data.train.rows] == x).all(dim=1).nonzero()) for x in inputs]
    assert sorted(order) == list(range(270))
    assert logits.numpy() == pytest.approx(first[order].numpy(), abs=1e-6)
    assert torch.equal(labels, data.train.labels[order])
    assert metrics["train_loss"] == pytest.approx(first.square().mean().item() + 7, rel=1e-5)


@pytest.mark.parametrize(("name", "value"), [("temperature", 0.0), ("alpha", 1.5), ("alpha", -0.1)])
def test_settings_that_make_no_sense_are_refused(name: str, value: float) -> None:
    data = features(size=100, test_size=10)
    with pytest.raises(InputError, match=rf"^{name}: {value} is refused"):
        distil(Rule(1.0), trial(), data, CPU, **{name: value})  # type: ignore[arg-type]

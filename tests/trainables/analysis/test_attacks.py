"""Attacks against their closed form on a linear network; signs of masked gradients on networks that mask them."""

import math

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.analysis.tools import CPU, features, images, trained, trial
from tosmooth.trainables.analysis import attacks
from tosmooth.trainables.analysis.attacks import robustness
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.errors import InputError


def linear(weights: Tensor, bias: Tensor) -> nn.Module:
    """A network [B, ...] -> [B, K] that is linear."""
    layer = nn.Linear(weights.shape[1], len(weights))
    with torch.no_grad():
        layer.weight.copy_(weights)
        layer.bias.copy_(bias)
    return nn.Sequential(nn.Flatten(), layer)


def pictures(n: int = 200) -> LevelData:
    """Random pictures of 6x6 pixels of two classes, some of them near the ends of the pixels' range."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, 6, 6, 3), dtype=torch.uint8, generator=generator)
    split = Split(pixels, torch.arange(n), torch.randint(0, 2, (n,), generator=generator))
    return LevelData(split, split, split, 2, None, False, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), "")


def expected_accuracy(network: nn.Module, data: LevelData, epsilon: float) -> float:
    """The accuracy, in percent, that the worst change of each pixel by at most epsilon leaves: every pixel goes as far
    as it may in the direction that lowers the margin of a linear network of two classes."""
    test = data.test
    assert test is not None
    x = test.inputs[test.rows].double().permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(value, dtype=torch.float64).view(-1, 1, 1) for value in (data.mean, data.std))
    layer = next(m for m in network.modules() if isinstance(m, nn.Linear))
    w = layer.weight.detach().double()
    by_pixel = ((w[1] - w[0]).view(3, 6, 6) / std)[None] * (1 - 2 * test.labels.view(-1, 1, 1, 1))  # of the wrong class
    worst = (x + epsilon * by_pixel.sign()).clamp(0, 1)
    logits = ((worst - mean) / std).flatten(1) @ w.T + layer.bias.detach().double()
    return 100 * (logits.argmax(dim=1) == test.labels).double().mean().item()


@pytest.mark.parametrize("epsilon", [0.002, 8 / 255, 0.2])
def test_attacks_on_a_linear_network_find_the_worst_pictures(epsilon: float) -> None:
    data, generator = pictures(), torch.Generator().manual_seed(1)
    network = linear(torch.randn(2, 108, generator=generator) / 20, torch.zeros(2))
    found = robustness(network, data, CPU, epsilon=epsilon)
    expected = expected_accuracy(network, data, epsilon)
    assert found.accuracy == expected_accuracy(network, data, 0.0)
    assert 0 < expected < found.accuracy or epsilon == 0.2
    assert found.fgsm_accuracy == found.pgd_accuracy == found.margin_accuracy == found.worst_accuracy == expected
    assert (found.examples, found.masking, found.zero_gradients) == (200, "", 0)


def test_features_have_the_closed_form_of_the_best_classifier_of_twonorm() -> None:
    # It sums the coordinates: mean 20 * 2 / sqrt(20), standard deviation sqrt(20); epsilon takes 20 * epsilon.
    data = features("clean", size=100, test_size=10_000)
    best = linear(torch.stack([-torch.ones(20), torch.ones(20)]) / 20, torch.zeros(2))
    found = robustness(best, data, CPU, examples=2000)
    for accuracy, epsilon in ((found.accuracy, 0.0), (found.fgsm_accuracy, 0.1), (found.pgd_accuracy, 0.1)):
        margin = (20 * 2 / math.sqrt(20) - 20 * epsilon) / math.sqrt(20)
        expected = 50 * (1 + math.erf(margin / math.sqrt(2)))  # 97.7, then 94.0
        assert accuracy == pytest.approx(expected, abs=4 * 100 * math.sqrt(0.06 * 0.94 / 2000))
    assert found.epsilon == 0.1
    assert found.masking == ""


def test_pictures_are_attacked_by_8_of_255_and_stay_within_it_and_their_range() -> None:
    data = pictures()
    network = linear(torch.randn(2, 108, generator=torch.Generator().manual_seed(1)), torch.zeros(2))
    attack = attacks._Attack(attacks._in_pixels(network, data, CPU), True, 8 / 255)
    test = data.test
    assert test is not None
    x = test.inputs.permute(0, 3, 1, 2).float() / 255
    for each in (attack.fgsm, attack.pgd, attack.margin):
        changed = each(x, test.labels)
        assert (changed - x).abs().max().item() == pytest.approx(8 / 255, abs=1e-6)
        assert changed.min() >= 0
        assert changed.max() <= 1
    assert (attacks.STEPS, attacks.STEP) == (20, 1 / 4)  # of epsilon: 2/255
    assert robustness(network, data, CPU, examples=10).epsilon == 8 / 255


def on_features(weights: Tensor, bias: float, epsilon: float) -> attacks._Attack:
    """Attacks on a linear network of two classes, whose logits differ by weights [D] times the features plus bias."""
    network = linear(torch.stack([torch.zeros_like(weights), weights]), torch.tensor([0.0, bias]))
    return attacks._Attack(network.double(), False, epsilon)


def test_attacks_take_epsilon_times_the_sum_of_absolute_weights_from_a_linear_margin() -> None:
    generator = torch.Generator().manual_seed(2)
    w, x = (torch.randn(size, generator=generator).double() for size in ((20,), (300, 20)))
    labels = torch.randint(0, 2, (300,), generator=generator)
    attack, side = on_features(w, 0.3, 0.05), 2 * labels - 1
    before = (x @ w + 0.3) * side
    for each in (attack.fgsm, attack.pgd, attack.margin):
        after = (each(x, labels) @ w + 0.3) * side
        torch.testing.assert_close(before - after, (0.05 * w.abs().sum()).expand(300), rtol=1e-6, atol=0)


def test_a_linear_prediction_falls_at_its_margin_over_the_sum_of_absolute_weights() -> None:
    generator = torch.Generator().manual_seed(3)
    w, x = (torch.randn(size, generator=generator).double() for size in ((20,), (1, 20)))
    labels = (x @ w > 0).long()
    flips = ((x @ w).abs() / w.abs().sum()).item()
    for epsilon, right in ((0.999 * flips, True), (1.001 * flips, False)):
        attack = on_features(w, 0.0, epsilon)
        for each in (attack.fgsm, attack.pgd, attack.margin):
            assert attack.right(each(x, labels), labels).item() is right


def test_pgd_starts_anywhere_within_epsilon_and_takes_steps_of_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = on_features(torch.ones(1), 0.0, 0.5)
    x, labels = torch.zeros(20_000, 1).double(), torch.zeros(20_000).long()
    torch.manual_seed(0)
    monkeypatch.setattr(attacks, "STEPS", 0)
    start = attack.pgd(x, labels)
    assert start.abs().max() <= 0.5
    assert start.mean().item() == pytest.approx(0, abs=5 * 0.5 / 3**0.5 / 20_000**0.5)
    assert start.square().mean().item() == pytest.approx(0.25 / 3, abs=0.003)  # of a uniform draw
    torch.manual_seed(0)
    monkeypatch.setattr(attacks, "STEPS", 2)
    torch.testing.assert_close(attack.pgd(x, labels), (start + 2 * 0.125).clamp(max=0.5))


def test_trained_network_is_weaker_under_attack_and_is_left_as_it_was() -> None:
    data = images()
    network = trained(trial("cnn", epochs=8, batch_size=8), data).network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for parameter in network.parameters():
        parameter.grad = None
    network.train()
    state = torch.get_rng_state()
    found = robustness(network, data, CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert found.accuracy > 60
    assert found.worst_accuracy <= found.pgd_accuracy <= found.fgsm_accuracy <= found.accuracy
    assert found.pgd_accuracy < found.accuracy
    assert found == robustness(network, data, CPU)  # the same random starts


class Scaled(nn.Module):
    """A network whose logits are multiplied: it predicts the same, ever so sure."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return self.factor * logits


def test_network_that_is_too_sure_to_have_a_gradient_is_seen_through() -> None:
    data = features("clean", size=100, test_size=1000)
    best = linear(torch.stack([-torch.ones(20), torch.ones(20)]) / 20, torch.zeros(2))
    plain, sure = robustness(best, data, CPU), robustness(Scaled(best, 1e4), data, CPU)
    assert sure.accuracy == plain.accuracy
    assert sure.pgd_accuracy > plain.pgd_accuracy + 1  # it looks more robust
    assert sure.margin_accuracy == plain.margin_accuracy  # and is not
    assert sure.worst_accuracy == plain.worst_accuracy
    assert sure.zero_gradients > 90
    assert "PGD on the margin is stronger than on cross-entropy" in sure.masking
    assert "cross-entropy has no gradient at" in sure.masking
    assert plain.masking == ""


class Stepped(nn.Module):
    """A network that rounds its inputs and passes the gradient on with the wrong sign."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        rounded = (64 * x).round() / 64
        logits: Tensor = self.network(rounded.detach() - x + x.detach())
        return logits


def test_network_with_a_misleading_gradient_falls_to_examples_made_for_another() -> None:
    data = features("clean", size=100, test_size=1000)
    best = linear(torch.stack([-torch.ones(20), torch.ones(20)]) / 20, torch.zeros(2))
    found = robustness(Stepped(best), data, CPU, source=best)
    assert found.pgd_accuracy == pytest.approx(found.accuracy, abs=0.5)
    assert found.transfer_accuracy is not None
    assert found.transfer_accuracy < found.pgd_accuracy - 2
    assert found.worst_accuracy <= found.transfer_accuracy
    assert "examples made for another network are stronger" in found.masking


def test_each_sign_is_named_alone() -> None:
    assert attacks._masking(50, 50, 49.5, 49.5, 0.5) == ""
    assert attacks._masking(50, 50.1, 50, None, 0) == "PGD is weaker than a single step: accuracy 50.1 against 50.0 %"
    assert attacks._masking(50, 40, 40, 40, 1.5) == "cross-entropy has no gradient at 1.5 % of the right predictions"


def test_examples_are_taken_evenly_and_are_as_many_as_there_are() -> None:
    labels = torch.arange(100) // 50
    split = Split(torch.where(labels == 0, -1.0, 1.0)[:, None], torch.arange(100), torch.where(labels == 0, 0, 0))
    data = LevelData(split, split, split, 2, None, False, (0.0,), (1.0,), "")
    sign = linear(torch.tensor([[-1.0], [1.0]]), torch.zeros(2))
    assert robustness(sign, data, CPU, examples=10).accuracy == 50  # of both halves
    assert robustness(sign, data, CPU, examples=10_000).examples == 100


@pytest.mark.parametrize(("name", "value"), [("epsilon", 0.0), ("examples", 0)])
def test_settings_that_attack_nothing_are_refused(name: str, value: float) -> None:
    settings = {name: value}
    with pytest.raises(InputError, match=rf"^{name}: {value} is refused"):
        robustness(linear(torch.ones(2, 108), torch.zeros(2)), pictures(), CPU, **settings)  # type: ignore[arg-type]

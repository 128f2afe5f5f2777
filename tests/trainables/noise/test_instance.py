"""Instance-dependent noise: its rates, what it depends on, and that the example itself decides."""

import numpy as np
import pytest
import torch
from scipy.stats import truncnorm
from torch import Tensor

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.noise.instance import BLOCK, flip_rates, instance_noise
from tosmooth.trainables.noise.synthetic import Labels, noise_rate, stream

PLAIN = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
N = 20_000
LABELS = np.arange(N) % 4
POINTS = torch.from_numpy(np.random.default_rng(0).standard_normal((N, 5)).astype(np.float32))


def drawn(points: Tensor = POINTS, labels: Labels = LABELS, rate: float = 0.3, seed: int = 0) -> Labels:
    return instance_noise(points, PLAIN, labels, 4, rate, seed)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.5, 0.99])
def test_flip_rates_are_those_of_the_truncated_normal(rate: float) -> None:
    expected = truncnorm((0 - rate) / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1)
    found = flip_rates(N, rate, seed=1)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.mean() == pytest.approx(expected.mean(), abs=5 * expected.std() / N**0.5)
    assert found.std() == pytest.approx(expected.std(), rel=0.05)
    assert np.quantile(found, [0.1, 0.9]) == pytest.approx(expected.ppf([0.1, 0.9]), abs=0.005)


def test_means_that_the_cut_leaves_are_those_of_the_docstring() -> None:
    means = [truncnorm(-10 * rate, 10 - 10 * rate, loc=rate, scale=0.1).mean() for rate in (0, 0.1, 0.2, 0.3)]
    assert means == pytest.approx([0.080, 0.129, 0.206, 0.300], abs=5e-4)


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6])
def test_the_share_of_wrong_labels_is_the_mean_flip_rate(rate: float) -> None:
    expected = flip_rates(N, rate, seed=0).mean()
    assert noise_rate(drawn(rate=rate), LABELS) == pytest.approx(expected, abs=5 * (0.25 / N) ** 0.5)


def test_it_is_what_the_algorithm_says_one_example_at_a_time() -> None:
    """Algorithm 2 of Xia et al. 2020, written out, on the same random numbers."""
    flips, uniform = flip_rates(200, 0.4, seed=3), stream(3, "label noise").random(200)
    projections = [stream(3, f"instance projection {k}").standard_normal((5, 4)) for k in range(4)]
    expected = []
    for i, y in enumerate(LABELS[:200]):
        scores = ((POINTS[i].double().numpy() - 1.5) / 2) @ projections[y]
        scores[y] = -np.inf
        chances = flips[i] * np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        chances[y] = 1 - flips[i]
        expected.append(int(np.searchsorted(chances.cumsum(), uniform[i], side="right")))
    scale = torch.tensor([1.5], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    assert instance_noise(POINTS[:200], scale, LABELS[:200], 4, 0.4, seed=3).tolist() == expected


def test_an_example_decides_what_it_becomes() -> None:
    twins = POINTS[:1].expand(N, 5)
    wrong = drawn(twins, np.zeros(N, np.int64))
    counts = np.bincount(wrong, minlength=4)[1:] / (wrong != 0).sum()
    other = drawn(-POINTS[:1].expand(N, 5), np.zeros(N, np.int64))
    opposite = np.bincount(other, minlength=4)[1:] / (other != 0).sum()
    assert noise_rate(wrong, other) > 0.05
    scores = POINTS[0].double().numpy() @ stream(0, "instance projection 0").standard_normal((5, 4))
    for sign, shares in ((1, counts), (-1, opposite)):
        softmax = np.exp(sign * scores[1:]) / np.exp(sign * scores[1:]).sum()
        assert shares == pytest.approx(softmax, abs=0.033)  # 5 standard deviations of 6,000


def test_it_depends_on_its_seed_and_not_on_what_follows() -> None:
    assert (drawn(seed=1) == drawn(seed=1)).all()
    assert (drawn(seed=1) != drawn(seed=2)).any()
    assert (drawn(POINTS[:777], LABELS[:777]) == drawn()[:777]).all()


def test_pictures_are_scaled_by_channel_and_many_blocks_are_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (300, 4, 4, 3), np.uint8))
    mean, std = torch.tensor([100.0, 120.0, 140.0]).double(), torch.tensor([50.0, 60.0, 70.0]).double()
    labels = LABELS[:300]
    whole = instance_noise(pictures, (mean, std), labels, 4, 0.4, seed=0)
    scaled = ((pictures.double() - mean) / std).flatten(1)
    assert (whole == instance_noise(scaled, PLAIN, labels, 4, 0.4, seed=0)).all()
    assert BLOCK // 48 > 300
    monkeypatch.setattr("tosmooth.trainables.noise.instance.BLOCK", 48 * 7)
    assert (whole == instance_noise(pictures, (mean, std), labels, 4, 0.4, seed=0)).all()


def test_scores_beyond_all_bounds_still_give_labels() -> None:
    huge = drawn(1e30 * POINTS)
    assert set(huge.tolist()) == {0, 1, 2, 3}
    assert noise_rate(huge, LABELS) == pytest.approx(0.3, abs=0.02)


def test_projections_that_would_take_all_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tosmooth.trainables.noise.instance.LARGEST", 19)
    with pytest.raises(InputError, match=r"'instance-0\.3' is refused: .* at most 19 numbers: inputs of 5 times 4"):
        drawn()

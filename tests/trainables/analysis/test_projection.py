"""The plane through three templates against distances that it must keep, and activations against logits."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.analysis.tools import CPU, NETWORKS, features, images, trained, trial
from tosmooth.trainables.analysis.predictions import predict
from tosmooth.trainables.analysis.projection import last_layer, penultimate, project, tightness
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.networks.small import FastCNN


def layer(templates: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A last layer with these templates [K, D]."""
    made = nn.Linear(templates.shape[1], len(templates), bias=bias is not None)
    with torch.no_grad():
        made.weight.copy_(templates)
        if bias is not None:
            made.bias.copy_(bias)
    return made


@pytest.mark.parametrize("name", NETWORKS)
def test_last_layer_makes_the_logits_of_the_activations(name: Any) -> None:
    data = features(size=300, test_size=200) if name == "mlp" else images(n=15)
    config = trial(name, precision="float32")
    network = trained(config, data).network
    test = data.test
    assert test is not None
    activations = penultimate(network, config, data, test, CPU)
    last = last_layer(network)
    assert activations.shape == (len(test), last.in_features)
    with torch.no_grad():
        logits = last(activations) * (FastCNN.SCALE if name == "fastcnn" else 1)
    expected = predict(network, config, data, test, CPU).logits
    assert logits.numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert not last._forward_pre_hooks


def test_points_in_the_plane_keep_their_distances_and_others_lose_what_is_across() -> None:
    generator = torch.Generator().manual_seed(0)
    templates = torch.randn(5, 8, generator=generator, dtype=torch.float64)
    made = layer(templates.float()).double()
    inside = templates[1] + torch.randn(6, 2, generator=generator, dtype=torch.float64) @ (
        templates[[2, 4]] - templates[1]
    )
    normal = torch.linalg.svd(templates[[2, 4]] - templates[1]).Vh[2:]  # all that is across the plane
    moved = inside + torch.randn(6, 6, generator=generator, dtype=torch.float64) @ normal
    labels = torch.tensor([1, 2, 4, 1, 2, 4])
    near, far = (project(x, labels, made, (1, 2, 4)) for x in (inside, moved))
    assert near.points.numpy() == pytest.approx(far.points.numpy(), abs=1e-5)
    assert torch.cdist(near.points, near.points).numpy() == pytest.approx(torch.cdist(inside, inside).numpy(), abs=1e-5)
    own = templates[[1, 2, 4]]
    assert torch.cdist(near.templates, near.templates).numpy() == pytest.approx(torch.cdist(own, own).numpy(), abs=1e-5)


def test_first_template_is_the_origin_the_second_on_the_first_axis_the_third_above() -> None:
    made = layer(torch.tensor([[1.0, 1.0, 0.0], [1.0, 4.0, 0.0], [-1.0, 2.0, 0.0]]))
    found = project(torch.tensor([[1.0, 1.0, 9.0], [-1.0, 1.0, 5.0]]), torch.tensor([0, 2]), made)
    assert found.templates.flatten().tolist() == pytest.approx([0, 0, 3, 0, 1, 2])
    assert found.points.flatten().tolist() == pytest.approx([0, 0, 0, 2])


def test_bias_is_one_more_coordinate_of_the_templates_and_1_of_the_activations() -> None:
    generator = torch.Generator().manual_seed(0)
    templates, bias, x = (torch.randn(*size, generator=generator) for size in ((3, 4), (3,), (9, 4)))
    labels = torch.arange(9) % 3
    with_bias = project(x, labels, layer(templates, bias))
    wider = layer(torch.cat([templates, bias[:, None]], dim=1))
    without = project(torch.cat([x, torch.ones(9, 1)], dim=1), labels, wider)
    assert torch.equal(with_bias.points, without.points)


def test_only_examples_of_the_classes_are_shown_and_two_of_them_lie_on_a_line() -> None:
    made = layer(torch.eye(4))
    labels = torch.tensor([3, 0, 1, 2, 3])
    assert project(torch.eye(5, 4), labels, made, (3, 0, 1)).labels.tolist() == [3, 0, 1, 3]
    line = project(torch.eye(5, 4), labels, made, (0, 3))
    assert (line.points.shape, line.templates.shape) == ((3, 1), (2, 1))
    assert line.to_dict()["classes"] == [0, 3]


@pytest.mark.parametrize("classes", [(0,), (0, 0, 1), (0, 1, 4), (0, 1, 2, 3), (-1, 0)])
def test_classes_that_make_no_plane_are_refused(classes: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"^classes: \[.*\] is refused: 2 or 3 different ones of 0\.\.3$"):
        project(torch.eye(4), torch.arange(4), layer(torch.eye(4)), classes)


def test_classes_without_examples_are_refused() -> None:
    with pytest.raises(InputError, match=r"^classes: \[0, 1, 2\] is refused: some example is of one of them$"):
        project(torch.eye(4), torch.full((4,), 3), layer(torch.eye(4)))


def test_tightness_of_a_hand_made_case_and_of_points() -> None:
    # Means -2 and 2: between 4; within 1.
    x = torch.tensor([[-3.0], [-1.0], [1.0], [3.0]])
    assert tightness(x, torch.tensor([0, 0, 5, 5])) == pytest.approx(0.25)
    assert tightness(torch.tensor([[1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1])) == 0


def test_tightness_does_not_change_when_all_is_scaled_moved_or_turned() -> None:
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.randn(60, 5, generator=generator).double(), torch.arange(60) % 4
    turn = torch.linalg.qr(torch.randn(5, 5, generator=generator).double()).Q
    assert tightness(7 * x @ turn + 3, labels) == pytest.approx(tightness(x, labels))


def test_tightness_is_the_mean_square_of_the_pairs_within_classes_over_that_between_them() -> None:
    # Kornblith et al. 2021: R^2 = 1 - d_within / d_total, with d the mean squared distance over pairs, for equal sizes.
    generator = torch.Generator().manual_seed(1)
    x, labels = torch.randn(40, 3, generator=generator).double(), torch.arange(40) % 4
    d = torch.cdist(x, x).square()
    within = torch.stack([d[labels == k][:, labels == k].mean() for k in range(4)]).mean()
    r2 = 1 - (within / d.mean()).item()
    assert tightness(x, labels) == pytest.approx(1 / r2 - 1)

"""Shapes, sizes and refusals of the networks."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tosmooth.trainables.config import NetworkConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.networks.build import build_network


def parameters(shape: Sequence[int], classes: int = 10, **config: Any) -> int:
    network = build_network(NetworkConfig(**config), shape, classes)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("depth", [None, 1, 3])
def test_perceptron_maps_features_to_logits(depth: int | None) -> None:
    network = build_network(NetworkConfig(name="mlp", depth=depth), (20,), 2)
    assert network(torch.zeros(5, 20)).shape == (5, 2)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 17, 40), (3, 18, 18)])
@pytest.mark.parametrize("name", ["cnn", "fastcnn", "resnet18"])
def test_image_networks_take_any_size_and_a_batch_of_one(name: Any, shape: Sequence[int]) -> None:
    network = build_network(NetworkConfig(name=name), shape, 7)
    assert network(torch.zeros(1, *shape)).shape == (1, 7)


def test_numbers_of_parameters_are_those_that_the_documentation_gives() -> None:
    assert parameters((20,), 2, name="mlp") == 20 * 64 + 64 + 64 * 2 + 2
    assert parameters((20,), 2, name="mlp", width=8, depth=2) == 20 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2
    # Convolutions 864 + 18432 + 73728, normalisation 2 * (32 + 64 + 128), head 128 * 10 + 10
    assert parameters((3, 32, 32), name="cnn") == 94_122
    # Whitening 24 * 12 + 24, convolutions 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256), shifts, head 256 * 10
    shifts = 2 * (64 + 256 + 256)
    assert (
        parameters((3, 32, 32), name="fastcnn") == 312 + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256**2) + shifts + 2560
    )
    # 21.28 million, as usual for ResNet-34 on 32x32 images and 10 classes; 11.17 for ResNet-18
    assert parameters((3, 32, 32), name="resnet34") == 21_282_122
    assert parameters((3, 32, 32), name="resnet18") == 11_173_962


def test_resnet_keeps_the_resolution_of_small_images() -> None:
    network: Any = build_network(NetworkConfig(name="resnet18"), (3, 32, 32), 10)
    images = network.maxpool(network.conv1(torch.zeros(1, 3, 32, 32)))
    assert network.layer1(images).shape == (1, 64, 32, 32)
    assert network.layer4(network.layer3(network.layer2(images))).shape == (1, 512, 4, 4)


@pytest.mark.parametrize("name", ["mlp", "cnn", "fastcnn", "resnet18"])
def test_weights_come_from_the_global_seed(name: Any) -> None:
    shape = (20,) if name == "mlp" else (3, 32, 32)
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in build_network(NetworkConfig(name=name), shape, 4).parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(("name", "shape"), [("mlp", (3, 32, 32)), ("cnn", (20,)), ("resnet34", (64,))])
def test_network_that_does_not_fit_the_inputs_is_refused(name: Any, shape: Sequence[int]) -> None:
    known = "cnn, fastcnn, resnet18, resnet34, torchvision/NAME or timm/NAME"
    rule = f"network.name: '{name}' is refused: pictures take {known}; features take mlp"
    with pytest.raises(InputError, match=rule):
        build_network(NetworkConfig(name=name), shape, 10)


@pytest.mark.parametrize(
    ("name", "shape", "seen"),
    [
        ("cnn", (3, 8, 8), [16, 16]),
        ("cnn", (3, 15, 32), [30, 64]),
        ("fastcnn", (1, 16, 32), [32, 64]),
        ("resnet18", (3, 8, 8), [16, 16]),
        ("cnn", (3, 16, 16), [16, 16]),
        ("resnet34", (3, 1, 1), [9, 9]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_too_small_for_a_network_are_enlarged(
    name: Any, shape: Sequence[int], seen: list[int], dtype: torch.dtype
) -> None:
    network = build_network(NetworkConfig(name=name), shape, 10).to(dtype)
    shapes: list[list[int]] = []
    first = next(layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d))
    first.register_forward_pre_hook(lambda module, inputs: shapes.append(list(inputs[0].shape[2:])))
    images = torch.rand(2, *shape, dtype=dtype).to(memory_format=torch.channels_last)
    assert network(images).shape == (2, 10)
    assert shapes[0] == seen
    assert set(network.state_dict()) == set(
        build_network(NetworkConfig(name=name), (shape[0], 40, 40), 10).state_dict()
    )


def fast(width: int = 4) -> Any:
    torch.manual_seed(0)
    return build_network(NetworkConfig(name="fastcnn", width=width), (3, 20, 20), 5)


def test_whitened_patches_are_uncorrelated_and_of_unit_variance() -> None:
    network = fast()
    noise = torch.randn(64, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    images = 2 * torch.nn.functional.avg_pool2d(noise, 3, 1, 1)  # neighbouring pixels alike, as in pictures
    network.whiten(images)
    found = network.whitening(images).transpose(0, 1).flatten(1).double()  # [24, patches]
    assert torch.equal(found[12:], -found[:12])
    torch.testing.assert_close(found[:12] @ found[:12].T / found.shape[1], torch.eye(12).double(), rtol=0, atol=0.02)


def test_evaluation_averages_each_image_and_its_mirror_image_and_training_does_not() -> None:
    network, images = fast(), torch.randn(8, 3, 20, 20)
    trained, mirrored = network(images), network(images.flip(3))
    assert not torch.allclose(trained, mirrored)
    network.eval()
    assert torch.equal(network(images), network(images.flip(3)))


def test_convolutions_of_the_fast_network_start_as_the_identity() -> None:
    convolution = fast().features[5]  # the second of the first stage, 4 channels to 4
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(convolution(x), x)


def test_shift_of_the_fast_networks_normalisation_learns_64_times_as_fast() -> None:
    network = fast()
    layer, x = network.features[3], torch.randn(4, 4, 6, 6)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    before = layer(x).detach()
    layer(x)[:, 0].sum().backward()  # the gradient of channel 0's shift is the 144 values it is added to
    optimizer.step()
    moved = (layer(x) - before).detach()
    torch.testing.assert_close(moved[:, 0], torch.full((4, 6, 6), -0.5 * 144 * 64))
    assert torch.equal(moved[:, 1:], torch.zeros(4, 3, 6, 6))

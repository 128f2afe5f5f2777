"""Shapes, sizes and refusals of the networks."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from trainables.config import InputError, NetworkConfig
from trainables.networks import build_network


def parameters(shape: Sequence[int], classes: int = 10, **config: Any) -> int:
    network = build_network(NetworkConfig(**config), shape, classes)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("depth", [None, 1, 3])
def test_perceptron_maps_features_to_logits(depth: int | None) -> None:
    network = build_network(NetworkConfig(name="mlp", depth=depth), (20,), 2)
    assert network(torch.zeros(5, 20)).shape == (5, 2)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 17, 40), (3, 16, 16)])
@pytest.mark.parametrize("name", ["cnn", "resnet18"])
def test_image_networks_take_any_size_and_a_batch_of_one(name: Any, shape: Sequence[int]) -> None:
    network = build_network(NetworkConfig(name=name), shape, 7)
    assert network(torch.zeros(1, *shape)).shape == (1, 7)


def test_numbers_of_parameters_are_those_that_the_documentation_gives() -> None:
    assert parameters((20,), 2, name="mlp") == 20 * 64 + 64 + 64 * 2 + 2
    assert parameters((20,), 2, name="mlp", width=8, depth=2) == 20 * 8 + 8 + 8 * 8 + 8 + 8 * 2 + 2
    # Convolutions 864 + 18432 + 73728, normalisation 2 * (32 + 64 + 128), head 128 * 10 + 10
    assert parameters((3, 32, 32), name="cnn") == 94_122
    # 21.28 million, as usual for ResNet-34 on 32x32 images and 10 classes; 11.17 for ResNet-18
    assert parameters((3, 32, 32), name="resnet34") == 21_282_122
    assert parameters((3, 32, 32), name="resnet18") == 11_173_962


def test_resnet_keeps_the_resolution_of_small_images() -> None:
    network: Any = build_network(NetworkConfig(name="resnet18"), (3, 32, 32), 10)
    images = network.maxpool(network.conv1(torch.zeros(1, 3, 32, 32)))
    assert network.layer1(images).shape == (1, 64, 32, 32)
    assert network.layer4(network.layer3(network.layer2(images))).shape == (1, 512, 4, 4)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18"])
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
    rule = f"network.name: '{name}' is refused: images take cnn, resnet18 or resnet34; features take mlp"
    with pytest.raises(InputError, match=rule):
        build_network(NetworkConfig(name=name), shape, 10)


@pytest.mark.parametrize(("name", "shape", "least"), [("cnn", (3, 15, 32), 16), ("resnet18", (3, 8, 8), 9)])
def test_images_too_small_for_a_network_are_refused(name: Any, shape: Sequence[int], least: int) -> None:
    pixels = f"{shape[1]} x {shape[2]} pixels"
    rule = f"network.name: '{name}' is refused: the images are {pixels}, the least for it is {least} x {least}"
    with pytest.raises(InputError, match=rule):
        build_network(NetworkConfig(name=name), shape, 10)

"""Networks of libraries and of users: they fit, or are refused by name before anything is trained."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torchvision import models
from torchvision.transforms.v2.functional import normalize

from tests.trainables.networks.conftest import NAME
from tosmooth.trainables.config import NetworkConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.networks.build import build_network, check_logits
from tosmooth.trainables.networks.heads import Headed
from tosmooth.trainables.networks.inputs import Inputs, inputs_of, on_inputs, resized

PICTURE = (3, 32, 32)


def made(shape: Sequence[int] = PICTURE, classes: int = 5, **config: Any) -> Any:
    network = build_network(NetworkConfig(**config), shape, classes)
    check_logits(network, NetworkConfig(**config), shape, classes)
    return network


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_perceptron_of_no_layers_is_linear(depth: int) -> None:
    network = made((20,), name="mlp", depth=depth)
    assert sum(isinstance(layer, torch.nn.Linear) for layer in network) == depth + 1
    if depth == 0:
        assert [tuple(p.shape) for p in network.parameters()] == [(5, 20), (5,)]


# One of each family of torchvision whose head stands elsewhere: fc, classifier, heads, head.
FAMILIES = [
    "resnet18",
    "vgg11",
    "densenet121",
    "mobilenet_v3_small",
    "convnext_tiny",
    "swin_t",
    "googlenet",
    "regnet_x_400mf",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_head_of_a_torchvision_model_is_new(name: str) -> None:
    side = 64 if name != "vgg11" else 32
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # regnet computes with tensors as it is made
        network = made((3, side, side), name=f"torchvision/{name}", depth=1, width=7)
    assert isinstance(network, Headed)
    assert [layer.out_features for layer in network.head if isinstance(layer, torch.nn.Linear)] == [7, 5]
    plain = models.get_model(name, **({"aux_logits": False, "init_weights": False} if name == "googlenet" else {}))
    own = sum(p.numel() for p in network.backbone.parameters())
    *_, last = (layer for layer in plain.modules() if isinstance(layer, torch.nn.Linear))
    assert own == sum(p.numel() for p in plain.parameters()) - sum(p.numel() for p in last.parameters())


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "mobilenetv3_small_050"])
def test_the_head_of_a_timm_model_is_new(name: str) -> None:
    pytest.importorskip("timm")
    network = made((3, 160, 160), name=f"timm/{name}")
    assert network(torch.zeros(2, 3, 160, 160)).shape == (2, 5)
    assert len(network.head) == 1


def test_a_transformer_of_timm_is_made_for_the_size_that_is_asked_for() -> None:
    pytest.importorskip("timm")
    network = made(PICTURE, name="timm/test_vit", input_size=64)
    assert network(torch.zeros(2, *PICTURE)).shape == (2, 5)


def test_an_unknown_model_is_refused_with_near_ones() -> None:
    with pytest.raises(InputError, match=r"network\.name: 'torchvision/resnet51' is refused: .*torchvision/resnet50"):
        made(name="torchvision/resnet51")
    with pytest.raises(InputError, match=r"network\.name: 'torchvision/fcn_resnet50' is refused"):
        made(name="torchvision/fcn_resnet50")  # of segmentation
    pytest.importorskip("timm")
    with pytest.raises(InputError, match="timm/resnet50"):
        made(name="timm/resnet_50")


def test_pictures_that_a_model_cannot_take_are_named_with_their_size() -> None:
    message = "network.name torchvision/vit_b_16: cannot take inputs of 3 x 32 x 32: AssertionError: Wrong image height"
    with torch.device("meta"), pytest.raises(InputError, match=re.escape(message)):
        made(name="torchvision/vit_b_16")
    with torch.device("meta"):
        made(name="torchvision/vit_b_16", input_size=224)


def test_features_and_pictures_take_their_own_networks() -> None:
    for shape, name in (((20,), "torchvision/resnet18"), ((20,), "cnn"), (PICTURE, "mlp")):
        with pytest.raises(InputError, match=r"pictures take cnn, .* features take mlp"):
            made(shape, name=name)


def test_a_factory_gets_shape_classes_and_arguments() -> None:
    network = made((6,), 4, factory=f"{NAME}:sized", arguments={"width": 9})
    assert [tuple(p.shape) for p in network.parameters()] == [(9, 6), (9,), (4, 9), (4,)]
    assert made(PICTURE, 4, factory=f"{NAME}:sized", input_size=8)[1].weight.shape == (4, 3 * 8 * 8)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("raises", r"network\.factory .*:raises raised ValueError: no such width \(nets\.py:\d+\)"),
        ("returns_text", r"network\.factory .*returns_text: 'str' is refused: a factory returns a torch\.nn\.Module"),
        ("wrong_classes", r"\[2, 6\] is refused: logits of shape \(2, 5\)"),
        ("returns_tuple", "returns tuple: logits are a tensor"),
        ("exits", r"exits raised SystemExit: no licence \(nets\.py:\d+\)"),
        ("on_meta", "on_meta: 'meta' is refused: on the CPU, with values"),
        ("untrained", "untrained: nothing of it can be trained"),
        ("absent", r"network\.factory: .* has no 'absent'"),
    ],
)
def test_a_factory_that_is_wrong_is_named(factory: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(factory=f"{NAME}:{factory}")


def test_a_backbone_without_gradients_is_not_tuned() -> None:
    with pytest.raises(InputError, match=r"network\.mode: 'finetune' is refused: with weights of the backbone"):
        made(factory=f"{NAME}:fixed", mode="finetune")
    made(factory=f"{NAME}:fixed")  # trained as it is: its head


def test_arguments_that_a_factory_does_not_take_are_named() -> None:
    with pytest.raises(InputError, match=r"raised TypeError: .*unexpected keyword argument 'widht'"):
        made(factory=f"{NAME}:sized", arguments={"widht": 3})


def test_a_network_without_a_linear_layer_has_no_head_to_be_replaced() -> None:
    with pytest.raises(InputError, match="has no linear layer at its end"):
        made(factory=f"{NAME}:no_linear", mode="finetune")


def test_a_head_that_is_not_the_last_linear_layer_is_refused() -> None:
    made(factory=f"{NAME}:head_before")
    with pytest.raises(InputError, match="5 is refused: 8 features, which its last linear layer took"):
        made(factory=f"{NAME}:head_before", mode="finetune")


def test_lazy_layers_have_weights_before_an_optimizer_asks_for_them() -> None:
    network = made(factory=f"{NAME}:lazy")
    assert [tuple(p.shape) for p in network.parameters()] == [(4, 3, 3, 3), (4,), (5, 4 * 30 * 30), (5,)]
    assert network.training


def test_what_a_factory_sets_for_the_whole_process_is_taken_back() -> None:
    before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    made(factory=f"{NAME}:sets_all")
    assert (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()) == before


def test_an_unknown_tag_of_timm_is_refused_with_the_known_ones() -> None:
    pytest.importorskip("timm")
    with pytest.raises(InputError, match=r"network\.name: 'timm/resnet18\.foo' is refused: .*a1_in1k"):
        made(name="timm/resnet18.foo")


def test_what_is_not_known_of_a_networks_inputs_is_said() -> None:
    (said,) = on_inputs(NetworkConfig(factory=f"{NAME}:tiny", mode="frozen"))
    assert said.startswith("network.factory does not say what pictures it was trained with")
    assert on_inputs(NetworkConfig(factory=f"{NAME}:tiny")) == []  # from nothing


def test_what_weights_say_of_their_inputs_is_taken_and_can_be_set() -> None:
    said = inputs_of(NetworkConfig(name="torchvision/resnet50", weights="default"))
    assert said == Inputs(size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation="bilinear")
    own = NetworkConfig(name="torchvision/resnet50", weights="w.pth", input_size=96, mean=(0, 0, 0), std=(1, 1, 1))
    assert inputs_of(own) == Inputs(size=96, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear")
    assert inputs_of(NetworkConfig(name="torchvision/resnet50")) == Inputs()  # from nothing: pictures as they are
    pytest.importorskip("timm")
    vit = inputs_of(NetworkConfig(name="timm/vit_small_patch14_dinov2", weights="default"))
    assert (vit.size, vit.interpolation) == (518, "bicubic")


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_pictures_are_resized_as_torchvision_does(interpolation: str) -> None:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import CenterCrop, Compose, Resize

    mode = InterpolationMode(interpolation)
    for height, width, size in ((20, 31, 12), (20, 20, 12), (9, 14, 33)):
        images = torch.rand(2, 3, height, width)
        theirs = Compose([Resize(size, mode, antialias=True), CenterCrop(size)])(images)
        torch.testing.assert_close(resized(images, Inputs(size=size, interpolation=interpolation)), theirs)
    assert resized(torch.rand(2, 3, 9, 14).bfloat16(), Inputs(size=5)).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_of_torchvision_that_convert_their_inputs_get_them_converted(name: str) -> None:
    # With its weights torchvision sets `transform_input`; we build without, and normalise to the same numbers.
    theirs = models.get_model(name, weights=None, aux_logits=False, init_weights=False, transform_input=True)
    preset = models.get_model_weights(name).DEFAULT.transforms()
    pictures = torch.rand(2, 3, 96, 96)
    seen: list[torch.Tensor] = []
    next(theirs.children()).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        theirs.eval()(normalize(pictures, preset.mean, preset.std))
    inputs = inputs_of(NetworkConfig(name=f"torchvision/{name}", weights="default"))
    ours = normalize(pictures, list(inputs.mean), list(inputs.std))
    torch.testing.assert_close(ours, seen[0], rtol=1e-5, atol=1e-5)
    with torch.device("meta"):
        assert not made((3, 96, 96), name=f"torchvision/{name}").backbone.transform_input


def test_a_transformer_of_torchvision_is_made_for_the_size_that_it_will_see() -> None:
    with torch.device("meta"):
        assert made(name="torchvision/vit_h_14", weights="default").backbone.image_size == 518  # that of its weights
        assert made(name="torchvision/vit_b_16", input_size=96).backbone.image_size == 96

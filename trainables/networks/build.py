"""A new network for a configuration and the shape of its inputs."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tosmooth.trainables.config import NetworkConfig
from tosmooth.trainables.errors import InputError, first_line, require
from tosmooth.trainables.networks.heads import WIDTH, Headed, mlp, without_head
from tosmooth.trainables.networks.inputs import inputs_of, resize_first, sized
from tosmooth.trainables.networks.library import library_network
from tosmooth.trainables.networks.small import small_network
from tosmooth.trainables.user_code import in_user_code, resolve

Weights = Mapping[str, Tensor]
EXAMPLES = 2  # of a trial pass: batch normalisation refuses one


def build_network(config: NetworkConfig, shape: Sequence[int], classes: int, start: Weights | None = None) -> nn.Module:
    """A network from inputs [B, *shape] to logits [B, classes]; `shape` is (D,) for features, (C, H, W) for images.

    A frozen network is its head alone, from features. `start`: weights of the backbone to begin with; the others are
    drawn from torch's global random state. Raises `InputError` where network and inputs do not fit.
    """
    check_shape(config, shape)
    if config.mode == "frozen":
        return mlp(shape[0], config.width or WIDTH, config.depth or 0, classes)
    if config.own:
        return small_network(config, shape, classes)
    if config.factory is not None and not config.has_backbone:
        network = _whole(config, tuple(shape), classes)
    else:
        backbone, features = _backbone(config, tuple(shape), classes)
        if start is not None:
            backbone.load_state_dict(start, strict=False)  # what is missing was refused when they were read
        network = Headed(backbone, features, config.width or WIDTH, config.depth or 0, classes)
    resize_first(network, inputs_of(config))
    return network


def check_shape(config: NetworkConfig, shape: Sequence[int]) -> None:
    """Check that a network takes such inputs. Raises `InputError` where it does not."""
    images = len(shape) == 3
    if config.factory is None:
        rule = "pictures take cnn, fastcnn, resnet18, resnet34, torchvision/NAME or timm/NAME; features take mlp"
        require(images != config.of_features, "network.name", config.name, rule)


def backbone_of(config: NetworkConfig, shape: Sequence[int], classes: int) -> nn.Module:
    """A network without its head, from pictures [B, C, H, W] (or other inputs) to features [B, D].

    Its weights are new, unless a factory brings its own.
    """
    backbone, _ = _backbone(config, tuple(shape), classes)
    resize_first(backbone, inputs_of(config))
    return backbone


def check_logits(network: nn.Module, config: NetworkConfig, shape: Sequence[int], classes: int) -> None:
    """Pass two examples through a network. Raises `InputError` where that fails or gives no logits [2, classes]."""
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    with torch.no_grad():
        output = _passed(network, config, torch.zeros(EXAMPLES, *shape, device=device))
    given, asked = tuple(output.shape), (EXAMPLES, classes)
    rule = f"logits of shape {asked} for {EXAMPLES} examples and {classes} classes"
    require(given == asked, called(config), given, rule)


def features_or_error(backbone: nn.Module, config: NetworkConfig, images: Tensor) -> Tensor:
    """Compute features [B, D] of a few pictures. Raises `InputError` where the backbone fails or gives others."""
    features = _passed(backbone, config, images)
    rule = "features of shape [examples, D], once the last linear layer is taken away"
    require(features.ndim == 2 and len(features) == len(images), called(config), tuple(features.shape), rule)
    return features


def _passed(network: nn.Module, config: NetworkConfig, images: Tensor) -> Tensor:
    """Pass inputs through a network. Raises `InputError` where that fails or gives no tensor."""
    try:
        output = network(images)
    except Exception as error:  # of a library's or the user's own code: anything
        seen = " x ".join(map(str, sized(tuple(images.shape[1:]), inputs_of(config))))
        what = f"cannot take inputs of {seen}: {type(error).__name__}: {first_line(error)}{in_user_code(error)}"
        raise InputError(f"{called(config)}: {what}") from error
    if not isinstance(output, Tensor):
        raise InputError(f"{called(config)}: returns {type(output).__name__}: logits are a tensor [examples, classes]")
    return output


def called(config: NetworkConfig) -> str:
    """Name a network as messages do."""
    return f"network.factory {config.factory}" if config.factory else f"network.name {config.name}"


def _backbone(config: NetworkConfig, shape: tuple[int, ...], classes: int) -> tuple[nn.Module, int]:
    """A network without its head, and how many features it has."""
    if not config.name.startswith("timm/"):
        return without_head(_whole(config, shape, classes), config.name)
    backbone = library_network(config.name, 0, config.input_size)
    device = next(backbone.parameters()).device
    with torch.no_grad():
        picture = torch.zeros(1, *sized(shape, inputs_of(config)), device=device)
        features = features_or_error(backbone.eval(), config, picture)
    return backbone.train(), features.shape[1]


def _whole(config: NetworkConfig, shape: tuple[int, ...], classes: int) -> nn.Module:
    """A network with its own head."""
    if config.factory is None:
        return library_network(config.name, classes, inputs_of(config).size)
    name = called(config)
    make = resolve(config.factory, "network.factory")
    try:
        network = make(sized(shape, inputs_of(config)), classes, **config.arguments)
    except Exception as error:
        raise InputError(f"{name} raised {type(error).__name__}: {first_line(error)}{in_user_code(error)}") from error
    require(isinstance(network, nn.Module), name, type(network).__name__, "a factory returns a torch.nn.Module")
    return network  # type: ignore[no-any-return]

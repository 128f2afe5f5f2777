"""A new network for a configuration and the shape of its inputs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from tosmooth.trainables.config import NetworkConfig
from tosmooth.trainables.errors import InputError, first_line, require
from tosmooth.trainables.networks.heads import WIDTH, Headed, mlp, without_head
from tosmooth.trainables.networks.inputs import inputs_of, resize_first, sized
from tosmooth.trainables.networks.model_zoo import library_network
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


def backbone_of(config: NetworkConfig, shape: Sequence[int], classes: int) -> tuple[nn.Module, int]:
    """A network without its head, from pictures [B, C, H, W] (or other inputs) to features [B, D], and D.

    Its weights are new, unless a factory brings its own.
    """
    backbone, features = _backbone(config, tuple(shape), classes)
    resize_first(backbone, inputs_of(config))
    return backbone, features


def check_logits(
    network: nn.Module, config: NetworkConfig, shape: Sequence[int], classes: int, examples: int = EXAMPLES
) -> None:
    """Pass so many examples through a network.

    Raises `InputError` where that fails, gives no logits [examples, classes], or nothing of it could be trained.
    """
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    if isinstance(network, Headed) and config.factory is not None:
        with torch.no_grad():
            few = torch.zeros(EXAMPLES, *sized(tuple(shape), inputs_of(config)), device=device)
            check_features(features_or_error(network.backbone, config, few), network.features, config)
    output = _passed(network, config, torch.zeros(examples, *shape, device=device))
    given, asked = tuple(output.shape), (examples, classes)
    rule = f"logits of shape {asked} for {examples} examples and {classes} classes"
    require(given == asked, called(config), given, rule)
    rule = "with weights of the backbone that have a gradient; frozen trains the head alone"
    tuned = not isinstance(network, Headed) or any(each.requires_grad for each in network.backbone.parameters())
    require(tuned or config.mode != "finetune", "network.mode", config.mode, rule)
    if not output.requires_grad:
        raise InputError(
            f"{called(config)}: nothing of it can be trained: its logits depend on no weights with a gradient"
        )


def features_or_error(backbone: nn.Module, config: NetworkConfig, images: Tensor) -> Tensor:
    """Compute features [B, D] of a few pictures. Raises `InputError` where the backbone fails or gives others."""
    features = _passed(backbone, config, images, " once its last linear layer is taken away")
    rule = "features of shape [examples, D], once the last linear layer is taken away"
    require(features.ndim == 2 and len(features) == len(images), called(config), tuple(features.shape), rule)
    return features


def check_features(features: Tensor, width: int, config: NetworkConfig) -> None:
    """Raise `InputError` where features are not what the layer took whose place the new head has."""
    rule = f"{width} features, which its last linear layer took: the layer that makes the logits must be the last one"
    require(features.shape[1] == width, called(config), features.shape[1], rule)


def _passed(network: nn.Module, config: NetworkConfig, images: Tensor, how: str = "") -> Tensor:
    """Pass inputs through a network. Raises `InputError` where that fails or gives no tensor."""
    try:
        output = network(images)
    except (Exception, SystemExit) as error:  # of a library's or the user's own code: anything
        seen = " x ".join(map(str, sized(tuple(images.shape[1:]), inputs_of(config))))
        what = f"cannot take inputs of {seen}{how}: {type(error).__name__}: {first_line(error)}{in_user_code(error)}"
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
    seen = sized(shape, inputs_of(config))
    try:
        with _settings_kept():
            network = make(seen, classes, **config.arguments)
    except (Exception, SystemExit) as error:
        raise InputError(f"{name} raised {type(error).__name__}: {first_line(error)}{in_user_code(error)}") from error
    require(isinstance(network, nn.Module), name, type(network).__name__, "a factory returns a torch.nn.Module")
    weights = list(chain(network.parameters(), network.buffers()))
    rule = "on the CPU, with values: its weights are on the device meta"
    require(not any(each.is_meta for each in weights), name, "meta", rule)
    if any(nn.parameter.is_lazy(each) for each in weights):  # LazyLinear has weights once it has seen an input
        with torch.no_grad():
            _passed(network.eval(), config, torch.zeros(EXAMPLES, *seen))
    return network.train()  # type: ignore[no-any-return]


@contextmanager
def _settings_kept() -> Iterator[None]:
    """Take back what a user's code sets for the whole process: all that is trained after it would run with that."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    try:
        with torch.set_grad_enabled(torch.is_grad_enabled()):
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)

"""Pictures as a network sees them: their size, how they get it, and by which numbers they are normalised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tosmooth.trainables.config import NetworkConfig
from tosmooth.trainables.networks.model_zoo import description


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a network wants to see; `None` and (): pictures as they are, normalised by their own mean and deviation."""

    size: int | None = None  # pixels, of a square
    mean: tuple[float, ...] = ()  # per channel, of pixels in [0, 1]
    std: tuple[float, ...] = ()
    interpolation: str = "bilinear"


def inputs_of(config: NetworkConfig) -> Inputs:
    """Take what the configuration says, else what the weights' description says, if there are any of a library's."""
    said: dict[str, Any] = {} if config.own or config.factory or config.weights == "none" else description(config.name)
    given = {"size": config.input_size, "mean": config.mean, "std": config.std, "interpolation": config.interpolation}
    return Inputs(**{**said, **{key: value for key, value in given.items() if value}})


def on_inputs(config: NetworkConfig) -> list[str]:
    """Say what is not known of the inputs that a file of weights, or a factory's, was trained with."""
    if not config.has_backbone or config.weights == "default" or (config.mean and config.input_size):
        return []
    inputs = inputs_of(config)
    kept = "as they are" if inputs.size is None else f"of {inputs.size} pixels"
    if config.factory is not None:
        scale = "by their own mean and deviation" if not config.mean else "as network.mean says"
    else:
        scale = f"as for {config.name}'s own weights" if not config.mean else "as network.mean says"
    source = "network.weights" if config.weights != "none" else "network.factory"
    return [f"{source} does not say what pictures it was trained with: taken are pictures {kept}, scaled {scale}"]


def resize_first(network: nn.Module, inputs: Inputs) -> RemovableHandle | None:
    """Have `network` resize pictures [B, 3, H, W] before it sees them, where `inputs` name a size."""
    if inputs.size is None:
        return None
    return network.register_forward_pre_hook(lambda module, given: (resized(given[0], inputs),))


def resized(images: Tensor, inputs: Inputs) -> Tensor:
    """Scale pictures [B, 3, H, W] so that the shorter side has the size, and cut the middle out: [B, 3, size, size].

    By torchvision's `Resize` and `CenterCrop`, as its presets are, with anti-aliasing; without their margin, since
    pictures of data sets have been cut.
    """
    size = inputs.size
    if size is None or tuple(images.shape[2:]) == (size, size):
        return images
    from torchvision.transforms import InterpolationMode  # noqa: PLC0415 - 2 s of a worker's start
    from torchvision.transforms.v2.functional import center_crop, resize  # noqa: PLC0415

    # In float32: torch has no anti-aliased bfloat16 on every device.
    scaled = resize(images.float(), [size], InterpolationMode(inputs.interpolation), antialias=True)
    cut: Tensor = center_crop(scaled, [size, size])
    return cut.to(images.dtype)


def scale_and_shift(mean: Sequence[float], std: Sequence[float], most: int) -> tuple[Tensor, Tensor]:
    """Write `(x / most - mean) / std` as one multiplication and one addition: the factor and what is added."""
    return 1 / (torch.tensor(std) * most), -torch.tensor(mean) / torch.tensor(std)


def for_backbone(pictures: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Normalise pictures, uint8 [B, H, W, C], for a frozen backbone: float32 [B, C, H, W]."""
    centre, spread = (torch.tensor(each, device=pictures.device).view(-1, 1, 1) for each in (mean, std))
    return (pictures.permute(0, 3, 1, 2).float() / 255 - centre) / spread


def sized(shape: tuple[int, ...], inputs: Inputs) -> tuple[int, ...]:
    """Shape [C, H, W] of pictures as the network sees them."""
    return tuple(resized(torch.empty(1, *shape, device="meta"), inputs).shape[1:]) if len(shape) == 3 else shape

"""Pictures cropped and flipped at random, as whole tensors; further changes by torchvision, one picture at a time."""

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Policies of torchvision.transforms.v2, after cropping and flipping, with their own defaults: TrivialAugment (Müller
# and Hutter 2021, arXiv 2103.10158) and RandAugment (Cubuk et al. 2020, arXiv 1909.13719).
POLICIES = {"trivial": "TrivialAugmentWide", "randaugment": "RandAugment"}


def augmented(x: Tensor, kind: str, padding: int, generator: torch.Generator, flips: Tensor | None = None) -> Tensor:
    """Change each picture of `x`, uint8 [B, H, W, C], at random, as `training.augment` says."""
    x = crop_and_flip(x, padding, generator, flips)
    return x if kind not in POLICIES else _by_policy(x, kind, generator)


def _by_policy(x: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Apply a policy of torchvision: a batch would get one and the same change, so each picture has its turn."""
    policy = _policy(kind)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(seed)  # torchvision draws from the global state
        return torch.stack([policy(image) for image in x.permute(0, 3, 1, 2)]).permute(0, 2, 3, 1)


@functools.cache
def _policy(kind: str) -> Any:
    from torchvision.transforms import v2  # noqa: PLC0415 - 2 s of a worker's start

    return getattr(v2, POLICIES[kind])()


def crop_and_flip(x: Tensor, padding: int, generator: torch.Generator, flips: Tensor | None = None) -> Tensor:
    """Crop and flip each picture of `x` [B, H, W, C] on its own.

    As torchvision's RandomCrop(H, padding) and RandomHorizontalFlip do. `flips` [B]: which are flipped, where that is
    not to be drawn.
    """
    x = _crop(x, padding, generator)
    if flips is None:
        flips = torch.rand(len(x), generator=generator, device=x.device) < 0.5
    return torch.where(flips[:, None, None, None], x.flip(2), x)


def _crop(x: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pad `x` [B, H, W, C] with black, and cut a window of the same size out of each image at random."""
    b, h, w, c = x.shape
    padded = functional.pad(x, (0, 0, padding, padding, padding, padding))
    offset = torch.randint(0, 2 * padding + 1, (2, b), generator=generator, device=x.device)
    rows = offset[0][:, None] + torch.arange(h, device=x.device)  # [B, H]
    columns = offset[1][:, None] + torch.arange(w, device=x.device)  # [B, W]
    pixels = (rows * padded.shape[2])[:, :, None] + columns[:, None, :]  # [B, H, W], into a padded image
    pixels += (torch.arange(b, device=x.device) * (padded.shape[1] * padded.shape[2]))[:, None, None]
    return padded.view(-1, c).index_select(0, pixels.view(-1)).view(b, h, w, c)

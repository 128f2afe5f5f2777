"""Pictures cropped and flipped at random, as whole tensors."""

import torch
from torch import Tensor
from torch.nn import functional


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

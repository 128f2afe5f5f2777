"""Batches of a split as network inputs: taken from uint8 memory, cropped, flipped and normalised as whole tensors."""

import functools

import torch
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.data.datasets import LevelData, Split


class Batches:
    """Inputs and labels of a split on a device.

    On the CPU the inputs stay where they are (mapped, shared by all trials of a machine). To a GPU a process copies
    them as uint8, once for all its trials and noise levels.
    """

    def __init__(
        self, split: Split, data: LevelData, device: torch.device, dtype: torch.dtype, padding: int = 4
    ) -> None:
        """Take `padding`: pixels around an image before it is cropped at random.

        4 is usual for CIFAR (He et al. 2016).
        """
        self.padding = padding
        self.images = split.inputs.ndim == 4
        self.inputs, self.rows, self.labels = split.inputs, split.rows.to(device), split.labels.to(device)
        if device.type != "cpu" and 2 * len(split) > len(split.inputs):
            self.inputs = _copied(split.inputs, device)
        elif device.type != "cpu":  # a small part of them: no need for the rest there
            self.inputs, self.rows = split.inputs[split.rows].to(device), torch.arange(len(split), device=device)
        self.dtype = dtype
        # (x / 255 - mean) / std as one multiplication and one addition, per channel: [C, 1, 1]
        scale = 1 / (torch.tensor(data.std) * (255 if self.images else 1))
        shift = -torch.tensor(data.mean) / torch.tensor(data.std)
        shape = (-1, 1, 1) if self.images else (-1,)
        self.scale, self.shift = (value.to(device).view(shape) for value in (scale, shift))

    def __len__(self) -> int:
        return len(self.labels)

    def take(
        self, index: Tensor, augment: torch.Generator | None = None, mirrored: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Network inputs [B, C, H, W] (or [B, D]) and labels [B] of the examples `index` [B].

        With a generator, images are cropped and flipped at random, each on its own, as torchvision's
        RandomCrop(H, padding) and RandomHorizontalFlip do; `mirrored` [n] says which examples of the split are flipped
        where that is not to be drawn.
        """
        x = self.inputs[self.rows[index]]
        if not self.images:
            return x.to(self.dtype), self.labels[index]
        if augment is not None:
            x = _crop(x, self.padding, augment)
            flips = (
                torch.rand(len(x), generator=augment, device=x.device) < 0.5 if mirrored is None else mirrored[index]
            )
            x = torch.where(flips[:, None, None, None], x.flip(2), x)
        x = x.permute(0, 3, 1, 2)  # [B, H, W, C] in memory is channels_last
        # Normalised in float32: bfloat16 has 8 bits, as many as a pixel.
        return (x.float() * self.scale + self.shift).to(self.dtype), self.labels[index]


@functools.lru_cache(maxsize=4)  # train and test set of two data sets: levels of one share them
def _copied(inputs: Tensor, device: torch.device) -> Tensor:
    return inputs.to(device)


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

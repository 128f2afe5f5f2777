"""Batches of a split as network inputs: taken from uint8 memory, cropped, flipped and normalised as whole tensors."""

import functools

import torch
from torch import Tensor

from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.networks.augment import augmented


class Batches:
    """Inputs and labels of a split on a device.

    On the CPU the inputs stay where they are (mapped, shared by all trials of a machine). To a GPU a process copies
    them as uint8, once for all its trials and noise levels.
    """

    def __init__(
        self,
        split: Split,
        data: LevelData,
        device: torch.device,
        dtype: torch.dtype,
        kind: str = "crop-flip",
        padding: int = 4,
        views: int = 1,
    ) -> None:
        """Take what `training.augment` says, and `padding`: pixels around an image before it is cropped at random.

        `views`: copies of the features of each example that `split.inputs` hold, one copy of all after another.
        """
        self.kind, self.padding, self.views = kind, padding, views
        self.images = split.inputs.ndim == 4
        # Features of a frozen network are as it gave them; other features were scaled when they were read.
        self.scaled = self.images or any(data.mean) or any(each != 1 for each in data.std)
        self.inputs, self.rows, self.labels = split.inputs, split.rows.to(device), split.labels.to(device)
        if device.type != "cpu" and (views > 1 or 2 * len(split) > len(split.inputs)):
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

        With a generator, images are changed at random (`augmented`), and one of the views of features
        is drawn; `mirrored` [n] says which examples of the split are flipped where that is not to be drawn.
        """
        rows = self.rows[index]
        if augment is not None and self.views > 1:
            view = torch.randint(self.views, (len(rows),), generator=augment, device=rows.device)
            rows = rows + view * (len(self.inputs) // self.views)
        x = self.inputs[rows]
        if not self.images:
            x = x.float() * self.scale + self.shift if self.scaled else x
            return x.to(self.dtype), self.labels[index]
        if augment is not None:
            x = augmented(x, self.kind, self.padding, augment, None if mirrored is None else mirrored[index])
        x = x.permute(0, 3, 1, 2)  # [B, H, W, C] in memory is channels_last
        # Normalised in float32: bfloat16 has 8 bits, as many as a pixel.
        return (x.float() * self.scale + self.shift).to(self.dtype), self.labels[index]


@functools.lru_cache(maxsize=4)  # train and test set of two data sets: levels of one share them
def _copied(inputs: Tensor, device: torch.device) -> Tensor:
    return inputs.to(device)

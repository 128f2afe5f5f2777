"""Batches of a split as network inputs: taken from uint8 memory, cropped, flipped and normalised as whole tensors."""

import functools
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.networks.augment import augmented
from tosmooth.trainables.networks.inputs import scale_and_shift

SHARE = 0.5  # of a device's memory that all inputs may take; larger ones are read batch by batch


class Batches:
    """Inputs and labels of a split on a device.

    On the CPU the inputs stay where they are (mapped, shared by all trials of a machine). To a GPU a process copies
    them as uint8, once for all its trials and noise levels. What does not fit is read from the mapped file batch by
    batch, each while the one before it is trained on (`in_turn`).
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
        self.device, self.streamed = device, not fits(split.inputs, device)
        self._ahead: deque[tuple[Tensor, Future[Tensor]]] = deque()  # parts of an epoch that are being read
        moved = device.type != "cpu" and not self.streamed
        if moved and (views > 1 or 2 * len(split) > len(split.inputs)):
            self.inputs = _copied(split.inputs, device)
        elif moved:  # a small part of them: no need for the rest there
            self.inputs, self.rows = split.inputs[split.rows].to(device), torch.arange(len(split), device=device)
        self.dtype = dtype
        # Per channel: [C, 1, 1]
        scale, shift = scale_and_shift(data.mean, data.std, 255 if self.images else 1)
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
        x = self._read(index, rows)
        if not self.images:
            if self.scaled:  # in place: it is a copy, and so large that each new tensor costs
                x = x.float().mul_(self.scale).add_(self.shift)
            return x.to(self.dtype), self.labels[index]
        if augment is not None:
            x = augmented(x, self.kind, self.padding, augment, None if mirrored is None else mirrored[index])
        x = x.permute(0, 3, 1, 2)  # [B, H, W, C] in memory is channels_last
        # Normalised in float32: bfloat16 has 8 bits, as many as a pixel.
        return (x.float() * self.scale + self.shift).to(self.dtype), self.labels[index]

    def in_turn(self, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the parts of an epoch's examples, each [B]; the inputs of the next one are read meanwhile."""
        self._ahead.clear()
        for i, part in enumerate(parts):
            if self.streamed and self.views == 1 and i + 1 < len(parts):
                following = parts[i + 1]
                self._ahead.append((following, _reader().submit(self._from_file, self.rows[following])))
            yield part

    def _read(self, index: Tensor, rows: Tensor) -> Tensor:
        """Inputs of these rows, on the device; `index`: the part of an epoch that they are of."""
        if not self.streamed:
            return self.inputs.index_select(0, rows)  # on a CPU in a third of the time of `inputs[rows]`
        if self._ahead and self._ahead[0][0] is index:
            return self._ahead.popleft()[1].result().to(self.device)
        return self._from_file(rows).to(self.device)

    def _from_file(self, rows: Tensor) -> Tensor:
        return self.inputs.index_select(0, rows.cpu())


def fits(inputs: Tensor, device: torch.device) -> bool:
    """True if all inputs may lie in the memory of a device, beside what trains on them."""
    size = inputs.numel() * inputs.element_size()
    # All of it: what is free would be less for every trial after the first, which has them there.
    memory = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else memory_of_machine()
    return size <= SHARE * memory


@functools.cache
def memory_of_machine() -> int:
    """Bytes of memory of this machine; as many as anyone has where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2**62


@functools.cache
def _reader() -> ThreadPoolExecutor:
    """Thread that reads ahead: copying out of a mapped file leaves Python to the others."""
    return ThreadPoolExecutor(1, thread_name_prefix="read ahead")


@functools.lru_cache(maxsize=4)  # train and test set of two data sets: levels of one share them
def _copied(inputs: Tensor, device: torch.device) -> Tensor:
    return inputs.to(device)

"""A trial's data as its network wants them, and the weights it begins with: read once, before its first step."""

import functools
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tosmooth.trainables.config import TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.data.preprocessing import FeatureScale
from tosmooth.trainables.errors import require
from tosmooth.trainables.files.digests import file_digest
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.augment import augmented
from tosmooth.trainables.networks.backbone import loaded_backbone, start_of
from tosmooth.trainables.networks.build import check_features, features_or_error
from tosmooth.trainables.networks.device import default_device, dtype_of
from tosmooth.trainables.networks.feature_cache import Features, kept_features
from tosmooth.trainables.networks.inputs import for_backbone, inputs_of

LAYOUT = 1  # of features; another number has all computed anew
BATCH = {"cpu": 32, "cuda": 256}  # pictures
VIEW_SEED = 0  # draws the augmented copies: the same for every trial and study


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A trial that can be trained: its configuration and data, and the weights its backbone begins with."""

    config: TrialConfig  # with the SHA-256 of the weights
    data: LevelData
    start: Mapping[str, Tensor] | None = None  # None: all weights are new, or the backbone is frozen


def prepared(
    config: TrialConfig, data: LevelData, folders: Folders, device: torch.device | None = None, trained: bool = False
) -> Prepared:
    """Read or compute what a trial's network needs beside its data: weights; features, where it is frozen.

    Features are computed by the GPU where there is one, or by all cores. `trained`: the network's weights will all be
    read from elsewhere. Raises `InputError` where weights cannot be had or do not fit.
    """
    network = config.network
    if network.own:
        return Prepared(config, data)
    _check_sizes(config, data)
    inputs = inputs_of(network)
    if inputs.mean and data.train.inputs.ndim == 4:
        data = replace(data, mean=inputs.mean, std=inputs.std)
    if data.preprocessing is not None and data.preprocessing.of_pictures:
        made = replace(data.preprocessing, mean=data.mean, std=data.std)
        data = replace(data, preprocessing=replace(made, size=inputs.size, interpolation=inputs.interpolation))
    if not network.has_backbone or (trained and network.mode != "frozen"):
        return Prepared(config, data)
    start = start_of(network, _shape(data), data.classes, folders)
    config = replace(config, network=replace(network, sha256=start.sha256))
    if network.mode != "frozen":
        return Prepared(config, data, start.state)
    # What shapes the head and the trial has no part in its features.
    backbone = replace(config.network, depth=None, width=None)
    training = TrainingConfig(
        precision=config.training.precision,
        augment=config.training.augment,
        crop_padding=config.training.crop_padding,
    )
    shared = TrialConfig(data=config.data, network=backbone, training=training, code=config.code)
    return Prepared(config, _featured(shared, data, folders, device or default_device()))


def _check_sizes(config: TrialConfig, data: LevelData) -> None:
    """Raise `InputError` where what is said of pictures does not fit the data."""
    network, training = config.network, config.training
    if data.train.inputs.ndim != 4:
        for key in ("input_size", "mean", "interpolation"):
            value = getattr(network, key)
            require(not value, f"network.{key}", value, f"for pictures, and {config.data.dataset} has features")
        return
    height, width = data.train.inputs.shape[1:3]
    rule = f"less than the images' {height} x {width} pixels"
    fits = network.views == 1 or training.crop_padding < min(height, width)
    require(fits, "training.crop_padding", training.crop_padding, rule)


def _shape(data: LevelData) -> tuple[int, ...]:
    """Shape of an example as networks see it: [C, H, W], or [D]."""
    *size, channels = data.train.inputs.shape[1:]
    return (channels, *size)


@functools.lru_cache(maxsize=16)  # levels of a study, in a process that runs one trial after another
def _featured(config: TrialConfig, data: LevelData, folders: Folders, device: torch.device) -> LevelData:
    """The same level, with features in the place of pictures."""
    maker = _Maker(config, data, folders, device)
    used = torch.cat([data.train.rows, data.validation.rows]).sort().values
    known, features = maker.features(data.train, used, config.network.views)
    train, validation = (_of_features(split, known, features) for split in (data.train, data.validation))
    test = data.test
    if test is not None:
        known, told = maker.features(test, test.rows, 1)
        test = _of_features(test, known, told)
    made = data.preprocessing
    if made is not None:
        kind = str(features.values.dtype).removeprefix("torch.")
        made = replace(made, features=FeatureScale(mean=features.mean, std=features.std, dtype=kind))
    return replace(
        data,
        train=train,
        validation=validation,
        test=test,
        mean=features.mean,
        std=features.std,
        preprocessing=made,
    )


def _of_features(split: Split, known: Tensor, features: Features) -> Split:
    """The same split of rows of the features, which are those of the rows `known` of the pictures, in rising order."""
    return replace(split, inputs=features.values, rows=torch.searchsorted(known, split.rows))


class _Maker:
    """Maker of the features of a data set by one backbone."""

    def __init__(self, config: TrialConfig, data: LevelData, folders: Folders, device: torch.device) -> None:
        self.config, self.data, self.folders, self.device = config, data, folders, device
        self.dtype = dtype_of(config.training.precision, device, pictures=True)
        backbone, self.width = loaded_backbone(config.network, _shape(data), data.classes, folders)
        self.backbone = backbone.to(device).to(memory_format=torch.channels_last)
        inputs = inputs_of(config.network)
        code = config.code or _installed_digest(config.network.factory)
        network = [config.network.name, config.network.arguments, config.network.sha256, code]
        seen = [inputs.size, inputs.interpolation, list(data.mean), list(data.std)]
        self.source: list[Any] = [LAYOUT, network, seen, str(self.dtype)]
        with torch.inference_mode(), self._autocast():
            few = features_or_error(self.backbone, config.network, self._normalised(data.train.inputs[:2]))
        check_features(few, self.width, config.network)

    def features(self, split: Split, used: Tensor, views: int) -> tuple[Tensor, Features]:
        """Features of the rows `used` of a split's pictures: which rows they are of, and themselves.

        Of all pictures where half of them or more are used, so that other splits and sizes find them there.
        """
        pictures = split.inputs
        rows = torch.arange(len(pictures)) if 2 * len(used) >= len(pictures) else used
        source = [*self.source, split.inputs_digest, _sha256(rows.numpy().tobytes()), views]
        if views > 1:
            source += [self.config.training.augment, self.config.training.crop_padding, VIEW_SEED]
        path = self.folders.cache / f"features-{_sha256(repr(source).encode())[:16]}.arrow"

        def blocks(start: int) -> Iterator[NDArray[np.float32]]:
            for view in range(start // len(rows), views):
                yield from self._blocks(pictures, rows, max(0, start - view * len(rows)), view)

        return rows, kept_features(path, views * len(rows), self.width, blocks, self.config.network.name)

    def _blocks(self, pictures: Tensor, rows: Tensor, start: int, view: int) -> Iterator[NDArray[np.float32]]:
        """Compute features of these rows from `start` on, some at a time; view 0 is the pictures as they are."""
        size, threads = BATCH[self.device.type], torch.get_num_threads()
        torch.set_num_threads(_cores())
        try:
            with torch.inference_mode(), self._autocast():
                for first in range(start - start % size, len(rows), size):
                    images = pictures.index_select(0, rows[first : first + size])
                    if view > 0:
                        # By the place: a process that goes on draws what the one before it would have drawn.
                        generator = torch.Generator().manual_seed(VIEW_SEED + view * 2**40 + first)
                        training = self.config.training
                        images = augmented(images, training.augment, training.crop_padding, generator)
                    features = self.backbone(self._normalised(images)).float().cpu().numpy()
                    yield features[max(0, start - first) :]
        finally:
            torch.set_num_threads(threads)

    def _normalised(self, images: Tensor) -> Tensor:
        """Network inputs [B, C, H, W] of pictures [B, H, W, C]; features [B, D] as they are."""
        images = images.to(self.device)
        return images if images.ndim != 4 else for_backbone(images, self.data.mean, self.data.std).to(self.dtype)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)


def _installed_digest(factory: str | None) -> str | None:
    """Digest of the file of an installed factory, which may be changed where it lies; `None` if there is none."""
    module = None if factory is None else sys.modules.get(factory.partition(":")[0])
    file = getattr(module, "__file__", None)
    return None if file is None or not Path(file).is_file() else file_digest(Path(file))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Examples of a data set before noise, subset and split."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tosmooth.trainables.data.copies import Keys, Rows, keys_of
from tosmooth.trainables.noise.synthetic import Labels


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Examples:
    """Inputs in the data set's order, with one or more sets of labels."""

    inputs: Tensor  # pictures: uint8 [N, H, W, 3], mapped, writing to it kills the process; features: float32 [N, D]
    labels: Mapping[str, Labels]  # int64 [N] each: "label" as it came, "clean_label"; at least one of the two
    digest: str  # SHA-256 of the inputs: the same however their files were packed
    mean: tuple[float, ...] = (0.0,)  # pictures: per channel, of pixels in [0, 1]
    std: tuple[float, ...] = (1.0,)
    keys: Keys | None = None  # pictures: int64 [N], kept with what was decoded; features: worked out when asked for
    rows: Rows | None = None  # pictures: int64 [N], where in their source each is: some of it may be dropped
    dropped: int = 0  # pictures of the source that do not decode
    reasons: tuple[str, ...] = ()  # why not, of the first few

    @property
    def clean(self) -> Labels | None:
        """Clean labels, where they are known."""
        return self.labels.get("clean_label")

    @property
    def given(self) -> Labels:
        """Labels as they came; where only the clean ones came, those."""
        return self.labels["label"] if "label" in self.labels else self.labels["clean_label"]

    def keys_of(self, rows: Rows) -> Keys:
        """Keys of these rows, int64 [n]: equal inputs have equal ones."""
        return keys_of(self.inputs[torch.from_numpy(rows)].numpy()) if self.keys is None else self.keys[rows]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Source:
    """Whole data set, before noise, subset and split."""

    train: Examples
    test: Examples | None  # its labels are clean
    classes: int
    standardise: bool = False  # features: still to be scaled by the statistics of the train rows


def of_features(inputs: NDArray[Any], labels: Mapping[str, Labels]) -> Examples:
    """Make examples of numeric features [N, D], as they are."""
    inputs = np.ascontiguousarray(inputs, np.float32)
    digest = hashlib.sha256(repr(inputs.shape).encode())
    digest.update(inputs.data)
    return Examples(inputs=torch.from_numpy(inputs), labels=labels, digest=digest.hexdigest())


def scale_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean and standard deviation of each feature [N, D], to standardise by; float64 [D] each."""
    rows = features.double()
    mean, std = rows.mean(dim=0), rows.std(dim=0, correction=0)
    std[std <= 1e-7 * mean.abs()] = 1  # a feature of one value: nothing to scale
    return mean, std

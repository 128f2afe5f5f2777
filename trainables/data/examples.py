"""Examples of a data set before noise, subset and split."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tosmooth.trainables.data.column_numbers import Column
from tosmooth.trainables.data.copies import Keys, Rows, keys_of
from tosmooth.trainables.data.pictures import AS_THEY_ARE, PictureRule
from tosmooth.trainables.noise.synthetic import NONE, Labels

Soft = NDArray[np.float32]  # [N, K], each row adds up to 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Examples:
    """Inputs in the data set's order, with one or more sets of labels."""

    inputs: Tensor  # pictures: uint8 [N, H, W, 3], mapped, writing to it kills the process; features: float32 [N, D]
    # int64 [N] each, NONE where a row has none: "label" as it came, "clean_label"; at least one of the two
    labels: Mapping[str, Labels]
    digest: str  # SHA-256 of the inputs: the same however their files were packed
    mean: tuple[float, ...] = (0.0,)  # pictures: per channel, of pixels in [0, 1]
    std: tuple[float, ...] = (1.0,)
    keys: Keys | None = None  # pictures: int64 [N], kept with what was decoded; features: worked out when asked for
    source_rows: Rows | None = None  # int64 [N]: rows of the source; None: all, none of which was dropped
    remarks: tuple[str, ...] = ()  # what was done to the inputs that a reader of the results must know
    annotators: Mapping[str, Labels] = field(default_factory=dict)  # int64 [N], of each annotator; NONE likewise
    soft: Soft | None = None  # float32 [N, K]: soft targets that came with the data
    usable: Rows | None = None  # int64 [n]: rows that have a label; None: all

    @property
    def clean(self) -> Labels | None:
        """Clean labels, where they are known: NONE in rows of which they are not."""
        return self.labels.get("clean_label")

    @property
    def all_clean(self) -> Labels | None:
        """Clean labels, where they are known of every row that has a label."""
        clean = self.clean
        return None if clean is None or (clean[self.labelled] == NONE).any() else clean

    @property
    def labelled(self) -> Rows:
        """Rows that have a label, int64 [n]."""
        return np.arange(len(self.inputs)) if self.usable is None else self.usable

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
    class_names: tuple[str, ...] = ()  # of a user's own data; otherwise classes are called by their numbers
    remarks: tuple[str, ...] = ()  # what was done to the data that a reader of the results must know
    columns: tuple[Column, ...] = ()  # of features: what they are made of; (): D numbers without names
    image: str | None = None  # of pictures in a table: their column
    rule: PictureRule = AS_THEY_ARE  # how pictures came to their size


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


def standardised(features: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Standardise features [N, D] by mean and standard deviation, float64 [D] each, to float32."""
    return ((features - mean) / std).float()

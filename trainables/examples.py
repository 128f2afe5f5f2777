"""What a data set is before noise, subset and split."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from trainables.noise import Labels


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Examples:
    """Inputs in the data set's order, with one or more sets of labels."""

    inputs: Tensor  # pictures: uint8 [N, H, W, 3], mapped, writing to it kills the process; features: float32 [N, D]
    labels: Mapping[str, Labels]  # int64 [N] each: "label" as it came, "clean_label"; at least one of the two
    digest: str  # SHA-256 of the inputs: the same however their files were packed
    mean: tuple[float, ...] = (0.0,)  # pictures: per channel, of pixels in [0, 1]
    std: tuple[float, ...] = (1.0,)

    @property
    def clean(self) -> Labels | None:
        """The clean labels, where they are known."""
        return self.labels.get("clean_label")

    @property
    def given(self) -> Labels:
        """The labels as they came; where only the clean ones came, those."""
        return self.labels["label"] if "label" in self.labels else self.labels["clean_label"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Source:
    """A data set, whole."""

    train: Examples
    test: Examples | None  # its labels are clean
    classes: int
    standardise: bool = False  # features: still to be scaled by the statistics of the train rows

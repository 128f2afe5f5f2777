"""Data of one noise level, and how they are split."""

from dataclasses import dataclass
from typing import Literal

from tosmooth.trainables.config.table import TableSource
from tosmooth.trainables.errors import require, shown

SOFT = "soft"  # the noise level whose targets are shares of votes
MATRIX = "matrix-"  # so begin the names of noise levels whose transition matrix is in a file
CLEANED = "cleaned-"  # so begin the names of levels whose training labels a table changes (`tosmooth clean`)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanedBy:
    """Table by which the training labels of a level were cleaned (`data.cleaned`)."""

    level: str  # whose labels they were: "given", "worst", "symmetric-0.4", ...
    file: str  # absolute, or relative to the data folder

    def __post_init__(self) -> None:
        rule = "a level of labels that is not cleaned itself"
        own = self.level != SOFT and not self.level.startswith(CLEANED)
        require(own, "dataset.cleaned_by.level", self.level, rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Data of one noise level of a dataset, split for one study."""

    dataset: str  # "twonorm", "digits", "cifar10n", ...: the table's name for it
    noise: str = "clean"  # "clean", "given", "worst", "symmetric-0.4", "like-worst", "matrix-NAME", ...
    noise_seed: int = 0  # draws the synthetic noise (and the points of data sets that are generated)
    split_seed: int = 0  # draws the subset and the split into train and noisy validation
    validation_fraction: float = 0.1  # share of the training set held out, in (0, 1)
    size: int | None = None  # training examples before the split; None: all there are
    test_size: int | None = None  # test examples; None: all there are
    table: TableSource | None = None  # the user's own data
    validate_on: Literal["noisy", "clean"] = "noisy"  # labels of the validation: those of the level, or the clean ones
    matrix: str | None = None  # path, absolute or relative to the data folder: the transition matrix of a `matrix-NAME`

    cleaned_by: CleanedBy | None = None  # of a level `cleaned-NAME`: whose labels it has, and what changes them

    def __post_init__(self) -> None:
        require(0 < self.validation_fraction < 1, "dataset.validation_fraction", self.validation_fraction, "in (0, 1)")
        require(self.size is None or self.size >= 10, "dataset.size", self.size, "at least 10 examples")
        require(self.test_size is None or self.test_size >= 1, "dataset.test_size", self.test_size, "at least 1")
        for key in ("noise_seed", "split_seed"):
            require(getattr(self, key) >= 0, f"dataset.{key}", getattr(self, key), "a seed is 0 or more")
        suits = (self.cleaned_by is not None) == self.noise.startswith(CLEANED)
        rule = f"a level and a file for levels {CLEANED}NAME, and for them alone; this one is {shown(self.noise)}"
        require(suits, "dataset.cleaned_by", self.cleaned_by and self.cleaned_by.file, rule)
        suits = (self.matrix is not None) == self.drawn.startswith(MATRIX)
        rule = f"a file for levels {MATRIX}NAME, and for them alone; this one is {shown(self.noise)}"
        require(suits, "dataset.matrix", self.matrix, rule)

    @property
    def drawn(self) -> str:
        """Level whose labels these are, before a table changed some of them."""
        return self.noise if self.cleaned_by is None else self.cleaned_by.level

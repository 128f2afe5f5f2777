"""Configuration of one training run: frozen, validated once, every field with its unit.

A `TrialConfig` holds all that shapes the numbers of a trial. Paths of files are kept apart
(`trainables.files.folders`), so that the same trial gives the same numbers on another machine.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal, Self, cast

from tosmooth.trainables.conversion import Name, build
from tosmooth.trainables.errors import require, shown
from tosmooth.trainables.files.hub import address_of, on_hub
from tosmooth.trainables.former_words import refuse_former
from tosmooth.trainables.methods import METHODS, check_parameters

SOFT = "soft"  # the noise level whose targets are shares of votes
MATRIX = "matrix-"  # so begin the names of noise levels whose transition matrix is in a file
# Names of files that hold tables end so, in part; what they really hold is seen when they are read.
TABULAR = (
    ".parquet",
    ".csv",
    ".tsv",
    ".txt",
    ".json",
    ".jsonl",
    ".ndjson",
    ".arrow",
    ".feather",
    ".npz",
    ".npy",
    ".gz",
    ".zst",
    ".bz2",
)


Files = str | tuple[str, ...] | Mapping[str, str]  # a path or pattern; several; or a file of NumPy for each column
LABEL = "label"  # the column of labels, unless another is named
LARGEST_SIDE = 1024  # pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class AllBut:
    """All columns of a table that hold no labels, but these."""

    all_but: tuple[str, ...]  # names, and patterns such as "id*"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """A user's own data: a row for each example, with a column of pictures or columns of features, and of labels.

    Files are Parquet, CSV, JSON (lines), Arrow, NumPy's; or a folder that holds a folder of pictures for each class, of
    which neither `image` nor `features` is given. They, or a whole data set, may be on the Hugging Face hub
    (`files.hub`): hf://OWNER/NAME.
    """

    train: Files = field(hash=False)  # absolute, relative to the data folder, or on the hub
    test: Files | None = field(default=None, hash=False)  # the same for the test set; its labels are taken as clean
    image: str | None = None  # column of pictures: encoded (bytes, or struct of `bytes`), arrays, or paths of files
    features: AllBut | tuple[str, ...] | None = None  # or: columns of numbers or of lists of them; names and patterns
    label: str | None = None  # column of labels, as noisy as they are; None: "label", or what the annotators say
    clean_label: str | None = None  # column of clean labels of the training set, where they are known, if only of some
    test_label: str | None = None  # column of labels of the test set; None: as in the training set
    annotators: tuple[str, ...] = ()  # columns of labels, one for each annotator; rows may lack some
    targets: tuple[str, ...] = ()  # columns of soft targets: one for each of `classes`, or one of lists
    classes: tuple[Name, ...] | None = None  # all classes, in their order; None: those that the files have, sorted
    missing: tuple[Name, ...] = ()  # labels that mean none: such rows are left out, as rows without a label are
    categorical: Literal["refuse", "onehot"] = "refuse"  # features of text: a feature for each value
    size: int | tuple[int, ...] | None = None  # pixels of a picture, or its height and width; None: as they are
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how a picture of another shape gets that size
    on_bad: Literal["refuse", "drop"] = "refuse"  # pictures that cannot be read: an error, or left out
    follow_links: bool = False  # links in a folder may lead out of it

    def __post_init__(self) -> None:
        for key in ("train", "test"):
            for place in self.places(key):
                if on_hub(place):
                    address_of(place, f"dataset.table.{key}")
        rule = "give one of the two (neither for a folder that holds a folder of pictures for each class)"
        given = {"image": self.image, "features": self.features}
        require(self.image is None or self.features is None, "dataset.table", given, rule)
        require(self.of_pictures or self.features is not None, "dataset.table", given, rule)
        own = self.label is not None or bool(self.annotators) or bool(self.targets) or self.of_folder
        if not own:
            object.__setattr__(self, "label", LABEL)
        self._check_columns()
        self._check_pictures()

    def _check_columns(self) -> None:
        for key in ("features", "annotators", "targets", "classes"):
            values = getattr(self, key)
            if isinstance(values, tuple):
                require(len(set(values)) == len(values), f"dataset.table.{key}", values, "each once")
        if self.features is not None and not isinstance(self.features, AllBut):
            require(bool(self.features), "dataset.table.features", self.features, "not empty")
            for column in (*self.label_columns, *self.targets):
                rule = "a column of labels is no feature: leave it out"
                require(column not in self.features, "dataset.table.features", column, rule)
        require(len(self.annotators) != 1, "dataset.table.annotators", self.annotators, "two or more; one is `label`")
        require(self.classes is None or len(self.classes) >= 2, "dataset.table.classes", self.classes, "two or more")
        known = self.label is not None or self.test is None or self.test_label is not None or self.of_folder
        require(known, "dataset.table.test_label", None, "the column of the test set's labels, as there is no `label`")
        named = not self.targets or len(self.targets) > 1 or self.classes is not None
        require(named, "dataset.table.classes", None, "names of the classes, for one column of soft targets")
        if len(self.targets) > 1 and self.classes is not None:
            fits = len(self.classes) == len(self.targets)
            # Columns that are called as the classes are, and stand in another order, would be taken for one another.
            fits = fits and (set(self.classes) != set(self.targets) or self.classes == self.targets)
            rule = f"one for each of the classes, in their order: {shown(self.classes)}"
            require(fits, "dataset.table.targets", self.targets, rule)

    def _check_pictures(self) -> None:
        if not self.of_pictures:
            for key, default in (("size", None), ("fit", "crop"), ("on_bad", "refuse")):
                require(getattr(self, key) == default, f"dataset.table.{key}", getattr(self, key), "for pictures alone")
        require(
            self.features is not None or self.categorical == "refuse",
            "dataset.table.categorical",
            "onehot",
            "for features alone",
        )
        sides = self.picture_size or ()
        fits = len(sides) in (0, 2) and all(1 <= side <= LARGEST_SIDE for side in sides)
        require(fits, "dataset.table.size", self.size, f"pixels, or [height, width], 1 to {LARGEST_SIDE} each")

    @property
    def of_pictures(self) -> bool:
        """True if the examples are pictures."""
        return self.image is not None or self.of_folder

    @property
    def of_folder(self) -> bool:
        """True if the examples lie in a folder that holds a folder of pictures for each class."""
        if self.image is not None or self.features is not None or isinstance(self.train, Mapping):
            return False
        return not any(_of_table(place) for place in self.places("train"))

    def places(self, part: str) -> tuple[str, ...]:
        """Paths, patterns and addresses of a part, "train" or "test"."""
        files = self.train if part == "train" else self.test
        if isinstance(files, str):
            return (files,)
        return tuple(files.values() if isinstance(files, Mapping) else files or ())

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Height and width of the pictures; `None`: as they are."""
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        return cast(tuple[int, int] | None, size)

    @property
    def label_columns(self) -> tuple[str, ...]:
        """Columns that hold labels, of the training set and of the test set."""
        return tuple(c for c in (self.label, self.clean_label, self.test_label, *self.annotators) if c is not None)


def _of_table(place: str) -> bool:
    """True for a place whose name says that a table is there."""
    if on_hub(place) and address_of(place, "dataset.table.train").path is None:
        return True
    return PurePath(place).suffix.lower() in TABULAR


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

    def __post_init__(self) -> None:
        require(0 < self.validation_fraction < 1, "dataset.validation_fraction", self.validation_fraction, "in (0, 1)")
        require(self.size is None or self.size >= 10, "dataset.size", self.size, "at least 10 examples")
        require(self.test_size is None or self.test_size >= 1, "dataset.test_size", self.test_size, "at least 1")
        for key in ("noise_seed", "split_seed"):
            require(getattr(self, key) >= 0, f"dataset.{key}", getattr(self, key), "a seed is 0 or more")
        suits = (self.matrix is not None) == self.noise.startswith(MATRIX)
        rule = f"a file for levels {MATRIX}NAME, and for them alone; this one is {shown(self.noise)}"
        require(suits, "dataset.matrix", self.matrix, rule)


NETWORKS = ("mlp", "cnn", "fastcnn", "resnet18", "resnet34")
WIDE = ("mlp", "cnn", "fastcnn")  # networks whose width can be set
# Far beyond what anyone trains: what is larger is a slip, and would take all memory before a message could be given.
WIDEST, DEEPEST = 2**16, 1000
LONGEST, LARGEST_BATCH = 100_000, 2**31  # epochs of a run; examples


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Network: `mlp` for features, the others for 32x32 images (any size works)."""

    name: Literal["mlp", "cnn", "fastcnn", "resnet18", "resnet34"] = "mlp"
    width: int | None = None  # mlp: hidden units (64); cnn (32), fastcnn (64): channels of the first stage
    depth: int | None = None  # mlp alone: hidden layers (1)

    def __post_init__(self) -> None:
        require(self.name in NETWORKS, "network.name", self.name, f"one of {', '.join(NETWORKS)}")
        wide = self.width is None or self.name in WIDE
        require(wide, "network.width", self.width, f"for {', '.join(WIDE)}; a resnet's is fixed")
        fits = self.width is None or 1 <= self.width <= WIDEST
        require(fits, "network.width", self.width, f"at least 1, at most {WIDEST}")
        require(self.depth is None or self.name == "mlp", "network.depth", self.depth, "for mlp alone")
        fits = self.depth is None or 1 <= self.depth <= DEEPEST
        require(fits, "network.depth", self.depth, f"at least 1, at most {DEEPEST}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """Optimizer of torch."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.1  # peak learning rate
    momentum: float = 0.9  # sgd alone
    nesterov: bool = False  # sgd alone
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        require(self.name in ("sgd", "adamw"), "training.optimizer.name", self.name, "sgd or adamw")
        require(0 < self.lr < math.inf, "training.optimizer.lr", self.lr, "above 0")
        require(0 <= self.momentum < 1, "training.optimizer.momentum", self.momentum, "in [0, 1)")
        in_use = self.name == "sgd" or self.momentum == 0.9  # its default
        require(in_use, "training.optimizer.momentum", self.momentum, "for sgd alone")
        decay = 0 <= self.weight_decay < math.inf
        require(decay, "training.optimizer.weight_decay", self.weight_decay, "0 or more")
        rule = "Nesterov's method needs sgd with momentum"
        suits = not self.nesterov or (self.name == "sgd" and self.momentum > 0)
        require(suits, "training.optimizer.nesterov", self.nesterov, rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """Learning-rate schedule over the epochs of a run, as a factor of the optimizer's `lr`."""

    name: Literal["constant", "cosine", "step"] = "constant"
    lr_rampup: float = 0.0  # epochs in which the learning rate rises linearly from 0
    milestones: tuple[int, ...] = ()  # step alone: epochs after which it is multiplied by `gamma`
    gamma: float = 0.1  # step alone

    def __post_init__(self) -> None:
        known = ("constant", "cosine", "step")
        require(self.name in known, "training.schedule.name", self.name, f"one of {', '.join(known)}")
        require(self.lr_rampup >= 0, "training.schedule.lr_rampup", self.lr_rampup, "0 epochs or more")
        given = bool(self.milestones) == (self.name == "step")
        require(given, "training.schedule.milestones", self.milestones, "for the schedule step, and for it alone")
        rising = list(self.milestones) == sorted(set(self.milestones)) and all(m > 0 for m in self.milestones)
        require(rising, "training.schedule.milestones", self.milestones, "positive epochs in rising order")
        require(0 < self.gamma < 1, "training.schedule.gamma", self.gamma, "in (0, 1)")
        in_use = self.name == "step" or self.gamma == 0.1  # its default
        require(in_use, "training.schedule.gamma", self.gamma, "for the schedule step alone")


WEIGHTS = ("none", "balanced", "effective-number")
SAMPLERS = ("shuffled", "balanced")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Training recipe.

    `single`: one optimizer and schedule; the loss switches after the warm-up. `two-phase` (Wei et al. 2022): after the
    warm-up a fresh optimizer (`second_optimizer`, by default like the first) at a constant learning rate.
    """

    epochs: int = 10  # of the whole run, warm-up included
    batch_size: int = 128
    recipe: Literal["single", "two-phase"] = "single"
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    second_optimizer: OptimizerConfig | None = None  # two-phase alone
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    augment: Literal["none", "crop-flip", "crop-altflip"] = "none"  # images: random crop, horizontal flip; `altflip`
    # shows each image as it is in one epoch and mirrored in the next
    crop_padding: int = 4  # pixels around an image before it is cropped at random
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the forward pass; the loss is float32 always
    test_every: int = 1  # epochs from one evaluation of the clean test set to the next; the last epoch has one always
    # Of unequal classes: what an example counts in the loss, by its label (`training.imbalance`); or by a mapping
    class_weights: Literal["none", "balanced", "effective-number"] | dict[str, float] = field(
        default="none", hash=False
    )
    sampler: Literal["shuffled", "balanced"] = "shuffled"  # balanced: drawn with replacement, each class equally often

    def __post_init__(self) -> None:
        require(1 <= self.epochs <= LONGEST, "training.epochs", self.epochs, f"at least 1, at most {LONGEST}")
        fits, rule = 1 <= self.batch_size <= LARGEST_BATCH, f"at least 1, at most {LARGEST_BATCH}"
        require(fits, "training.batch_size", self.batch_size, rule)
        require(self.recipe in ("single", "two-phase"), "training.recipe", self.recipe, "single or two-phase")
        second = self.second_optimizer is None or self.recipe == "two-phase"
        require(second, "training.second_optimizer", self.second_optimizer, "for the recipe two-phase alone")
        known = ("none", "crop-flip", "crop-altflip")
        require(self.augment in known, "training.augment", self.augment, f"one of {', '.join(known)}")
        in_use = self.augment != "none" or self.crop_padding == 4  # its default
        require(in_use, "training.crop_padding", self.crop_padding, "for images that are augmented")
        require(self.crop_padding >= 0, "training.crop_padding", self.crop_padding, "0 pixels or more")
        choices = ("auto", "float32", "bfloat16")
        require(self.precision in choices, "training.precision", self.precision, f"one of {', '.join(choices)}")
        require(self.test_every >= 1, "training.test_every", self.test_every, "at least 1 epoch")
        self._settle_weights()
        require(self.sampler in SAMPLERS, "training.sampler", self.sampler, f"one of {', '.join(SAMPLERS)}")
        rampup = self.schedule.lr_rampup <= self.epochs
        require(rampup, "training.schedule.lr_rampup", self.schedule.lr_rampup, f"at most {self.epochs} epochs")

    def _settle_weights(self) -> None:
        """Name classes by text: a file's keys may be numbers, and JSON's are not."""
        key, weights = "training.class_weights", self.class_weights
        if isinstance(weights, str):
            require(weights in WEIGHTS, key, weights, f"one of {', '.join(WEIGHTS)}, or a weight for each class")
            return
        settled = {str(name): value for name, value in weights.items()}
        require(len(settled) == len(weights) > 0, key, weights, "classes with their weights, each once")
        for name, value in settled.items():
            require(0 <= value < math.inf, f"{key}.{name}", value, "a finite number, 0 or more")
        object.__setattr__(self, "class_weights", settled)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """Configuration of one training run."""

    data: DataConfig
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    method: str = "gls"  # generalised label smoothing, or one of its relatives: see `trainables.methods`
    rate: float = 0.0  # smoothing rate r in (-inf, 1]; gls alone
    parameters: dict[str, float] = field(
        default_factory=dict, hash=False
    )  # of another method: its own, filled up with defaults
    transition: Literal["estimated", "measured"] | tuple[tuple[float, ...], ...] | None = None  # for methods that
    # correct by one, P(noisy | clean): by the warm-up's predictions (None there), by clean labels, or K rows of it
    warmup: int = 0  # epochs of plain cross-entropy before the method starts
    lr_after_warmup: float = 1.0  # factor on the learning rate after the warm-up
    train_seed: int = 0  # initial weights, order of the examples, augmentation

    def __post_init__(self) -> None:
        require(self.method in METHODS, "method", self.method, f"one of {', '.join(METHODS)}")
        require(math.isfinite(self.rate) and self.rate <= 1, "rate", self.rate, "a finite smoothing rate of at most 1")
        bound = f"0 to {self.training.epochs}, the epochs of the run"
        require(0 <= self.warmup <= self.training.epochs, "warmup", self.warmup, bound)
        self._settle_parameters()
        require(0 < self.lr_after_warmup < math.inf, "lr_after_warmup", self.lr_after_warmup, "above 0")
        require(0 <= self.train_seed < 2**64, "train_seed", self.train_seed, "0 to 2**64 - 1, as torch takes a seed")
        augment = self.training.augment
        suits = augment == "none" or self.network.name != "mlp"
        require(suits, "training.augment", augment, "features are not augmented; images are")
        self._check_imbalance()
        self._check_soft()

    def _check_soft(self) -> None:
        """Refuse a method that trains on labels where the level has soft targets."""
        able = ", ".join(name for name, each in METHODS.items() if each.soft)
        hard = self.data.table is None or self.data.noise != SOFT or METHODS[self.method].soft
        require(hard, "method", self.method, f"at the noise level {SOFT} for the methods {able}")

    def _check_imbalance(self) -> None:
        """Refuse weights and samplers that the method's loss has no place for."""
        method, weights, sampler = METHODS[self.method], self.training.class_weights, self.training.sampler
        able = ", ".join(name for name, each in METHODS.items() if each.weighs)
        require(method.weighs or weights == "none", "training.class_weights", weights, f"for the methods {able}")
        able = ", ".join(name for name, each in METHODS.items() if not each.recalls)
        require(not method.recalls or sampler == "shuffled", "training.sampler", sampler, f"for the methods {able}")

    def _settle_parameters(self) -> None:
        """Fill in defaults of the method's parameters, so that runs that are the same compare as equal."""
        rule = f"for the method gls; the rate of {self.method}, where it has one, is a parameter"
        require(self.method == "gls" or self.rate == 0, "rate", self.rate, rule)
        require("rate" not in self.parameters or self.method != "gls", "gls.rate", self.parameters, "it is `rate`")
        settled = check_parameters(self.method, self.parameters)
        if self.method == "gls":
            del settled["rate"]
        object.__setattr__(self, "parameters", settled)
        method = METHODS[self.method]
        needed = method.needs_transition
        require(needed or self.transition is None, "transition", self.transition, f"{self.method} has no use for it")
        if needed and self.transition is None:
            object.__setattr__(self, "transition", "estimated")
        rule = "at least 1: the transition matrix is estimated by what the warm-up predicts"
        require(self.transition != "estimated" or self.warmup >= 1, "warmup", self.warmup, rule)
        rule = f"0: {self.method} acts from the first epoch"
        require(not method.from_start or self.warmup == 0, "warmup", self.warmup, rule)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from nested plain values, as JSON gives them. Unknown keys and wrong types raise `InputError`."""
        if isinstance(values, Mapping):
            refuse_former(values)
        return build(cls, values, "")

    def to_dict(self) -> dict[str, Any]:
        """Convert to nested plain values, for JSON; `from_dict` takes them back."""
        return dataclasses.asdict(self)

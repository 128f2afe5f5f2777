"""A user's own data: its files and columns, and how they are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal, cast

from tosmooth.trainables.conversion import Name
from tosmooth.trainables.errors import require, shown
from tosmooth.trainables.files.hub import address_of, on_hub

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
ROW, DONE = "tosmooth_row", "tosmooth_done"  # columns that `tosmooth clean` adds: no features
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
    impute: Literal["refuse", "median"] = "refuse"  # features without a value: an error, or the training rows' median
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
        for key in ("categorical", "impute"):
            value = getattr(self, key)
            require(self.features is not None or value == "refuse", f"dataset.table.{key}", value, "for features alone")
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

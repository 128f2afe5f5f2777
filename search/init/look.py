"""Look at a user's own data: which columns are labels, pictures and features, and what a study of them must know."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from tosmooth.search.init.feature_columns import with_features
from tosmooth.search.init.label_column import NAMED, Ask, column_of, label_column, plain, rank
from tosmooth.search.init.parts import of_one_part, parts_of
from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.examples import Source, scale_of
from tosmooth.trainables.data.own_data import own_data
from tosmooth.trainables.data.picture_folder import ENDINGS, holds_classes
from tosmooth.trainables.data.pictures import sizes_of
from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.table import Table, open_table
from tosmooth.trainables.data.tables.values import are_numbers
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.estimate import estimated_noise_rate

# Names that columns really have, the likeliest first; without case, blanks and signs.
CLEAN = (
    "cleanlabel",
    "truelabel",
    "goldlabel",
    "gold",
    "groundtruth",
    "expert",
    "expertlabel",
    "correctlabel",
    "ytrue",
)
PICTURES = ("image", "img", "images", "picture", "photo", "pixels", "filename", "file", "path", "filepath", "imagepath")
TRIED = 20  # first values of a column of bytes: a picture among them makes it one of pictures
CHEAP = 4_000_000  # numbers, rows by features, up to which the noise is estimated here


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and how a study reads it."""

    name: str  # of the data, as far as a study's name may have it
    table: TableSource
    source: Source
    said: tuple[str, ...]  # a line each

    @property
    def rows(self) -> int:
        """Training examples with a label."""
        return len(self.source.train.labelled)


def look(data: str, test: str | None, label: str | None, folders: Folders, ask: Ask | None = None) -> Found:
    """Look at data as `DATA`, `--test` and `--label` name them; `ask`: where the column of labels is not clear.

    Raises `InputError` for what cannot be read, and where no one can be asked.
    """
    train, beside = parts_of(data)
    tested = beside if test is None else parts_of(test)[0]
    if Path(train).is_dir() and holds_classes(Path(train)):
        table: TableSource = TableSource(train=train, test=tested)
        said: list[str] = []
    else:
        with open_table(files_of(train, folders.data, "DATA"), "train") as opened:
            table, said = _columns(opened, train, tested, label, test is None and tested is not None, ask)
    source = own_data(DataConfig(dataset="mine", noise="given", table=table), folders)
    return Found(_name(data), table, source, (*_facts(source, table), *said, *_noise(source, table)))


def _name(data: str) -> str:
    """Name of the data: that of the file or folder, in what a study's name may hold."""
    path = Path(data.rstrip("/")).absolute()
    stem = path.name.partition(".")[0] if not path.is_dir() else path.name
    plain = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40]
    general = plain in ("", "train", "data", "dataset", "training") and path.parent.name
    return _name(str(path.parent)) if general and path.parent != path else plain or "mine"


def _columns(
    table: Table, train: str, test: str | None, label: str | None, found_test: bool, ask: Ask | None
) -> tuple[TableSource, list[str]]:
    """Choose the columns of a table by their names, types and values; and say which.

    `found_test`: the test set was found beside the training set; one without labels is no test set then.
    """
    names = of_one_part(name for name in table.names if name)
    table.require(names[:1], "DATA")  # it has rows
    said = _on_heading(table, names)
    own = label if label is not None else label_column(table, names, ask)
    table.require([own], "--label")
    clean = next((name for known in CLEAN for name in names if plain(name) == known and name != own), None)
    there = names if test is None else _columns_of(test)
    if found_test and own not in there:
        said.append(f"{test} has no column {own!r}, so it is no test set: --test names one")
        test, there = None, names
    others = [name for name in names if name not in (own, clean)]
    rest = [name for name in others if name in there]
    chosen = TableSource(train=train, test=test, image="?", label=own, clean_label=clean)
    said.append(f"labels: column {own!r}" + ("" if clean is None else f"; clean ones: column {clean!r}"))
    pictures = [name for name in rest if _is_picture(table, name)]
    if pictures:
        image = min(pictures, key=lambda name: rank(name, PICTURES))
        return replace(chosen, image=image), [*said, f"pictures: column {image!r}"]
    return with_features(table, rest, [name for name in others if name not in there], chosen, said)


def _on_heading(table: Table, names: Sequence[str]) -> list[str]:
    """Say where the first row seems to be values. Numbers that count the columns are names, as pandas writes them."""
    numbers = sum(are_numbers([name]) for name in names)
    if not table.of_text or 2 * numbers < len(names) or names == [str(i) for i in range(len(names))]:
        return []
    shown = ", ".join(names[:NAMED])
    if any(re.fullmatch(r"[+-]?\d*\.\d+", name) for name in names):
        rule = "its first line holds values: write a line with the names of the columns above it"
        raise InputError(f"DATA: {table.files[0]}: the names of its columns are {shown}: {rule}")
    return [f"its first line is taken for names: {shown}: if it holds values, write one with names above it"]


def _columns_of(test: str) -> tuple[str, ...]:
    with open_table(files_of(test, Path(), "--test"), "test") as table:
        return table.names


def _is_picture(table: Table, name: str) -> bool:
    """True for encoded pictures, arrays of pictures, and paths of picture files."""
    kind = table.schema.field(name).type
    if isinstance(kind, pa.FixedShapeTensorType):
        return len(kind.shape) >= 2
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        some = next(iter(table.batches([name], TRIED))).column(0).drop_null().to_pylist()  # not gigabytes of them
        return not some or bool(sizes_of((each, name) for each in some))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return False
    first = next((value for value in column_of(table, name).slice(0, 100).to_pylist() if value), "")
    return Path(first).suffix.lower() in ENDINGS or first.startswith("data:image/")


def _facts(source: Source, table: TableSource) -> list[str]:
    """Rows, classes with their sizes, inputs, and what is odd."""
    train, test = source.train, source.test
    counts = np.bincount(train.given[train.labelled], minlength=source.classes)
    named = [f"{name} {count}" for name, count in zip(source.class_names, counts, strict=True)]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    shape = list(train.inputs.shape[1:])
    inputs = f"pictures of {shape[1]}x{shape[0]} pixels" if table.of_pictures else f"{shape[0]} features"
    said = [f"training set: {len(train.labelled)} examples, {inputs}; {table.train}"]
    if test is None:
        said.append("no test set, which --test names: gains will be of the noisy validation")
    else:
        said.append(f"test set: {len(test.labelled)} examples, whose labels are taken as right; {table.test}")
        shared = np.isin(test.keys_of(test.labelled), train.keys_of(train.labelled)).mean()
        said += [f"{100 * shared:.3g} % of the test set equals training examples"] if shared else []
    said.append(f"{source.classes} classes: {', '.join(named[:NAMED])}{more}")
    return [*said, *source.remarks]


def _noise(source: Source, table: TableSource) -> list[str]:
    """Estimate the share of wrong labels where that takes seconds: logistic regression on features, out of fold."""
    train, rows = source.train, source.train.labelled
    if train.clean is not None or table.of_pictures or train.inputs.numel() > CHEAP:
        return []
    labels = train.given[rows]
    _, labels = np.unique(labels, return_inverse=True)  # classes that training has
    folds = min(5, int(np.bincount(labels).min()))
    if folds < 2:
        return []
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a second, for features alone
    from sklearn.model_selection import cross_val_predict  # noqa: PLC0415

    mean, std = scale_of(train.inputs)
    inputs = ((train.inputs - mean) / std).numpy()[rows]
    found = cross_val_predict(LogisticRegression(max_iter=200), inputs, labels, cv=folds, method="predict_proba")
    estimate = estimated_noise_rate(torch.from_numpy(found), torch.from_numpy(labels))
    about = "by logistic regression and cleanlab; too high where a straight line between classes does not do"
    return [] if estimate is None else [f"about {100 * estimate:.2g} % of the labels are wrong ({about})"]

"""Look at a user's own data: which columns are labels, pictures and features, and what a study of them must know."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from tosmooth.search.init.parts import of_one_part, parts_of
from tosmooth.trainables.config import AllBut, DataConfig, TableSource
from tosmooth.trainables.data.examples import Source, scale_of
from tosmooth.trainables.data.imputation import as_numbers, without_gaps
from tosmooth.trainables.data.labels import check_labels, named
from tosmooth.trainables.data.own_data import own_data
from tosmooth.trainables.data.picture_folder import ENDINGS, holds_classes
from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.table import Table, open_table
from tosmooth.trainables.data.text_columns import is_text
from tosmooth.trainables.errors import InputError, shown
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.estimate import estimated_noise_rate

# Names that columns really have, the likeliest first; without case, blanks and signs.
LABELS = (
    "noisylabel",
    "givenlabel",
    "label",
    "labels",
    "target",
    "targets",
    "class",
    "y",
    "category",
    "finelabel",
    "species",
)
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
IDENTIFIERS = ("id", "index", "idx", "uuid", "key", "rowid", "split", "fold")
ANNOTATOR = re.compile(r"(annotator|rater|worker|coder|label)_?([0-9]{1,2}|[a-z])", re.IGNORECASE)
FEW = 20  # values of a text column up to which it may be a category, or a label
TYPICAL = 5  # rows a value from which on it is no chance that all of them have one label
WRONG = 0.3  # share of the commonest class's errors down to which a column of few values is doubted
CHEAP = 4_000_000  # numbers, rows by features, up to which the noise is estimated here
EMPTY = 0.5  # share of a column's values from which on it is left out
NAMED = 10  # classes and columns that are named
KINDS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_temporal)

Ask = Callable[[str, list[str]], str]


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
            table, said = _columns(opened, train, tested, label, ask)
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
    table: Table, train: str, test: str | None, label: str | None, ask: Ask | None
) -> tuple[TableSource, list[str]]:
    """Choose the columns of a table by their names, types and values; and say which."""
    names = of_one_part(name for name in table.names if name)
    own = label if label is not None else _label(table, names, ask)
    table.require([own], "--label")
    clean = next((name for known in CLEAN for name in names if _plain(name) == known and name != own), None)
    there = names if test is None else _columns_of(test)
    rest = [name for name in names if name not in (own, clean) and name in there]
    chosen = TableSource(train=train, test=test, image="?", label=own, clean_label=clean)
    said = [f"labels: column {own!r}" + ("" if clean is None else f"; clean ones: column {clean!r}")]
    pictures = [name for name in rest if _is_picture(table, name)]
    if pictures:
        image = min(pictures, key=lambda name: _rank(name, PICTURES))
        return replace(chosen, image=image), [*said, f"pictures: column {image!r}"]
    return _features(table, rest, chosen, own, said)


def _columns_of(test: str) -> tuple[str, ...]:
    with open_table(files_of(test, Path(), "--test"), "test") as table:
        return table.names


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _rank(name: str, known: Sequence[str]) -> int:
    plain = _plain(name)
    return known.index(plain) if plain in known else len(known)


def _label(table: Table, names: Sequence[str], ask: Ask | None) -> str:
    """Column of labels: by what the file says of it, by its name, or the only one that may be."""
    known = [name for name in names if _plain(name) in LABELS and _is_label(table, name)]
    known.sort(key=lambda name: _rank(name, LABELS))
    declared = [name for name in names if name in table.class_names]
    if found := [*known, *(declared if len(declared) == 1 else [])]:
        return found[0]
    able = [name for name in names if _may_be_label(table, name)]
    if len(able) == 1:
        return able[0]
    choices = able or list(names)
    if ask is None:
        listed = ", ".join(choices[:NAMED])
        raise InputError(f"--label: name the column of labels; it may be {listed}: no column is called label or target")
    return ask("Which column has the labels?", choices)


def _is_label(table: Table, name: str) -> bool:
    """True if the values of a column that is called so are labels: no measurements."""
    try:
        check_labels({name: named(table.read([name]).column(0), name, table.place)})
    except InputError:
        return False
    return True


def _may_be_label(table: Table, name: str) -> bool:
    kind = table.schema.field(name).type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_dictionary(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
    ):
        return False
    values = pc.count_distinct(_read(table, name)).as_py()
    return bool(2 <= values <= min(FEW, max(2, table.rows / 5)))


def _read(table: Table, name: str) -> pa.ChunkedArray:
    column = table.read([name]).column(0)
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_picture(table: Table, name: str) -> bool:
    """True for encoded pictures, arrays of pictures, and paths of picture files."""
    kind = table.schema.field(name).type
    if isinstance(kind, pa.FixedShapeTensorType):
        return len(kind.shape) >= 2
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return False
    first = next((value for value in _read(table, name).slice(0, 100).to_pylist() if value), "")
    return Path(first).suffix.lower() in ENDINGS or first.startswith("data:image/")


def _features(
    table: Table, rest: Sequence[str], chosen: TableSource, own: str, said: list[str]
) -> tuple[TableSource, list[str]]:
    """Columns of features: one of vectors, else all numbers but identifiers, and text of a few values."""
    vectors = [name for name in rest if pa.types.is_nested(table.schema.field(name).type)]
    if vectors:
        return replace(chosen, image=None, features=(vectors[0],)), [
            *said,
            f"features: vectors of column {vectors[0]!r}",
        ]
    why = {name: reason for name in rest if (reason := _unfit(table, name, own)) is not None}
    used = [name for name in rest if name not in why]
    if not used:
        raise InputError(f"DATA: no column is of features or pictures: {shown(why)}")
    text = [name for name in used if _is_text(table, name)]
    features = tuple(used) if len(used) <= NAMED else AllBut(all_but=tuple(why))
    said = [*said, f"features: {len(used)} columns" + (f", {len(text)} of them categories" if text else "")]
    said += [f"  left out: column {name!r}, {reason}" for name, reason in why.items()]
    said += [f"  column {name!r} {words}" for name in used if (words := _doubt(table, name, own))]
    found = replace(chosen, image=None, features=features, categorical="onehot" if text else "refuse")
    if _with_gaps(table, used) or (chosen.test is not None and _test_gaps(cast(str, chosen.test), used)):
        found = replace(found, impute="median")
    return found, said


def _with_gaps(table: Table, names: Sequence[str]) -> bool:
    """True if a row lacks a value in one of these columns."""
    return any(without_gaps(_feature(table, name))[1].any() for name in names)


def _test_gaps(test: str, names: Sequence[str]) -> bool:
    with open_table(files_of(test, Path(), "--test"), "test") as table:
        return _with_gaps(table, names)


def _feature(table: Table, name: str) -> pa.ChunkedArray:
    """Column as it is read for a feature: numbers, too, where text has ? or the like among them."""
    column = _read(table, name)
    return as_numbers(column) if is_text(column.type) else column


def _is_text(table: Table, name: str) -> bool:
    return is_text(table.schema.field(name).type) and is_text(_feature(table, name).type)


def _unfit(table: Table, name: str, label: str) -> str | None:
    """Why a column is no feature; `None` where it is one."""
    kind, column = table.schema.field(name).type, _feature(table, name)
    distinct = pc.count_distinct(column).as_py()
    if ANNOTATOR.fullmatch(name) and distinct <= FEW:
        return "labels of one annotator, perhaps: dataset.table.annotators takes them"
    if (gaps := int(without_gaps(column)[1].sum())) > EMPTY * table.rows:
        return f"of which {gaps} of {table.rows} values are empty"
    if _plain(name) in IDENTIFIERS or (pa.types.is_integer(kind) and distinct == table.rows and _rising(column)):
        return "an identifier"
    if distinct > 1 and table.rows >= TYPICAL * distinct and _told(column, _read(table, label)) == table.rows:
        return f"which tells the label: each of its {distinct} values has one"
    if _is_text(table, name):
        return None if 2 <= distinct <= FEW else f"text of {distinct} values"
    return None if any(is_kind(column.type) for is_kind in KINDS) else f"of type {kind}"


def _doubt(table: Table, name: str, label: str) -> str:
    """What makes a feature look as if it had been made from the labels; nothing where it does not."""
    column, labels = _feature(table, name), _read(table, label)
    if not 2 <= pc.count_distinct(column).as_py() <= table.rows / TYPICAL:
        return ""
    told, commonest = _told(column, labels), _told(pa.array([0] * table.rows), labels)
    if table.rows - told > WRONG * (table.rows - commonest):
        return ""
    share = f"{100 * told / table.rows:.2g} % of the labels"
    return f"alone tells {share}: is it known before they are? Otherwise leave it out (features: {{all_but: [...]}})"


def _told(column: pa.ChunkedArray | pa.Array, labels: pa.ChunkedArray) -> int:
    """Rows whose label is the commonest one among the rows of the same value."""
    pairs = pa.table({"value": column, "label": labels}).group_by(["value", "label"]).aggregate([([], "count_all")])
    most = pairs.group_by("value").aggregate([("count_all", "max")])
    return sum(most.column("count_all_max").to_pylist())


def _rising(column: pa.ChunkedArray) -> bool:
    values = np.asarray(column)
    return bool((values[1:] > values[:-1]).all())


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

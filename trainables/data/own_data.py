"""A user's own data in whatever form: tables of features or of pictures, and folders of pictures."""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from tosmooth.trainables.config import DONE, LABEL, ROW, AllBut, DataConfig, Files, TableSource
from tosmooth.trainables.data.columns import Fitted, features_of, numbers_of
from tosmooth.trainables.data.copies import Rows
from tosmooth.trainables.data.encoded_pictures import SEVERAL, of_folder, of_table
from tosmooth.trainables.data.examples import Examples, Soft, Source, of_features
from tosmooth.trainables.data.feature_choice import chosen_features
from tosmooth.trainables.data.imputation import without_gaps
from tosmooth.trainables.data.labels import Named, check_labels, class_names, majority, named, numbered, votes_of
from tosmooth.trainables.data.own_remarks import KEY, on_commits, on_features, on_labels
from tosmooth.trainables.data.picture_folder import PictureFolder, picture_folder
from tosmooth.trainables.data.pictures import PictureRule
from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.memory import EXPANSION, HARMLESS
from tosmooth.trainables.data.tables.table import Table, open_table
from tosmooth.trainables.data.text_columns import is_text
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.files import hub
from tosmooth.trainables.files.digests import state_of
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.synthetic import NONE, stream

GLOB = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Training set or test set as it was read, before its labels are numbered."""

    inputs: Examples  # without labels
    labels: Mapping[str, Named]  # by their columns, of all rows of the source
    soft: Soft | None = None  # of all rows of the source
    fitted: Fitted | None = None  # how features were made, for the test set
    remarks: tuple[str, ...] = ()
    text: tuple[str, ...] = ()  # columns that are of text: in the test set all may look like numbers
    empty: int = 0  # rows without label and with gaps, which `inputs` lacks

    @property
    def rows(self) -> Rows:
        """Rows of the source that `inputs` has."""
        return np.arange(len(self.inputs.inputs)) if self.inputs.source_rows is None else self.inputs.source_rows


def own_data(config: DataConfig, folders: Folders) -> Source:
    """Read the user's own training set and test set as `config.table` describes them.

    Labels are numbered in the order of the classes, and rows without one are not usable. Raises `InputError` for files
    that are missing or wrong, with file, row and rule.
    """
    wanted = config.table
    if wanted is None:
        raise InputError(f"{KEY}: None is refused: a user's own data are described there")
    train, test = _parts(wanted, folders, _state(wanted, folders))
    given = wanted.classes or (wanted.targets if len(wanted.targets) > 1 else None)
    names = _classes(train, test, wanted, given)
    trained = _trained(train, wanted, names, config.noise_seed)
    tested = None if test is None else _tested(test, names)
    of_test = () if test is None else [f"test set: {each}" for each in test.remarks if each not in train.remarks]
    remarks = [
        *on_commits(wanted, folders),
        *train.remarks,
        *of_test,
        *on_labels(trained, tested, names, (train.empty, 0 if test is None else test.empty)),
    ]
    return Source(
        train=trained,
        test=tested,
        classes=len(names),
        standardise=not wanted.of_pictures,
        class_names=names,
        remarks=tuple(remarks),
        columns=() if train.fitted is None else train.fitted.columns,
        image=wanted.image,
        rule=PictureRule(_size(train.inputs, wanted), wanted.fit, wanted.on_bad),
    )


def _size(inputs: Examples, wanted: TableSource) -> tuple[int, int] | None:
    """Height and width that pictures were made; `None`: they had them."""
    if not any(remark.startswith(SEVERAL) for remark in inputs.remarks):
        return wanted.picture_size
    height, width = inputs.inputs.shape[1:3]
    return height, width


def _classes(train: _Part, test: _Part | None, wanted: TableSource, given: tuple[str, ...] | None) -> tuple[str, ...]:
    """Names of the classes in their order. Without those `given`, what looks like an identifier is refused."""
    own = {f"column {name!r}": column for name, column in train.labels.items()}
    columns = own if test is None else own | {f"the test set's {n!r}": column for n, column in test.labels.items()}
    names = class_names(columns, given)
    if given is None and not wanted.of_folder:
        labels = [wanted.label] if wanted.label is not None else wanted.annotators
        first = {what: columns[what] for what in map("column {!r}".format, labels)}
        check_labels(first)
        known = {name for column in first.values() for name in column.names}
        for what, column in columns.items():
            check_labels({what: column}, known)
    return names


def annotator_names(source: TableSource) -> dict[str, str]:
    """Columns of a table's annotators by the names that levels have for them: _ for what such a name may not hold."""
    found = {re.sub(r"[^A-Za-z0-9._-]+", "_", column): column for column in source.annotators}
    rule = "names that differ in letters, digits, dots, - or _"
    require(len(found) == len(source.annotators), f"{KEY}.annotators", source.annotators, rule)
    return found


def source_files(source: TableSource, folders: Folders) -> list[Path]:
    """Find the files that a user's data are read from; of a folder of pictures, all of them."""
    found: list[Path] = []
    for what in ("train", *(["test"] if source.test is not None else [])):
        if source.of_folder:
            folder = _folder(what, source, folders)
            found += [folder.root / path for path in folder.paths]
        else:
            found += _files(what, source, folders)
    return found


def training_folder(source: TableSource, folders: Folders) -> PictureFolder:
    """List the pictures of a training set that is a folder of them."""
    return _folder("train", source, folders)


def training_files(source: TableSource, folders: Folders) -> Sequence[Path]:
    """Find the files of a training set that is a table, in the order of their rows."""
    return _files("train", source, folders)


def _state(wanted: TableSource, folders: Folders) -> str:
    """Digest of names, sizes and times of the files: while it is the same, so is what is read from them."""
    digest = hashlib.sha256()
    for path in source_files(wanted, folders):
        digest.update(f"{state_of(path)}\n".encode())
    return digest.hexdigest()


@functools.lru_cache(maxsize=2)  # the levels of a study share them
def _parts(wanted: TableSource, folders: Folders, state: str) -> tuple[_Part, _Part | None]:
    read = _read_folder if wanted.of_folder else _read_table
    train = read("train", wanted, folders, None)
    if wanted.test is None:
        return train, None
    wanted = replace(wanted, size=_size(train.inputs, wanted))  # the test set as the training set was made
    test = read("test", wanted, folders, train)
    here, there = (list(part.inputs.inputs.shape[1:]) for part in (test, train))
    rule = f"of the size of those of the training set, {there}: {KEY}.size makes them so"
    require(here == there, f"{KEY}.test: pictures", here, rule)
    return train, test


def _named(what: str, wanted: TableSource) -> Files:
    return cast(Files, wanted.train if what == "train" else wanted.test)


def _files(what: str, wanted: TableSource, folders: Folders) -> Sequence[Path]:
    files = _named(what, wanted)
    here: Files
    if isinstance(files, str):
        here = _brought(what, files, folders)
    elif isinstance(files, Mapping):
        here = {column: _brought(what, place, folders) for column, place in files.items()}
    else:
        here = tuple(_brought(what, place, folders) for place in files)
    return files_of(here, folders.data, f"{KEY}.{what}", wanted.follow_links)


def _folder(what: str, wanted: TableSource, folders: Folders) -> PictureFolder:
    place, key = _named(what, wanted), f"{KEY}.{what}"
    require(isinstance(place, str), key, place, "one folder, that holds a folder of pictures for each class")
    return picture_folder(folders.data / _brought(what, str(place), folders), key, wanted.follow_links)


def _brought(what: str, place: str, folders: Folders) -> str:
    """Bring a file, a folder or those of a pattern from where they lie, and return their place on this machine."""
    if hub.on_hub(place):
        return str(hub.bring(place, what, f"{KEY}.{what}", folders.cache))
    folders.bring(GLOB.split(place)[0].rpartition("/")[0] if GLOB.search(place) else place)
    return place


def _read_folder(what: str, wanted: TableSource, folders: Folders, trained: _Part | None) -> _Part:
    folder = _folder(what, wanted, folders)
    inputs = of_folder(folder, wanted, folders.cache)
    column = pa.chunked_array([pa.array(folder.classes, pa.string())])
    classes = named(column, f"{KEY}.{what}: folders of classes", folder.place, wanted.missing)
    return _Part(inputs, {"folder": classes}, remarks=(*folder.remarks, *inputs.remarks))


def _read_table(what: str, wanted: TableSource, folders: Folders, trained: _Part | None) -> _Part:
    files, fitted = _files(what, wanted, folders), None if trained is None else trained.fitted
    with open_table(files, what) as table:
        if trained is not None:
            table.as_text(_own_names(trained.text, wanted))
        columns, inputs_of = _label_columns(what, wanted), _input_columns(table, wanted, fitted)
        targets = wanted.targets if what == "train" else ()
        table = table.require([*inputs_of, *columns, *targets], KEY)
        _check_size(table, [*columns, *targets, *(() if wanted.image is not None else inputs_of)])
        labels = {name: _labels(table, name, wanted) for name in columns}
        text = tuple(name for name in (*inputs_of, *columns) if is_text(table.schema.field(name).type))
        soft = _targets(table, wanted) if targets else None
        if wanted.image is not None:
            inputs = of_table(table, what, wanted, folders)
            return _Part(inputs, labels, soft, remarks=inputs.remarks, text=text)
        read, how = table.read(inputs_of), (wanted.categorical, wanted.impute)
        kept = _not_empty(read, list(labels.values()), soft)

        def place(row: int) -> str:
            return table.place(int(kept[row]))

        values, fitted = features_of(read if len(kept) == len(read) else read.take(kept), place, fitted, *how)
    inputs, empty = of_features(values, {}), len(read) - len(kept)
    inputs = replace(inputs, source_rows=kept) if empty else inputs
    return _Part(inputs, labels, soft, fitted, tuple(on_features(fitted)), text, empty)


def _not_empty(read: pa.Table, labels: Sequence[Named], soft: Soft | None) -> Rows:
    """Rows that have a label, or no gap: spreadsheets write empty rows at their end."""
    labelled = np.zeros(len(read), bool) if soft is None else soft.sum(axis=1) > 0
    for column in labels:
        labelled |= column.codes != NONE
    full = labelled.copy()
    if labelled.any() and not labelled.all():
        full[:] = True
        for column in read.columns:
            if not pa.types.is_nested(column.type):
                full &= labelled | ~without_gaps(column)[1]
    return np.flatnonzero(full) if labelled.any() else np.arange(len(read))


def _own_names(text: Sequence[str], wanted: TableSource) -> list[str]:
    """Columns of the test set that are those of text in the training set: its labels may be called otherwise."""
    return [wanted.test_label or name if name == wanted.label else name for name in text]


def _check_size(table: Table, columns: Sequence[str]) -> None:
    """Refuse a few bytes that stand for any number of rows, before one of the columns is read."""
    size, packed = 8 * table.rows * len(columns), sum(path.stat().st_size for path in table.files)
    if size > max(HARMLESS, EXPANSION * packed):
        what = f"{table.rows} rows of {len(columns)} columns"
        raise InputError(f"{table.files[0]}: {what}: {size} bytes in memory of {packed} in files")


def _input_columns(table: Table, wanted: TableSource, fitted: Fitted | None) -> list[str]:
    """Columns of the inputs: the one of pictures, or those of features; of a test set those of the training set."""
    if wanted.features is None:
        return [cast(str, wanted.image)]
    if fitted is not None:
        return [column.name for column in fitted.columns]
    others, key = [*wanted.label_columns, *wanted.targets, ROW, DONE], f"{KEY}.features"
    if not isinstance(wanted.features, AllBut) and (exact := [n for n in wanted.features if not GLOB.search(n)]):
        table.require(exact, key)
    chosen = chosen_features(wanted.features, table.names, others, key)
    meant = LABEL not in chosen or not isinstance(wanted.features, AllBut)
    require(meant, key, LABEL, f"it looks like a label: name it as {KEY}.label, or under all_but")
    return chosen


def _label_columns(what: str, wanted: TableSource) -> list[str]:
    """Columns of labels to be read: those of the training set, or the one of the test set."""
    if what == "test":
        return [cast(str, wanted.test_label or wanted.label)]
    return list(dict.fromkeys(c for c in (wanted.label, wanted.clean_label, *wanted.annotators) if c is not None))


def _labels(table: Table, name: str, wanted: TableSource) -> Named:
    column = table.read([name]).column(0)
    return named(column, f"column {name!r}", table.place, wanted.missing, table.class_names.get(name, ()))


def _targets(table: Table, wanted: TableSource) -> Soft:
    """Soft targets [N, K], or counts of votes; a row without any is 0."""
    values = numbers_of(table.read(wanted.targets), table.place)[0]
    classes = len(wanted.classes or wanted.targets)
    rule = f"a value for each of the {classes} classes"
    require(values.shape[1] == classes, f"{KEY}.targets", f"{values.shape[1]} values a row", rule)
    wrong = np.flatnonzero((values < 0).any(axis=1))
    if len(wrong):
        place, least = table.place(int(wrong[0])), values[wrong[0]].min()
        raise InputError(f"{KEY}.targets: {place}: {least:g} is refused: shares of classes, or votes, are 0 or more")
    return values


def _trained(part: _Part, wanted: TableSource, names: Sequence[str], seed: int) -> Examples:
    """Training set with numbered labels."""
    rows = part.rows
    numbers = {name: numbered(column, names)[rows] for name, column in part.labels.items()}
    annotators = {level: numbers[column] for level, column in annotator_names(wanted).items()}
    soft = None if part.soft is None else part.soft[rows]
    votes = votes_of(list(annotators.values()), len(names)) if annotators else soft
    own = "folder" if wanted.of_folder else wanted.label
    given = numbers[own] if own is not None else majority(cast(Soft, votes), stream(seed, "majority"))
    labels = {"label": given} | ({"clean_label": numbers[wanted.clean_label]} if wanted.clean_label else {})
    some = (given != NONE) if votes is None else (given != NONE) | (votes.sum(axis=1) > 0)
    return replace(part.inputs, labels=labels, annotators=annotators, soft=soft, usable=np.flatnonzero(some))


def _tested(part: _Part, names: Sequence[str]) -> Examples:
    """Test set with numbered labels, which are taken as clean."""
    (column,) = part.labels.values()
    labels = numbered(column, names)[part.rows]
    return replace(part.inputs, labels={"clean_label": labels}, usable=np.flatnonzero(labels != NONE))

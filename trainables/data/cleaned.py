"""Labels of a level after `tosmooth clean`: a table with a row for each example that is left, by its row in the source.

| column | what it says |
|---|---|
| `tosmooth_row` | row in the training set, from 0, of which this one is |
| `tosmooth_done` | `kept`, or `relabelled from NAME` |
| that of the labels (`label_column`) | label, new where it was changed |

An example without a row was dropped. What a row says of the label before must be the level's label: a file of another
level or another data set is refused.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tosmooth.trainables.config import DONE, ROW, CleanedBy, DataConfig
from tosmooth.trainables.data.copies import Rows
from tosmooth.trainables.data.examples import Source
from tosmooth.trainables.data.labels import integers_of, named
from tosmooth.trainables.data.noise_levels import ANNOTATOR
from tosmooth.trainables.data.own_data import annotator_names
from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.synthetic import NONE, Labels

KEPT, RELABELLED = "kept", "relabelled from "
KEY = "dataset.cleaned_by"


class Cleaned(NamedTuple):
    """Labels after cleaning, and what is said of them."""

    labels: Labels  # int64 [N], NONE where an example was dropped
    remark: str


def label_column(config: DataConfig, level: str) -> str:
    """Column in which a cleaned table has the labels of a level: that of the user's table, or `label`."""
    table = config.table
    if table is not None and level == "given" and table.label is not None:
        return table.label
    if table is not None and level.startswith(ANNOTATOR):
        return annotator_names(table)[level.removeprefix(ANNOTATOR)]
    return "label"


def cleaned_labels(
    config: DataConfig, by: CleanedBy, noisy: Labels, source: Source, train: Rows, folders: Folders
) -> Cleaned:
    """Labels `noisy` [N] of a level as the file of `by` changes those of the rows `train`; other rows stay.

    Raises `InputError` where the file is no cleaned table of these labels.
    """
    folders.bring(by.file)
    files = files_of(by.file, folders.data, KEY)
    column = label_column(config, by.level)
    with open_table(files) as opened:
        table = opened.require([ROW, DONE, column], KEY)
        rows = integers_of(table.read([ROW]).column(0), f"{files[0]}, column {ROW!r}")
        done = table.read([DONE]).column(0).to_pylist()
        missing = () if config.table is None else config.table.missing
        label = named(table.read([column]).column(0), column, table.place, missing, table.class_names.get(column, ()))
    names = source.class_names or tuple(map(str, range(source.classes)))
    new = _numbers([None if code == NONE else label.names[code] for code in label.codes.tolist()], names, files[0])
    old = _numbers(
        [_before(text, name, files[0]) for text, name in zip(done, _names(new, names), strict=True)], names, files[0]
    )
    at = _positions(source, rows, len(noisy), files[0])
    wrong = np.flatnonzero((at >= 0) & (noisy[at] != old))
    if len(wrong):
        was = names[noisy[at[wrong[0]]]] if noisy[at[wrong[0]]] != NONE else "none"
        told = f"row {rows[wrong[0]]} was {names[old[wrong[0]]]!r} there and is {was!r} at the level {by.level}"
        raise InputError(f"{KEY}: {files[0]}: {told}: name the file that was cleaned of this data and level")
    after = np.full(len(noisy), NONE, np.int64)
    after[at[at >= 0]] = new[at >= 0]
    found = noisy.copy()
    found[train] = np.where(noisy[train] == NONE, NONE, after[train])
    dropped = int(((found[train] == NONE) & (noisy[train] != NONE)).sum())
    changed = int(((found[train] != noisy[train]) & (found[train] != NONE)).sum())
    what = " and ".join([*([f"{dropped} dropped"] if dropped else []), *([f"{changed} relabelled"] if changed else [])])
    told = f"of {len(train)} training labels {what or 'none changed'} by {Path(by.file).name}"
    return Cleaned(found, f"{told}; the noisy validation keeps its labels")


def _positions(source: Source, rows: Rows, total: int, file: Path) -> Rows:
    """Positions of rows of the source among the examples; -1 of one that is none, as its picture was left out."""
    of = source.train.source_rows
    end = total if of is None else int(of.max()) + 1
    if len(np.unique(rows)) < len(rows) or (rows < 0).any() or (of is None and (rows >= end).any()):
        raise InputError(f"{file}, column {ROW!r}: rows of the training set, from 0 to {end - 1}, each once")
    if of is None:
        return rows
    found = np.minimum(np.searchsorted(of, rows), len(of) - 1)
    return np.where(of[found] == rows, found, -1)


def _numbers(labels: list[str | None], names: tuple[str, ...], file: Path) -> Labels:
    known = {name: number for number, name in enumerate(names)} | {None: NONE}
    for row, label in enumerate(labels):
        if label not in known:
            raise InputError(f"{KEY}: {file}, row {row}: {label!r} is none of the classes")
    return np.array([known[label] for label in labels], np.int64)


def _names(labels: Labels, names: tuple[str, ...]) -> list[str | None]:
    return [None if label == NONE else names[label] for label in labels.tolist()]


def _before(done: object, label: str | None, file: Path) -> str | None:
    """Label before cleaning, by what was done."""
    if done == KEPT:
        return label
    if isinstance(done, str) and done.startswith(RELABELLED):
        return done.removeprefix(RELABELLED)
    raise InputError(f"{KEY}: {file}, column {DONE!r}: {done!r} is refused: {KEPT}, or {RELABELLED}NAME")

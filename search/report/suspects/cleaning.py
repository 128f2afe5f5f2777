"""A user's data without, or with new, labels of the surest suspects: a new file, which a study can go on with.

A table of one or more files becomes one table: its columns in their order and of their types, and two more that say
which row of the old one each is and what was done (`trainables.data.cleaned`). CSV stays CSV, as it was written;
everything else becomes Parquet. Where labels are in no column of a table (a folder of pictures, NumPy's arrays, data
that come with tosmooth, levels that are drawn or counted) it is a CSV of the labels alone.
"""

import csv
import fnmatch
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tosmooth.search.report.suspects.files import SuspectList, folder_of, to_parquet
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.config import DONE, ROW, SOFT, DataConfig, TableSource
from tosmooth.trainables.data.cleaned import KEPT, RELABELLED, label_column
from tosmooth.trainables.data.labels import named
from tosmooth.trainables.data.own_data import GLOB, training_files, training_folder
from tosmooth.trainables.data.tables.delimited import Delimited
from tosmooth.trainables.data.tables.formats import format_of
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.files import hub
from tosmooth.trainables.files.atomic_write import write
from tosmooth.trainables.files.folders import Folders

How = Literal["drop", "relabel"]
ARRAYS = ("NumPy", "npz")


@dataclass(frozen=True, slots=True)
class Changes:
    """What is done to labels: new label, or None where the example is dropped, by the row of the training set."""

    how: How
    labels: Mapping[int, str | None]
    looked_at: int  # suspects
    in_validation: int  # of the changed ones


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and what was done to it."""

    file: Path
    changes: Changes
    rows: int
    whole: bool  # the user's whole table, not its labels alone


def changes_of(found: SuspectList, how: How, share: float | None, top: int | None) -> Changes:
    """Choose the surest suspects: a `share` of the rows, the `top`, or as many as cleanlab counts wrong.

    A label that its network agrees with is not made another. Raises `InputError` where there is nothing to do.
    """
    rows, likely = found.table.num_rows, found.about["likely_errors"]
    require(share is None or 0 < share < 1, "--share", share, "a share of the labels, above 0 and below 1")
    require(top is None or top < rows, "--top", top, f"less than the {rows} labels")
    count = likely if top is None and share is None else top if share is None else round(share * rows)
    if not count:
        rule = "cleanlab counts none as wrong" if likely == 0 else "their number is not known"
        raise InputError(f"no label to {how}: {rule}; --top N or --share S says how many")
    first = found.table.slice(0, count).to_pylist()
    kept = [row for row in first if how == "drop" or row["proposed"] != row["given"]]
    if not kept:
        raise InputError(f"no label to relabel: of the first {count} suspects each is what its network proposes")
    labels = {row["row"]: None if how == "drop" else row["proposed"] for row in kept}
    return Changes(how, labels, count, sum(row["part"] == "validation" for row in kept))


def clean(
    folder: StudyFolder, spec: StudySpec, found: SuspectList, changes: Changes, output: Path | None, folders: Folders
) -> Written:
    """Write the cleaned data of a level. Raises `InputError` where that cannot be, or would be over something."""
    noise = found.about["noise"]
    config = spec.data_config(noise)
    rule = "a level whose labels are one for each example, and as they came: another level of the study"
    require(noise != SOFT and config.cleaned_by is None, "--level", noise, rule)
    files = _table_files(config, folders)
    own = config.table if files else None
    path = output or _beside(folder, found, config, changes.how, files, folders)
    path = path.absolute()
    _check_output(path, output, config.table, folders)
    if own is not None:
        content, rows = _whole(own, files, label_column(config, noise), changes, path)
    else:
        content, rows = _labels(found, changes, config, folders, path)
    write(content, path)
    return Written(path, changes, rows, own is not None)


def _table_files(config: DataConfig, folders: Folders) -> Sequence[Path]:
    """Files of the user's table that has the labels of this level in a column; none where there is no such table."""
    table = config.table
    if table is None or table.of_folder or isinstance(table.train, Mapping):
        return []
    column = label_column(config, config.noise)
    files = training_files(table, folders)
    if column not in (table.label, *table.annotators) or any(format_of(file)[0] in ARRAYS for file in files):
        return []
    return files if config.noise == "given" or column in table.annotators else []


def _beside(
    folder: StudyFolder, found: SuspectList, config: DataConfig, how: How, files: Sequence[Path], folders: Folders
) -> Path:
    """File beside the one that the study names; in the study's folder where that is none, or not the user's own."""
    table, done = config.table, "dropped" if how == "drop" else "relabelled"
    end = ".parquet" if files and not _is_csv(files) else ".csv"
    places = () if table is None else table.places("train")
    alone = len(places) == 1 and not GLOB.search(places[0]) and not hub.on_hub(places[0]) and folders.remote is None
    if table is not None and alone:
        place = folders.data / places[0]
        if table.of_folder or place.is_file():
            return place.parent / f"{place.name if table.of_folder else place.name.partition('.')[0]}-{done}{end}"
    return folder_of(folder.path) / f"{config.dataset}-{config.noise}-{found.about['method']}-{done}{end}"


def _is_csv(files: Sequence[Path]) -> bool:
    return len(files) == 1 and format_of(files[0])[0] == "CSV"


def _check_output(path: Path, output: Path | None, table: TableSource | None, folders: Folders) -> None:
    """Refuse to write over anything, and into what the study reads as its data."""
    key = str(path) if output is None else f"--output: {path}"
    if path.exists():
        raise InputError(f"{key}: is there already: name another file with --output, or move that")
    for place in () if table is None else (*table.places("train"), *table.places("test")):
        own = folders.data / place
        within = own.is_dir() and path.is_relative_to(own.resolve())
        if within or (GLOB.search(place) and fnmatch.fnmatch(str(path), str(own))):
            raise InputError(f"{key}: would be read as a part of {place}: name a file elsewhere with --output")


def _whole(
    table: TableSource, files: Sequence[Path], column: str, changes: Changes, path: Path
) -> tuple[str | bytes, int]:
    """The user's table with what was done to it, in the form that the end of the path says, and its rows."""
    texts = path.suffix.lower() in (".csv", ".tsv", ".txt")
    if texts and not _is_csv(files):
        raise InputError(f"--output: {path}: the data are no single CSV: name a file that ends in .parquet")
    with open_table(files, "train") as opened:
        declared, place = opened.class_names.get(column, ()), opened.place
        labels = named(
            opened.require([column], "dataset.table").read([column]).column(0), column, place, table.missing, declared
        )
        if not texts:
            whole = _arrow(files, opened)
    if texts:
        file = Delimited(files[0], format_of(files[0])[1])
        delimiter, whole = file.texts()
        names: Sequence[str] = file.names
    else:
        names = whole.column_names
    for name in (ROW, DONE):
        require(
            name not in names,
            "dataset.table.train",
            name,
            "a column of what was cleaned before: start from the table as it came",
        )
    given = [None if code < 0 else labels.names[code] for code in labels.codes.tolist()]
    at = names.index(column)
    whole = whole.set_column(at, whole.field(at), _relabelled(whole.column(at), given, changes))
    done = [_done(row, label, changes) for row, label in enumerate(given)]
    left = np.array([each is not None for each in done])
    whole = whole.append_column(ROW, pa.array(np.arange(len(done)))).append_column(DONE, pa.array(done, pa.string()))
    whole = whole.filter(pa.array(left))
    content = _csv([*names, ROW, DONE], whole, delimiter) if texts else to_parquet(_described(whole))
    return content, whole.num_rows


def _arrow(files: Sequence[Path], opened: Any) -> pa.Table:
    """All columns, of the types they have; those of several files as the study reads them."""
    if len(files) == 1 and format_of(files[0])[0] == "Parquet":
        return pq.read_table(files[0], page_checksum_verification=True)
    read: pa.Table = opened.read(opened.names)
    return read


def _relabelled(column: pa.ChunkedArray, given: Sequence[str | None], changes: Changes) -> pa.ChunkedArray:
    """The column with new labels, each written as it is in a row that has it."""
    first: dict[str | None, int] = {}
    for row, label in enumerate(given):
        first.setdefault(label, row)
    source = np.arange(len(given))
    for row, label in changes.labels.items():
        if label is not None:
            require(label in first, "--relabel", label, "a class that no row has: use --drop")
            source[row] = first[label]
    return column.take(pa.array(source))


def _done(row: int, label: str | None, changes: Changes) -> str | None:
    """What was done to a row; `None`: it is left out."""
    if row not in changes.labels:
        return KEPT
    return None if changes.labels[row] is None else f"{RELABELLED}{label}"


def _csv(names: Sequence[str], table: pa.Table, delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    for batch in table.to_batches():
        writer.writerows(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return text.getvalue()


def _described(table: pa.Table) -> pa.Table:
    """The table, with the new columns among those that Hugging Face's description of it lists."""
    metadata = dict(table.schema.metadata or {})
    try:
        about = json.loads(metadata[b"huggingface"])
        about["info"]["features"] |= {
            name: {"dtype": kind, "_type": "Value"} for name, kind in ((ROW, "int64"), (DONE, "string"))
        }
    except (KeyError, TypeError, ValueError):
        return table
    return table.replace_schema_metadata({**metadata, b"huggingface": json.dumps(about).encode()})


def _labels(found: SuspectList, changes: Changes, config: DataConfig, folders: Folders, path: Path) -> tuple[str, int]:
    """Labels alone, by the rows of the training set; with the paths of pictures of a folder."""
    rows = sorted(found.table.select(["row", "place", "given"]).to_pylist(), key=lambda row: row["row"])
    folder = config.table is not None and config.table.of_folder
    root = training_folder(config.table, folders).root if config.table is not None and folder else None
    names = [*(["image"] if folder else []), "label", ROW, DONE]
    lines = []
    for row in rows:
        done = _done(row["row"], row["given"], changes)
        if done is None:
            continue
        label = changes.labels.get(row["row"], row["given"])
        where = [] if root is None else [os.path.relpath(root / row["place"], path.parent)]
        lines.append([*where, label, row["row"], done])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    return text.getvalue(), len(lines)

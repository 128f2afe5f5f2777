"""Where the examples of a training set lie in the data as the user has them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.copies import Rows
from tosmooth.trainables.data.datasets import find_dataset
from tosmooth.trainables.data.own_data import training_files, training_folder
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.files.folders import Folders


class Places(NamedTuple):
    """Rows of the source [n], from 0, and what else says where an example lies; "" where the row says it all."""

    rows: Rows
    texts: list[str]


def places_of(config: DataConfig, folders: Folders, rows: Rows) -> Places:
    """Say where the examples `rows` [n] of a training set's inputs come from."""
    source_rows = find_dataset(config).read(config, folders).train.source_rows
    own = rows if source_rows is None else source_rows[rows]
    return Places(own, [""] * len(own) if config.table is None else _texts(config.table, folders, own))


def _texts(source: TableSource, folders: Folders, rows: Rows) -> list[str]:
    if source.of_folder:
        paths = training_folder(source, folders).paths
        return [paths[row] for row in rows]
    files = training_files(source, folders)
    with open_table(files, "train") as table:
        named = None if source.image is None else _paths(table.read([source.image]).column(0), rows)
        if named is not None:
            return named
        chosen = table.require(_columns(source, table.names), "dataset.table")
        several = len(files) > 1 and not isinstance(source.train, Mapping)
        return [Path(chosen.place(row)).name if several else "" for row in rows.tolist()]


def _columns(source: TableSource, names: Sequence[str]) -> list[str]:
    """Columns that have a row for each example, where arrays of one file differ in length."""
    return [name for name in (*source.label_columns, *source.targets) if name in names][:1]


def _paths(column: pa.ChunkedArray, rows: Rows) -> list[str] | None:
    """Paths of pictures in a column of them; `None` where it has none, but the pictures."""
    kind = column.type
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
        column = pc.struct_field(column, "path")
        kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    texts: list[Any] = column.take(pa.array(rows.astype(np.int64))).to_pylist()
    found = ["" if text is None or text.startswith("data:image/") or len(text) > LONGEST else text for text in texts]
    return found if any(found) else None


LONGEST = 1000  # characters of a path; what is longer is a picture in base64

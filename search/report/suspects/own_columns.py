"""Columns of a user's own table beside a list of suspects: what tells the user which example a row is."""

from collections.abc import Sequence

import pyarrow as pa

from tosmooth.search.report.suspects.files import SCHEMA
from tosmooth.trainables.config import TableSource
from tosmooth.trainables.data.own_data import training_files
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.files.folders import Folders

KEY = "--column"


def check_columns(source: TableSource, folders: Folders, names: Sequence[str]) -> None:
    """Raise `InputError` for columns that the training set does not have."""
    with open_table(training_files(source, folders), "train") as table:
        table.require(names, KEY)


def own_columns(source: TableSource, folders: Folders, names: Sequence[str], found: pa.Table) -> pa.Table:
    """Read columns of the training set for the rows of a list, in its order; of CSV as they are written: 007.

    One that is called as a column of the list gets a `_` behind.

    Raises `InputError` as `check_columns` does.
    """
    names = list(dict.fromkeys(names))
    with open_table(training_files(source, folders), "train") as table:
        table.as_text(names)
        read = table.require(names, KEY).read(names).take(found["row"])
    return read.rename_columns([f"{name}_" if name in SCHEMA.names else name for name in names])

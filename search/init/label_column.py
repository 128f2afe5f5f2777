"""Column of labels of a user's own table: by what the file says of it, by its name, or the only one that may be."""

import re
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tosmooth.trainables.data.labels import check_labels, named
from tosmooth.trainables.data.tables.table import Table
from tosmooth.trainables.errors import InputError

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
    "outcome",
    "diagnosis",
    "survived",
    "variety",
    "sentiment",
)
SHORT = ("y",)  # of them, what is a coordinate, too
FEW = 20  # values of a text column up to which it may be a category, or a label
NAMED = 10  # classes and columns that are named

Ask = Callable[[str, list[str]], str]


def label_column(table: Table, names: Sequence[str], ask: Ask | None) -> str:
    """Find the column of labels among `names`. Raises `InputError` where it is not clear and no one can be asked."""
    refused = {name: fault for name, fault in table.faults.items() if plain(name) in LABELS}
    known = []
    for name in names:
        if plain(name) in LABELS:
            if (why := _no_label(table, name)) is None:
                known.append(name)
            else:
                refused[name] = why
    known.sort(key=lambda name: rank(name, LABELS))
    declared = [name for name in names if name in table.class_names]
    found = [*known, *(declared if len(declared) == 1 else [])]
    if found and plain(found[0]) not in SHORT:  # before all columns are read
        return found[0]
    able = [name for name in names if _may_be_label(table, name)]
    if found and (found[0] in able or not able):
        return found[0]
    if not found and len(able) == 1:
        return able[0]
    choices = [*found, *able] or [name for name in names if name not in refused] or list(names)
    if ask is None:
        listed = ", ".join(choices[:NAMED])
        why = "; ".join(f"{name!r} is none: {reason}" for name, reason in refused.items())
        why = why or (
            "no column is called label or target" if not found else f"{found[0]!r} has more than {FEW} values"
        )
        raise InputError(f"--label: name the column of labels; it may be {listed}: {why}")
    return ask("Which column has the labels?", choices)


def plain(name: str) -> str:
    """Return a name without case, blanks and signs."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def rank(name: str, known: Sequence[str]) -> int:
    """Return the place of a name among those known; behind all of them where it is none."""
    return known.index(plain(name)) if plain(name) in known else len(known)


def column_of(table: Table, name: str) -> pa.ChunkedArray:
    """Read a column, of a dictionary its values."""
    column = table.read([name]).column(0)
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _no_label(table: Table, name: str) -> str | None:
    """Why the values of a column that is called so are no labels, but measurements, say; `None` where they are."""
    try:
        check_labels({name: named(table.read([name]).column(0), name, table.place)})
    except InputError as error:
        return str(error)
    return None


def _may_be_label(table: Table, name: str) -> bool:
    kind, types = table.schema.field(name).type, pa.types
    usual = types.is_string(kind) or types.is_dictionary(kind) or types.is_boolean(kind) or types.is_integer(kind)
    if not (usual or types.is_floating(kind)):
        return False
    column = column_of(table, name).drop_null()
    if types.is_floating(kind):  # whole numbers of which some are missing are floats to pandas
        column = column.cast(pa.float64())
        column = column.filter(pc.is_finite(column))
        if not len(column) or not pc.all(pc.equal(pc.floor(column), column)).as_py():
            return False
    values = pc.count_distinct(column).as_py()
    return bool(2 <= values <= min(FEW, max(2, table.rows / 5)))

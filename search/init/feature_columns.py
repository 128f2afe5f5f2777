"""Columns of features of a user's own table: which are, which are left out and why, and which are to be doubted."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tosmooth.search.init.label_column import FEW, NAMED, column_of, plain
from tosmooth.search.init.parts import names_part
from tosmooth.trainables.config import AllBut, TableSource
from tosmooth.trainables.data.feature_choice import INDEX
from tosmooth.trainables.data.imputation import GAP, NUMBER, as_numbers, without_gaps
from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.table import Table, open_table
from tosmooth.trainables.data.tables.values import THOUSANDS
from tosmooth.trainables.data.text_columns import MARKS, is_text
from tosmooth.trainables.errors import InputError, shown

IDENTIFIERS = ("id", "index", "idx", "uuid", "key", "rowid", "split", "fold")
CALLED_ID = re.compile(r"(?i:.*[_\W](id|no|nr|number|index|key)|id[_\W].*)|.*[a-z](Id|ID|Nr|No|Number|Index|Key)")
DENSE = 2  # unique whole numbers among so many times as many as there are rows count the rows
ANNOTATOR = re.compile(r"(annotator|rater|worker|coder|label)_?([0-9]{1,2}|[a-z])", re.IGNORECASE)
TYPICAL = 5  # rows a value from which on it is no chance that all of them have one label
WRONG = 0.3  # share of the commonest class's errors down to which a column of few values is doubted
EMPTY = 0.5  # share of a column's values from which on it is left out
KINDS = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_decimal,
    pa.types.is_timestamp,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_duration,
)


def with_features(
    table: Table, rest: Sequence[str], lacking: Sequence[str], chosen: TableSource, said: list[str]
) -> tuple[TableSource, list[str]]:
    """Choose columns of features: one of vectors, else all numbers but identifiers, and text of a few values.

    `rest`: columns that may be; `lacking`: others, which the test set does not have. Also returns what is to be said.
    """
    own = cast(str, chosen.label)
    why = {name: fault for name, fault in table.faults.items() if not names_part(name)}
    why |= dict.fromkeys(lacking, "which the test set lacks")
    vectors = [name for name in rest if _is_vectors(table.schema.field(name).type)]
    if vectors:
        why |= dict.fromkeys([name for name in rest if name != vectors[0]], "beside vectors")
        found = replace(chosen, image=None, features=(vectors[0],))
        return found, [*said, f"features: vectors of column {vectors[0]!r}", *_left_out(why)]
    unfit = {name: reason for name in rest if (reason := _unfit(table, name, own)) is not None}
    why |= unfit
    used = [name for name in rest if name not in why]
    if not used:
        raise InputError(f"DATA: no column is of features or pictures: {shown(why)}")
    text = [name for name in used if _is_text(table, name)]
    features = tuple(used) if len(used) <= NAMED else AllBut(all_but=tuple(name for name in why if name in table.names))
    said = [*said, f"features: {len(used)} columns" + (f", {len(text)} of them categories" if text else "")]
    said += _left_out(why)
    said += [f"  column {name!r} {words}" for name in used if (words := _doubt(table, name, own))]
    said += [f"  column {name!r} is taken for categories: {words}" for name in text if (words := _stray(table, name))]
    found = replace(chosen, image=None, features=features, categorical="onehot" if text else "refuse")
    if _with_gaps(table, used, own) or (chosen.test is not None and _test_gaps(cast(str, chosen.test), used, own)):
        found = replace(found, impute="median")
    return found, said


def _left_out(why: dict[str, str]) -> list[str]:
    return [f"  left out: column {name!r}, {reason}" for name, reason in why.items()]


def _is_vectors(kind: pa.DataType) -> bool:
    """True for lists of numbers, nested too, and tensors."""
    if isinstance(kind, pa.BaseExtensionType):
        return isinstance(kind, pa.FixedShapeTensorType)
    nested = False
    while pa.types.is_nested(kind) and hasattr(kind, "value_type") and not pa.types.is_map(kind):
        nested, kind = True, kind.value_type
    return nested and any(is_kind(kind) for is_kind in KINDS)


def _with_gaps(table: Table, names: Sequence[str], label: str) -> bool:
    """True if a row that has a label lacks a value in one of these columns."""
    given = column_of(table, label)
    labelled = np.asarray(pc.fill_null(pc.not_equal(given, ""), False) if is_text(given.type) else given.is_valid())
    return any((without_gaps(_feature(table, name))[1] & labelled).any() for name in names)


def _test_gaps(test: str, names: Sequence[str], label: str) -> bool:
    with open_table(files_of(test, Path(), "--test"), "test") as table:
        return _with_gaps(table, names, label)


def _feature(table: Table, name: str) -> pa.ChunkedArray:
    """Column as it is read for a feature: numbers, too, where text has ? or the like among them."""
    column = column_of(table, name)
    return as_numbers(column) if is_text(column.type) else column


def _is_text(table: Table, name: str) -> bool:
    return is_text(table.schema.field(name).type) and is_text(_feature(table, name).type)


def _unfit(table: Table, name: str, label: str) -> str | None:
    """Why a column is no feature; `None` where it is one."""
    kind, column = table.schema.field(name).type, _feature(table, name)
    if INDEX.fullmatch(name):
        return "the index that pandas wrote along"
    if pa.types.is_null(kind):
        return f"of which {table.rows} of {table.rows} values are empty"
    if pa.types.is_nested(kind):
        return f"of type {kind}"
    distinct = pc.count_distinct(column.drop_null()).as_py()
    if ANNOTATOR.fullmatch(name) and distinct <= FEW:
        return "labels of one annotator, perhaps: dataset.table.annotators takes them"
    if (gaps := int(without_gaps(column)[1].sum())) > EMPTY * table.rows:
        return f"of which {gaps} of {table.rows} values are empty"
    if plain(name) in IDENTIFIERS or (pa.types.is_integer(kind) and distinct == table.rows and _counts(column, name)):
        return "an identifier"
    if distinct > 1 and table.rows >= TYPICAL * distinct and _told(column, column_of(table, label)) == table.rows:
        return f"which tells the label: each of its {distinct} values has one"
    if _is_text(table, name):
        return None if 2 <= distinct <= FEW else _stray(table, name) or f"text of {distinct} values"
    return None if any(is_kind(column.type) for is_kind in KINDS) else f"of type {kind}"


def _counts(column: pa.ChunkedArray, name: str) -> bool:
    """True if whole numbers, each another, count the rows: they rise, lie close together, or are called a number."""
    values = np.asarray(column).astype(object if column.type.bit_width == 64 else np.int64)
    rising = bool((values[1:] > values[:-1]).all())
    dense = int(values.max()) - int(values.min()) < DENSE * len(values)
    return rising or (dense and len(values) > FEW) or CALLED_ID.fullmatch(name) is not None


def _stray(table: Table, name: str) -> str:
    """Say which text stands in a column of which most are numbers; nothing where it is no such."""
    texts = column_of(table, name).cast(pa.large_string()).fill_null("")
    numbers = pc.match_substring_regex(texts, NUMBER)
    fine = pc.or_(numbers, pc.match_substring_regex(texts, GAP))
    thousands = pc.match_substring_regex(texts, THOUSANDS)
    if (row := pc.index(thousands, True).as_py()) >= 0 and pc.all(pc.or_(fine, thousands)).as_py():
        return f"{shown(texts[row].as_py())} in row {row} {MARKS}"
    row = pc.index(fine, False).as_py()
    if row < 0 or 2 * pc.sum(numbers).as_py() <= len(texts):
        return ""
    return f"{shown(texts[row].as_py())} in row {row} is no number, most of it are: mend it"


def _doubt(table: Table, name: str, label: str) -> str:
    """What makes a feature look as if it had been made from the labels; nothing where it does not."""
    column, labels = _feature(table, name), column_of(table, label)
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

"""Labels of a user's own data: values of any kind become classes, numbered from 0 in an order that stays."""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tosmooth.trainables.errors import InputError, first_line, shown
from tosmooth.trainables.noise.synthetic import NONE, Labels

INTEGER = re.compile(r"-?\d+", re.ASCII)
MANY = 20  # classes from which on a column in which every other value is another one is taken for no label
SHOWN = 5  # names in a message
LONGEST = 100  # characters of a class's name: longer ones are documents

Place = Callable[[int], str]  # file and row of a row, for messages


@dataclass(frozen=True, slots=True)
class Named:
    """A column of labels: the names that it has, and for each row which of them is its label."""

    names: tuple[str, ...]  # each once, as they come
    codes: Labels  # int64 [N]: index into `names`, NONE where a row has no label
    declared: tuple[str, ...] = ()  # all classes as the file declares them, in its order


def named(
    column: pa.ChunkedArray, what: str, place: Place, missing: Iterable[str] = (), declared: Sequence[str] = ()
) -> Named:
    """Read a column of labels: text, integers, booleans, whole numbers of any type, dictionary-encoded or not.

    what: the column, for messages. missing: values that mean no label, beside empty ones. declared: names of the
    classes 0, 1, ..., where the file has them (`ClassLabel` of Hugging Face); there, a number below 0 is no label.
    Raises `InputError` for values that are no classes.
    """
    encoded = _plain(column, f"{place(0)}, {what}").combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    values, indices = encoded.dictionary, np.asarray(encoded.indices.fill_null(NONE), np.int64)
    texts = [_text(value, what, place, indices, i, declared) for i, value in enumerate(values.to_pylist())]
    none = {"", *missing}
    names = {text: i for i, text in enumerate(dict.fromkeys(t for t in texts if t is not None and t not in none))}
    codes = np.array([*(NONE if t is None else names.get(t, NONE) for t in texts), NONE], np.int64)
    return Named(tuple(names), codes[indices], tuple(declared))


def _plain(column: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """The column without its encoding. Raises `InputError` where its type holds no labels."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind, column = kind.value_type, column.cast(kind.value_type)
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return column.cast(pa.float64())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        try:
            return column.cast(pa.binary()).cast(pa.string())
        except pa.ArrowException as error:
            raise InputError(f"{what}: bytes that are no text: {first_line(error)}") from error
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if text or pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.cast(pa.string()) if pa.types.is_string_view(kind) else column
    raise InputError(f"{what}: of type {kind}: labels are text, whole numbers or booleans")


def _text(
    value: str | bool | float | None, what: str, place: Place, indices: Labels, index: int, declared: Sequence[str]
) -> str | None:
    """Name of the class that a value of the file means; `None` for no label."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if not value.isprintable() or len(value) > LONGEST:
            row = int(np.flatnonzero(indices == index)[0])
            rule = f"a class is called by a text on one line, of at most {LONGEST} characters"
            raise InputError(f"{what}, {place(row)}: {shown(value)} is refused: {rule}")
        return value if value.strip() else None
    if not math.isfinite(value) or value != int(value):
        row = int(np.flatnonzero(indices == index)[0])
        raise InputError(f"{what}, {place(row)}: {value} is refused: a label is text or a whole number")
    if not declared:
        return str(int(value))
    if value >= len(declared):
        row = int(np.flatnonzero(indices == index)[0])
        rule = f"the file names {len(declared)} classes, 0 to {len(declared) - 1}"
        raise InputError(f"{what}, {place(row)}: {int(value)} is refused: {rule}")
    return declared[int(value)] if value >= 0 else None


def integers_of(column: pa.Array | pa.ChunkedArray, where: str, first_row: int = 0) -> Labels:
    """Whole numbers of a column, int64 [n]; `where` names file and column, `first_row` its first row, in messages."""
    require_integers(column.type, where)
    if column.null_count:
        row = first_row + pc.index(column.is_null(), True).as_py()
        raise InputError(f"{where}, row {row}: is empty: every row has a value")
    return np.array(column.cast(pa.int64()), np.int64)


def require_integers(kind: pa.DataType, where: str) -> None:
    """Raise `InputError` for a type that is not one of whole numbers."""
    if not pa.types.is_integer(kind):
        raise InputError(f"{where}: of type {kind}: labels are integers 0..K-1")


def class_names(
    columns: Mapping[str, Named], given: Sequence[str] | None, key: str = "dataset.table.classes"
) -> tuple[str, ...]:
    """Order the classes of all columns of labels of a data set: those of the training set, and of the test set.

    The order is the one `given` by the user; else the one that a file declares; else of whole numbers by size, of text
    by code point. Raises `InputError` for fewer than two classes, and for columns that do not fit together.
    """
    found = dict.fromkeys(name for column in columns.values() for name in column.names)
    if given is not None:
        strange = [name for name in found if name not in given]
        if strange:
            near = [name for name in given if alike((name, strange[0]))] or get_close_matches(strange[0], given, n=1)
            rule = "dataset.table.missing leaves rows with such a label out" + (
                f"; did you mean {near[0]!r}?" if near else ""
            )
            raise InputError(f"{key}: does not have {_listed(strange)}, which the data have: {rule}")
        names = tuple(given)
    else:
        _check_one_alphabet(columns)
        declared = next((column.declared for column in columns.values() if column.declared), ())
        rest = [name for name in found if name not in declared]
        numbers = all(INTEGER.fullmatch(name) for name in rest)
        names = (*declared, *sorted(rest, key=(lambda name: (int(name), name)) if numbers else None))
    if len(names) < 2:
        only = f"only the class {names[0]!r}" if names else "no label at all"
        raise InputError(f"{_listed(columns, quote=False)}: {only}: two classes or more")
    return names


def _check_one_alphabet(columns: Mapping[str, Named]) -> None:
    """Raise `InputError` where columns have no class in common: of some of them every label would be wrong.

    What two have in common may be in others: an annotator of a few rows may know one class alone.
    """
    apart = {what: column.names for what, column in columns.items() if column.names}
    first, known = next(iter(apart.items()), ("", ()))
    linked = set(known)
    while near := [what for what, names in apart.items() if not linked.isdisjoint(names)]:
        for what in near:
            linked.update(apart.pop(what))
    for other, names in apart.items():
        raise InputError(
            f"{other}: its classes are {_listed(names)}, those of {first} are {_listed(known)}: "
            "no class is in both; the same classes have the same names"
        )


def check_labels(columns: Mapping[str, Named], known: Collection[str] = ()) -> None:
    """Raise `InputError` where columns are no labels but identifiers: nearly every row has a class of its own.

    Columns of several annotators are looked at together. `known`: classes that there are all the same.
    """
    names = dict.fromkeys(name for column in columns.values() for name in column.names if name not in known)
    rows = sum(int((column.codes != NONE).sum()) for column in columns.values())
    if len(names) > max(MANY, rows / 2):
        raise InputError(
            f"{_listed(columns, quote=False)}: {len(names)} classes in {rows} rows, such as {_listed(names)}: "
            "it looks like an identifier or a measurement, a class has several examples"
        )


def numbered(column: Named, names: Sequence[str]) -> Labels:
    """Numbers of the classes `names` that a column's labels are, int64 [N]; NONE where a row has none."""
    numbers = {name: i for i, name in enumerate(names)}
    codes = np.array([*(numbers[name] for name in column.names), NONE], np.int64)
    return codes[column.codes]


def alike(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Groups of classes whose names differ in case, blanks or leading zeros alone: probably one class each."""
    groups: dict[str, list[str]] = {}
    for name in names:
        text = " ".join(re.split(r"[\s_-]+", name.strip())).casefold()
        groups.setdefault(re.sub(r"^0+(?=\d)", "", text), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def majority(votes: NDArray[np.float32], random: np.random.Generator) -> Labels:
    """The class with most votes [N, K] of each row, int64 [N]; ties by lot, NONE where nobody voted."""
    most = votes.max(axis=1, keepdims=True)
    lot = random.random(votes.shape)
    winner = np.where(votes == most, lot, -1).argmax(axis=1)
    return np.where(most[:, 0] > 0, winner, NONE)


def votes_of(annotators: Sequence[Labels], classes: int) -> NDArray[np.float32]:
    """Number of annotators who chose each class, float32 [N, K]."""
    votes = np.zeros((len(annotators[0]), classes), np.float32)
    for labels in annotators:
        voted = np.flatnonzero(labels != NONE)
        votes[voted, labels[voted]] += 1
    return votes


def picked(annotators: Sequence[Labels], random: np.random.Generator) -> Labels:
    """One annotator's label of each row, drawn evenly from those who gave one, int64 [N]; NONE where nobody did."""
    table = np.stack(annotators, axis=1)
    lot = np.where(table == NONE, -1, random.random(table.shape))
    found: Labels = table[np.arange(len(table)), lot.argmax(axis=1)]
    return found


def _listed(names: Iterable[str], quote: bool = True) -> str:
    names = list(names)
    shown = ", ".join(repr(name) if quote else name for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

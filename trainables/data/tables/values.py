"""Values that are written as text: what a column of them is, and the column itself."""

from collections.abc import Sequence
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# What stands where there is no number; in a column of text it is a text, and only an empty one is none.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-nan", "-NaN", "NULL", "null", "None", "none")
TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
ZEROS = r"^[+-]?0[0-9xX]"  # names that look like numbers: 007; and 0x10, which Arrow reads as 16
WHOLE = r"^[+-]?[0-9]+$"
LONG = r"^[+-]?[0-9]{19,}$"
NUMBER = r"^[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*$"
NUMBER_COMMA = NUMBER.replace(r"\.", ",")
THOUSANDS = r"^\s*[+-]?[1-9][0-9]{0,2}([.,])[0-9]{3}([.,][0-9]{3})*\s*$"  # or, of one mark, decimals


class Kind(Enum):
    """What the values of a column are."""

    NONE = pa.null()
    WHOLE = pa.int64()
    REAL = pa.float64()
    COMMA = "1,5"  # numbers with a decimal comma
    TRUTH = pa.bool_()
    TIME = pa.timestamp("ns")
    TEXT = pa.string()

    @property
    def type(self) -> pa.DataType:
        return pa.float64() if self is Kind.COMMA else self.value


def both(one: Kind, other: Kind) -> Kind:
    """The kind that the values of both have."""
    if one is other or other is Kind.NONE:
        return one
    if one is Kind.NONE:
        return other
    pair = {one, other}
    if Kind.WHOLE in pair and pair & {Kind.REAL, Kind.COMMA}:
        return (pair - {Kind.WHOLE}).pop()
    return Kind.TEXT


def kind_of(texts: pa.Array, comma: bool, known: Kind = Kind.NONE) -> Kind:
    """The kind of these texts together with those `known` before; `comma`: decimal commas are taken for such."""
    if known is Kind.TEXT:
        return known
    values = _values(texts)
    if values.null_count == len(values):
        return known
    order = [Kind.WHOLE, Kind.REAL, *([Kind.COMMA] if comma else []), Kind.TRUTH, Kind.TIME]
    # The known one first: it will nearly always do.
    for kind in [known, *order] if known is not Kind.NONE else order:
        if _read(values, kind) is not None:
            return both(known, kind)
    return Kind.TEXT


def read(texts: pa.Array, kind: Kind) -> pa.Array:
    """The values of texts that are of this kind."""
    if kind is Kind.TEXT:
        return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    if kind is Kind.NONE:
        return pa.nulls(len(texts))
    found = _read(_values(texts), kind)
    if found is None:
        raise pa.ArrowInvalid("its values changed while it was read")
    return found


def first_text(texts: pa.Array, comma: bool) -> int | None:
    """Place of the first value that is no number; `None` if all are."""
    numbers = pc.match_substring_regex(texts, NUMBER)
    if comma:
        numbers = pc.or_(numbers, pc.match_substring_regex(texts, NUMBER_COMMA))
    names = pc.match_substring_regex(texts, f"{ZEROS}|{LONG}")
    fine = pc.or_(pc.and_not(numbers, names), pc.is_in(texts, pa.array(MISSING)))
    place = pc.index(fine, False).as_py()
    return None if place < 0 else int(place)


def are_numbers(names: Sequence[str]) -> bool:
    """Tell whether some of the names are numbers, as of a first row that is taken for them."""
    texts = pa.array(names, pa.string())
    return bool(pc.any(pc.match_substring_regex(texts, NUMBER)).as_py())


def _values(texts: pa.Array) -> pa.Array:
    """The texts without blanks around them, and nothing where they say that there is nothing."""
    bare = pc.ascii_trim_whitespace(texts)
    return pc.if_else(pc.is_in(bare, pa.array(MISSING)), pa.scalar(None, pa.string()), bare)


def _read(values: pa.Array, kind: Kind) -> pa.Array | None:
    """The values, if all are of this kind."""
    if kind is Kind.TRUTH:
        true, false = pc.is_in(values, pa.array(TRUE)), pc.is_in(values, pa.array(FALSE))
        known = pc.or_(pc.or_(true, false), values.is_null())
        return pc.if_else(values.is_null(), pa.scalar(None, pa.bool_()), true) if _all(known) else None
    if kind is Kind.COMMA:
        if pc.any(pc.match_substring(values, ".")).as_py():
            return None
        values = pc.replace_substring(values, ",", ".")
    try:
        found = values.cast(kind.type)
    except pa.ArrowInvalid:
        return None
    return found if kind is Kind.TIME or _plain(values, found) else None


def _plain(values: pa.Array, numbers: pa.Array) -> bool:
    """Tell whether the numbers are what is written there: no name such as 007, none beyond what 64 bits hold."""
    if pc.any(pc.match_substring_regex(values, ZEROS)).as_py():
        return False
    if pa.types.is_integer(numbers.type):
        return True
    sizes = np.abs(np.asarray(numbers.drop_null()))
    if not np.isfinite(sizes).all():
        return False
    return bool((sizes < 2.0**63).all()) or not pc.any(pc.match_substring_regex(values, WHOLE)).as_py()


def _all(truth: pa.Array) -> bool:
    return bool(pc.all(truth).as_py())

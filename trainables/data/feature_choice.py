"""Which columns of a user's own table are features: by their names, by patterns, or all but some."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from tosmooth.trainables.config import AllBut
from tosmooth.trainables.errors import InputError, require, shown

INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0(\.\d+)*|")  # as pandas calls the index that it writes along


def chosen_features(wanted: Sequence[str] | AllBut, names: Sequence[str], others: Sequence[str], key: str) -> list[str]:
    """Choose those of a table's columns `names` that are features: `wanted` lists names and patterns such as `f*`.

    They come in the order of the list, what a pattern matches in the table's, each once. `others` are columns of
    labels, never features; an index that pandas wrote is one by its exact name alone. Wrong or unknown names raise
    `InputError`, which begins with `key`.
    """
    there = Counter(names)
    usual = [name for name in there if name not in others and not INDEX.fullmatch(name)]
    if isinstance(wanted, AllBut):
        left_out = {name for entry in wanted.all_but for name in _matching(entry, there, list(there), key)}
        chosen = [name for name in usual if name not in left_out]
        require(bool(chosen), key, wanted.all_but, "without these, labels and index no column is left")
    else:
        for entry, times in Counter(wanted).items():
            require(entry not in others, key, entry, "a column of labels is no feature: leave it out")
            require(times == 1 or entry not in there, key, entry, "each column once")
        chosen = list(dict.fromkeys(name for entry in wanted for name in _matching(entry, there, usual, key)))
    for name in chosen:
        require(there[name] == 1, key, name, "the table has more than one column of this name")
    return chosen


def _matching(entry: str, there: Mapping[str, int], usual: Sequence[str], key: str) -> list[str]:
    """The column that has this very name, else those of `usual` that it matches as a pattern: at least one."""
    if entry in there:
        return [entry]
    for pattern in (entry, entry.replace("[", "[[]")):  # x[*] means x[0], x[1], ... where it means nothing else
        if found := [name for name in usual if fnmatchcase(name, pattern)]:
            return found
    if any(fnmatchcase(name, entry) for name in there):
        raise InputError(f"{key}: {shown(entry)} is refused: it matches labels or an index alone: neither is a feature")
    raise InputError(f"{key}: {shown(entry)} is refused: no column has this name: {_nearest(entry, usual)}")


def _nearest(entry: str, names: Sequence[str]) -> str:
    """Say which columns may have been meant; else name the first."""
    plain = {name.strip().lower(): name for name in reversed(names)}
    near = get_close_matches(entry.strip("*? ").lower(), plain, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(repr(plain[name]) for name in near)}?"
    return f"the columns are {shown(', '.join(names))}"

"""Pruner of an earlier version: a study file that asks for it is told, a kept study goes on with the median."""

from collections.abc import Mapping
from typing import Any

from tosmooth.trainables.errors import require

HALVING = "successive-halving"  # a pruner of before: 2 to 3 times the median's cost for the same savings
FACTOR = "reduction_factor"  # which was its own


def refuse_halving(search: object) -> None:
    """Raise `InputError` if the section `search` of a study file asks for successive halving, which was removed."""
    given = search if isinstance(search, Mapping) else {}
    rule = f"it is gone (docs/understand/pruning.md says why): take median, and leave {FACTOR} out"
    require(given.get("pruner") != HALVING, "search.pruner", HALVING, rule)
    rule = f"it is gone with {HALVING}: leave it out, and take pruner: median"
    require(FACTOR not in given, f"search.{FACTOR}", given.get(FACTOR), rule)


def without_halving(search: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section `search` of a kept study, with the median pruner in place of successive halving.

    The pruner is free to change while a study grows.
    """
    kept = {key: value for key, value in search.items() if key != FACTOR}
    return kept | ({"pruner": "median"} if kept.get("pruner") == HALVING else {})

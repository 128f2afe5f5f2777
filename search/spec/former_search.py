"""Search settings of an earlier version: a study file that asks for them is told, a kept study goes on without them."""

from collections.abc import Mapping
from typing import Any

from tosmooth.trainables.errors import require

HALVING = "successive-halving"  # a pruner of before: 2 to 3 times the median's cost for the same savings
FACTOR = "reduction_factor"  # which was its own
ALLOCATION = "allocation"  # `adaptive` gave trials to the level where they promised most: no gain over turns


def refuse_former(search: object) -> None:
    """Raise `InputError` if the section `search` of a study file asks for what was removed."""
    given = search if isinstance(search, Mapping) else {}
    rule = f"it is gone (docs/understand/pruning.md says why): take median, and leave {FACTOR} out"
    require(given.get("pruner") != HALVING, "search.pruner", HALVING, rule)
    rule = f"it is gone with {HALVING}: leave it out, and take pruner: median"
    require(FACTOR not in given, f"search.{FACTOR}", given.get(FACTOR), rule)
    rule = "it is gone: leave it out; levels take turns, and stop_when ends one that has had enough"
    require(ALLOCATION not in given, f"search.{ALLOCATION}", given.get(ALLOCATION), rule)


def without_former(search: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the section `search` of a kept study as it is searched now, and what changes by that, in words.

    Pruner and allocation are free to change while a study grows.
    """
    kept = {key: value for key, value in search.items() if key not in (FACTOR, ALLOCATION)}
    told = []
    if kept.get("pruner") == HALVING:
        kept["pruner"] = "median"
        told.append(f"the pruner {HALVING} is gone; this study goes on with median")
    if search.get(ALLOCATION) == "adaptive":
        told.append("adaptive allocation is gone; this study goes on with as many trials for every level")
    return kept, told

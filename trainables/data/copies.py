"""Examples whose inputs are equal: what a network learns by heart of one it knows of the other.

So they stay on one side of the split, or noisy validation rewards a network for each wrong label that it has learned.
"""

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tosmooth.trainables.noise.synthetic import Labels

Keys = NDArray[np.int64]
Rows = NDArray[np.int64]

MANY = 0.05  # share of copies from which on labels are split by themselves
FEW = 10  # distinct examples on the side of validation: with fewer, copies are spread as all examples are


def keys_of(inputs: NDArray[Any]) -> Keys:
    """Hash each of `inputs` [n, ...] to int64 [n]: equal examples, to the bit, have equal keys."""
    if np.issubdtype(inputs.dtype, np.floating):
        inputs = inputs + 0.0  # -0.0 is 0.0 to a network
    size = inputs[:1].nbytes
    view = np.ascontiguousarray(inputs).data.cast("B")
    starts = range(0, len(inputs) * size, size)
    return np.frombuffer(b"".join(blake2b(view[i : i + size], digest_size=8).digest() for i in starts), np.int64)


def held_out(order: Rows, keys: Keys, labels: Labels, wanted: int) -> NDArray[np.bool_]:
    """Choose which of the rows in random `order` [n] are held out, about `wanted` of them: bool [n].

    `keys` and `labels` [n] are of the rows in that order. Without equal keys these are the first; with such, whole
    groups of equal examples, in the order of each group's lowest row and as large a share of the groups as of the rows.
    Where copies are many, each label is split by itself: else one large group makes or takes all of a label's share.
    A group that does not fit is trained on. Where there are so few groups that this says nothing, the first rows again.
    Where a class would lack on one side and need not, each label is split by itself, with a group on both sides; a
    class that still lacks among those trained on gets its first group there.
    """
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    lowest = np.full(len(sizes), order.max(), np.int64)
    np.minimum.at(lowest, group, order)
    places = np.flatnonzero(order == lowest[group])  # of each group's lowest row
    copies = 1 - len(sizes) / len(order)
    if copies == 0:
        chosen = (np.arange(len(order)) < wanted)[places[np.argsort(group[places])]]
    else:
        chosen = _share_of_groups(group, sizes, places, labels[places] if copies >= MANY else None, wanted)
    of_class = np.empty(len(sizes), np.int64)
    of_class[group[places]] = labels[places]
    if _lacks_a_class(chosen, of_class, wanted):
        chosen = _share_of_classes(group, sizes, places, of_class, wanted)
    enough = min(FEW, wanted / 2) <= chosen.sum() < len(sizes)
    held, apart = (chosen[group], group) if enough else (np.arange(len(order)) < wanted, np.arange(len(order)))
    for lacking in np.setdiff1d(labels, labels[~held]):  # of equal examples with several labels, the others
        kept = held & (apart != apart[labels == lacking][0])
        held = kept if kept.any() else held
    return held


def _share_of_groups(group: Rows, sizes: Rows, places: Rows, strata: Labels | None, wanted: int) -> NDArray[np.bool_]:
    """Choose groups [G] in the order of `places`, of each stratum a share of its rows and of its groups."""
    chosen = np.zeros(len(sizes), np.bool_)
    strata = np.zeros(len(places), np.int64) if strata is None else strata
    carried = np.array([0.5, 0.5])  # what rounding leaves of rows and groups goes to the next label
    for stratum in np.unique(strata):
        own = group[places[strata == stratum]]
        due = carried + wanted / len(group) * np.array([sizes[own].sum(), len(own)])
        rows, groups = np.floor(due).astype(int)
        rows = max(rows, int(np.ceil(sizes[own].mean())))  # so that a group that is due fits
        carried = due % 1
        for each in own:
            if groups and sizes[each] <= rows:
                chosen[each] = True
                rows, groups = rows - sizes[each], groups - 1
    return chosen


def _lacks_a_class(chosen: NDArray[np.bool_], of_class: Labels, wanted: int) -> bool:
    """True if a class lacks on a side of the split that could have it: `chosen` and class of each group [G]."""
    classes, counts = np.unique(of_class, return_counts=True)
    trained, held = np.unique(of_class[~chosen]), np.unique(of_class[chosen])
    several = classes[counts > 1] if wanted >= len(classes) else classes[:0]
    return len(trained) < len(classes) or not np.isin(several, held).all()


def _share_of_classes(group: Rows, sizes: Rows, places: Rows, of_class: Labels, wanted: int) -> NDArray[np.bool_]:
    """Choose groups [G] of each class in the order of `places`: its share of the rows, not all, and one if it can."""
    chosen = np.zeros(len(sizes), np.bool_)
    classes = np.unique(of_class)
    own = [group[places[of_class[group[places]] == each]] for each in classes]
    rows = np.array([sizes[groups].sum() for groups in own])
    most = np.array([sizes[groups[:-1]].sum() for groups in own])
    least = np.array([sizes[groups[0]] if len(groups) > 1 else 0 for groups in own]) * (wanted >= len(classes))
    due = _apportioned(rows, np.minimum(least, most), most, wanted)
    for groups, number in zip(own, due, strict=True):
        chosen[groups[: np.searchsorted(sizes[groups].cumsum(), number, side="right")]] = True
    return chosen


def _apportioned(rows: Rows, least: Rows, most: Rows, wanted: int) -> Rows:
    """Divide `wanted` among classes in proportion to their `rows` [K], by largest remainders, within bounds [K]."""
    exact = rows * wanted / rows.sum()
    found: Rows = np.clip(np.floor(exact).astype(np.int64), least, most)
    while (left := wanted - int(found.sum())) != 0:
        able = found < most if left > 0 else found > least
        if not able.any():
            break
        found[np.where(able, np.sign(left) * (exact - found), -np.inf).argmax()] += np.sign(left)
    return found

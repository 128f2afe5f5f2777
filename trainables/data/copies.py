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
    """
    rows_first = np.arange(len(order)) < wanted
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    copies = 1 - len(sizes) / len(order)
    if copies == 0:
        return rows_first
    lowest = np.full(len(sizes), order.max(), np.int64)
    np.minimum.at(lowest, group, order)
    places = np.flatnonzero(order == lowest[group])  # of each group's lowest row
    chosen = np.zeros(len(sizes), np.bool_)
    strata = labels[places] if copies >= MANY else np.zeros(len(places), np.int64)
    carried = np.array([0.5, 0.5])  # what rounding leaves of rows and groups goes to the next label
    for stratum in np.unique(strata):
        own = group[places[strata == stratum]]
        due = carried + wanted / len(order) * np.array([sizes[own].sum(), len(own)])
        rows, groups = np.floor(due).astype(int)
        rows = max(rows, int(np.ceil(sizes[own].mean())))  # so that a group that is due fits
        carried = due % 1
        for each in own:
            if groups and sizes[each] <= rows:
                chosen[each] = True
                rows, groups = rows - sizes[each], groups - 1
    enough = min(FEW, wanted / 2) <= chosen.sum() < len(sizes)
    return chosen[group] if enough else rows_first

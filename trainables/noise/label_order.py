"""Order of a data set's examples, told from their labels: what people labelled was in the official one."""

import hashlib
from collections.abc import Sequence

import numpy as np

from tosmooth.trainables.noise.synthetic import Labels

FIRST = 10  # labels that are shown of an order


def digest_of(labels: Labels) -> str:
    """SHA-256 of labels, int64 [n], in hex."""
    return hashlib.sha256(np.ascontiguousarray(labels, "<i8").data).hexdigest()


def official_batches(labels: Labels, batches: Sequence[str]) -> list[range] | None:
    """Find the rows of each official batch among `labels` [n], in the official order.

    `batches` are the digests of their labels; all have one length. `None` where the labels are not those of these
    batches, in any order.
    """
    if not batches or len(labels) % len(batches):
        return None
    size = len(labels) // len(batches)
    found = {digest_of(part): range(i * size, (i + 1) * size) for i, part in enumerate(np.split(labels, len(batches)))}
    return [found[batch] for batch in batches] if found.keys() == set(batches) else None


def reordered(labels: Labels, batches: Sequence[str]) -> Labels:
    """Put official batches into the official order; other labels stay as they are."""
    rows = official_batches(labels, batches)
    return labels if rows is None else np.concatenate([labels[batch.start : batch.stop] for batch in rows])


def in_words(labels: Labels, batches: Sequence[str]) -> str:
    """Name the order of `labels` [n], with the first of them."""
    rows = official_batches(labels, batches)
    if rows is None:
        order = "sorted by class" if (np.diff(labels) >= 0).all() else "none that is known"
    else:
        own = np.argsort([batch.start for batch in rows]) + 1
        official = (np.diff(own) > 0).all()
        order = "the official one" if official else f"the official batches as {' '.join(map(str, own))}"
    return f"{order} (first labels {' '.join(map(str, labels[:FIRST]))})"

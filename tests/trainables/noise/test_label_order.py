"""Orders of labels: official batches are found wherever they lie, and others are named."""

from itertools import permutations

import numpy as np
import pytest

from tosmooth.trainables.noise.label_order import digest_of, in_words, official_batches, reordered

OFFICIAL = np.random.default_rng(0).integers(0, 10, 50)
PARTS = np.split(OFFICIAL, 5)
BATCHES = tuple(map(digest_of, PARTS))


def test_official_batches_in_any_order_are_put_into_theirs() -> None:
    for order in permutations(range(5)):
        labels = np.concatenate([PARTS[i] for i in order])
        assert (reordered(labels, BATCHES) == OFFICIAL).all()
        found = official_batches(labels, BATCHES)
        assert found is not None
        assert [order[rows.start // 10] for rows in found] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("labels", "batches"),
    [
        (np.sort(OFFICIAL), BATCHES),
        (np.roll(OFFICIAL, 1), BATCHES),
        (OFFICIAL[:49], BATCHES),
        (np.concatenate([PARTS[0], *PARTS[:4]]), BATCHES),  # one twice
        (np.where(np.arange(50) == 31, (OFFICIAL + 1) % 10, OFFICIAL), BATCHES),  # one label is another
        (OFFICIAL, ()),
        (OFFICIAL[:0], BATCHES),
    ],
)
def test_other_labels_stay_as_they_are(labels: np.ndarray, batches: tuple[str, ...]) -> None:
    assert official_batches(labels, batches) is None
    assert reordered(labels, batches) is labels


def test_orders_have_names() -> None:
    first = f"(first labels {' '.join(map(str, OFFICIAL[:10]))})"
    assert in_words(OFFICIAL, BATCHES) == f"the official one {first}"
    hub = np.concatenate([PARTS[i - 1] for i in (4, 3, 2, 5, 1)])
    assert in_words(hub, BATCHES).startswith("the official batches as 4 3 2 5 1 (first labels ")
    assert in_words(np.sort(OFFICIAL), BATCHES).startswith("sorted by class (first labels 0 0 ")
    assert in_words(OFFICIAL[::-1], BATCHES).startswith("none that is known (first labels ")


def test_digest_is_that_of_the_numbers_however_they_are_stored() -> None:
    assert digest_of(OFFICIAL.astype(np.int8)) == digest_of(OFFICIAL.astype(">i8")) == digest_of(OFFICIAL)

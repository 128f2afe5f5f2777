"""Pruning that neither favours nor punishes a long warm-up: which curves are stopped, and at which epoch."""

from collections.abc import Sequence

import pytest
from optuna.storages import InMemoryStorage

from search.store import Store
from search.study import Cell
from tests.search.tools import tiny

CLEAN, NOISY = Cell("twonorm/clean", "gls"), Cell("twonorm/symmetric-0.4", "gls")
LONG = ("training.epochs=8", "space.warmup={low: 0, high: 7}", "search.trials=40")
GOOD = [60.0 + i for i in range(8)]


def opened(pruner: str = "median", *changes: str) -> Store:
    return Store(tiny(*LONG, f"search.pruner={pruner}", *changes), InMemoryStorage())


def feed(store: Store, curve: Sequence[float], warmup: int = 0, cell: Cell = CLEAN, diverges: bool = False) -> int:
    """Report a curve until it is pruned, or to its end; returns the epochs it was given."""
    job = store.add(cell, "search", {"rate": -1.0, "warmup": warmup}, 1)
    for epoch, value in enumerate(curve, 1):
        store.report(job, epoch, value)
        if store.should_prune(job, epoch):
            store.end(job, "pruned")
            return epoch
    store.end(job, "diverged" if diverges else "complete", 50.0 if diverges else curve[-1])
    return len(curve)


@pytest.mark.parametrize("warmup", [1, 3, 5])
def test_a_trial_is_not_pruned_in_the_dip_after_its_warm_up_and_one_that_was_always_poor_is(warmup: int) -> None:
    store = opened()
    for _ in range(4):
        feed(store, GOOD)
    plain = [50.0] * warmup  # cross-entropy, poor here: it says nothing of the trial
    dip = [*plain, 30.0, *GOOD[warmup + 1 :]]
    poor = [*plain, *[55.0] * (8 - warmup)]
    assert feed(store, dip, warmup) == 8
    assert feed(store, poor, warmup) == warmup + 2  # its second epoch after the warm-up


def test_a_good_warm_up_is_no_head_start() -> None:
    store = opened()
    for _ in range(4):
        feed(store, GOOD)
    assert feed(store, [90.0, 90.0, 90.0, *[50.0] * 5], warmup=3) == 5


def test_the_warm_up_of_others_is_no_measure() -> None:
    store = opened()
    for _ in range(4):
        feed(store, [*[90.0] * 6, 50.0, 50.0], warmup=6)
    assert feed(store, [*[60.0] * 6, 40.0, 60.0]) == 8, "there are medians of epochs 7 and 8 alone; in 8 it is above"
    assert feed(store, [*[60.0] * 6, 40.0, 40.0]) == 8


def test_a_single_poor_epoch_prunes_nothing() -> None:
    store = opened()
    for _ in range(4):
        feed(store, GOOD)
    assert feed(store, [60.0, 0.0, 62.0, 0.0, 64.0, 0.0, 66.0, 67.0]) == 8


def test_trials_that_diverged_are_no_measure() -> None:
    store = opened()
    for _ in range(6):
        feed(store, [95.0, 95.0, 95.0, 95.0, 50.0], diverges=True)
    for _ in range(3):
        feed(store, GOOD)
    assert feed(store, [55.0] * 8) == 8, "three complete trials are too few for a median"
    assert feed(store, [55.0] * 8) == 2


def test_trials_of_another_cell_are_no_measure() -> None:
    store = opened()
    for _ in range(6):
        feed(store, [value + 20 for value in GOOD])
    assert [feed(store, [55.0] * 8, cell=cell) for cell in (NOISY, CLEAN)] == [8, 2]


@pytest.mark.parametrize(
    ("pruner", "expected"),
    [
        ("median", {(1, 2): [2, 5], (4, 2): [4, 5], (1, 4): [4, 7]}),
        # Rungs at 1, 2, 4, 8 epochs; at 4, 8; at 1, 2, 4, 8: the first of them that is allowed.
        ("successive-halving", {(1, 2): [2, 8], (4, 2): [4, 8], (1, 4): [4, 8]}),
    ],
)
def test_no_trial_is_pruned_before_the_least_epochs_or_within_the_grace(
    pruner: str, expected: dict[tuple[int, int], list[int]]
) -> None:
    ends = {}
    factor = ["search.reduction_factor=2"] if pruner == "successive-halving" else []
    for least, grace in ((1, 2), (4, 2), (1, 4)):
        store = opened(pruner, f"search.pruner_min_epochs={least}", f"search.pruner_grace={grace}", *factor)
        for _ in range(4):
            feed(store, GOOD)
        ends[least, grace] = [feed(store, [40.0] * 8, warmup) for warmup in (0, 3)]
    assert ends == expected


HALVING = ("successive-halving", "search.pruner_min_epochs=2", "search.reduction_factor=2", "search.pruner_grace=1")


def test_halving_lets_the_best_half_of_those_at_a_rung_go_on() -> None:
    store = opened(*HALVING)  # rungs at 2, 4 and 8 epochs
    # At 2 epochs: 60, alone; 70, the best of two; 65, and 1 of 3 goes on; 68, the second of four; 66, the third of 5.
    assert [feed(store, [value] * 8) for value in (60.0, 70.0, 65.0, 68.0, 66.0)] == [8, 8, 2, 4, 2]


def test_a_long_warm_up_enters_no_earlier_rung_of_halving_and_none_is_judged_by_it() -> None:
    store = opened(*HALVING)
    feed(store, [70.0, 70.0, 80.0, 80.0, 80.0, 80.0, 80.0, 80.0])
    # After a warm-up of 3 epochs it is first asked at 4, where the other has 80: at the first, 75 would have passed.
    assert feed(store, [60.0, 60.0, 60.0, 75.0, 90.0, 90.0, 90.0, 90.0], warmup=3) == 4
    # Its warm-up is no measure: at 2 epochs there is one other, with 70; 71 is better.
    feed(store, [99.0, 99.0, 99.0, 79.0], warmup=3)
    assert feed(store, [71.0, 71.0, 71.0, 71.0]) == 4


def test_trials_that_diverged_are_no_measure_for_halving() -> None:
    store = opened(*HALVING)
    for _ in range(4):
        feed(store, [95.0, 95.0, 50.0], diverges=True)
    assert feed(store, [60.0] * 8) == 8
    assert feed(store, [50.0] * 8) == 2


def test_halving_compares_within_the_grace_of_others_and_judges_none_in_its_own() -> None:
    store = opened(*HALVING[:3], "search.pruner_grace=2")
    feed(store, [60.0] * 8)
    assert feed(store, [60.0, 10.0, 10.0, 61.0, *[70.0] * 4], warmup=1) == 8  # branched for one epoch at the first rung
    assert feed(store, [50.0] * 8) == 2  # behind the 60 although ahead of the 10

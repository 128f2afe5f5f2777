"""Pruning that neither favours nor punishes a long warm-up: which curves are stopped, and at which epoch."""

from collections.abc import Sequence

import pytest
from optuna.storages import InMemoryStorage

from tests.search.tools import tiny
from tosmooth.search.records import Cell
from tosmooth.search.storage.trial_store import Store
from tosmooth.search.suggest.asking import Suggester

CLEAN, NOISY = Cell("twonorm/clean", "gls"), Cell("twonorm/symmetric-0.4", "gls")
LONG = ("training.epochs=8", "space.warmup={low: 0, high: 7}", "search.trials=40")
GOOD = [60.0 + i for i in range(8)]


def opened(*changes: str) -> Suggester:
    return Suggester(Store(tiny(*LONG, "search.pruner=median", *changes), InMemoryStorage()))


def feed(
    suggester: Suggester, curve: Sequence[float], warmup: int = 0, cell: Cell = CLEAN, diverges: bool = False
) -> int:
    """Report a curve until it is pruned, or to its end; returns the epochs it was given."""
    store = suggester.store
    job = store.add(cell, "search", {"rate": -1.0, "warmup": warmup}, 1)
    for epoch, value in enumerate(curve, 1):
        store.report(job, epoch, value)
        if suggester.should_prune(job, epoch):
            store.end(job, "pruned")
            return epoch
    store.end(job, "diverged" if diverges else "complete", 50.0 if diverges else curve[-1])
    return len(curve)


@pytest.mark.parametrize("warmup", [1, 3, 5])
def test_a_trial_is_not_pruned_in_the_dip_after_its_warm_up_and_one_that_was_always_poor_is(warmup: int) -> None:
    suggester = opened()
    for _ in range(4):
        feed(suggester, GOOD)
    plain = [50.0] * warmup  # cross-entropy, poor here: it says nothing of the trial
    dip = [*plain, 30.0, *GOOD[warmup + 1 :]]
    poor = [*plain, *[55.0] * (8 - warmup)]
    assert feed(suggester, dip, warmup) == 8
    assert feed(suggester, poor, warmup) == warmup + 2  # its second epoch after the warm-up


def test_a_good_warm_up_is_no_head_start() -> None:
    suggester = opened()
    for _ in range(4):
        feed(suggester, GOOD)
    assert feed(suggester, [90.0, 90.0, 90.0, *[50.0] * 5], warmup=3) == 5


def test_the_warm_up_of_others_is_no_measure() -> None:
    suggester = opened()
    for _ in range(4):
        feed(suggester, [*[90.0] * 6, 50.0, 50.0], warmup=6)
    assert feed(suggester, [*[60.0] * 6, 40.0, 60.0]) == 8, (
        "there are medians of epochs 7 and 8 alone; in 8 it is above"
    )
    assert feed(suggester, [*[60.0] * 6, 40.0, 40.0]) == 8


def test_a_single_poor_epoch_prunes_nothing() -> None:
    suggester = opened()
    for _ in range(4):
        feed(suggester, GOOD)
    assert feed(suggester, [60.0, 0.0, 62.0, 0.0, 64.0, 0.0, 66.0, 67.0]) == 8


def test_trials_that_diverged_are_no_measure() -> None:
    suggester = opened()
    for _ in range(6):
        feed(suggester, [95.0, 95.0, 95.0, 95.0, 50.0], diverges=True)
    for _ in range(3):
        feed(suggester, GOOD)
    assert feed(suggester, [55.0] * 8) == 8, "three complete trials are too few for a median"
    assert feed(suggester, [55.0] * 8) == 2


def test_trials_of_another_cell_are_no_measure() -> None:
    suggester = opened()
    for _ in range(6):
        feed(suggester, [value + 20 for value in GOOD])
    assert [feed(suggester, [55.0] * 8, cell=cell) for cell in (NOISY, CLEAN)] == [8, 2]


def test_no_trial_is_pruned_before_the_least_epochs_or_within_the_grace() -> None:
    ends = {}
    for least, grace in ((1, 2), (4, 2), (1, 4)):
        suggester = opened(f"search.pruner_min_epochs={least}", f"search.pruner_grace={grace}")
        for _ in range(4):
            feed(suggester, GOOD)
        ends[least, grace] = [feed(suggester, [40.0] * 8, warmup) for warmup in (0, 3)]
    assert ends == {(1, 2): [2, 5], (4, 2): [4, 5], (1, 4): [4, 7]}

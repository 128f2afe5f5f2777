"""Cost of a study before it is run: counted by hand here."""

import pytest

from tests.search.tools import tiny
from tosmooth.search.report.cost import BASE_BYTES, RECORD_BYTES, Pace, cost_of, duration, space

PACE = Pace(epoch_seconds=2.0, state_bytes=1_000_000, network_bytes=400_000)


def test_time_is_that_of_all_epochs_among_the_trials_at_once() -> None:
    one, two = (cost_of(tiny(), PACE, at_once) for at_once in (1, 2))
    assert (one.epochs, one.confirmation_runs) == (72, 16)
    # The start, 72 epochs of 2 s, and 0.1 s around each of 24 runs.
    assert one.seconds == pytest.approx(15 + 144 + 2.4)
    assert two.seconds == pytest.approx(15 + (144 + 2.4) / 2)
    assert one.time == "at most about 3 min of training on this machine's CPUs when idle, 1 trial at once"


def test_time_that_is_not_known_is_not_guessed() -> None:
    assert cost_of(tiny(), PACE, 2, "the trials take a GPU").time == "time not estimated: the trials take a GPU"
    assert cost_of(tiny(), None, 2).seconds is None
    assert cost_of(tiny(), None, 2).disk_bytes is None


def disk(*changes: str) -> float:
    found = cost_of(tiny(*changes), PACE, 1).disk_bytes
    assert found is not None
    return found - BASE_BYTES


def test_disk_is_that_of_warm_ups_networks_and_record() -> None:
    # Warm-ups of 1 and 2 epochs, for 3 seeds of the search and 2 of the confirmation, at 2 levels; networks of 8 runs.
    assert disk() == 20e6 + 8 * 400_000 + 72 * RECORD_BYTES
    assert disk("trunks.share=false") == disk() - 20e6
    assert disk("trunks.max_gb=0.005") == disk() - 15e6
    assert disk("search.training_seeds=own") == disk() - 12e6
    assert disk("confirmation.keep_weights=all") == disk() + 8 * 400_000
    # Each run has its own recipe: 4 trials, and 2 finalists and the baselines on 2 seeds.
    assert disk("space.training.batch_size.values=[25, 50]") == 2 * 2 * (4 + 6) * 1e6 + disk() - 20e6
    # Mixup has no warm-up: the baselines share theirs, of 1 epoch, on the fresh seeds.
    assert disk("method=mixup", "space={}") == 4e6 + disk() - 20e6


@pytest.mark.parametrize("change", ["training.epochs=100000", "search.trials=90000", "confirmation.seeds=1000"])
def test_a_budget_beyond_reason_is_warned_of_with_its_time(change: str) -> None:
    slow = Pace(epoch_seconds=300.0, state_bytes=1, network_bytes=1)
    assert cost_of(tiny(), slow, 1).warning == ""
    warning = cost_of(tiny(change), slow, 1).warning
    assert warning.startswith("budget: at most ")
    assert "epochs of training, at most about " in warning
    assert warning.endswith("lower search.trials, confirmation.seeds or training.epochs, unless you mean it")


def test_many_short_epochs_are_a_budget_beyond_reason_too() -> None:
    fast = Pace(epoch_seconds=0.001, state_bytes=1, network_bytes=1)
    warning = cost_of(tiny("search.trials=83666", "training.epochs=3000"), fast, 2).warning
    assert warning.startswith(
        "budget: at most 502,044,000 epochs of training, at most about 3 days of training on this machine's"
    )


def test_without_a_time_the_epochs_tell_a_budget_beyond_reason() -> None:
    assert cost_of(tiny(), None, None, "the trials run on a cluster").warning == ""
    many = cost_of(tiny("training.epochs=100000", "confirmation.seeds=1000"), None, None, "the trials run on a cluster")
    assert "at most 800,800,000 epochs of training, time not estimated: the trials run on a cluster" in many.warning


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "3 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "2 h"),
        (40 * 86400, "40 days"),
        (1e9, "32 years"),
    ],
)
def test_time_is_told_in_a_fitting_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("size", "words"), [(1500, "2 kB"), (3.6e6, "3.6 MB"), (45e6, "45 MB"), (2.5e9, "2.5 GB")])
def test_space_is_told_in_a_fitting_unit(size: float, words: str) -> None:
    assert space(size) == words

"""In which order the confirmation runs, and with how many seeds under `seeds: auto`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.search.builders import level, record
from tests.search.run.test_searcher import confirmations, searched
from tests.search.tools import Driver, gls, play, tiny
from tosmooth.search.records import Record
from tosmooth.search.report.results import study_rows
from tosmooth.search.selection.choice import chosen
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.suggest.confirmation import next_run

AUTO = ("dataset.noise=[clean]", "confirmation={seeds: auto}", "search.readout=best")


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def trial(phase: str, number: int, rate: float, seed: int, accuracy: float | None, state: str = "complete") -> Record:
    curve = [] if accuracy is None else [accuracy]
    values: dict[str, Any] = {"phase": phase, "state": state, "train_seed": seed, "level": "twonorm/clean"}
    return record(number, rate, val=curve, test=curve, **values)


SEARCH = [
    trial("search", i, rate, 1, accuracy) for i, (rate, accuracy) in enumerate(((0.0, 70.0), (0.1, 71.0), (-0.5, 80.0)))
]


def confirm(spec: StudySpec, spread: float, test_size: int = 200) -> list[Record]:
    """All confirmation runs, one after another: the best rate's accuracy moves by `spread` up and down in turn."""
    runs: list[Record] = []
    while (run := next_run(gls(spec), level("clean", test_size=test_size), SEARCH + runs, ())) is not None:
        _, params, seed = run
        rate = params["rate"]
        up = 1 if spec.confirmation_seeds().index(seed) % 2 else -1
        accuracy = 80.0 + up * spread if rate == -0.5 else 70.0
        runs.append(trial("confirmation", len(runs), rate, seed, accuracy))
    return runs


def test_with_one_finalist_runs_go_seed_by_seed_cross_entropy_first() -> None:
    spec = tiny("confirmation={seeds: 2}", "search.readout=best")
    runs = confirm(spec, 0.0)
    first, second = spec.confirmation_seeds()
    assert [(r.params["rate"], r.train_seed) for r in runs] == [
        (0.0, first),
        (-0.5, first),
        (0.1, first),
        (0.0, second),
        (-0.5, second),
        (0.1, second),
    ]


def test_when_the_best_diverges_on_a_fresh_seed_the_next_is_confirmed_on_all_of_them() -> None:
    spec = tiny("confirmation={seeds: 2}", "search.readout=best")
    seeds, runs = spec.confirmation_seeds(), list[Record]()
    while (run := next_run(gls(spec), level("clean"), SEARCH + runs, ())) is not None:
        (_, params, seed), wrecked = run, run == ("gls", {"rate": -0.5, "warmup": 0}, seeds[1])
        state = "diverged" if wrecked else "complete"
        runs.append(trial("confirmation", len(runs), params["rate"], seed, 70.0, state))
    done = [(run.params["rate"], seeds.index(run.train_seed)) for run in runs]
    # The second best is label smoothing, a baseline, which is then missing on the second seed alone.
    assert done == [(0.0, 0), (-0.5, 0), (0.1, 0), (0.0, 1), (-0.5, 1), (0.1, 1)]
    assert chosen(gls(spec), SEARCH + runs) == {"rate": 0.1, "warmup": 0}


def test_a_study_confirms_cross_entropy_before_what_branches_from_its_trunk(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("dataset.noise=[clean]", "search.trials=12"))
    records = play(driver)
    rates = [r.params["rate"] for r in confirmations(records)]
    assert rates[0] == rates[3] == 0.0
    assert rates[2] == rates[5] == 0.1
    assert rates[1] == rates[4] not in (0.0, 0.1)
    assert len(searched(records)) == 12


@pytest.mark.parametrize(
    ("spread", "seeds"),
    [
        (0.0, 3),  # all gains are 10: the interval has no width
        # Gains of 10 -+ s: after n seeds the interval is 2 t(n - 1) sd / sqrt(n) wide. At s = 0.2 that is 1.15 for
        # three (t = 4.30, sd = 0.231) and 0.73 for four (t = 3.18, sd = 0.231).
        (0.2, 4),
        # At s = 1 it is 1.023 for eighteen (t = 2.11, sd = 1.029) and 0.989 for nineteen (t = 2.10, sd = 1.026).
        (1.0, 19),
        (5.0, 20),  # never: at most 20
    ],
)
def test_auto_adds_seeds_one_at_a_time_until_the_gain_is_known_to_a_point(spread: float, seeds: int) -> None:
    spec = tiny(*AUTO)
    runs = confirm(spec, spread)
    assert {rate: sum(r.params["rate"] == rate for r in runs) for rate in (0.0, 0.1, -0.5)} == dict.fromkeys(
        (0.0, 0.1, -0.5), seeds
    )
    assert [r.train_seed for r in runs[::3]] == spec.confirmation_seeds()[:seeds]


def test_auto_stops_at_the_width_and_the_number_that_the_study_names() -> None:
    wide = tiny("confirmation={seeds: auto, gain_interval: 1.2}", "search.readout=best")
    assert len(confirm(wide, 0.2)) == 9  # 1.15 points with three seeds
    few = tiny("confirmation={seeds: auto, max_seeds: 7}", "search.readout=best")
    assert len(confirm(few, 5.0)) == 21
    least = tiny("confirmation={seeds: auto, max_seeds: 2}", "search.readout=best")
    assert len(confirm(least, 0.0)) == 6


def test_auto_goes_by_noisy_validation_where_there_is_no_clean_test_set() -> None:
    assert len(confirm(tiny(*AUTO), 0.2, test_size=0)) == 12


def test_auto_waits_for_all_arms_before_it_adds_a_seed() -> None:
    spec = tiny(*AUTO)
    runs = confirm(spec, 5.0)[:9]
    running = trial("confirmation", 8, 0.1, runs[8].train_seed, None, "running")
    assert next_run(gls(spec), level("clean"), [*SEARCH, *runs[:8], running], ()) is None
    found = next_run(gls(spec), level("clean"), [*SEARCH, *runs], ())
    assert found is not None
    assert found.train_seed == spec.confirmation_seeds()[3]


def test_a_fixed_number_of_seeds_stays_as_it_is_however_wide_the_gain() -> None:
    assert len(confirm(tiny("confirmation={seeds: 4}", "search.readout=best"), 5.0)) == 12


def test_a_run_that_failed_under_an_earlier_driver_is_tried_again_and_under_this_one_not() -> None:
    spec = tiny("confirmation={seeds: 1}", "search.readout=best")
    failed = trial("confirmation", 0, 0.0, spec.confirmation_seeds()[0], None, "failed")
    again = next_run(gls(spec), level("clean"), [*SEARCH, failed], ())
    other = next_run(gls(spec), level("clean"), [*SEARCH, failed], {failed.key})
    assert again is not None
    assert other is not None
    assert (again.params["rate"], other.params["rate"]) == (0.0, -0.5)


@pytest.mark.parametrize(
    ("spread", "kept", "note"),
    [
        (0.2, 9, "3 of 3 to 20 seeds confirmed so far"),  # it goes on with a fourth
        (0.2, 12, None),
        (5.0, 30, "10 of 3 to 20 seeds confirmed so far"),
        (5.0, 60, "gain known less closely than to 1 points after 20 seeds"),
        (0.0, 4, "best rate 1, CE 2, LS 1 of 3 to 20 seeds confirmed so far"),
    ],
)
def test_the_row_says_how_far_the_seeds_of_auto_have_come(spread: float, kept: int, note: str | None) -> None:
    spec = tiny(*AUTO)
    (row,) = study_rows(spec, {"twonorm/clean": level("clean")}, SEARCH + confirm(spec, spread)[:kept])
    told = [part for part in row.note.split("; ") if "seeds" in part]
    assert told == ([] if note is None else [note])


def test_the_words_for_seeds_name_both_ends_where_they_differ() -> None:
    assert tiny("confirmation.seeds=5").confirmation.seeds_in_words == "5"
    assert tiny(*AUTO).confirmation.seeds_in_words == "3 to 20"
    assert tiny("confirmation={seeds: auto, max_seeds: 2}").confirmation.seeds_in_words == "2"
    assert len(tiny(*AUTO).confirmation_seeds()) == 20
    assert tiny(*AUTO).confirmation_seeds()[:5] == tiny("confirmation.seeds=5").confirmation_seeds()


def test_baselines_that_follow_the_choice_wait_until_it_is_made() -> None:
    spec = tiny("confirmation={seeds: 2}", "search.readout=best", "space.training.batch_size.values=[25, 50]")
    own = [replace(r, params={**r.params, "training.batch_size": 25 if r.number == 2 else 50}) for r in SEARCH]
    first, second, runs = own[2].params, own[1].params, list[Record]()
    while (run := next_run(gls(spec), level("clean"), own + runs, ())) is not None:
        _, params, seed = run
        wrecked = params == first and seed == spec.confirmation_seeds()[1]
        ended = trial("confirmation", len(runs), 0.0, seed, 70.0, "diverged" if wrecked else "complete")
        runs.append(replace(ended, params=params))
    assert chosen(gls(spec), own + runs) == second
    # Label smoothing itself is the second; cross-entropy has its batch size, and none ran with the first one's.
    assert [run.params for run in runs] == [first] * 2 + [second] * 2 + [second | {"rate": 0.0}] * 2

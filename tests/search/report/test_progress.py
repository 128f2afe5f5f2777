"""What a user sees while a study runs: plain lines, or a live table in a terminal."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tests.search.builders import record
from tests.search.tools import tiny
from tosmooth.search.records import Record
from tosmooth.search.report.progress import Progress, status_table
from tosmooth.search.spec.seeds import derive_seed


def trial(number: int, rate: float, state: str = "complete", value: float = 60.0, noise: str = "clean") -> Record:
    curve = () if state == "running" else ({"val_accuracy": value, "seconds": 1.0, "time": 1.0},)
    seed = derive_seed(number)
    return record(number, rate, state=state, level=f"twonorm/{noise}", train_seed=seed, curve=curve)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be set."""
    now = [100.0]
    monkeypatch.setattr("tosmooth.search.report.progress.time.monotonic", lambda: now[0])
    return now


def printed(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def test_without_a_terminal_there_is_a_line_at_the_start_the_end_and_every_ten_seconds(clock: list[float]) -> None:
    console = plain()
    with Progress(tiny(), [], console) as shown:
        assert printed(console) == [
            "trials 0/8, confirmation 0/12, time left: not known yet; best so far: clean -, symmetric-0.4 -"
        ]
        for number in range(4):
            clock[0] += 4
            shown.update(trial(number, -0.1 * number, value=60.0 + number))
        # At 4 and 8 s nothing, at 12 s a line; 3 of 20 runs took 8 s since the first report: 17 more take 45 s.
        assert printed(console)[1:] == [
            "trials 3/8, confirmation 0/12, about 45 s left; best so far: clean -0.2 (62.00 %), symmetric-0.4 -"
        ]
    assert printed(console)[2:] == [
        "trials 4/8, confirmation 0/12, about 48 s left; best so far: clean -0.3 (63.00 %), symmetric-0.4 -"
    ]


def test_a_terminal_shows_a_live_table_and_leaves_nothing_behind(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, legacy_windows=False, color_system=None)
    with Progress(tiny(), [], console) as shown:
        shown.update(trial(0, 0.0, value=71.25))
        shown.update(trial(1, 0.1, "running"))
        shown.live.refresh()
        (head, first, second, *_) = printed(console)[-4:]
    assert first.split() == ["clean", "1/4", "0/6", "1", "+0", "(71.25", "%)"]
    assert second.split() == ["symmetric-0.4", "0/4", "0/6", "-"]
    assert "best so far" in head
    assert printed(console)[-1].endswith("\x1b[2K"), "the table is wiped: the result comes in its place"


def test_a_trial_counts_once_however_often_it_reports(clock: list[float]) -> None:
    with Progress(tiny(), [], plain()) as shown:
        running = replace(trial(0, -0.4), state="running")
        for _ in range(3):
            shown.update(running)
        assert shown.line().startswith("trials 0/8")
        shown.update(replace(running, state="complete"))
        assert shown.line().startswith("trials 1/8")


def test_failed_trials_are_no_part_of_the_budget_and_diverged_ones_are(clock: list[float]) -> None:
    with Progress(tiny(), [], plain()) as shown:
        for number, state in enumerate(("failed", "diverged", "pruned", "complete")):
            shown.update(trial(number, -0.1, state))
        assert shown.line().startswith("trials 3/8")


def test_the_best_is_of_complete_trials_of_the_search(clock: list[float]) -> None:
    with Progress(tiny(), [], plain()) as shown:
        shown.update(trial(0, -0.5, value=60.0))
        shown.update(trial(1, -1.0, "diverged", 99.0))
        shown.update(replace(trial(2, -2.0, value=99.0), phase="confirmation"))
        assert shown.best(shown.cells[0]) == "-0.5 (60.00 %)"


@pytest.mark.parametrize(
    ("seconds", "left"), [(4, "about 76 s left"), (10, "about 3 min left"), (600, "about 3 h left")]
)
def test_time_left_is_told_in_a_fitting_unit(seconds: float, left: str, clock: list[float]) -> None:
    with Progress(tiny(), [], plain()) as shown:
        shown.update(replace(trial(0, 0.0), state="running"))
        clock[0] += seconds
        shown.update(trial(0, 0.0))  # 1 of 20
        assert left in shown.line()


def test_time_left_counts_what_this_run_did_and_not_the_start_of_the_workers(clock: list[float]) -> None:
    before = [trial(number, 0.1 * number) for number in range(4)]
    with Progress(tiny(), before, plain()) as shown:
        assert "trials 4/8" in shown.line()
        assert "not known yet" in shown.line()
        clock[0] += 500  # Ray and torch
        shown.update(replace(trial(0, 0.0, noise="symmetric-0.4"), state="running"))
        clock[0] += 2
        shown.update(trial(0, 0.0, noise="symmetric-0.4"))
        assert "about 30 s left" in shown.line()  # 15 more at 2 s each


def test_under_seeds_auto_the_confirmation_s_length_is_open_and_the_time_left_is_that_of_the_least() -> None:
    spec = tiny("confirmation={seeds: auto}")
    console = Console(file=io.StringIO(), width=90)
    shown = Progress(spec, [trial(0, 0.0)], console)
    # 3 to 20 seeds of the best rate, CE and LS in each of two cells.
    assert shown.line().startswith("trials 1/8, confirmation 0/18 to 120, ")
    console.print(shown.table())
    assert printed(console)[1].split()[:5] == ["clean", "1/4", "0/9", "to", "60"]


def test_a_second_finalist_counts_as_soon_as_it_begins(clock: list[float]) -> None:
    with Progress(tiny(), [], plain()) as shown:
        assert "confirmation 0/12," in shown.line()  # the best, CE and LS on 2 seeds of 2 cells
        for number, rate in enumerate((0.0, -2.0, 0.1)):
            shown.update(
                replace(trial(number, rate), phase="confirmation", state="diverged" if rate < 0 else "complete")
            )
        assert "confirmation 3/12," in shown.line()
        shown.update(replace(trial(3, -0.5), phase="confirmation", state="running"))
        assert "confirmation 3/14," in shown.line()


def test_confirmation_runs_beyond_the_least_leave_no_negative_time(clock: list[float]) -> None:
    spec = tiny("confirmation={seeds: auto}", "dataset.noise=[clean]", "search.trials=2")
    with Progress(spec, [], plain()) as shown:
        shown.update(replace(trial(0, 0.0), state="running"))
        for number in range(12):  # of 2 trials and at least 9 confirmation runs
            clock[0] += 1
            shown.update(replace(trial(number, 0.0), phase="confirmation"))
        assert "about 0 s left" in shown.line()


def test_status_says_who_runs_the_study() -> None:
    console = plain()
    console.width = 90
    console.print(status_table(tiny(), [trial(0, 0.0), trial(1, 0.1, "running")], "process 7 on here"))
    assert "running: process 7 on here" in printed(console)[0]
    assert printed(console)[2].split()[:3] == ["clean", "1", "1"]


@pytest.mark.parametrize("width", [50, 60, 90])
def test_no_name_and_no_number_is_cut_on_a_narrow_terminal(width: int) -> None:
    spec = tiny("method=[gls, bootstrap-soft]", "confirmation={seeds: auto}")
    records = [trial(0, -0.123456), trial(1, 0.1, "running")]
    console = Console(file=io.StringIO(), width=width)
    console.print(Progress(spec, records, console).table())
    live = "".join(line.rstrip() + "\n" for line in printed(console))
    console.print(status_table(spec, records, "process 7 on here", width=width))
    status = "".join(line.rstrip() + "\n" for line in printed(console))[len(live) :]
    for screen in (live, status):
        assert "…" not in screen
        for part in ("symmetric-0.4/bootstrap-soft", "-0.123 (60.00 %)", "0/9 to 60"):
            assert part in screen
    assert all(len(line) <= width for line in (live + status).splitlines())


def test_status_tells_why_trials_failed_the_most_frequent_reason_first() -> None:
    console = plain()
    console.width = 90
    lonely = [replace(trial(i, 0.0, "failed"), reason=f"OSError: disk {i} is full [x]") for i in range(6)]
    often = [replace(trial(10 + i, 0.0, "failed"), reason="out of memory: MemoryError") for i in range(3)]
    console.print(status_table(tiny(), [*lonely, *often, trial(20, 0.0)], None))
    assert [line.rstrip() for line in printed(console) if line.startswith(("failed", "and"))] == [
        "failed, twonorm/clean search 10 and 2 more: out of memory: MemoryError",
        *(f"failed, twonorm/clean search {i}: OSError: disk {i} is full [x]" for i in range(4)),
        "and 2 more reasons: tosmooth export --trials",
    ]
    console = plain()
    console.print(status_table(tiny(), [trial(0, 0.0)], None))
    assert "failed," not in "".join(printed(console))

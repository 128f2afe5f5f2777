"""Which cell has the next trial, and when one has had enough: on made-up reports, best at a rate of -0.8."""

from collections import Counter
from pathlib import Path

import pytest

from tests.search.builders import level
from tests.search.run.test_searcher import resumed_at_each_step, searched
from tests.search.tools import Driver, gls, play, tiny
from tosmooth.search.records import ENDED, Cell, Record
from tosmooth.search.report.results import study_rows
from tosmooth.search.selection.stopping import ENOUGH, Saving, savings, stop_reason
from tosmooth.search.spec.sections import StopWhen
from tosmooth.search.storage.frozen_records import SOURCE
from tosmooth.search.surrogate.fitting import search_model
from tosmooth.trainables.errors import InputError

LEVELS = [level("clean", 0.0), level("symmetric-0.4", 0.4)]
CLEAN, NOISY = Cell("twonorm/clean", "gls"), Cell("twonorm/symmetric-0.4", "gls")
STOP = "search.stop_when={accuracy_margin: 50}"  # at once: no more than that can be lost


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def counts(records: list[Record]) -> Counter[str]:
    return Counter(record.level for record in searched(records) if record.state in ENDED)


def test_cells_take_turns_and_have_as_many_trials(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("search.trials=12", "confirmation.seeds=1"), levels=LEVELS)
    records = play(driver)
    assert set(counts(records).values()) == {12}
    for cell in (CLEAN, NOISY):
        sources = [trial.user_attrs[SOURCE] for trial in driver.store.trials(cell, "search")]
        opening = 2 + (cell == NOISY) + 4  # baselines, theory, and 4 points spread evenly
        assert {*sources[:opening]} <= {"baseline", "theory", "spread"}
        assert not {*sources[opening:]} & {"baseline", "theory", "spread"}


def test_a_training_seed_is_never_tried_twice_at_the_same_parameters(tmp_path: Path) -> None:
    changes = ("search.trials=12", "confirmation.seeds=1")
    records = searched(play(Driver(tmp_path, tiny(*changes), levels=LEVELS, slots=4)))
    runs = Counter((r.level, tuple(r.params.items()), r.train_seed) for r in records)
    assert set(runs.values()) == {1}


def test_failed_trials_are_made_up_for(tmp_path: Path) -> None:
    spec = tiny("search.trials=12", "confirmation.seeds=1", "trial_attempts=1")
    driver = Driver(tmp_path, spec, levels=LEVELS, slots=3)
    records = play(driver, crash=lambda settings, failures: settings["trial"]["rate"] == 0.1)
    assert {r.params["rate"] for r in searched(records) if r.state == "failed"} == {0.1}
    assert set(counts(records).values()) == {12}


def test_stopped_after_any_step_a_study_that_stops_early_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    spec = tiny("search.trials=10", "dataset.noise=[clean]", "confirmation.seeds=1", STOP)
    undisturbed = play(Driver(tmp_path / "undisturbed", spec))
    assert resumed_at_each_step(tmp_path, spec, undisturbed) > 30


def test_a_level_that_knows_enough_stops_and_what_it_leaves_is_saved(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("search.trials=16", "confirmation.seeds=1", STOP), levels=LEVELS)
    records = play(driver)
    # Both have had their opening by then: 2 baselines, the theory's rate for one, 8 points spread evenly.
    assert counts(records) == {CLEAN.level: 10, NOISY.level: 11}
    found = savings(driver.spec, records)
    reason = "expected loss small enough"
    assert [(s.cell, s.reason, s.used, s.trials) for s in found] == [(CLEAN, reason, 10, 6), (NOISY, reason, 11, 5)]
    for saving in found:
        trained = [r.epochs for r in searched(records) if r.level == saving.cell.level]
        assert saving.epochs == round(saving.trials * sum(trained) / len(trained))
    rows = study_rows(driver.spec, driver.levels, records)
    assert all("search stopped early: expected loss small enough" in row.note for row in rows)


def test_before_eight_trials_have_ended_no_level_stops(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("search.trials=9", "confirmation.seeds=1", STOP))
    # Four points spread evenly, the theory's and the baselines are seven; the eighth is asked for.
    assert counts(play(driver)) == {CLEAN.level: ENOUGH, NOISY.level: ENOUGH}


def test_without_stop_when_a_level_uses_its_budget_and_the_row_says_nothing(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("search.trials=16", "confirmation.seeds=1"), levels=LEVELS)
    records = play(driver)
    assert set(counts(records).values()) == {16}
    assert savings(driver.spec, records) == []
    assert not any("stopped" in row.note for row in study_rows(driver.spec, driver.levels, records))


def test_a_level_whose_interval_stays_wide_goes_on(tmp_path: Path) -> None:
    stop = "search.stop_when={rate_interval: 0.000001}"
    driver = Driver(tmp_path, tiny("search.trials=9", "confirmation.seeds=1", stop))
    records = play(driver)
    assert set(counts(records).values()) == {9}
    assert savings(driver.spec, records) == []


def test_either_rule_is_enough_to_stop(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("search.trials=9", "dataset.noise=[clean]"))
    posterior = search_model(gls(driver.spec), play(driver))
    assert posterior is not None
    width, loss = posterior.width, posterior.loss()
    assert width > 0.01
    assert loss > 0.001
    assert stop_reason(StopWhen(rate_interval=width), posterior) == "interval narrow enough"
    assert stop_reason(StopWhen(accuracy_margin=loss), posterior) == "expected loss small enough"
    assert stop_reason(StopWhen(rate_interval=width - 0.01, accuracy_margin=loss - 0.001), posterior) is None
    assert stop_reason(StopWhen(rate_interval=width), None) is None


def test_a_saving_is_told_in_a_line() -> None:
    assert Saving(CLEAN, "interval narrow enough", 12, 18, 150).words() == (
        "twonorm/clean/gls: search stopped after 12 trials, interval narrow enough; saved 18 trials, about 150 epochs"
    )
    assert "saved 1 trial, about 1 epochs" in Saving(CLEAN, "", 12, 1, 1).words()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("search={sampler: random, prior_study: old}",),
         "search.prior_study: 'old' is refused: for the samplers posterior, tpe, gp"),
        (("search={sampler: grid, stop_when: {rate_interval: 1}}",
          "space.rate={low: -1, high: 0, step: 0.5, scale: linear}"),
         "search.stop_when: {'rate_interval': 1.0} is refused: a grid is tried whole"),
    ],
)  # fmt: skip
def test_what_a_sampler_cannot_use_is_refused(changes: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny(*changes)

"""Which cell has the next trial, and when one has had enough: on made-up reports, best at a rate of -0.8."""

from collections import Counter
from pathlib import Path

import pytest

from tests.search.builders import level
from tests.search.run.test_searcher import confirmations, resumed_at_each_step, searched
from tests.search.tools import Driver, gls, play, steps, tiny
from tosmooth.search.records import ENDED, Cell, Record
from tosmooth.search.report.results import study_rows
from tosmooth.search.selection.stopping import ENOUGH, Saving, savings, stop_reason
from tosmooth.search.spec.sections import StopWhen
from tosmooth.search.storage.frozen_records import SOURCE
from tosmooth.search.suggest.allocation import Offer, choose, going_on
from tosmooth.search.suggest.warm_start import Proposal
from tosmooth.search.surrogate.acquisition import Acquisition
from tosmooth.search.surrogate.fitting import search_model
from tosmooth.trainables.errors import InputError

LEVELS = [level("clean", 0.0), level("symmetric-0.4", 0.4)]
CLEAN, NOISY = Cell("twonorm/clean", "gls"), Cell("twonorm/symmetric-0.4", "gls")
ADAPTIVE = ("search.trials=12", "search.allocation=adaptive", "confirmation.seeds=1")
STOP = "search.stop_when={accuracy_margin: 50}"  # at once: no more than that can be lost


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def counts(records: list[Record]) -> Counter[str]:
    return Counter(record.level for record in searched(records) if record.state in ENDED)


def offer(cell: Cell, gain: float | None, source: str = "sampler") -> Offer:
    return Offer(cell, Proposal(source, {"rate": 0.0}), gain)


def test_the_highest_gain_has_the_next_trial_and_of_equal_ones_the_cell_with_the_fewest() -> None:
    trials = {CLEAN: 9, NOISY: 7}
    assert choose([offer(CLEAN, 0.3), offer(NOISY, 0.2)], trials).cell == CLEAN
    assert choose([offer(CLEAN, 0.2), offer(NOISY, 0.2)], trials).cell == NOISY
    own, repeat = offer(CLEAN, 0.1), offer(CLEAN, 0.4, "repeat")
    assert choose([own, repeat, offer(NOISY, 0.2)], trials) is repeat
    assert choose([own, offer(CLEAN, 0.1, "repeat")], trials) is own


def test_a_cell_without_a_posterior_has_its_turn_when_no_other_has_fewer_trials() -> None:
    unknown, known = offer(CLEAN, None), offer(NOISY, 0.0)
    assert choose([unknown, known], {CLEAN: 5, NOISY: 6}) is unknown
    assert choose([known, unknown], {CLEAN: 6, NOISY: 6}) is unknown
    assert choose([unknown, known], {CLEAN: 7, NOISY: 6}) is known  # else it would take all that is left
    assert choose([unknown, offer(NOISY, None)], {CLEAN: 7, NOISY: 6}).cell == NOISY


@pytest.mark.parametrize("slots", [1, 3])
def test_adaptive_allocation_spends_the_study_s_total_to_the_trial_after_every_opening(
    slots: int, tmp_path: Path
) -> None:
    driver = Driver(tmp_path, tiny(*ADAPTIVE), levels=LEVELS, slots=slots)
    records = play(driver)
    assert driver.searcher.finished
    assert sum(counts(records).values()) == 2 * 12
    for cell in (CLEAN, NOISY):
        sources = [trial.user_attrs[SOURCE] for trial in driver.store.trials(cell, "search")]
        opening = 2 + (cell == NOISY) + 4  # baselines, theory, and 4 of at most 12 / 2 points spread evenly
        assert {*sources[:opening]} <= {"baseline", "theory", "spread"}
        assert not {*sources[opening:]} & {"baseline", "theory", "spread"}
        assert len([r for r in confirmations(records) if r.level == cell.level]) in (2, 3)


def test_openings_take_turns_and_then_trials_go_where_they_are_worth_most(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny(*ADAPTIVE), levels=LEVELS)
    chosen = []
    for step in steps(driver.searcher):
        (job,) = driver.running() if step == "start" else [None]
        if job is not None and job.key.phase == "search":
            trial = driver.store.trials(job.cell, "search")[job.key.number]
            trials = searched(driver.records())
            before = [r for r in trials if r.level == job.cell.level and r.number < job.key.number]
            others = [r for r in trials if r.level != job.cell.level]
            chosen.append((job, trial.user_attrs[SOURCE], before, others))
    assert [job.cell for job, *_ in chosen[:12]] == [CLEAN, NOISY] * 6
    assert {source for _, source, *_ in chosen[13:]} >= {"repeat"}
    for job, source, before, others in chosen[13:]:
        own, other = search_model(gls(driver.spec), before), search_model(gls(driver.spec), others)
        assert own is not None
        assert other is not None
        if source == "repeat":
            assert job.params == own.best
        # The other cell would have offered a further seed of its own best, at least.
        assert round(Acquisition(own).gain(job.params), 9) >= round(Acquisition(other).gain(other.best), 9)


def test_a_repeat_has_a_training_seed_that_its_parameters_have_not_had(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny(*ADAPTIVE), levels=LEVELS, slots=4)
    records = searched(play(driver))
    runs = Counter((r.level, tuple(r.params.items()), r.train_seed) for r in records)
    assert set(runs.values()) == {1}


def test_even_allocation_gives_each_cell_the_same(tmp_path: Path) -> None:
    driver = Driver(tmp_path, tiny("search.trials=12", "confirmation.seeds=1"), levels=LEVELS)
    assert set(counts(play(driver)).values()) == {12}
    found = {trial.user_attrs[SOURCE] for cell in (CLEAN, NOISY) for trial in driver.store.trials(cell, "search")}
    assert "repeat" not in found


@pytest.mark.parametrize(
    "changes",
    [("search.trials=7",), ("search.trials=10", "dataset.noise=[clean]", STOP)],
    ids=["adaptive", "stopped early"],
)
def test_stopped_after_any_step_an_adaptive_study_goes_on_as_if_it_had_not_been(
    changes: tuple[str, ...], tmp_path: Path
) -> None:
    spec = tiny(*ADAPTIVE[1:], *changes)
    undisturbed = play(Driver(tmp_path / "undisturbed", spec))
    assert resumed_at_each_step(tmp_path, spec, undisturbed) > 30


def test_failed_trials_of_an_adaptive_study_are_made_up_for(tmp_path: Path) -> None:
    spec = tiny(*ADAPTIVE, "trial_attempts=1")
    driver = Driver(tmp_path, spec, levels=LEVELS, slots=3)
    records = play(driver, crash=lambda settings, failures: settings["trial"]["rate"] == 0.1)
    assert {r.params["rate"] for r in searched(records) if r.state == "failed"} == {0.1}
    assert sum(counts(records).values()) == 2 * 12


@pytest.mark.parametrize("allocation", ["even", "adaptive"])
def test_a_level_that_knows_enough_stops_and_what_it_leaves_is_saved(allocation: str, tmp_path: Path) -> None:
    changes = ("search.trials=16", f"search.allocation={allocation}", "confirmation.seeds=1", STOP)
    driver = Driver(tmp_path, tiny(*changes), levels=LEVELS)
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
        (("search={sampler: grid, allocation: adaptive}", "space.rate={low: -1, high: 0, step: 0.5, scale: linear}"),
         "search.allocation: 'adaptive' is refused: a grid is tried whole"),
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


def test_what_a_stopped_level_leaves_of_an_even_share_is_not_spent_on_others() -> None:
    spec = tiny("search.trials=10", *ADAPTIVE[1:])
    assert going_on(spec, {CLEAN: 9, NOISY: 5}, {NOISY}) == [CLEAN]
    assert going_on(spec, {CLEAN: 10, NOISY: 5}, {NOISY}) == []  # of 20 trials 5 are saved
    assert going_on(spec, {CLEAN: 10, NOISY: 5}, set()) == [CLEAN, NOISY]
    assert going_on(spec, {CLEAN: 13, NOISY: 6}, set()) == [CLEAN, NOISY]
    assert going_on(spec, {CLEAN: 13, NOISY: 7}, set()) == []
    assert going_on(spec, {CLEAN: 13, NOISY: 5}, {NOISY}) == []  # it had what the other left, before that stopped
    assert going_on(spec, {CLEAN: 4, NOISY: 12}, {NOISY}) == [CLEAN]

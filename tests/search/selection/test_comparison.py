"""Selection on hand-made records: every expected number can be worked out on paper."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.search.builders import level, record
from tests.search.tools import tiny
from tosmooth.search.records import Level, Phase, Record, Score, State
from tosmooth.search.report.best_rates import best_row
from tosmooth.search.report.cell_results import CellResults
from tosmooth.search.report.results import study_rows
from tosmooth.search.report.row import Row
from tosmooth.search.selection.choice import Uncertainty
from tosmooth.search.selection.comparison import best_trials, estimated_noise_rate, paired_gain, winner
from tosmooth.search.selection.theory import theory_rate
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.sections import Baselines, ConfirmationSpec, SearchSpec
from tosmooth.trainables.errors import InputError

LEVEL = level(train_size=5000, validation_size=20000, test_size=10000)
CE = {"rate": 0.0, "warmup": 0}
LS = {"rate": 0.1, "warmup": 0}
NLS = {"rate": -2.0, "warmup": 3}
BASELINES = Baselines(ce=CE, ls=LS)
LAST = ConfirmationSpec(finalists=1)


def trial(
    number: int,
    params: dict[str, Any],
    val: list[float | None],
    test: list[float | None] | None = None,
    state: State = "complete",
    phase: Phase = "search",
    seed: int = 0,
) -> Record:
    values: dict[str, Any] = {"params": params, "state": state, "phase": phase, "train_seed": seed, "seconds": 36.0}
    return record(number, val=val, test=test or [None] * len(val), **values)


def confirmation(
    params: dict[str, Any], seed: int, test: float, val: float = 58.0, state: State = "complete"
) -> Record:
    return trial(seed, params, [val], [test], state, "confirmation", seed)


# What a whole cell holds: six search trials, then three fresh seeds of the best rate, CE and LS.
SEARCH = [
    trial(0, CE, [55.0, 54.0], [80.0, 78.0]),
    trial(1, LS, [54.0, 53.0], [79.0, 77.0]),
    trial(2, NLS, [56.0, 58.0], [85.0, 90.0]),
    trial(3, {"rate": -4.0, "warmup": 0}, [59.0], [93.0], "pruned"),
    trial(4, {"rate": -7.0, "warmup": 0}, [99.0], [50.0], "diverged"),
    trial(5, {"rate": -6.0, "warmup": 0}, [99.0], [99.0], "failed"),
]
CONFIRMED = [
    *(confirmation(NLS, seed, test, val) for seed, test, val in ((7, 90.0, 57.0), (8, 91.0, 58.0), (9, 92.0, 59.0))),
    *(confirmation(CE, seed, test) for seed, test in ((7, 80.0), (8, 82.0), (9, 81.0))),
    *(confirmation(LS, seed, test) for seed, test in ((7, 79.0), (8, 79.0), (9, 79.0))),
]
SCORE = Score()
THREE = ConfirmationSpec(seeds=3, finalists=1)


def chosen(records: list[Record], rule: ConfirmationSpec, score: Score = SCORE) -> Params | None:
    """The choice by the readout `best`, among the records of this cell."""
    own = [record for record in records if (record.level, record.method) == (LEVEL.name, "gls")]
    return winner(best_trials(own, score, rule.most_finalists), own, score, "gls")


GIVEN = CellResults(
    level=LEVEL, method="gls", records=[], score=SCORE, rule=THREE, best=None, baselines=BASELINES, bounds=None
)


def row_of(records: list[Record], rule: ConfirmationSpec = THREE, level: Level = LEVEL, score: Score = SCORE) -> Row:
    best = chosen(records, rule, score)
    given = replace(GIVEN, level=level, records=records, score=score, rule=rule, best=best, bounds=(-8.0, 0.8))
    return best_row(given)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epoch": "first"}, "search.epoch: 'first' is refused: last or best"),
        ({"seeds": 0}, "confirmation.seeds: 0 is refused: at least 1"),
        ({"readout": "mean"}, "search.readout: 'mean' is refused: posterior or best"),
        ({"finalists": 0}, "confirmation.finalists: 0 is refused: at least 1"),
        ({"keep_weights": "last"}, "confirmation.keep_weights: 'last' is refused: first or all"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        (SearchSpec if message.startswith("search") else ConfirmationSpec)(**changed)


def test_a_trial_is_scored_at_its_last_epoch_or_at_its_best() -> None:
    record = trial(0, CE, [50.0, 60.0, 55.0])
    assert Score().of(record) == 55.0
    assert Score(epoch="best").of(record) == 60.0
    assert Score().of(trial(0, CE, [50.0, None])) is None  # a non-finite number is no score
    assert Score(epoch="best").of(trial(0, CE, [])) is None


def test_only_complete_search_trials_are_finalists_and_the_highest_comes_first() -> None:
    # 59 (pruned), 99 (diverged, failed) and a confirmation's 100 are all higher than NLS at 58
    records = [*SEARCH, confirmation({"rate": -1.0, "warmup": 0}, 7, 99.0, val=100.0)]
    assert best_trials(records, Score(), 5) == [NLS, CE, LS]


def test_the_rule_decides_which_epoch_makes_a_finalist() -> None:
    records = [trial(0, CE, [60.0, 50.0]), trial(1, NLS, [55.0, 55.0])]
    assert best_trials(records, Score(), 1) == [NLS]
    assert best_trials(records, Score(epoch="best"), 1) == [CE]


def test_ties_go_to_the_smaller_rate_then_the_shorter_warmup_then_the_earlier_trial() -> None:
    later, shorter, larger = {"rate": 0.4, "warmup": 3}, {"rate": -0.4, "warmup": 2}, {"rate": -0.6, "warmup": 0}
    same = {"rate": -0.4, "warmup": 3}
    records = [trial(n, p, [50.0]) for n, p in enumerate([larger, same, later, shorter])]
    assert best_trials(records, Score(), 4) == [shorter, same, later, larger]


def test_the_same_parameters_tried_twice_are_one_finalist() -> None:
    records = [trial(0, NLS, [58.0]), trial(1, dict(NLS), [57.0]), trial(2, CE, [50.0])]
    assert best_trials(records, Score(), 2) == [NLS, CE]


def test_before_any_confirmation_the_best_of_the_search_is_chosen() -> None:
    assert chosen(SEARCH, LAST) == NLS
    assert chosen([], LAST) is None


def test_the_finalist_with_the_best_mean_over_the_fresh_seeds_is_chosen() -> None:
    two = ConfirmationSpec(finalists=2)
    fresh = [confirmation(NLS, 7, 0.0, val=54.0), confirmation(NLS, 8, 0.0, val=55.0)]
    fresh += [confirmation(CE, 7, 0.0, val=55.0), confirmation(CE, 8, 0.0, val=56.0)]
    assert chosen(SEARCH + fresh, two) == CE
    assert chosen(SEARCH + fresh, LAST) == NLS  # with one finalist there is nothing to compare


def test_a_finalist_that_diverged_and_was_not_chosen_is_noted() -> None:
    wrecked = [confirmation(NLS, seed, 50.0, state="diverged") for seed in (7, 8)]
    second = [confirmation(CE, seed, 80.0) for seed in (7, 8)]
    wrecked.append(confirmation(LS, 8, 50.0, state="diverged"))  # a baseline is none
    row = row_of([*SEARCH, *wrecked, *second], ConfirmationSpec(seeds=2, finalists=2))
    assert row.best_rate == 0
    assert row.note.count("finalist") == 1
    assert "another finalist (rate=-2, warmup=3) diverged on 2 of the fresh seeds" in row.note


def test_finalists_are_compared_only_on_seeds_that_all_of_them_have() -> None:
    two = ConfirmationSpec(finalists=2)
    fresh = [confirmation(NLS, 7, 0.0, val=56.0), confirmation(CE, 7, 0.0, val=55.0)]
    assert chosen([*SEARCH, *fresh, confirmation(CE, 8, 0.0, val=99.0)], two) == NLS
    assert chosen([*SEARCH, confirmation(CE, 8, 0.0, val=99.0)], two) == NLS


def test_a_finalist_that_diverges_on_a_fresh_seed_stands_behind_one_that_does_not() -> None:
    fresh = [confirmation(NLS, 7, 0.0, val=90.0), confirmation(NLS, 8, 0.0, val=90.0, state="diverged")]
    fresh += [confirmation(CE, 7, 0.0, val=55.0), confirmation(CE, 8, 0.0, val=55.0)]
    assert chosen(SEARCH + fresh, ConfirmationSpec(finalists=2)) == CE


@pytest.mark.parametrize(
    ("noise_rate", "classes", "rate"),
    [
        (0.4, 10, -0.8),  # rho = 4 / 9, r = -(4 / 9) / (5 / 9)
        (0.4, 2, -4.0),  # rho = 0.8
        (0.1, 2, -0.25),  # rho = 0.2
        (0.0, 2, 0.0),
        (0.5, 2, None),  # rho = 1: the labels say nothing any more
        (0.9, 10, None),  # the same
        (0.95, 10, None),  # rho > 1
        (None, 10, None),  # unknown
    ],
)
def test_the_theory_gives_the_rate_of_wei_et_al(noise_rate: float | None, classes: int, rate: float | None) -> None:
    assert theory_rate(noise_rate, classes) == (None if rate is None else pytest.approx(rate, abs=1e-12))


def test_the_gain_is_paired_over_the_seeds_both_have() -> None:
    # differences 10, 9, 11: mean 10, standard deviation 1, t(0.975, 2) = 4.3027, 4.3027 / sqrt(3) = 2.4841
    assert paired_gain({7: 90.0, 8: 91.0, 9: 92.0, 10: 1.0}, {7: 80.0, 8: 82.0, 9: 81.0}) == pytest.approx(
        (10.0, 7.5159, 12.4841), abs=1e-4
    )


def test_one_common_seed_has_no_interval_and_none_has_no_gain() -> None:
    assert paired_gain({7: 90.0}, {7: 80.0, 8: 82.0}) == (10.0, None, None)
    assert paired_gain({7: 90.0}, {8: 80.0}) == (None, None, None)


def test_epochs_at_which_the_test_set_was_left_out_give_no_mean_of_the_rest() -> None:
    def untested(record: Record) -> Record:
        return replace(record, curve=tuple({**metrics, "test_accuracy": None} for metrics in record.curve))

    some = [untested(r) if r.params == NLS and r.train_seed == 8 else r for r in CONFIRMED]
    assert row_of(SEARCH + CONFIRMED).best_epoch_test_accuracy == 91.0
    assert row_of(SEARCH + some).best_epoch_test_accuracy is None


def test_a_row_holds_what_can_be_worked_out_by_hand() -> None:
    assert row_of(SEARCH + CONFIRMED) == Row(
        dataset="twonorm",
        noise="symmetric-0.4",
        method="gls",
        noise_rate=0.4,
        noise_rate_source="measured",
        best_rate=-2.0,
        best_warmup=3,
        val_accuracy=58.0,  # of 57, 58, 59
        ce_val_accuracy=58.0,
        ls_val_accuracy=58.0,
        test_accuracy=91.0,  # of 90, 91, 92
        test_accuracy_std=1.0,
        seeds=3,
        ce_test_accuracy=81.0,
        ls_test_accuracy=79.0,
        score=91.0,  # which is accuracy, where nothing else is chosen by
        score_std=1.0,
        ce_score=81.0,
        ls_score=79.0,
        gain_over_ce=10.0,
        gain_low=pytest.approx(7.5159, abs=1e-4),  # type: ignore[arg-type]
        gain_high=pytest.approx(12.4841, abs=1e-4),  # type: ignore[arg-type]
        verdict="smooth",
        best_epoch_test_accuracy=91.0,
        oracle_rate=-4.0,  # the pruned trial: highest on the test set; the failed one's 99 does not count
        oracle_test_accuracy=93.0,
        theory_rate=pytest.approx(-4.0),  # type: ignore[arg-type]
        trials=5,
        pruned=1,
        diverged=1,
        failed=1,
        epochs=18,  # 3 trials of 2 epochs, 3 of 1, 9 confirmations of 1
        hours=0.15,  # 15 times 36 s
    )


def test_epochs_are_those_trained_and_those_that_trunks_spared_stand_beside_them() -> None:
    spared = [replace(r, curve=({**r.curve[0], "spared": 1.0}, *r.curve[1:])) for r in CONFIRMED]
    row = row_of(SEARCH + spared)
    assert (row.epochs, row.epochs_spared) == (9, 9)  # of 18, see above: the first of each confirmation run is spared
    assert row.test_accuracy == 91.0  # nothing else changes


def test_the_best_epoch_is_that_of_noisy_validation_and_the_oracle_takes_any() -> None:
    # noisy validation is highest in epoch 2 (first of two equal), where the test set has 88, not its highest, 95
    fresh = trial(0, NLS, [50.0, 60.0, 60.0, 55.0], [95.0, 88.0, 70.0, 80.0], phase="confirmation", seed=7)
    row = row_of([SEARCH[2], fresh])
    assert row.test_accuracy == 80.0
    assert row.best_epoch_test_accuracy == 88.0
    assert (row.oracle_rate, row.oracle_test_accuracy) == (-2.0, 95.0)


def test_one_fresh_seed_has_no_standard_deviation_and_no_interval() -> None:
    row = row_of([*SEARCH, CONFIRMED[0], CONFIRMED[3]], ConfirmationSpec(seeds=1, finalists=1))
    assert (row.test_accuracy, row.test_accuracy_std, row.seeds) == (90.0, None, 1)
    assert (row.gain_over_ce, row.gain_low, row.gain_high) == (10.0, None, None)


def test_running_and_failed_confirmations_do_not_count() -> None:
    extra = [confirmation(NLS, 10, 0.0, state="running"), confirmation(NLS, 11, 0.0, state="failed")]
    row = row_of(SEARCH + CONFIRMED + extra)
    assert (row.seeds, row.test_accuracy) == (3, 91.0)


def test_a_diverged_confirmation_counts_at_chance_level_and_is_noted() -> None:
    records = SEARCH + [r if r is not CONFIRMED[0] else replace(r, state="diverged") for r in CONFIRMED]
    row = row_of(records)
    assert row.test_accuracy == pytest.approx((50 + 91 + 92) / 3)  # two classes: chance is 50
    assert row.best_epoch_test_accuracy == row.test_accuracy
    assert "1 confirmation run (best rate) diverged, counted at chance level" in row.note


def test_where_cross_entropy_itself_is_chosen_there_is_no_gain_over_itself() -> None:
    records = [SEARCH[0], SEARCH[1], *CONFIRMED[3:]]
    row = row_of(records)
    assert (row.best_rate, row.gain_over_ce, row.gain_low, row.gain_high) == (0.0, None, None, None)
    assert row.note == "plain cross-entropy is the best rate found"


def test_where_the_fresh_seeds_chose_a_baseline_the_note_says_what_the_search_chose() -> None:
    others = [r for r in CONFIRMED if r.params != LS]
    better = [confirmation(LS, seed, 79.0, 58.5) for seed in (7, 8, 9)]
    given = replace(GIVEN, records=[*SEARCH, *others, *better], best=LS, selected=NLS, bounds=(-8.0, 0.8))
    row = best_row(given)
    assert (row.best_rate, row.test_accuracy) == (0.1, 79.0)
    lost = "the search chose rate=-2, warmup=3, which does worse on the fresh seeds, by 0.5 points of noisy validation"
    assert lost in row.note.split("; ")


def test_records_of_other_cells_are_passed_over() -> None:
    other = replace(SEARCH[2], level="twonorm/symmetric-0.1", params={"rate": 0.5, "warmup": 0})
    assert row_of([*SEARCH, replace(other, method="gls2"), other, *CONFIRMED]) == row_of(SEARCH + CONFIRMED)


def test_nothing_tried_yet_gives_a_row_of_unknowns() -> None:
    row = row_of([])
    assert (row.best_rate, row.test_accuracy, row.trials, row.hours) == (None, None, 0, 0.0)
    assert row.note == "no trial completed"


@pytest.mark.parametrize(
    ("rate", "note"),
    [
        (-8.0, "best rate lies on the bound -8"),
        (-7.85, "best rate lies on the bound -8"),  # log(8.85) = 2.180, 0.8 % below log(9) = 2.197
        (-7.5, ""),  # 2.6 % below
        (0.8, "best rate lies on the bound 0.8"),
        (0.7, ""),
    ],
)
def test_a_best_rate_on_a_bound_is_noted(rate: float, note: str) -> None:
    params = {"rate": rate, "warmup": 0}
    fresh = [confirmation(p, s, t + s) for p, t in ((params, 90.0), (CE, 80.0), (LS, 80.0)) for s in (7, 8, 9)]
    fresh[0] = replace(fresh[0], curve=({"val_accuracy": 58.0, "test_accuracy": 97.5},))
    assert row_of([trial(0, params, [58.0]), *fresh], THREE).note == note


def test_without_bounds_none_is_noted() -> None:
    row = best_row(replace(GIVEN, records=[trial(0, {"rate": -8.0}, [58.0])], rule=LAST, best={"rate": -8.0}))
    assert (row.best_rate, row.best_warmup) == (-8.0, None)
    assert row.note == "0 of 5 seeds confirmed so far"


def test_noise_that_is_not_symmetric_is_noted_beside_the_theory() -> None:
    human = replace(LEVEL, symmetric=False)
    assert row_of(SEARCH + CONFIRMED, level=human).note == "theory assumes symmetric noise"
    assert row_of(SEARCH + CONFIRMED, level=replace(human, noise_rate=0.0)).note == ""
    assert row_of(SEARCH + CONFIRMED, level=replace(human, noise_rate=None)).note == ""


def test_noise_beyond_the_theory_is_noted() -> None:
    row = row_of(SEARCH + CONFIRMED, level=replace(LEVEL, noise_rate=0.6))
    assert (row.theory_rate, row.note) == (None, "theory gives no rate for this much noise")


def test_data_without_clean_labels_leave_empty_what_needs_them() -> None:
    blind = [replace(r, curve=tuple({**m, "test_accuracy": None} for m in r.curve)) for r in SEARCH + CONFIRMED]
    blind[6] = replace(blind[6], state="diverged")  # chance level is no test accuracy either
    row = row_of(blind, level=replace(LEVEL, test_size=0, noise_rate=None, noise_rate_source=""))
    unknown = [row.test_accuracy, row.test_accuracy_std, row.ce_test_accuracy, row.ls_test_accuracy]
    unknown += [row.best_epoch_test_accuracy, row.oracle_rate, row.oracle_test_accuracy, row.theory_rate]
    assert unknown == [None] * 8
    assert row.val_accuracy == pytest.approx((50 + 58 + 59) / 3)
    assert (row.ce_val_accuracy, row.ls_val_accuracy) == (58.0, 58.0)
    assert row.gain_over_ce == pytest.approx((50 + 58 + 59) / 3 - 58)
    assert "no clean test labels" in row.note


def telling(records: list[Record], estimates: list[float]) -> list[Record]:
    """The records, of which the runs of cross-entropy tell these noise rates in turn."""
    told = iter(estimates)
    return [
        replace(r, curve=(*r.curve[:-1], {**r.curve[-1], "noise_rate_estimate": value}))
        if r.params == CE and r.curve and (value := next(told, None)) is not None
        else r
        for r in records
    ]


def test_the_estimated_noise_rate_is_the_mean_over_the_runs_that_tell_one() -> None:
    assert estimated_noise_rate(SEARCH + CONFIRMED) is None
    assert estimated_noise_rate(telling(SEARCH + CONFIRMED, [0.25])) == 0.25
    # the search's one and two of the confirmation's three
    assert estimated_noise_rate(telling(SEARCH + CONFIRMED, [0.25, 0.5, 0.75])) == 0.5


def test_an_estimate_stands_beside_the_measured_noise_rate_and_changes_nothing_else() -> None:
    row = row_of(telling(SEARCH + CONFIRMED, [0.25]))
    assert row == replace(row_of(SEARCH + CONFIRMED), noise_rate_estimate=0.25)
    assert (row.noise_rate, row.noise_rate_source) == (0.4, "measured")


def test_where_clean_labels_do_not_exist_the_estimate_is_the_noise_rate_and_the_note_says_so() -> None:
    unknown = replace(LEVEL, noise_rate=None, noise_rate_source="", symmetric=False)
    row = row_of(telling(SEARCH + CONFIRMED, [0.25]), level=unknown)
    assert (row.noise_rate, row.noise_rate_source, row.noise_rate_estimate) == (0.25, "estimated", 0.25)
    assert row.theory_rate == -1.0  # rho = 0.5
    assert "noise rate, and theory with it, estimated from the noisy labels" in row.note
    assert "theory assumes symmetric noise" in row.note
    nothing = row_of(SEARCH + CONFIRMED, level=unknown)
    assert (nothing.noise_rate, nothing.noise_rate_source, nothing.theory_rate) == (None, "", None)
    assert "estimated" not in nothing.note


def test_seeds_still_to_come_are_noted() -> None:
    assert row_of(SEARCH).note == "0 of 3 seeds confirmed so far"
    assert "best rate 3, CE 1, LS 0 of 3 seeds confirmed so far" in row_of(SEARCH + CONFIRMED[:4]).note


def test_a_gain_within_seed_noise_and_a_loss_are_called_so() -> None:
    def note(tests: tuple[float, float, float]) -> str:
        arm = [confirmation(NLS, seed, test) for seed, test in zip((7, 8, 9), tests, strict=True)]
        return row_of(SEARCH + arm + CONFIRMED[3:]).note

    assert note((80.0, 83.0, 81.0)) == "gain over CE is within seed noise"  # 0, 1, 0
    assert note((70.0, 72.5, 71.0)) == "worse than CE on the clean test set"  # -10, -9.5, -10
    assert note((90.0, 91.0, 92.0)) == ""


def test_the_rule_of_the_best_epoch_is_named_in_the_note() -> None:
    row = row_of(SEARCH + CONFIRMED, ConfirmationSpec(seeds=3), score=Score(epoch="best"))
    assert row.note == "trials scored at their best epoch by noisy validation"


def test_without_a_test_set_the_gain_is_by_noisy_validation_and_the_note_says_so() -> None:
    row = row_of([*SEARCH, *CONFIRMED], level=replace(LEVEL, test_size=0))
    # 57, 58, 59 against 58 three times: the mean difference is 0, its t interval 4.303 * 1 / sqrt(3) wide on each side.
    assert (row.test_accuracy, row.gain_over_ce) == (None, 0.0)
    assert (row.gain_low, row.gain_high) == pytest.approx((-2.48, 2.48), abs=0.01)
    assert row.note == (
        "no clean test labels: accuracies and gain are of the noisy validation; gain over CE is within seed noise"
    )
    row = row_of([*SEARCH, *CONFIRMED], level=replace(LEVEL, test_size=0, clean_validation=True))
    assert row.note.startswith("no clean test labels: accuracies and gain are of the clean validation")


def test_note_says_that_the_gain_includes_another_learning_rate() -> None:
    slow = {**NLS, "lr_after_warmup": 0.1}
    found = [trial(0, slow, [58.0], [90.0]), *(confirmation(slow, seed, 90.0) for seed in (7, 8, 9))]
    baselines = Baselines(ce={**CE, "lr_after_warmup": 1.0}, ls={**LS, "lr_after_warmup": 1.0})
    note = "gain includes that of another learning rate after the warm-up"
    assert note in best_row(replace(GIVEN, records=found, best=chosen(found, THREE), baselines=baselines)).note
    assert note not in row_of([*SEARCH, *CONFIRMED]).note


def test_confirmation_runs_that_failed_are_counted_in_the_note() -> None:
    failed = confirmation(NLS, 9, 90.0, state="failed")
    assert "confirmation runs that failed: 1" in row_of([*SEARCH, *CONFIRMED[:2], failed, *CONFIRMED[3:]]).note


def sure_row(low: float, high: float, tests: Sequence[float] = (80.0, 83.0, 81.0)) -> Row:
    """Row with this interval of the best rate, whose gain is within seed noise: 0, 1, 0."""
    sure = Uncertainty(rate_low=low, rate_high=high, p_beats_ce=0.93, p_beats_ls=0.9)
    arm = [confirmation(NLS, seed, test) for seed, test in zip((7, 8, 9), tests, strict=True)]
    return best_row(replace(GIVEN, records=[*SEARCH, *arm, *CONFIRMED[3:]], best=NLS, uncertainty=sure))


def test_interval_and_probabilities_stand_in_the_row() -> None:
    row = sure_row(-4.0, -1.0)
    assert (row.rate_low, row.rate_high, row.p_beats_ce, row.p_beats_ls) == (-4.0, -1.0, 0.93, 0.9)
    without = row_of(SEARCH + CONFIRMED)
    assert (without.rate_low, without.rate_high, without.p_beats_ce, without.p_beats_ls) == (None, None, None, None)


@pytest.mark.parametrize(("low", "high", "said"), [(-4.0, -0.1, False), (-4.0, 0.0, True), (-1.0, 0.2, True)])
def test_interval_that_holds_0_is_no_evidence_for_smoothing(low: float, high: float, said: bool) -> None:
    assert ("the sign of the best rate is undecided" in sure_row(low, high).note) is said


def test_a_test_set_of_which_the_users_code_reports_nothing_is_left_out() -> None:
    spec, levels = tiny("dataset.noise=[symmetric-0.4]"), {"twonorm/symmetric-0.4": level()}
    params = {"rate": -2.0, "warmup": 1}
    baselines = MethodSpec.of(spec, "gls").baselines(params)
    found = [record(i, rate, val=[value]) for i, (rate, value) in enumerate([(0.0, 60.0), (0.1, 61.0)])]
    found.append(record(2, val=[70.0], params=params))
    for i, arm in enumerate((baselines.ce, baselines.ls, params)):
        found += [
            record(seed, val=[60.0 + 5 * i + seed % 3], params=arm, phase="confirmation", train_seed=seed)
            for seed in (7, 8, 9)
        ]
    (row,) = study_rows(spec, levels, found)
    assert (row.test_accuracy, row.gain_over_ce) == (None, 10.0)
    assert "the test set is left out: no trial reports test_accuracy" in row.note
    told = [replace(each, curve=({**each.curve[0], "test_accuracy": 80.0},)) for each in found]
    (row,) = study_rows(spec, levels, told)
    assert (row.test_accuracy, row.gain_over_ce) == (80.0, 0.0)
    assert "the test set is left out" not in row.note


DECAY = "training.optimizer.weight_decay"
TWO = (
    "dataset.noise=[symmetric-0.4]",
    "method=[gls, gce]",
    f"space.{DECAY}={{low: 0.001, high: 1, scale: log}}",
    "confirmation={seeds: 3, finalists: 1}",
    "search.readout=best",
)


def seeds(method: str, params: Params, val: float, test: float, loss: str = "") -> list[Record]:
    """Three fresh seeds of a configuration; validation and test accuracy rise by 0.1 from seed to seed."""
    place: dict[str, Any] = {"method": method, "phase": "confirmation", "params": params, "trained_as": loss}
    return [
        record(number, val=[val + 0.1 * number], test=[test + 0.1 * number], **place | {"train_seed": number})
        for number in range(3)
    ]


def of_two_decays(val: float, slope: float = 0.0) -> dict[str, Row]:
    """Rows of gls, chosen at a weight decay of 0.1, and of gce at 0.001. `val` is of cross-entropy at 0.1; else 60."""
    far, near = {DECAY: 0.1}, {DECAY: 0.001}
    gls, gce = {"rate": -1.0, "warmup": 0, **far}, {"gce.q": 0.5, "warmup": 0, **near}
    ce, ls = ({"rate": rate, "warmup": 0, **far} for rate in (0.0, 0.1))
    records = [
        record(0, params=gls, val=[62.0], test=[80.0]),
        record(0, params=gce, val=[61.0], test=[79.0], method="gce"),
        *seeds("gls", gls, 62.0, 80.0),
        *seeds("gls", ls, val, 78.0),
        *seeds("gce", gce, 61.0, 79.0),
        *seeds("gce", ce | near, 60.0, 75.0, "gls"),
        *seeds("gce", ls | near, 60.0, 75.0, "gls"),
    ]
    records += [
        replace(each, curve=({"val_accuracy": val + slope * each.number, "test_accuracy": 78.0 + 0.1 * each.number},))
        for each in seeds("gls", ce, val, 78.0)
    ]
    rows = study_rows(tiny(*TWO), {LEVEL.name: LEVEL}, records)
    return {row.method: row for row in rows}


def test_a_method_is_compared_with_cross_entropy_at_the_recipe_that_suits_it() -> None:
    rows = of_two_decays(61.5, 0.1)
    assert (rows["gce"].ce_test_accuracy, rows["gce"].gain_over_ce) == pytest.approx((78.1, 1.0))  # not 75.1 and 4
    note = f"compared with cross-entropy at {DECAY}=0.1, which does better than at the chosen value"
    assert note in rows["gce"].note.split("; ")
    assert rows["gls"].gain_over_ce == pytest.approx(2.0)
    assert "compared with" not in rows["gls"].note


@pytest.mark.parametrize(("val", "slope"), [(59.0, 0.1), (60.0, 0.1), (59.8, 1.0)])
def test_cross_entropy_of_the_chosen_recipe_stays_unless_another_is_better_beyond_chance(
    val: float, slope: float
) -> None:
    row = of_two_decays(val, slope)["gce"]
    assert (row.ce_test_accuracy, row.gain_over_ce) == pytest.approx((75.1, 4.0))
    assert "compared with" not in row.note

"""Notes say what a row rests on, and say it where least is known. Levels and records are made up."""

from dataclasses import replace
from typing import Any

import pytest

from tests.search.builders import level, record
from tosmooth.search.records import Metrics, Record, Score
from tosmooth.search.report.best_rates import best_row
from tosmooth.search.report.cell_results import CellResults
from tosmooth.search.report.row import Row
from tosmooth.search.selection.choice import Decision, Uncertainty
from tosmooth.search.spec.sections import Baselines, ConfirmationSpec
from tosmooth.trainables.training.divergence import BY_RULE

LEVEL = level(classes=10, train_size=5000, validation_size=20000, test_size=10000)
CE, LS, BEST = {"rate": 0.0, "warmup": 0}, {"rate": 0.1, "warmup": 0}, {"rate": -2.0, "warmup": 3}
GIVEN = CellResults(
    level=LEVEL,
    method="gls",
    records=[],
    score=Score(),
    rule=ConfirmationSpec(seeds=3, finalists=1),
    best=BEST,
    baselines=Baselines(ce=CE, ls=LS),
    bounds=(-8.0, 0.8),
)


def runs(
    best: float = 90.0,
    ce: float = 80.0,
    val: float = 60.0,
    seeds: int = 3,
    told: Metrics | None = None,
    ls: float | None = None,
) -> list[Record]:
    """A trial of the search, then fresh seeds: test accuracies fall by 0.1 a seed of the best, not of CE and LS."""

    def run(params: dict[str, Any], test: float, **changes: Any) -> Record:
        curve: tuple[Metrics, ...] = (
            {"val_accuracy": val, "test_accuracy": test, **((told or {}) if params == CE else {})},
        )
        return replace(record(params=params), curve=curve, **changes)

    fresh = [(BEST, best, 0.1), (CE, ce, 0.0), (LS, min(best, ce) if ls is None else ls, 0.0)]
    found = [run(params, test) for params, test, _ in fresh]
    for seed in range(seeds):
        found += [run(p, test - seed * slope, phase="confirmation", train_seed=seed) for p, test, slope in fresh]
    return found


def row_of(records: list[Record], changes: dict[str, Any] | None = None, **cell: Any) -> Row:
    """Row of these records, on the level with these changes, and of the cell with those."""
    return best_row(replace(GIVEN, records=records, level=replace(LEVEL, **(changes or {})), **cell))


def note(*args: Any, **cell: Any) -> str:
    return row_of(*args, **cell).note


def sure(low: float, high: float) -> Uncertainty:
    return Uncertainty(rate_low=low, rate_high=high, p_beats_ce=0.9, p_beats_ls=0.9)


def test_a_sound_row_has_no_note() -> None:
    assert note(runs()) == ""
    assert note(runs(), uncertainty=sure(-4, -1), readout="posterior") == ""


def decided(loss: float = 0.02, p_runner_up: float = 0.01, **changes: Any) -> Decision:
    """How -2 was decided, with 0.6 as the best far from it."""
    return Decision(loss, {"rate": 0.6, "warmup": 5}, 0.42, p_runner_up, **changes)


def test_row_says_how_it_was_decided() -> None:
    found = row_of(runs(), decision=decided(), budget=12)
    assert (found.runner_up_rate, found.runner_up_behind, found.p_runner_up, found.expected_loss) == (
        0.6,
        0.42,
        0.01,
        0.02,
    )
    assert found.note == ""
    unknown = row_of(runs(), decision=Decision(0.02, None, 0.0, 0.0), budget=12)
    assert (unknown.runner_up_rate, unknown.runner_up_behind, unknown.p_runner_up, unknown.note) == (
        None,
        None,
        None,
        "",
    )


def test_far_rate_that_may_be_better_is_named() -> None:
    told = "far from it rate=0.6, warmup=5 is 0.4 points behind: better with probability 0.3"
    assert note(runs(), decision=decided(p_runner_up=0.3), budget=12) == told
    equal = decided(p_runner_up=0.5)._replace(behind=-0.01)
    assert "is as good: better with probability 0.5" in note(runs(), decision=equal, budget=12)
    bold = decided(p_runner_up=0.6)._replace(behind=-3.0)  # behind it only since it may diverge
    assert "warmup=5 is 3.0 points ahead: better with probability 0.6" in note(runs(), decision=bold, budget=12)
    # Not where fresh seeds have compared the two.
    rest = {"rate": 0.6, "warmup": 5}
    fresh = [replace(each, params=rest) for each in runs() if each.phase == "confirmation" and each.params == BEST]
    assert note([*runs(), *fresh], decision=decided(p_runner_up=0.3), budget=12) == ""


def test_more_trials_are_asked_for_where_they_would_tell() -> None:
    open_ = decided(0.31, further=8, left=0.09)
    loss = "the choice is expected to be 0.3 points below the best rate"
    assert note(runs(), decision=open_, budget=12) == (
        f"{loss}: about 8 more trials would tell, go on with search.trials=20 (at every level)"
    )
    hopeless = decided(0.31, left=0.2)
    assert note(runs(), decision=hopeless, budget=12) == f"{loss}, and 32 more trials would leave 0.2 of them"
    assert "to be 1.2 points below" in note(runs(), decision=decided(1.24, left=0.2), budget=12)
    assert "to be 12 points below" in note(runs(), decision=decided(12.4, left=0.2), budget=12)
    # Neither while the search goes on, nor where `stop_when` would not run them.
    assert note(runs()[:3], decision=open_, budget=12) == "0 of 3 seeds confirmed so far"
    assert note(runs(), decision=open_, budget=None) == ""


def test_network_that_hardly_learns_makes_all_else_unreliable() -> None:
    found = row_of(runs(15.0, 14.0, 12.0), uncertainty=sure(-4, 0.5))
    begin = "the network hardly learns (15 % right where chance is 10 %), nothing here is reliable"
    assert found.note.startswith(begin)
    for word in ("evidence", "seed noise", "theory", "plain"):
        assert word not in found.note
    assert "hardly" not in note(runs(25.0, 20.0))


def test_chance_is_the_most_frequent_label() -> None:
    assert "97 % right where chance is 97 %" in note(runs(97.2, 97.0), {"test_commonest": 0.97})
    assert "hardly" not in note(runs(99.0, 98.0), {"test_commonest": 0.97})


def test_without_a_test_set_no_network_is_blamed_for_what_noise_takes() -> None:
    blind = {"test_size": 0, "classes": 2, "noise_rate": 0.4}
    assert "hardly" not in note(runs(val=59.0), blind)
    assert "hardly" in note(runs(val=50.8), blind)  # of 60 % at best


def test_two_rulers_that_disagree_are_explained_in_one_sentence() -> None:
    gains = note(runs(), uncertainty=sure(-4, 0.2))
    assert gains == (
        "smoothing gains on the clean test set, though the noisy validation alone cannot tell the best rate from 0: "
        "trust the gain, not the exact rate"
    )
    assert "though the validation alone" in note(runs(), {"noise_rate": 0.0}, uncertainty=sure(-4, 0.2))
    noise = note(runs(80.0, 80.0), uncertainty=sure(-4, -1))
    assert noise == (
        "gain over CE is within seed noise, though the noisy validation prefers this rate to 0: "
        "more confirmation.seeds would tell"
    )
    assert note(runs(70.0, 80.0), uncertainty=sure(-4, -1)) == (
        "worse than CE on the clean test set, though the noisy validation prefers this rate to 0: use CE"
    )


def test_rulers_that_agree_say_what_they_said() -> None:
    unsure = "the sign of the best rate is undecided: its interval holds 0"
    assert note(runs(80.0, 80.0), uncertainty=sure(-4, 1)) == f"{unsure}; gain over CE is within seed noise"
    assert note(runs(70.0, 80.0), uncertainty=sure(-4, 1)) == f"{unsure}; worse than CE on the clean test set"


def test_label_smoothing_that_does_better_than_the_choice_is_told() -> None:
    told = "label smoothing at 0.1 does better on the clean test set, by "
    assert note(runs(ls=91.0)) == f"{told}1.1 points"
    assert note(runs(ls=90.0)) == ""  # 0.1 points, and the seeds differ by as much
    assert note(runs(90.0, 80.0, ls=90.14)) == ""
    assert "label smoothing" not in note(runs(ls=91.0), {"test_size": 0})  # there is no clean test set
    plain = row_of(runs(ce=80.0, ls=80.5), best=CE)
    assert plain.note == f"plain cross-entropy is the best rate found; {told}0.5 points"
    assert note(runs(ls=80.04), best=CE) == "plain cross-entropy is the best rate found"  # nobody calls that better


def test_cross_entropy_that_early_stopping_makes_far_better_is_told() -> None:
    def fresh(params: dict[str, Any], epochs: list[tuple[float, float]]) -> list[Record]:
        curves: list[tuple[Metrics, ...]] = [
            tuple({"val_accuracy": v, "test_accuracy": t + 0.1 * seed} for v, t in epochs) for seed in range(3)
        ]
        place: dict[str, Any] = {"phase": "confirmation", "params": params}
        return [replace(record(**place), train_seed=seed, curve=curve) for seed, curve in enumerate(curves)]

    def told(ce: list[tuple[float, float]], **changes: Any) -> list[str]:
        records = [*fresh(BEST, [(55.0, 84.0), (60.0, 85.0)]), *fresh(CE, ce), *fresh(LS, [(50.0, 60.0)])]
        return [part for part in note(records, **changes).split("; ") if "stopped" in part]

    memorises = [(58.0, 79.0), (50.0, 66.0)]
    better = "cross-entropy stopped at its best epoch by noisy validation is 13 points better: over that the choice, "
    assert told(memorises) == [f"{better}stopped likewise, gains +6.0 points (6.0 to 6.0)"]
    assert told([(50.0, 66.0), (58.0, 79.0)]) == []  # its best epoch is its last
    assert told([(58.0, 79.3), (57.0, 79.0)]) == []  # by less than is worth a word
    assert told(memorises, score=Score(epoch="best")) == []  # the row has it already
    assert told(memorises, changes={"test_size": 0}) == []


def test_too_few_trials_for_an_interval_are_counted() -> None:
    assert note(runs(), readout="posterior") == "3 trials ended, an interval of the best rate needs 5"
    many = [*runs(), *(replace(record(n, rate=-0.1 * n, val=[60.0]), level=LEVEL.name) for n in range(3, 6))]
    assert "all trials are equally good, so no interval" in note(many, readout="posterior")
    assert note(runs(), readout="best") == ""


@pytest.mark.parametrize(
    ("rows", "copies", "said"),
    [
        (20000, 0.0, ""),
        (240, 0.0, "240 noisy validation rows: a difference under 3 points is noise"),
        (960, 0.75, "240 distinct noisy validation rows: a difference under 3 points is noise"),
        (2, 0.0, "2 noisy validation rows: a difference under 35 points is noise"),
    ],
)
def test_few_validation_rows_are_told_with_what_they_cannot_tell(rows: int, copies: float, said: str) -> None:
    told = note(runs(), {"validation_size": rows, "copies": copies})
    assert (said in told) if said else told == ""


def test_two_rows_that_are_both_right_are_few_all_the_same() -> None:
    assert "2 noisy validation rows: a difference under 31 points" in note(runs(val=100.0), {"validation_size": 2})


def test_interval_of_two_seeds_is_not_printed() -> None:
    found = row_of(runs(seeds=2), rule=ConfirmationSpec(seeds=2))
    assert found.gain_over_ce == pytest.approx(9.95)
    assert (found.gain_low, found.gain_high) == (None, None)
    assert found.note == "2 fresh seeds: too few to say how sure the gain is, set confirmation.seeds to 3 or more"
    assert "1 fresh seed: too few" in note(runs(seeds=1), rule=ConfirmationSpec(seeds=1))


def test_gain_that_is_the_same_on_all_seeds_has_no_interval() -> None:
    same = [replace(r, curve=({"val_accuracy": 60.0, "test_accuracy": 80.0},)) for r in runs()]
    found = row_of(same)
    assert (found.gain_over_ce, found.gain_low, found.gain_high) == (0.0, None, None)
    assert found.note == "the gain is the same on 3 fresh seeds: no interval of it is known"


def test_theory_beyond_the_rates_searched_is_no_advice() -> None:
    found = row_of(runs(), {"noise_rate": 0.85})  # rho = 0.944: r = -17
    assert found.theory_rate is None
    assert found.note == "theory's rate lies beyond the rates searched, -8 to 0.8"
    assert row_of(runs(), {"noise_rate": 0.85}, bounds=(-20.0, 0.8)).theory_rate == pytest.approx(-17)


UNKNOWN = {"noise_rate": None, "noise_rate_source": ""}


@pytest.mark.parametrize(
    ("val", "told", "changes", "reason"),
    [
        (99.5, {}, {}, "nearly all of the validation is predicted as labelled"),
        (60.0, {"classes_never_predicted": 2.0}, {}, "some classes are never predicted"),
        (60.0, {}, {"shared": 0.4}, "the network has seen the validation's examples in training"),
        (13.0, {}, {}, "the network hardly learns"),
    ],
)
def test_estimate_of_the_noise_says_when_it_cannot_be_trusted(
    val: float, told: Metrics, changes: dict[str, Any], reason: str
) -> None:
    found = row_of(runs(val=val, told={"noise_rate_estimate": 0.2, **told}), UNKNOWN | changes)
    assert (found.noise_rate, found.noise_rate_source, found.theory_rate) == (0.2, "estimated", None)
    assert f"the estimate of the noise rate cannot be trusted: {reason}" in found.note


def test_estimate_that_can_be_trusted_gives_theory_its_rate() -> None:
    found = row_of(runs(told={"noise_rate_estimate": 0.2, "classes_never_predicted": 0.0}), UNKNOWN)
    assert found.theory_rate == pytest.approx(-2 / 7)  # rho = 2 / 9
    assert found.note == "noise rate, and theory with it, estimated from the noisy labels"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"untrained": "3"}, "class 3 has no training example"),
        ({"untrained": "3, 8"}, "classes 3, 8 have no training example"),
        ({"copies": 0.75}, "75 % of the examples are copies of others, kept on one side of the split"),
        ({"copies": 0.99, "shared": 1.0}, "100 % of the noisy validation equals training examples"),
        ({"test_shared": 0.125}, "12.5 % of the test set equals training examples"),
    ],
)
def test_what_of_the_data_spoils_a_comparison_is_said(changes: dict[str, Any], said: str) -> None:
    assert said in note(runs(), changes)


def lost(state: str, *reasons: str) -> list[Record]:
    return [replace(record(n), state=state, reason=reason) for n, reason in enumerate(reasons)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "no trial completed"),
        (
            lost("diverged", *["train_loss is nan at epoch 1"] * 4),
            "no trial completed: all 4 diverged (train_loss is nan at epoch 1): try a lower training.optimizer.lr, or "
            "rates nearer to 0",
        ),
        (
            lost("diverged", *["train_accuracy is 10.00 % at epoch 3"] * 2, "train_loss is inf at epoch 1"),
            "no trial completed: all 3 diverged (most often train_accuracy is 10.00 % at epoch 3): try another "
            "training.optimizer.lr, more epochs or another network",
        ),
        (
            lost("failed", "out of memory; killed\nTraceback"),
            "no trial completed: all 1 failed (out of memory, killed): `tosmooth status` has all of it",
        ),
        ([*lost("pruned", "", ""), *lost("diverged", "")], "no trial completed: 2 pruned, 1 diverged"),
    ],
)
def test_row_without_a_completed_trial_says_why_and_what_to_try(records: list[Record], said: str) -> None:
    found = row_of(records, best=None)
    assert found.note == said
    assert found.completed == 0


def test_row_without_a_completed_trial_says_that_its_baselines_diverged_too() -> None:
    wrecked = [replace(r, phase="confirmation", params=CE) for r in lost("diverged", "train_loss is nan at epoch 1")]
    assert "1 confirmation run (CE) diverged, counted at chance level" in note(
        [*lost("diverged", ""), *wrecked], best=None
    )


LARGEST = "accuracy is that of the largest class (99.0 %): selection.metric: balanced_accuracy tells more"


@pytest.mark.parametrize(
    ("best", "changes", "told"),
    [
        (99.0, {"classes": 2, "test_commonest": 0.99}, True),
        (98.95, {"classes": 2, "test_commonest": 0.99}, True),  # two standard errors of 10,000 are 0.2
        (99.5, {"classes": 2, "test_commonest": 0.99}, False),  # better than that
        (97.0, {"classes": 2, "test_commonest": 0.99}, False),  # something else
        (99.0, {"classes": 2}, False),  # measured by a version that did not know
        (99.0, {"test_size": 0, "commonest": 0.99}, False),  # the validation's 60 % is not that
        (51.0, {"classes": 2, "test_commonest": 0.51}, False),  # of classes of equal size that is chance
    ],
)
def test_accuracy_of_the_largest_class_is_called_that(best: float, changes: dict[str, Any], told: bool) -> None:
    found = note(runs(best=best, ce=min(best, 80.0)), changes)
    assert found.startswith(LARGEST) == told
    assert ("largest class" in found) == told


def scored(records: list[Record], **changes: float) -> list[Record]:
    """The same runs with other metrics beside their accuracies."""
    return [replace(r, curve=tuple({**metrics, **changes} for metrics in r.curve)) for r in records]


def test_row_chosen_by_another_metric_says_so_and_how_little_small_classes_tell() -> None:
    told = {"val_balanced_accuracy": 80.0, "test_balanced_accuracy": 85.0, "test_macro_f1": 40.0}
    unequal = {"classes": 2, "test_commonest": 0.99, "balanced_size": 100.0}
    row = row_of(scored(runs(best=99.0), **told), unequal, score=Score("balanced_accuracy"))
    assert (row.metric, row.score, row.ce_score, row.gain_over_ce) == ("balanced_accuracy", 85.0, 85.0, 0.0)
    assert row.test_accuracy == pytest.approx(98.9)
    assert (row.test_balanced_accuracy, row.test_macro_f1) == (85.0, 40.0)
    notes = row.note.split("; ")
    assert notes[0] == "chosen by balanced accuracy, and so is the gain"
    assert any(
        "100 of equal classes would tell as much of balanced accuracy as the validation" in each
        and "under 4 points" in each
        for each in notes
    )
    assert LARGEST not in notes


def test_balanced_accuracy_at_chance_is_a_network_that_hardly_learns_however_large_a_class() -> None:
    told = {"val_balanced_accuracy": 51.0, "test_balanced_accuracy": 51.0}
    found = row_of(scored(runs(), **told), {"classes": 2, "test_commonest": 0.99}, score=Score("balanced_accuracy"))
    assert "the network hardly learns (51 % right where chance is 50 %)" in found.note


def test_metrics_that_an_earlier_version_did_not_report_stay_unknown_whatever_diverged() -> None:
    lost = replace(runs()[1], state="diverged")
    assert row_of([*runs(), replace(lost, train_seed=9)]).test_balanced_accuracy is None


def test_a_loss_that_runs_away_is_said_from_a_mean_logit_above_1000() -> None:
    def with_logits(size: float | None) -> list[Record]:
        of_best = [r for r in runs() if r.params == BEST]
        others = [r for r in runs() if r.params != BEST]
        return others + [replace(r, curve=({**r.curve[0], "val_mean_abs_logit": size},)) for r in of_best]

    assert note(with_logits(1000.0)) == note(with_logits(None)) == ""
    found = row_of(with_logits(2.5e27))
    assert found.mean_abs_logit == pytest.approx(2.5e27)
    assert found.note == "the loss runs away: probabilities are useless, accuracy is not"


def test_trials_that_the_rule_of_bounded_losses_left_out_are_counted() -> None:
    reason = f"mean |logit| is 4e+06 at epoch 3, above 1000 {BY_RULE}"
    lost = replace(runs()[0], phase="search", state="diverged", reason=reason)
    others = replace(lost, reason="train_loss is inf at epoch 2")
    assert "left out" not in row_of([*runs(), others]).note
    assert "trials left out since their loss runs away (selection.bounded): 1" in row_of([*runs(), lost]).note

"""A row's answer is one sentence that one can say to somebody else, and never says more than the row knows."""

from dataclasses import replace
from typing import Any

import pytest

from tests.search.builders import level
from tosmooth.search.records import Score
from tosmooth.search.report.answer import advice, answer, rate_in_words, verdict_of
from tosmooth.search.report.best_rates import best_row
from tosmooth.search.report.cell_results import CellResults
from tosmooth.search.report.row import Row
from tosmooth.search.spec.sections import Baselines, ConfirmationSpec

NOTHING = best_row(
    CellResults(
        level=level("symmetric-0.3", 0.3),
        method="gls",
        records=[],
        score=Score(),
        rule=ConfirmationSpec(),
        best=None,
        baselines=Baselines(ce={"rate": 0.0, "warmup": 0}, ls={"rate": 0.1, "warmup": 0}),
        bounds=(-8.0, 0.8),
    )
)
GIVEN: dict[str, Any] = {
    "best_rate": -2.162,
    "best_warmup": 1,
    "rate_low": -4.0,
    "rate_high": -0.97,
    "seeds": 3,
    "test_accuracy": 97.2,
    "score": 97.2,
    "gain_over_ce": 7.94,
    "gain_low": 7.33,
    "gain_high": 8.46,
}


def row(hardly_learns: bool = False, compared: bool = True, **changes: Any) -> Row:
    found = replace(NOTHING, **(GIVEN | changes))
    return replace(found, verdict=verdict_of(found, hardly_learns, compared))


def test_a_row_without_a_completed_trial_says_so() -> None:
    assert (NOTHING.verdict, answer(NOTHING)) == ("none", "symmetric-0.3: nothing can be said: no trial completed")


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "smooth", "train with r = -2.16 after 1 epoch of cross-entropy: +7.9 points (7.3 to 8.5)"),
        ({"best_warmup": 0}, "smooth", "train with r = -2.16: +7.9 points (7.3 to 8.5)"),
        (
            {
                "best_rate": -0.3,
                "rate_low": -1.4,
                "rate_high": 0.8,
                "gain_over_ce": 0.28,
                "gain_low": 0.2,
                "gain_high": 0.37,
            },
            "smooth",
            "train with r = -0.3 after 1 epoch of cross-entropy: +0.28 points (0.20 to 0.37); "
            "the sign of the best rate is undecided",
        ),
        (
            {"best_rate": 0.1, "best_warmup": 0, "rate_low": -0.28, "rate_high": 0.43}
            | {"gain_over_ce": 0.39, "gain_low": -0.31, "gain_high": 1.08},
            "undecided",
            "stay with cross-entropy: what r = 0.1 gains is within chance, +0.39 points (-0.31 to 1.08); "
            "rates from -0.28 to 0.43 cannot be told apart",
        ),
        (
            {"gain_over_ce": 0.0, "gain_low": 0.0, "gain_high": 0.0, "best_warmup": 0},
            "undecided",
            "stay with cross-entropy: what r = -2.16 gains is within chance, +0.00 points (0.00 to 0.00)",
        ),
        (
            {"gain_over_ce": -1.25, "gain_low": -2.0, "gain_high": -0.5, "best_warmup": 2},
            "cross-entropy",
            "train with plain cross-entropy: r = -2.16 after 2 epochs of cross-entropy does worse, "
            "-1.2 points (-2.0 to -0.5)",
        ),
        (
            {
                "best_rate": 0.0,
                "best_warmup": 0,
                "rate_low": -1.4,
                "rate_high": 0.8,
                "gain_over_ce": None,
                "gain_low": None,
            },
            "cross-entropy",
            "train with plain cross-entropy: no smoothing did better on the validation; "
            "rates from -1.4 to 0.8 cannot be told apart",
        ),
        (
            {"seeds": 1, "gain_low": None, "gain_high": None},
            "undecided",
            "how sure it is cannot be said: r = -2.16 after 1 epoch of cross-entropy was chosen, "
            "+7.9 points on 1 fresh seed",
        ),
        (
            {"seeds": 2, "gain_over_ce": -0.3, "gain_low": None, "gain_high": None},  # it did not do best there
            "undecided",
            "how sure it is cannot be said: r = -2.16 after 1 epoch of cross-entropy was chosen, "
            "-0.30 points on 2 fresh seeds",
        ),
        (
            {"seeds": 0, "gain_over_ce": None, "gain_low": None, "gain_high": None},
            "unconfirmed",
            "not confirmed yet: r = -2.16 after 1 epoch of cross-entropy did best in the search",
        ),
        (
            {"method": "gce", "best_rate": None, "best_parameters": "gce.q=0.7"},
            "smooth",
            "train with gce (gce.q=0.7) after 1 epoch of cross-entropy: +7.9 points (7.3 to 8.5)",
        ),
        ({"method": "mae", "best_rate": None, "best_warmup": 0}, "smooth", "train with mae: +7.9 points (7.3 to 8.5)"),
        (
            {"method": "logit-norm", "best_parameters": "temperature=0.1"},
            "smooth",
            "train with logit-norm (r = -2.16, temperature=0.1) after 1 epoch of cross-entropy: "
            "+7.9 points (7.3 to 8.5)",
        ),
        (
            {"best_parameters": "training.batch_size=64", "best_warmup": 0},
            "smooth",
            "train with r = -2.16 (training.batch_size=64): +7.9 points (7.3 to 8.5)",
        ),
        (
            {"test_accuracy": None, "metric": "macro_f1", "best_warmup": 0},
            "smooth",
            "train with r = -2.16: +7.9 points of macro F1 on the validation (7.3 to 8.5)",
        ),
    ],
)
def test_a_row_is_said_in_one_sentence(changes: dict[str, Any], verdict: str, words: str) -> None:
    found = row(**changes)
    assert (found.verdict, advice(found)) == (verdict, words)


def test_a_network_that_hardly_learns_makes_every_number_unreliable() -> None:
    found = row(hardly_learns=True)
    assert answer(found) == "symmetric-0.3: nothing here is reliable: the network hardly learns"


def test_training_of_ones_own_without_a_rate_has_no_cross_entropy_beside_it() -> None:
    bare: dict[str, Any] = {"best_rate": None, "best_warmup": None, "best_parameters": "trees=80", "score": 83.2}
    found = row(compared=False, **bare, gain_over_ce=None, gain_low=None, gain_high=None)
    words = "train with trees=80: 83.20 % accuracy on the clean test set, with no cross-entropy to compare with"
    assert (found.verdict, advice(found)) == ("uncompared", words)


def test_other_methods_are_named() -> None:
    assert answer(row(method="sce", best_rate=None, best_warmup=0)).startswith("symmetric-0.3, sce: train with sce: ")


@pytest.mark.parametrize(
    ("rate", "words"), [(-8.0, "-8"), (0.1, "0.1"), (0.0378, "0.038"), (-2.162, "-2.16"), (-10.0, "-10"), (0.8, "0.8")]
)
def test_a_rate_has_the_digits_that_one_tries_again(rate: float, words: str) -> None:
    assert rate_in_words(rate) == words

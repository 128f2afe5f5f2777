"""The answer in three sentences: what they say of rows of every kind, word for word."""

from typing import Any

import pytest

from tests.search.report.test_answer import row
from tosmooth.search.report.html.summary import headline, summary


def told(*rows: Any) -> list[str]:
    return summary(list(rows))


def test_a_gain_beyond_doubt_is_told_in_accuracies_with_its_interval() -> None:
    found = told(row(noise_rate=0.301, ce_score=89.3, trials=12))
    assert found[0] == (
        "Where 30.1 % of the labels of twonorm are wrong (symmetric-0.3), train with r = -2.16 after 1 epoch of "
        "cross-entropy: 97.2 % accuracy instead of 89.3 %, 95 % sure of +7.3 to +8.5 points."
    )
    assert found[1] == (
        "The best rate lies between -4 and -0.97 with a probability of 95 %: trust the gain rather than the exact rate."
    )
    assert found[2] == (
        "The rate was chosen among 12 trials by labels that are as noisy as those to train on, and measured with 3 "
        "fresh seeds on a test set with right labels; to be known: no trial completed."
    )


def test_what_is_within_chance_is_never_told_as_a_gain() -> None:
    first, second, _ = told(row(gain_over_ce=0.4, gain_low=-0.2, gain_high=1.0, rate_low=-1.4, rate_high=0.8))
    assert "stay with cross-entropy: what r = -2.16 after 1 epoch of cross-entropy gains is within chance" in first
    assert "instead of" not in first
    assert "so that even its sign is undecided" in second


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"noise_rate": None}, "Where an unknown share of the labels of twonorm is wrong (symmetric-0.3), "),
        ({"noise_rate": 0.0}, "Where all labels of twonorm are right (symmetric-0.3), "),
        ({"noise_rate": 0.2, "noise_rate_source": "estimated"}, "Where about 20 % of the labels of twonorm are wrong"),
        (
            {"best_rate": 0.0, "gain_over_ce": None},
            "train with plain cross-entropy: no smoothing did better on the validation",
        ),
        ({"seeds": 0}, "not confirmed yet: r = -2.16"),
    ],
)
def test_what_is_not_known_is_said(changes: dict[str, Any], words: str) -> None:
    assert words in told(row(**changes))[0]


def test_several_levels_are_counted_by_what_they_come_to() -> None:
    gains, more = row(ce_score=89.3), row(ce_score=80.0, gain_over_ce=17.0, gain_low=16.0, gain_high=18.0, noise="b")
    chance = row(gain_over_ce=0.4, gain_low=-0.2, gain_high=1.0)
    unreliable = row(hardly_learns=True)
    assert told(gains, more, chance, unreliable)[1] == (
        "Of 4 noise levels, at 2 smoothing gains beyond chance (by +7.9 to +17.0 points), at 1 the gain is within "
        "chance, or not known closely and at 1 the network hardly learns, so nothing is reliable."
    )
    assert told(gains, more)[1] == "At all 2 noise levels smoothing gains beyond chance (by +7.9 to +17.0 points)."


def test_cleaned_labels_are_no_noise_level_and_are_told_where_they_come_to_more() -> None:
    gains, cleaned = row(ce_score=89.3), row(noise="cleaned-drop", score=98.0)
    first, second, _ = told(gains, cleaned)
    assert first.endswith(
        "95 % sure of +7.3 to +8.5 points. Of labels that are cleaned first (cleaned-drop), r = -2.16 after 1 epoch of "
        "cross-entropy makes 98.0 % accuracy; whether that is more beyond chance was not tested."
    )
    assert second.startswith("The best rate lies between")
    assert "cleaned" not in told(gains, row(noise="cleaned-drop", score=90.0))[0]


def test_the_answer_begins_with_the_labels_as_they_are_given_else_with_the_largest_gain() -> None:
    small, large = row(gain_over_ce=1.0), row(gain_over_ce=17.0, noise="symmetric-0.4")
    assert headline([small, large]) is large
    given = row(noise="given", gain_over_ce=0.1, gain_low=-1.0, gain_high=1.2)
    assert headline([small, large, given]) is given
    assert headline([row(seeds=0), row(seeds=0, noise_rate=0.4)]).noise_rate == 0.4


def test_of_no_level_nothing_is_said() -> None:
    assert told() == ["Nothing can be said: there is no noise level."]


def test_what_it_rests_on_is_true_of_clean_validation_of_cleaned_labels_and_of_methods_without_a_rate() -> None:
    untested = row(noise="given", test_accuracy=None)
    chosen = "The rate was chosen among 0 trials by labels that are "
    such = ", and measured with 3 fresh seeds on such labels, too, since there is no test set; to be known: no trial"
    assert summary([untested])[2].startswith(f"{chosen}as noisy as those to train on{such}")
    assert summary([untested], clean_validation=True)[2].startswith(f"{chosen}known to be right{such}")
    cleaned = summary([row(noise="cleaned-drop", test_accuracy=None)])[2]
    assert cleaned.startswith(f"{chosen}as noisy as those to train on were before they were cleaned{such}")
    assert summary([row(method="mae", best_rate=None)])[2].startswith("It was chosen among 0 trials by labels")

"""The order of suspects, and how good it is."""

import numpy as np
import pytest

from tosmooth.trainables.suspects.quality import quality
from tosmooth.trainables.suspects.ranking import ranked

ONE = np.zeros(4, np.int64)  # all in one fold
ALL = np.ones(4, np.bool_)  # of the training set


def test_scores_are_cleanlab_s_normalised_margins_and_the_lowest_is_first() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8]]))
    found = ranked([logits], ONE, np.array([0, 0, 1, 0]), ALL)
    assert found.score.tolist() == pytest.approx([0.9, 0.3, 0.4, 0.2])  # (1 + p - best other) / 2
    assert found.order.tolist() == [3, 1, 2, 0]
    assert found.proposed.tolist() == [0, 1, 0, 1]
    assert found.p_given.tolist() == pytest.approx([0.9, 0.3, 0.4, 0.2])
    assert found.p_proposed.tolist() == pytest.approx([0.9, 0.7, 0.6, 0.8])
    assert (found.tied, found.runaway, found.agreement) == (0, False, 0.25)


def test_logits_that_run_away_are_scaled_to_the_labels_so_that_probabilities_say_something() -> None:
    logits = np.array([[1e25, -1e25], [-4e25, 4e25], [-2e25, 2e25], [3e25, -3e25]], np.float32)
    found = ranked([logits], ONE, np.array([0, 0, 0, 0]), ALL)
    assert (found.tied, found.runaway) == (0, True)
    assert found.order.tolist() == [1, 2, 0, 3]
    # Half of the labels are contradicted: no network is sure of anything then.
    assert all(0.1 < p < 0.9 for p in found.p_given.tolist())
    assert found.proposed.tolist() == [0, 1, 1, 0]
    assert found.margin.tolist() == pytest.approx([0.4, -1.6, -0.8, 1.2])  # 2, -8, -4, 6 by the median 5 of their sizes


def test_labels_of_the_validation_scale_nothing() -> None:
    logits = 1e9 * np.array([[1, -1], [-1, 1], [1, -1], [-2, 2], [3, -3.0]])
    trained = np.array([True, True, True, True, False])
    folds = np.zeros(5, np.int64)
    found = [ranked([logits], folds, np.array([0, 0, 0, 1, last]), trained).p_proposed for last in (0, 1)]
    assert found[0].tolist() == found[1].tolist()


def test_rankings_are_comparable_among_networks_whose_logits_run_away_differently() -> None:
    first = np.array([[-3.0, 3.0], [-1.0, 1.0], [2.0, -2.0]])
    logits = np.concatenate([2.0**20 * first, 2.0**80 * first])
    found = ranked([logits], np.array([0, 0, 0, 1, 1, 1]), np.zeros(6, np.int64), np.ones(6, np.bool_))
    assert found.order.tolist() == [0, 3, 1, 4, 2, 5]  # and not the second network's first: it is no surer


def test_equal_scores_are_ordered_by_the_margin() -> None:
    logits = np.array([[-400.0, 400], [-600, 600], [-500, 500], [400, -400]])  # probabilities of 0 and 1
    found = ranked([logits], ONE, np.zeros(4, np.int64), ALL)
    assert found.score.tolist() == [0, 0, 0, 1]
    assert (found.tied, found.runaway) == (0.75, False)
    assert found.order.tolist() == [1, 2, 0, 3]


def test_probabilities_are_means_over_the_seeds() -> None:
    seeds = [np.log(np.array([[0.9, 0.1], [0.5, 0.5]])), np.log(np.array([[0.5, 0.5], [0.3, 0.7]]))]
    found = ranked(seeds, ONE[:2], np.array([0, 1]), ALL[:2])
    assert found.p_given.tolist() == pytest.approx([0.7, 0.6])


def test_the_order_of_what_is_alike_in_all_is_that_of_the_rows() -> None:
    found = ranked([np.zeros((4, 2))], ONE, np.array([0, 1, 0, 1]), ALL)
    assert found.order.tolist() == [0, 1, 2, 3]


def test_quality_of_a_perfect_list_and_of_a_reversed_one() -> None:
    given, clean = np.array([0, 0, 1, 1]), np.array([1, 0, 1, 0])  # the first and the last are wrong
    right = np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.8, 0.2]])
    known = np.ones(4, np.bool_)
    best = quality(ranked([np.log(right)], ONE, given, ALL), clean, known)
    assert (best.auroc, best.average_precision, best.precision_at_wrong) == (1, 1, 1)
    worst = quality(ranked([np.log(1 - right)], ONE, given, ALL), clean, known)
    assert (worst.auroc, worst.precision_at_wrong) == (0, 0)
    assert worst.average_precision == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert best.precision_at_100 is None  # four labels


def test_quality_counts_only_rows_whose_right_label_is_known() -> None:
    given, clean = np.array([0, 0, 1, 1]), np.array([1, -1, 1, -1])
    logits = np.log(np.array([[0.1, 0.9], [0.05, 0.95], [0.1, 0.9], [0.8, 0.2]]))
    found = quality(ranked([logits], ONE, given, ALL), clean, clean >= 0)
    assert (found.auroc, found.precision_at_wrong) == (1, 1)  # row 1 is the first suspect, and nothing is known of it


def test_without_a_wrong_label_nothing_can_be_told_of_the_order() -> None:
    given = np.array([0, 1, 0, 1])
    found = quality(ranked([np.eye(2)[[0, 1, 0, 1]]], ONE, given, ALL), given, np.ones(4, np.bool_))
    assert (found.auroc, found.average_precision, found.precision_at_wrong) == (None, None, None)


def test_tied_scores_are_counted_as_chance_where_the_margin_does_not_help() -> None:
    logits = np.array([[-400.0, 400], [-500, 500], [-600, 600], [400, -400]])
    given, clean = np.zeros(4, np.int64), np.array([0, 1, 1, 0])
    found = quality(ranked([logits], ONE, given, ALL), clean, np.ones(4, np.bool_))
    assert found.auroc == 1
    assert found.auroc_of_scores == 0.75  # of four pairs two are right and two are tied

"""What a cell has tried, and what of its proposals is left."""

from tosmooth.search.suggest.deduplication import TriedParams
from tosmooth.search.suggest.warm_start import Proposal

SPREAD = [Proposal("spread", {"rate": -i / 10, "warmup": 0}) for i in range(5)]


def test_proposals_are_tried_once_and_those_given_up_are_not_tried_again() -> None:
    tried = TriedParams()
    tried.add({"warmup": 0, "rate": 0.0}, 1, "baseline")  # in whatever order
    assert tried.next_of(SPREAD) is SPREAD[1]
    tried.add(SPREAD[1].params, 1, "spread")
    tried.remove(SPREAD[1].params, 1, "spread")
    tried.give_up(SPREAD[1].params)
    assert tried.next_of(SPREAD) is SPREAD[2]
    assert tried.first_left(SPREAD) is SPREAD[2]
    assert not tried.made("spread")
    for proposal in SPREAD[2:]:
        tried.add(proposal.params, 1, "spread")
    assert tried.next_of(SPREAD) is None


def test_what_failed_under_an_earlier_driver_is_left() -> None:
    tried = TriedParams()
    tried.add(SPREAD[0].params, 1, "spread")
    tried.remove(SPREAD[0].params, 1, "spread")
    assert tried.first_left(SPREAD) is SPREAD[0]


def test_a_proposal_made_once_is_known_by_its_source() -> None:
    tried = TriedParams()
    tried.add({"rate": -0.8}, 1, "theory")
    assert tried.first_left([Proposal("theory", {"rate": -0.9})]) is None
    assert tried.first_left([Proposal("sampler", {"rate": -0.9})]) is not None


def test_seeds_are_those_of_trials_that_stand() -> None:
    tried = TriedParams()
    for seed in (1, 2, 3):
        tried.add({"rate": 0.0}, seed, "repeat")
    tried.remove({"rate": 0.0}, 2, "repeat")
    assert tried.seeds({"rate": 0.0}) == {1, 3}
    assert tried.seeds({"rate": 1.0}) == set()

"""What a run minimises: plain cross-entropy first, then its method; and where a transition matrix comes from."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.checkpointing.test_trunks import CPU, FEATURES, levels
from tests.trainables.test_options import Changes, configured
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.training.objective import check_transition
from tosmooth.trainables.training.trainer import Trainer

__all__ = ["levels"]  # a fixture
PLAIN: Changes = FEATURES | {"rate": 0.0}


def trained(changes: Changes, data: LevelData) -> Trainer:
    trainer = Trainer(configured(changes), data, CPU)
    while not trainer.done:
        trainer.run_epoch()
    return trainer


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [value.clone() for value in trainer.network.state_dict().values()]


@pytest.mark.parametrize("method", ["gce", "peer", "elr", "online-smoothing", "backward"])
def test_warm_up_of_every_method_is_plain_cross_entropy(method: str, levels: dict[bool, LevelData]) -> None:
    runs = [Trainer(configured(PLAIN | {"method": name, "warmup": 2}), levels[False], CPU) for name in ("gls", method)]
    for epoch in range(3):
        for run in runs:
            run.run_epoch()
        same = all(torch.equal(*pair) for pair in zip(*map(weights, runs), strict=True))
        assert same == (epoch < 2)


def test_transition_is_the_measured_or_the_given_one(levels: dict[bool, LevelData]) -> None:
    data = levels[False]
    assert data.transition is not None
    measured = trained(PLAIN | {"method": "forward", "transition": "measured"}, data)
    np.testing.assert_array_equal(measured.objective.transition, data.transition)
    given = trained(PLAIN | {"method": "forward", "transition": data.transition.tolist()}, data)
    assert all(torch.equal(*pair) for pair in zip(weights(measured), weights(given), strict=True))


def test_estimated_transition_is_near_the_measured_one(levels: dict[bool, LevelData]) -> None:
    data = levels[False]
    trainer = trained(PLAIN | {"method": "forward", "training.epochs": 8, "warmup": 4}, data)
    assert trainer.config.transition == "estimated"
    assert trainer.objective.transition is not None
    assert data.transition is not None
    # 40 validation examples: their own noise differs from that of all by up to 0.1.
    np.testing.assert_allclose(trainer.objective.transition, data.transition, atol=0.2)
    np.testing.assert_allclose(trainer.objective.transition.sum(dim=1), 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "forward", "transition": [[1.0, 0.0]]}, ["transition", "2 x 2"]),
        ({"method": "forward", "transition": [[0.9, 0.2], [0.2, 0.8]]}, ["transition[0]", "sums to 1"]),
        ({"method": "backward", "transition": [[0.5, 0.5], [0.5, 0.5]]}, ["transition", "condition number"]),
    ],
    ids=["shape", "sum", "no inverse"],
)
def test_matrix_that_cannot_be_used_is_refused_before_training(
    changes: dict[str, Any], words: list[str], levels: dict[bool, LevelData]
) -> None:
    with pytest.raises(InputError) as caught:
        check_transition(configured(PLAIN | changes), levels[False])
    assert [word for word in words if word not in str(caught.value)] == []


def test_measured_transition_needs_clean_labels(levels: dict[bool, LevelData]) -> None:
    unknown = dataclasses.replace(levels[False], transition=None)
    with pytest.raises(InputError, match="'measured' is refused: no clean labels"):
        check_transition(configured(PLAIN | {"method": "forward", "transition": "measured"}), unknown)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "gec"}, ["method", "'gec'", "gce"]),
        ({"method": "gce", "rate": 0.1}, ["rate", "0.1", "gls"]),
        ({"method": "gce", "parameters.p": 0.5}, ["gce.p", "one of q"]),
        ({"method": "gce", "parameters.q": 0.0}, ["gce.q", "0.0", "(0, 1]"]),
        ({"parameters.rate": 0.5}, ["gls.rate"]),
        ({"transition": "measured"}, ["transition", "gls"]),
        ({"method": "forward", "warmup": 0}, ["warmup", "0", "at least 1"]),
        ({"method": "mixup", "warmup": 1}, ["warmup", "1", "first epoch"]),
    ],
    ids=lambda value: str(value),
)
def test_what_does_not_fit_the_method_is_refused(changes: Changes, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        configured(PLAIN | changes)
    assert [word for word in words if word not in str(caught.value)] == []


def test_equal_runs_are_equal_however_they_were_given() -> None:
    explicit = configured(PLAIN | {"method": "gce", "parameters.q": 0.7})
    assert configured(PLAIN | {"method": "gce"}) == explicit
    assert hash(configured(PLAIN | {"method": "gce"})) == hash(explicit)

"""Classes of unequal size: weights against scikit-learn and torch, even draws, and what both do to a training run."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional

from tests.trainables.test_options import Changes, configured
from tosmooth.trainables.checkpointing.trunks import Trunks
from tosmooth.trainables.config import TrainingConfig
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.losses import gls_loss
from tosmooth.trainables.methods import METHODS
from tosmooth.trainables.training.divergence import CHANCE_EPOCHS, Divergence
from tosmooth.trainables.training.imbalance import EvenDraws, class_weights_of
from tosmooth.trainables.training.objective import Objective
from tosmooth.trainables.training.trainer import Report, Trainer, train

CPU = torch.device("cpu")
PLAIN: Changes = {"rate": 0.0, "training.epochs": 3, "training.batch_size": 64}
LABELS = torch.tensor([0] * 60 + [1] * 3 + [3] * 37)  # of 4 classes: none is 2


def weights(config: Any, **changes: Any) -> list[float]:
    found = class_weights_of(TrainingConfig(class_weights=config), LABELS, 4, **changes)
    assert found is not None
    return found.tolist()


def skewed(ratio: int = 100, size: int = 2000, apart: float = 3.0) -> LevelData:
    """Two classes of normal points, `apart` by so many deviations, 1 : `ratio`; the test set likewise."""
    generator = torch.Generator().manual_seed(0)

    def split(n: int) -> Split:
        labels = (torch.arange(n) % (ratio + 1) == 0).long()
        inputs = torch.randn(n, 5, generator=generator) + apart / 5**0.5 * labels[:, None]
        return Split(inputs, torch.arange(n), labels, labels)

    return LevelData(split(size), split(size), split(size), 2, 0.0, True, (0.0,), (1.0,), f"skewed {ratio}")


def ended(changes: Changes, data: LevelData) -> dict[str, float]:
    """Metrics of the last epoch."""
    seen: list[Report] = []
    train(configured(PLAIN | {"training.epochs": 6} | changes), data, seen.append, CPU)
    assert seen[-1].diverged is None
    return {key: value for key, value in seen[-1].metrics.items() if value is not None}


def test_balanced_weights_are_those_of_scikit_learn_and_none_of_a_class_that_is_not_there() -> None:
    own = LABELS.numpy()
    expected = dict(zip(np.unique(own), compute_class_weight("balanced", classes=np.unique(own), y=own), strict=True))
    assert weights("balanced") == pytest.approx([expected.get(k, 0.0) for k in range(4)])


def test_effective_numbers_follow_their_formula_with_a_mean_of_one() -> None:
    raw = [(1 - 0.999) / (1 - 0.999**n) for n in (60, 3, 37)]
    expected = [3 * each / sum(raw) for each in raw]
    assert weights("effective-number") == pytest.approx([expected[0], expected[1], 0.0, expected[2]], rel=1e-6)


def test_weights_are_given_by_number_text_or_name_and_others_weigh_one() -> None:
    assert weights({1: 5.0, "3": 0.5}) == [1.0, 5.0, 0.0, 0.5]
    assert weights({"dog": 5, "1": 2}, names=("cat", "dog", "1", "2")) == [1.0, 5.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"4": 1.0}, r"\.4: 1\.0 is refused: no class of this name; they are 0, 1, 2, 3"),
        ({"cat": 1.0}, r"\.cat: 1\.0 is refused: no class of this name"),
        ({"0": 0.0, "1": 0.0, "3": 0.0}, "above 0 for a class that has training examples"),
        ({"0": -1.0}, r"\.0: -1\.0 is refused: a finite number, 0 or more"),
        ({"0": float("nan")}, r"\.0: nan is refused"),
        ({}, "classes with their weights, each once"),
        ({1: 1.0, "1": 2.0}, "each once"),
        ("even", "one of none, balanced, effective-number, or a weight for each class"),
    ],
)
def test_weights_that_cannot_be_are_refused(config: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"^training\.class_weights.*{words}"):
        weights(config)


@pytest.mark.parametrize("seed", range(5))
def test_weighted_cross_entropy_is_torchs_and_smoothing_weighs_the_example_not_its_target(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(32, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (32,), generator=generator)
    of_class = torch.rand(4, generator=generator, dtype=torch.float64)
    own = of_class[labels]
    torch.testing.assert_close(gls_loss(logits, labels, 0.0, own), functional.cross_entropy(logits, labels, of_class))
    for rate in (-2.0, 0.3, 1.0):
        each = torch.stack([gls_loss(z[None], y[None], rate) for z, y in zip(logits, labels, strict=True)])
        torch.testing.assert_close(gls_loss(logits, labels, rate, own), (own * each).sum() / own.sum())
        if rate > 0:
            torchs = functional.cross_entropy(logits, labels, of_class, label_smoothing=rate)
            assert abs(gls_loss(logits, labels, rate, own) - torchs) > 1e-3


def test_batch_of_classes_without_weight_costs_nothing() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    loss = gls_loss(logits, torch.zeros(4, dtype=torch.long), 0.0, torch.zeros(4))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.weighs])
@pytest.mark.parametrize("warm", [True, False])
def test_every_method_that_takes_weights_weighs_its_examples(name: str, warm: bool) -> None:
    """Weight 0 of a class leaves the mean loss of the others' examples; weights that are equal change nothing."""
    if warm and METHODS[name].from_start:
        return
    data = skewed(3, 120)
    transition = [[0.8, 0.2], [0.2, 0.8]] if METHODS[name].needs_transition else None
    labels = data.train.labels
    logits = torch.randn(120, 2, generator=torch.Generator().manual_seed(1))

    def loss(given: Any, of: Tensor) -> Tensor:
        changes = {"method": name, "transition": transition, "training.class_weights": given, "warmup": 1}
        config = configured(PLAIN | changes)
        objective = Objective(config, data, 1, torch.Generator().manual_seed(0))
        objective.begin(0 if warm else 1, lambda: None)
        if name == "disturb-label" and objective.method is not None:
            return objective(logits, logits, labels, 1, torch.arange(120), None)  # it draws for the whole batch
        return objective(logits[of], logits[of], labels[of], 1, torch.arange(120)[of], None)

    whole = torch.arange(120)
    assert (loss("balanced", whole) - loss("none", whole)).abs() > 1e-6
    torch.testing.assert_close(loss({"0": 3.0, "1": 3.0}, whole), loss("none", whole))
    if name != "disturb-label" or warm:
        torch.testing.assert_close(loss({"0": 0.0, "1": 2.0}, whole), loss("none", labels.nonzero()[:, 0]))


@pytest.mark.parametrize("method", ["peer", "mixup"])
def test_methods_without_a_place_for_weights_refuse_them(method: str) -> None:
    configured(PLAIN | {"method": method})
    with pytest.raises(InputError, match=r"training\.class_weights: 'balanced' is refused: for the methods gls, .*gce"):
        configured(PLAIN | {"method": method, "training.class_weights": "balanced"})


def test_method_that_recalls_examples_refuses_to_see_one_twice_in_a_batch() -> None:
    with pytest.raises(InputError, match=r"training\.sampler: 'balanced' is refused: for the methods gls, "):
        configured(PLAIN | {"method": "elr", "training.sampler": "balanced"})


def test_epochs_are_drawn_evenly_over_the_classes_and_evenly_within_them() -> None:
    draws, generator = EvenDraws(LABELS), torch.Generator().manual_seed(0)
    drawn = torch.cat([draws.draw(generator) for _ in range(300)])  # of 100 each
    per_class = LABELS[drawn].bincount(minlength=4) / len(drawn)
    torch.testing.assert_close(per_class, torch.tensor([1 / 3, 1 / 3, 0, 1 / 3]), atol=0.015, rtol=0)
    within = drawn.bincount(minlength=100)
    for k, n in ((0, 60), (1, 3), (3, 37)):
        expected = 10_000 / n
        assert (within[LABELS.eq(k)] - expected).abs().max() < 5 * expected**0.5


@pytest.mark.parametrize("changes", [{"training.sampler": "balanced"}, {"training.class_weights": "balanced"}])
def test_runs_repeat_and_share_their_trunk_bit_for_bit(changes: Changes, tmp_path: Path) -> None:
    data = skewed(20, 400)
    whole: list[Report] = []
    parts: list[Report] = []
    config = configured(PLAIN | changes | {"rate": -0.4, "warmup": 2})
    train(config, data, whole.append, CPU)
    trunks = Trunks(str(tmp_path), frozenset({2}))
    train(dataclasses.replace(config, rate=0.2), data, lambda report: None, CPU, trunks)
    train(config, data, parts.append, CPU, trunks)
    assert parts[1].metrics["spared"] == 1
    timed = {"seconds", "spared"}
    assert [{k: v for k, v in each.metrics.items() if k not in timed} for each in whole] == [
        {k: v for k, v in each.metrics.items() if k not in timed} for each in parts
    ]
    train(configured(PLAIN | {"rate": -0.4, "warmup": 2}), data, parts.append, CPU, trunks)  # an even recipe's: another
    assert all("spared" not in each.metrics for each in parts[3:])


@pytest.mark.parametrize(
    "changes",
    [
        {"training.class_weights": "balanced"},
        {"training.class_weights": "effective-number"},
        {"training.class_weights": {"1": 100.0}},
        {"training.sampler": "balanced"},
    ],
    ids=str,
)
def test_balancing_finds_the_rare_class(changes: Changes) -> None:
    data = skewed()
    plain, balanced = ended({}, data), ended(changes, data)
    assert plain["test_accuracy"] > 98.9  # that of always saying the larger class is 99.0
    assert balanced["test_balanced_accuracy"] > plain["test_balanced_accuracy"] + 5
    assert balanced["test_accuracy_of.1"] > plain["test_accuracy_of.1"]


def test_wrong_labels_are_counted_among_those_that_were_drawn() -> None:
    data = skewed(20, 400)
    flipped = data.train.labels.clone()
    flipped[:100] = 1 - flipped[:100]
    noisy = dataclasses.replace(data, train=dataclasses.replace(data.train, labels=flipped))
    for changes in ({}, {"training.sampler": "balanced"}):
        trainer = Trainer(configured(PLAIN | changes), noisy, CPU)
        for _ in range(3):
            found = trainer.run_epoch().metrics
            shares = [found["train_accuracy_clean"], found["train_accuracy_flipped"]]
            assert all(share is not None and 0 <= share <= 100 for share in shares)
            low, high = sorted(share or 0.0 for share in shares)
            assert low <= (found["train_accuracy"] or 0) <= high


def test_chance_is_judged_with_the_weights_of_the_classes() -> None:
    """Who mostly says the rare class is right for few examples and most of the weight: that is not chance."""
    data = skewed(20, apart=0.8)
    trainer = Trainer(configured(PLAIN | {"training.class_weights": {"1": 60.0}, "training.epochs": 8}), data, CPU)
    seen = [trainer.run_epoch() for _ in range(CHANCE_EPOCHS + 2)]
    assert all((report.metrics["train_accuracy"] or 0) < 52 for report in seen[-CHANCE_EPOCHS:])
    assert [report.diverged for report in seen] == [None] * len(seen)
    watch = Divergence(2)
    found = [watch.after(epoch, 0.5, 1.0, 0.5, 50.0) for epoch in range(1, CHANCE_EPOCHS + 1)]  # the rare one alone
    assert found[:-1] == [None] * (CHANCE_EPOCHS - 1)
    assert (found[-1] or "").startswith("train_accuracy is 1.00 % (50.00 % by the weights of the classes) at epoch 3")


def test_a_criterion_is_not_weighed() -> None:
    data = skewed(3, 100)
    config = configured(PLAIN | {"training.class_weights": "balanced"})
    objective = Objective(config, data, 1, torch.Generator(), lambda inputs, logits, labels: logits.mean())
    assert objective(torch.ones(4, 1), torch.ones(4, 2), torch.tensor([0, 1, 1, 1]), 0, torch.arange(4), None) == 1

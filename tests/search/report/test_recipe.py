"""The lines that `tosmooth best` prints train in code of one's own, with the loss that the study trained."""

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tosmooth as ts
from tests.search.tools import tiny
from tosmooth.search.report.recipe import MODULES, recipe
from tosmooth.trainables.methods import METHODS


def executed(lines: str) -> tuple[dict[str, Any], Tensor]:
    """What the lines define, run with a linear model on two batches; and how far they moved its weights."""
    torch.manual_seed(0)
    model = nn.Linear(20, 2)
    before = model.weight.detach().clone()
    names: dict[str, Any] = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.01),
        "batches": [(torch.randn(8, 20), torch.randint(2, (8,))) for _ in range(2)],
    }
    exec(lines, names)  # noqa: S102 - they are what is tested
    return names, (model.weight - before).abs().sum()


def lines_of(params: dict[str, Any], method: str = "gls", *changes: str) -> str:
    methods = "gls" if method == "gls" else f"[gls, {method}]"
    spec = tiny(f"method={methods}", "dataset.noise=[clean]", *changes)
    return recipe(spec, spec.cells()[-1], params)


@pytest.mark.parametrize(("rate", "warmup"), [(-8.0, 2), (-1.5, 0), (0.3, 1), (0.0, 0)])
def test_the_lines_train_with_the_rate_and_both_losses_are_the_same(rate: float, warmup: int) -> None:
    lines = lines_of({"rate": rate, "warmup": warmup})
    names, moved = executed(lines)
    assert moved > 0
    loss, plain = names["loss"], names["smoothed"]
    assert isinstance(loss, ts.losses.GeneralizedSmoothing)
    assert (loss.rate, loss.warmup, loss.epoch) == (rate, warmup, 2)  # of three epochs the last
    logits, labels = torch.randn(5, 3), torch.randint(3, (5,))
    for epoch in range(3):
        loss.epoch = epoch
        torch.testing.assert_close(plain(logits, labels, epoch), loss(logits, labels))
        expected = rate if epoch >= warmup else 0
        smooth = (1 - expected) * nn.functional.one_hot(labels, 3) + expected / 3
        torch.testing.assert_close(loss(logits, labels), nn.functional.cross_entropy(logits, smooth))


def test_a_ramp_is_followed_within_an_epoch() -> None:
    lines = lines_of({"rate": -4.0, "warmup": 1, "gls.ramp": 1.5}, "gls", "space.gls.ramp={low: 0, high: 2}")
    names, moved = executed(lines)
    assert moved > 0
    assert (names["loss"].ramp, names["loss"].epoch) == (1.5, 2.5)  # the second of two batches of the third epoch
    assert "smoothed" not in names
    assert "A trap" in lines


def test_the_trap_is_as_the_lines_say() -> None:
    assert "torch.nn.CrossEntropyLoss(label_smoothing=-8) raises nothing and is plain" in lines_of({"rate": -8.0})
    assert "A trap" not in lines_of({"rate": 0.1})
    logits, labels = torch.randn(5, 3), torch.randint(3, (5,))
    plain = nn.CrossEntropyLoss()(logits, labels)
    assert torch.equal(nn.CrossEntropyLoss(label_smoothing=-8)(logits, labels), plain)


def test_a_factor_on_the_learning_rate_is_in_the_lines() -> None:
    names, _ = executed(lines_of({"rate": -1.0, "warmup": 1, "lr_after_warmup": 0.1}))
    assert names["optimizer"].param_groups[0]["lr"] == pytest.approx(0.001)


@pytest.mark.parametrize("method", MODULES)
def test_every_method_that_has_a_module_has_lines(method: str) -> None:
    module = getattr(ts.losses, MODULES[method])
    known = set(inspect.signature(module).parameters) | {"settings"}
    own = {"rate"} if method == "gls" else {*METHODS[method].parameters}
    assert own | {"warmup"} <= known or own == set()
    matrix = "transition=[[0.8, 0.2], [0.3, 0.7]]"
    lines = lines_of({"warmup": 1}, method, *([matrix] if METHODS[method].needs_transition else []))
    names, moved = executed(lines)
    assert isinstance(names["loss"], module)
    assert moved > 0


def test_methods_without_a_module_say_so() -> None:
    assert {*METHODS} - {*MODULES} == {"elr", "mixup", "online-smoothing", "ce"}
    for method, params in (("elr", {"warmup": 1}), ("mixup", {}), ("forward", {"warmup": 1})):
        lines = lines_of(params, method)
        assert executed(lines)[1] == 0
        assert f"# {method}: no module in tosmooth.losses; the study file beside trains it" in lines

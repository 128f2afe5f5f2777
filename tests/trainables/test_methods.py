"""The registry of methods: what holds for every one of them."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.losses import Facts, Loss, MixingLoss, StatefulLoss, Step, gls_loss, make_loss
from tosmooth.trainables.losses.making import MAKERS
from tosmooth.trainables.methods import METHODS, check_parameters
from tosmooth.trainables.noise.synthetic import Synthetic, transition_matrix

K, N, B = 6, 40, 20
PARAMETERS = [(name, key) for name, method in METHODS.items() for key in method.parameters]


def facts(transition: Tensor | None = None) -> Facts:
    T = torch.from_numpy(transition_matrix(Synthetic("symmetric", 0.3), K)) if transition is None else transition
    return Facts(K, N, torch.device("cpu"), T)


def values(loss: Loss, scale: float = 3.0, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """The loss and its gradient in each of four steps, two epochs after the warm-up."""
    generator = torch.Generator().manual_seed(0)
    seen = []
    for step in range(4):
        index = torch.arange(B) + B * (step % 2)
        labels = index % K
        mixed = None
        if isinstance(loss, MixingLoss):
            _, mixed = loss.mix(torch.zeros(B, 2), labels, generator)
        logits = (scale * torch.randn(B, K, generator=generator)).to(dtype).requires_grad_()
        value = loss(logits, labels, Step(step // 2, step / 2, index, generator, mixed))
        value.backward()
        assert logits.grad is not None
        seen += [value.detach(), logits.grad]
        if step % 2 and isinstance(loss, StatefulLoss):
            loss.end_epoch()
    return seen


def test_each_method_has_a_loss_and_each_loss_a_method() -> None:
    assert MAKERS.keys() == METHODS.keys()


def test_registry_is_loaded_without_torch() -> None:
    code = "import sys, tosmooth.trainables.methods; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
def test_default_and_range_fit(name: str, key: str) -> None:
    parameter = METHODS[name].parameters[key]
    assert parameter.low < parameter.high
    assert parameter.low <= parameter.default <= parameter.high
    assert parameter.scale != "log" or parameter.low > 0
    for value in (parameter.low, parameter.default, parameter.high):
        parameter.rule(key, value)
        make_loss(name, {key: value}, facts())


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
def test_every_parameter_changes_the_loss(name: str, key: str) -> None:
    parameters = METHODS[name].parameters
    others = {other: each.low for other, each in parameters.items() if other != key}
    low, high = (
        values(make_loss(name, {**others, key: value}, facts()))
        for value in (parameters[key].low, parameters[key].high)
    )
    assert not all(torch.allclose(a, b, rtol=1e-3) for a, b in zip(low, high, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_defaults_are_what_is_not_given(name: str) -> None:
    parameters = METHODS[name].parameters
    assert check_parameters(name, {}) == {key: each.default for key, each in parameters.items()}
    given = {key: each.default for key, each in parameters.items()}
    for a, b in zip(values(make_loss(name, {}, facts())), values(make_loss(name, given, facts())), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_loss_is_a_scalar_in_float32_or_wider(name: str, dtype: torch.dtype) -> None:
    for value in values(make_loss(name, {}, facts()), dtype=dtype)[::2]:
        assert value.shape == ()
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("end", ["default", "low", "high"])
@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e2, 1e4])
def test_extreme_logits_give_finite_losses_and_gradients(name: str, end: str, scale: float) -> None:
    parameters = {key: getattr(each, end) for key, each in METHODS[name].parameters.items()}
    for value in values(make_loss(name, parameters, facts()), scale):
        assert value.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_gradient_sums_to_zero_over_the_classes(name: str) -> None:
    """A constant added to all logits changes no prediction; only a norm of the logits sees it."""
    gradients = values(make_loss(name, {}, facts()), dtype=torch.float64)[1::2]
    even = all(gradient.sum(dim=1).abs().max() < 1e-7 for gradient in gradients)
    assert even == (name not in ("logit-norm", "logit-clip"))


@pytest.mark.parametrize("name", METHODS)
def test_same_generator_gives_the_same_losses_whatever_torch_drew(name: str) -> None:
    first = values(make_loss(name, {}, facts()))
    torch.rand(3)
    state = torch.get_rng_state()
    second = values(make_loss(name, {}, facts()))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_says_of_itself_is_so(name: str) -> None:
    method = METHODS[name]
    loss = make_loss(name, {}, facts())
    assert method.mixes == isinstance(loss, MixingLoss)
    assert method.from_start == (name == "mixup")
    assert isinstance(loss, StatefulLoss) == (name in ("elr", "online-smoothing"))
    none = Facts(K, N, torch.device("cpu"))
    if method.needs_transition:
        with pytest.raises(InputError, match=f"method: '{name}' is refused: it needs a transition matrix"):
            make_loss(name, {}, none)
    else:
        make_loss(name, {}, none)


def test_rate_grows_from_zero_over_the_ramp() -> None:
    loss = make_loss("gls", {"rate": -2.0, "ramp": 4}, facts())
    logits, labels = torch.randn(B, K), torch.arange(B) % K
    for since, rate in [(0.0, 0.0), (1.0, -0.5), (2.5, -1.25), (4.0, -2.0), (9.0, -2.0)]:
        step = Step(7, since, torch.arange(B), torch.Generator())
        assert loss(logits, labels, step).item() == gls_loss(logits, labels, rate).item()
    at_once = make_loss("gls", {"rate": -2.0}, facts())
    first = Step(7, 0.0, torch.arange(B), torch.Generator())
    assert at_once(logits, labels, first).item() == gls_loss(logits, labels, -2.0).item()


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("gsl", {}, "method: 'gsl' is refused: did you mean 'gls'?"),
        ("adam", {}, "method: 'adam' is refused: one of gls, confidence-penalty, "),
        ("gls", {"rates": 0.1}, "gls.rates: unknown; did you mean 'rate'?"),
        ("sce", {"q": 0.1}, "sce.q: unknown; one of alpha, beta"),
        ("mae", {"q": 0.1}, "mae.q: unknown; it has none"),
        ("gls", {"rate": 1.5}, "rate: 1.5 is refused: a finite smoothing rate of at most 1"),
        ("gls", {"rate": -math.inf}, "rate: -inf is refused: a finite smoothing rate of at most 1"),
        ("gls", {"ramp": -1}, "ramp: -1 is refused: a finite number, 0 or more"),
        ("gce", {"q": "0.7"}, "q: '0.7' is refused: a number"),
        ("gce", {"q": True}, "q: True is refused: a number"),
        ("elr", {"lam": 10**400}, "is refused: a number"),
        ("elr", {"beta": 1.0}, "beta: 1.0 is refused: in [0, 1)"),
        ("peer", {"alpha": math.nan}, "alpha: nan is refused"),
        ("disturb-label", {"alpha": 1.1}, "alpha: 1.1 is refused: in [0, 1]"),
        ("mixup", {"alpha": 0.0}, "alpha: 0.0 is refused: a finite number above 0"),
        ("online-smoothing", {"alpha": -0.1}, "alpha: -0.1 is refused: in [0, 1]"),
        ("logit-norm", {"temperature": 0.0}, "temperature: 0.0 is refused: a finite number above 0"),
    ],
)
def test_bad_input_is_refused_with_key_value_and_rule(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        make_loss(name, parameters, facts())
    assert message in str(error.value)


def changed(row: int, column: int, value: float) -> Tensor:
    T = torch.eye(K)
    T[row, column] = value
    return T


@pytest.mark.parametrize("name", ["forward", "backward"])
@pytest.mark.parametrize(
    ("transition", "message"),
    [
        (torch.eye(K - 1), r"transition: \[5, 5\] is refused: a matrix of 6 x 6 probabilities"),
        (torch.ones(K), r"transition: \[6\] is refused: a matrix of 6 x 6"),
        (changed(0, 1, -0.5), r"transition: \[-0\.5, 1\.0\] is refused: its entries lie in \[0, 1\]"),
        (changed(0, 1, math.nan), "transition: .* is refused: its entries lie in"),
        (
            changed(2, 1, 0.5),
            r"transition\[2\]: \[0\.0, 0\.5, 1\.0, .* is refused: a row, of one clean label, sums to 1",
        ),
        (changed(3, 3, 0.5), r"transition\[3\]: .* is refused: a row, of one clean label, sums to 1"),
        (torch.eye(K)[[0, 0, 2, 3, 4, 5]], r"transition: \[1\] is refused: columns of zeros: each label must come"),
    ],
)
def test_matrix_that_is_none_of_transitions_is_refused(name: str, transition: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_loss(name, {}, facts(transition))


def test_matrix_that_cannot_be_inverted_is_refused_by_backward_correction_alone() -> None:
    even = torch.full((K, K), 1 / K)  # labels that say nothing of the class
    with pytest.raises(InputError, match=r"a matrix of condition number .* is refused: backward correction inverts it"):
        make_loss("backward", {}, facts(even))
    make_loss("forward", {}, facts(even))


def test_transition_written_with_few_digits_is_taken() -> None:
    """A row of 1/3 written as 0.33333 sums to 0.99999."""
    T = torch.from_numpy(np.round(np.full((3, 3), 1 / 3) * 0.3 + np.eye(3) * 0.7, 5))
    make_loss("backward", {}, Facts(3, N, torch.device("cpu"), T))


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="classes: 1 is refused: at least 2"):
        make_loss("gls", {}, Facts(1, N, torch.device("cpu")))

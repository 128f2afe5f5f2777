"""The losses as modules: torch's cross-entropy where that has the same, the functions of training elsewhere."""

import inspect
import io
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import tosmooth
from tosmooth import losses
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.losses import Facts, Step, make_loss
from tosmooth.trainables.losses.module import WarmedLoss
from tosmooth.trainables.methods import METHODS

K, N = 5, 12
WEIGHT = torch.tensor([0.5, 2.0, 0.0, 1.0, 3.0], dtype=torch.float64)
TRANSITION = 0.7 * torch.eye(K, dtype=torch.float64) + 0.3 / K
NAMES = {
    "gls": "GeneralizedSmoothing",
    "confidence-penalty": "ConfidencePenalty",
    "disturb-label": "DisturbLabel",
    "forward": "ForwardCorrection",
    "backward": "BackwardCorrection",
    "peer": "PeerLoss",
    "sce": "SymmetricCrossEntropy",
    "gce": "GeneralizedCrossEntropy",
    "mae": "MeanAbsoluteError",
    "nce-rce": "NormalizedReverseCrossEntropy",
    "bootstrap-soft": "SoftBootstrapping",
    "bootstrap-hard": "HardBootstrapping",
    "logit-norm": "LogitNorm",
    "logit-clip": "LogitClip",
}
REDUCTIONS = ["mean", "sum", "none"]


def made(method: str, **settings: Any) -> WarmedLoss:
    """The module of a method, at its defaults."""
    own: dict[str, list[Any]] = {"gls": [-1.5], "forward": [TRANSITION], "backward": [TRANSITION]}
    needed = own.get(method, [])
    module: WarmedLoss = getattr(losses, NAMES[method])(*needed, **settings)
    return module


def batch(*shape: int, soft: bool = False) -> tuple[Tensor, Tensor]:
    """Logits of that shape, and labels or soft targets."""
    generator = torch.Generator().manual_seed(len(shape))
    logits = (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_()
    axis = 0 if len(shape) == 1 else 1
    if soft:
        return logits, torch.rand(shape, generator=generator, dtype=torch.float64).softmax(dim=axis)
    return logits, torch.randint(K, [*shape[:axis], *shape[axis + 1 :]], generator=generator)


def value_and_gradient(loss: Any, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    value = loss(logits, target)
    (gradient,) = torch.autograd.grad((value * torch.arange(1, value.numel() + 1).reshape(value.shape)).sum(), logits)
    return value, gradient


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(N, K), (4, K, 3), (2, K, 3, 2), (K,)])
def test_rates_from_0_to_1_are_torchs_label_smoothing_in_value_and_gradient(
    shape: tuple[int, ...], reduction: Any
) -> None:
    for rate, weight, soft in itertools.product((0.0, 0.1, 0.6, 1.0), (None, WEIGHT), (False, True)):
        ignored = {} if soft else {"ignore_index": 1}
        own = losses.GeneralizedSmoothing(rate, weight=weight, reduction=reduction, **ignored)
        theirs = nn.CrossEntropyLoss(weight, label_smoothing=rate, reduction=reduction, **ignored)
        found, expected = (value_and_gradient(loss, *batch(*shape, soft=soft)) for loss in (own, theirs))
        if not expected[0].isfinite().all():
            continue  # torch divides 0 by 0 where all labels are ignored or weigh nothing
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_negative_rate_is_what_torch_leaves_out_without_a_word() -> None:
    logits, labels = batch(N, K)
    plain = functional.cross_entropy(logits, labels)
    assert nn.CrossEntropyLoss(label_smoothing=-8)(logits, labels) == plain
    targets = 9 * functional.one_hot(labels, K).double() - 8 / K
    expected = -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(losses.GeneralizedSmoothing(-8)(logits, labels), expected)
    assert abs(expected - plain) > 0.5


@pytest.mark.parametrize("method", NAMES)
def test_each_module_is_the_loss_that_a_study_trains(method: str) -> None:
    logits, labels = batch(N, K)
    generator = torch.Generator().manual_seed(3)
    step = Step(epoch=0, since=0.0, index=torch.arange(N), generator=generator)
    transition = TRANSITION if METHODS[method].needs_transition else None
    parameters = {"rate": -1.5} if method == "gls" else {}
    expected = make_loss(method, parameters, Facts(K, N, torch.device("cpu"), transition))(logits, labels, step)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        found = made(method)(logits, labels)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("method", NAMES)
def test_each_module_has_the_methods_defaults_and_takes_what_it_takes(method: str) -> None:
    default = inspect.signature(type(made(method)).__init__).parameters
    for name, parameter in METHODS[method].parameters.items():
        required = (method, name) == ("gls", "rate")
        assert required or default[name].default == parameter.default
    logits, soft = batch(N, K, soft=True)
    if METHODS[method].soft:
        assert made(method)(logits, soft).isfinite()
    else:
        with pytest.raises(InputError, match=r"target: \[12, 5\] is refused: labels: this method has no meaning"):
            made(method)(logits, soft)


@pytest.mark.parametrize("method", NAMES)
def test_each_module_weighs_ignores_and_reduces(method: str) -> None:
    weighs = METHODS[method].weighs
    logits, labels = batch(N, K)
    labels[[2, 7]] = 1
    found = {}
    for reduction in REDUCTIONS:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            settings = {"weight": WEIGHT} if weighs else {}
            found[reduction] = made(method, reduction=reduction, ignore_index=1, **settings)(logits, labels)
    each, kept = found["none"], labels != 1
    assert (each[~kept] == 0).all()
    torch.testing.assert_close(found["sum"], each.sum())
    counted = WEIGHT[labels[kept]].sum() if weighs else kept.sum()
    torch.testing.assert_close(found["mean"], each.sum() / counted)
    if weighs and method not in ("gls", "logit-norm", "logit-clip"):  # which weigh each entry of a target
        with torch.random.fork_rng():
            torch.manual_seed(0)
            plain = made(method, reduction="none", ignore_index=1)(logits, labels)
        torch.testing.assert_close(each, plain * WEIGHT[labels])


@pytest.mark.parametrize("method", NAMES)
def test_each_module_is_cross_entropy_before_the_end_of_its_warm_up(method: str) -> None:
    loss = losses.DisturbLabel(0.9, 2) if method == "disturb-label" else made(method, warmup=2)
    logits, labels = batch(N, K)
    plain = functional.cross_entropy(logits, labels)
    seen = []
    for _ in range(3):
        loss.step_epoch()
        seen.append(torch.allclose(loss(logits, labels), plain))
    assert seen == [True, True, False]


def test_an_epoch_that_matters_and_was_never_told_is_an_error() -> None:
    rule = "the loss is to be told of each epoch before it begins"
    for loss in (losses.GeneralizedSmoothing(-1, 3), losses.GeneralizedSmoothing(-1, ramp=2)):
        with pytest.raises(InputError, match=rule):
            loss(*batch(N, K))
        loss.epoch = 5
        loss(*batch(N, K))
    assert losses.GeneralizedSmoothing(-1)(*batch(N, K)).isfinite()


def test_the_rate_grows_over_the_ramp_also_within_an_epoch() -> None:
    logits, labels = batch(N, K)
    loss = losses.GeneralizedSmoothing(-4, warmup=1, ramp=2)
    for epoch, rate in ((0, 0), (1, 0), (1.5, -1), (2, -2), (3, -4), (9, -4)):
        loss.epoch = epoch
        torch.testing.assert_close(loss(logits, labels), losses.GeneralizedSmoothing(rate)(logits, labels))


def test_a_checkpoint_has_the_epoch_and_the_weights() -> None:
    loss = losses.GeneralizedSmoothing(-1, 3, weight=WEIGHT)
    loss.epoch = 2
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other = losses.GeneralizedSmoothing(-1, 3, weight=torch.ones(K, dtype=torch.float64))
    other.load_state_dict(torch.load(file, weights_only=True))
    other.step_epoch()
    assert other.epoch == 3
    assert other.weight is not None
    assert other.weight.equal(WEIGHT)


def test_a_batch_of_ignored_labels_alone_is_0_and_so_is_its_gradient() -> None:
    for method in NAMES:
        logits, _ = batch(N, K)
        value, gradient = value_and_gradient(made(method), logits, torch.full((N,), -100))
        assert value == 0
        assert (gradient == 0).all()


def test_half_precision_is_computed_in_float32_and_labels_may_be_small_integers() -> None:
    logits, labels = batch(N, K)
    found = losses.GeneralizedSmoothing(-2)(logits.bfloat16(), labels.to(torch.int32))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, losses.GeneralizedSmoothing(-2)(logits.bfloat16().float(), labels))


def test_label_flipping_leaves_labels_alone_in_evaluation() -> None:
    logits, labels = batch(N, K)
    loss = losses.DisturbLabel(1.0).eval()
    torch.testing.assert_close(loss(logits, labels), functional.cross_entropy(logits, labels))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.GeneralizedSmoothing(1.5), "rate: 1.5 is refused"),
        (lambda: losses.GeneralizedSmoothing(0, -1), "warmup: -1 is refused"),
        (lambda: losses.GeneralizedSmoothing(0, ramp=-1), "ramp: -1 is refused"),
        (lambda: losses.GeneralizedSmoothing(0, reduction="avg"), "reduction: 'avg' is refused"),  # type: ignore[arg-type]
        (lambda: losses.GeneralizedSmoothing(0, weight=-WEIGHT), "weight: .* is refused"),
        (lambda: losses.PeerLoss(weight=WEIGHT), "weight: .* the peer loss has none"),
        (lambda: losses.ForwardCorrection([[1.0, 0.0], [0.5, 0.6]]), r"transition\[1\]: .* sums to 1"),
        (lambda: losses.GeneralizedSmoothing(0)(torch.zeros(3, K), torch.zeros(4).long()), r"target: \[4\] is refused"),
        (lambda: losses.GeneralizedSmoothing(0)(torch.zeros(3, K), torch.zeros(3)), r"target: \[3\] is refused"),
        (lambda: losses.GeneralizedSmoothing(0, weight=torch.ones(2))(*batch(N, K)), r"weight: \[2\] is refused"),
        (lambda: losses.GeneralizedSmoothing(0, ignore_index=1)(*batch(N, K, soft=True)), "ignore_index: 1 is refused"),
        (lambda: losses.ForwardCorrection([[1.0, 0.0], [0.0, 1.0]])(*batch(N, K)), "transition: .* of the 5 classes"),
    ],
)
def test_wrong_parameters_and_shapes_are_named(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_they_are_where_a_user_looks_for_them() -> None:
    assert tosmooth.losses is losses
    assert sorted(NAMES.values()) == losses.__all__

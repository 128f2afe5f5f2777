"""Construction of a loss from a method's name and parameters."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.errors import require
from tosmooth.trainables.losses.common import averaged, widened
from tosmooth.trainables.losses.correction import (
    backward_loss,
    checked_transition,
    forward_loss,
    inverse_of,
    peer_loss,
    peer_pairs,
)
from tosmooth.trainables.losses.interface import Facts, Loss, Step
from tosmooth.trainables.losses.logits import logit_clip_loss, logit_norm_loss
from tosmooth.trainables.losses.memory import EarlyLearning, bootstrap_hard_loss, bootstrap_soft_loss
from tosmooth.trainables.losses.mixup import Mixup
from tosmooth.trainables.losses.robust import gce_loss, mae_loss, nce_rce_loss, sce_loss
from tosmooth.trainables.losses.smoothing import (
    OnlineSmoothing,
    confidence_penalty_loss,
    disturbed_labels,
    gls_loss,
    ramped,
)
from tosmooth.trainables.methods import METHODS, check_parameters

Maker = Callable[[dict[str, float], Facts], Loss]


def make_loss(name: str, parameters: Mapping[str, float], facts: Facts) -> Loss:
    """Make a method's loss, with a new state; parameters that are not given have their defaults.

    Raises `InputError` for an unknown method or parameter, a value that is refused, and a method that needs a
    transition matrix where `facts` have none that it can use.
    """
    values = check_parameters(name, parameters)
    require(facts.classes >= 2, "classes", facts.classes, "at least 2")
    if METHODS[name].needs_transition:
        rule = "it needs a transition matrix, given, measured or estimated, and there is none"
        require(facts.transition is not None, "method", name, rule)
    return MAKERS[name](values, facts)


def _pure(loss: Callable[..., Tensor]) -> Maker:
    """Wrap a function of logits, labels, and by their names the method's parameters and the weights."""

    def make(values: dict[str, float], facts: Facts) -> Loss:
        return lambda logits, labels, step: loss(logits, labels, **values, weights=step.weights)

    return make


def _gls(values: dict[str, float], facts: Facts) -> Loss:
    rate, ramp = values["rate"], values["ramp"]
    return lambda logits, labels, step: gls_loss(logits, labels, ramped(rate, step.since, ramp), step.weights)


def _disturb_label(values: dict[str, float], facts: Facts) -> Loss:
    def loss(logits: Tensor, labels: Tensor, step: Step) -> Tensor:
        disturbed = disturbed_labels(labels, facts.classes, values["alpha"], step.generator)
        if step.weights is None:
            return functional.cross_entropy(widened(logits), disturbed)
        return averaged(functional.cross_entropy(widened(logits), disturbed, reduction="none"), step.weights)

    return loss


def _peer(values: dict[str, float], facts: Facts) -> Loss:
    def loss(logits: Tensor, labels: Tensor, step: Step) -> Tensor:
        return peer_loss(logits, labels, *peer_pairs(len(labels), step.generator), values["alpha"])

    return loss


def _forward(values: dict[str, float], facts: Facts) -> Loss:
    transition = _transition(facts).to(facts.device)
    return lambda logits, labels, step: forward_loss(logits, labels, transition, step.weights)


def _backward(values: dict[str, float], facts: Facts) -> Loss:
    inverse = inverse_of(_transition(facts)).to(facts.device)
    return lambda logits, labels, step: backward_loss(logits, labels, inverse, step.weights)


def _transition(facts: Facts) -> Tensor:
    if facts.transition is None:
        raise ValueError("no transition matrix")  # `make_loss` has told the user
    return checked_transition(facts.transition, facts.classes)


MAKERS: dict[str, Maker] = {
    "gls": _gls,
    "confidence-penalty": _pure(confidence_penalty_loss),
    "disturb-label": _disturb_label,
    "forward": _forward,
    "backward": _backward,
    "peer": _peer,
    "sce": _pure(sce_loss),
    "gce": _pure(gce_loss),
    "mae": _pure(mae_loss),
    "nce-rce": _pure(nce_rce_loss),
    "bootstrap-soft": _pure(bootstrap_soft_loss),
    "bootstrap-hard": _pure(bootstrap_hard_loss),
    "elr": lambda values, facts: EarlyLearning(values["beta"], values["lam"], facts),
    "mixup": lambda values, facts: Mixup(values["alpha"]),
    "logit-norm": _pure(logit_norm_loss),
    "logit-clip": _pure(logit_clip_loss),
    "online-smoothing": lambda values, facts: OnlineSmoothing(values["alpha"], facts),
    "ce": lambda values, facts: _gls({"rate": 0.0, "ramp": 0.0}, facts),
}

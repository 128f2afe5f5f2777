"""The losses as modules for training code of one's own, in place of `torch.nn.CrossEntropyLoss`.

`torch.nn.CrossEntropyLoss(label_smoothing=-8)` raises nothing and is plain cross-entropy: `GeneralizedSmoothing(-8)` is
what it looks like. Formulas and sources stand with the functions. What remembers examples or classes from step to step
(early-learning regularisation, online smoothing) and what mixes inputs (mixup) is no module: a study trains them.
"""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables import rules
from tosmooth.trainables.errors import require
from tosmooth.trainables.losses.common import widened
from tosmooth.trainables.losses.correction import (
    backward_loss,
    checked_transition,
    forward_loss,
    inverse_of,
    peer_loss,
    peer_pairs,
)
from tosmooth.trainables.losses.logits import clipped, normalised
from tosmooth.trainables.losses.memory import bootstrap_hard_loss, bootstrap_soft_loss
from tosmooth.trainables.losses.module import Settings, WarmedLoss
from tosmooth.trainables.losses.robust import gce_loss, mae_loss, nce_rce_loss, sce_loss
from tosmooth.trainables.losses.smoothing import confidence_penalty_loss, disturbed_labels, gls_by_class, ramped

__all__ = [
    "BackwardCorrection",
    "ConfidencePenalty",
    "DisturbLabel",
    "ForwardCorrection",
    "GeneralizedCrossEntropy",
    "GeneralizedSmoothing",
    "HardBootstrapping",
    "LogitClip",
    "LogitNorm",
    "MeanAbsoluteError",
    "NormalizedReverseCrossEntropy",
    "PeerLoss",
    "SoftBootstrapping",
    "SymmetricCrossEntropy",
]


class _Smoothing(WarmedLoss):
    """Loss whose smoothed targets are weighed entry by entry, as torch does it."""

    soft = True

    def __init__(self, rate: float, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        super().__init__(warmup, **settings)
        rules.smoothing_rate("rate", rate)
        self.rate = rate

    def _smoothed(self, logits: Tensor, target: Tensor, rate: float) -> Tensor:
        if rate == 0:  # also where a logit is -inf
            return self._cross_entropy(logits, target)
        return gls_by_class(logits, target, rate, self.weight)

    def extra_repr(self) -> str:
        """Parameters, for `repr`."""
        return f"rate={self.rate:g}, {super().extra_repr()}"


class GeneralizedSmoothing(_Smoothing):
    """Cross-entropy against `(1 - rate) * onehot + rate / K`: generalised label smoothing (Wei et al. 2022).

    `rate` is at most 1: 0 is cross-entropy, above 0 label smoothing as `CrossEntropyLoss(label_smoothing=rate)`, below
    0 negative label smoothing, which is unbounded below. Before the epoch `warmup` it is cross-entropy; in the `ramp`
    epochs after that the rate grows from 0.
    """

    def __init__(self, rate: float, warmup: int = 0, ramp: float = 0.0, **settings: Unpack[Settings]) -> None:
        """Take rate, epochs of warm-up and of the ramp; `settings` are weight, ignore_index and reduction."""
        super().__init__(rate, warmup, **settings)
        rules.weight("ramp", ramp)
        self.ramp = ramp

    def _after(self, logits: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
        rate = self.rate
        if self.ramp:
            rate = ramped(rate, self._known_epoch("ramp", self.ramp) - self.warmup, self.ramp)
        return self._smoothed(logits, target, rate)


class LogitNorm(_Smoothing):
    """Smoothed cross-entropy of logits scaled to the norm `1 / temperature` (Wei et al. 2022)."""

    def __init__(
        self, temperature: float = 0.04, rate: float = 0.0, warmup: int = 0, **settings: Unpack[Settings]
    ) -> None:
        """Take the temperature, above 0, the smoothing rate and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(rate, warmup, **settings)
        rules.positive("temperature", temperature)
        self.temperature = temperature

    def _after(self, logits: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
        return self._smoothed(normalised(logits, self.temperature), target, self.rate)


class LogitClip(_Smoothing):
    """Smoothed cross-entropy of logits cut to the norm `tau` (Wei et al. 2023), bounded below at every rate."""

    def __init__(self, tau: float = 1.0, rate: float = 0.0, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        """Take the greatest norm, above 0, the smoothing rate and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(rate, warmup, **settings)
        rules.positive("tau", tau)
        self.tau = tau

    def _after(self, logits: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
        return self._smoothed(clipped(logits, self.tau), target, self.rate)


class ConfidencePenalty(WarmedLoss):
    """Cross-entropy minus `beta` times the entropy of the prediction (Pereyra et al. 2017)."""

    soft = True

    def __init__(self, beta: float = 0.1, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        """Take the entropy's weight, 0 or more, and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(warmup, **settings)
        rules.weight("beta", beta)
        self.beta = beta

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        return confidence_penalty_loss(logits, target, self.beta, reduction="none")


class DisturbLabel(WarmedLoss):
    """Cross-entropy with a share `alpha` of the labels redrawn at each step (Xie et al. 2016), not in `eval()`."""

    def __init__(self, alpha: float = 0.1, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        """Take the share, in [0, 1], and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(warmup, **settings)
        rules.share("alpha", alpha)
        self.alpha = alpha

    def _after(self, logits: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
        if not self.training:
            return self._cross_entropy(logits, target)
        disturbed = disturbed_labels(target, logits.shape[1], self.alpha, _generator(target.device))
        unweighted = functional.cross_entropy(widened(logits), disturbed, reduction="none")
        return unweighted * self._weights(target, unweighted.dtype)


class PeerLoss(WarmedLoss):
    """Loss minus `alpha` times the loss of unrelated pairs of the batch, drawn anew each step (Liu & Guo 2020).

    It takes no class weights, since the label of such a pair is another example's.
    """

    def __init__(self, alpha: float = 1.0, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        """Take the weight of the peers, 0 or more, and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(warmup, **settings)
        rules.weight("alpha", alpha)
        require(self.weight is None, "weight", settings.get("weight"), "the peer loss has none")
        self.alpha = alpha

    def _after(self, logits: Tensor, target: Tensor, ignored: Tensor) -> Tensor:
        kept = (~ignored).nonzero()[:, 0]
        found = torch.zeros(len(target), dtype=torch.promote_types(logits.dtype, torch.float32), device=logits.device)
        if len(kept) == 0:
            return found + 0 * logits.sum()
        first, second = peer_pairs(len(kept), _generator(target.device))
        losses = peer_loss(logits[kept], target[kept], first, second, self.alpha, reduction="none")
        return found.index_copy(0, kept, losses)


class _Correction(WarmedLoss):
    matrix: Tensor

    def __init__(
        self, transition: Tensor | Sequence[Sequence[float]], warmup: int = 0, **settings: Unpack[Settings]
    ) -> None:
        super().__init__(warmup, **settings)
        given = torch.as_tensor(transition, dtype=torch.float64)
        require(given.dim() == 2, "transition", list(given.shape), "a matrix [K, K]")
        self.register_buffer("matrix", self._prepared(checked_transition(given, given.shape[1])).float())

    def _prepared(self, transition: Tensor) -> Tensor:
        return transition

    def _fitting(self, logits: Tensor) -> Tensor:
        K = logits.shape[1]
        require(len(self.matrix) == K, "transition", list(self.matrix.shape), f"of the {K} classes of the logits")
        return self.matrix


class ForwardCorrection(_Correction):
    """Negative log-likelihood of the noisy label, given the prediction of the clean one (Patrini et al. 2017).

    `transition` [K, K] holds P(noisy label = column | clean label = row).
    """

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        return forward_loss(logits, target, self._fitting(logits), reduction="none")


class BackwardCorrection(_Correction):
    """Loss whose expectation over the noise is the clean cross-entropy (Patrini et al. 2017), unbounded below.

    `transition` [K, K] holds P(noisy label = column | clean label = row); it is inverted.
    """

    def _prepared(self, transition: Tensor) -> Tensor:
        return inverse_of(transition)

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        return backward_loss(logits, target, self._fitting(logits), reduction="none")


class _TwoWeights(WarmedLoss):
    def __init__(self, alpha: float, beta: float, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        super().__init__(warmup, **settings)
        rules.weight("alpha", alpha)
        rules.weight("beta", beta)
        self.alpha, self.beta = alpha, beta


class SymmetricCrossEntropy(_TwoWeights):
    """Weighted sum of cross-entropy and reverse cross-entropy (Wang et al. 2019)."""

    def __init__(self, alpha: float = 0.1, beta: float = 1.0, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        """Take the two weights, 0 or more, and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(alpha, beta, warmup, **settings)

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        return sce_loss(logits, target, self.alpha, self.beta, reduction="none")


class NormalizedReverseCrossEntropy(_TwoWeights):
    """Weighted sum of normalised and reverse cross-entropy (Ma et al. 2020)."""

    def __init__(self, alpha: float = 1.0, beta: float = 1.0, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        """Take the two weights, 0 or more, and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(alpha, beta, warmup, **settings)

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        return nce_rce_loss(logits, target, self.alpha, self.beta, reduction="none")


class GeneralizedCrossEntropy(WarmedLoss):
    """Loss `(1 - p_y^q) / q`, from cross-entropy towards the absolute error (Zhang & Sabuncu 2018)."""

    def __init__(self, q: float = 0.7, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        """Take the exponent, in (0, 1], and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(warmup, **settings)
        rules.exponent("q", q)
        self.q = q

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        return gce_loss(logits, target, self.q, reduction="none")


class MeanAbsoluteError(WarmedLoss):
    """Absolute error `2 - 2 p_y` of the prediction (Ghosh et al. 2017)."""

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        return mae_loss(logits, target, reduction="none")


class _Bootstrapping(WarmedLoss):
    def __init__(self, beta: float, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        super().__init__(warmup, **settings)
        rules.share("beta", beta)
        self.beta = beta


class SoftBootstrapping(_Bootstrapping):
    """Cross-entropy against a share `beta` of the label and the rest of the prediction (Reed et al. 2015)."""

    def __init__(self, beta: float = 0.95, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        """Take the label's share, in [0, 1], and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(beta, warmup, **settings)

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        return bootstrap_soft_loss(logits, target, self.beta, reduction="none")


class HardBootstrapping(_Bootstrapping):
    """Cross-entropy against a share `beta` of the label and the rest of the likeliest class (Reed et al. 2015)."""

    def __init__(self, beta: float = 0.8, warmup: int = 0, **settings: Unpack[Settings]) -> None:
        """Take the label's share, in [0, 1], and the epochs of warm-up; `settings`: `WarmedLoss`."""
        super().__init__(beta, warmup, **settings)

    def _method(self, logits: Tensor, target: Tensor) -> Tensor:
        return bootstrap_hard_loss(logits, target, self.beta, reduction="none")


def _generator(device: torch.device) -> torch.Generator:
    """Torch's own generator of a device, so that `torch.manual_seed` settles what is drawn."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]  # a tensor's device has its index
    return torch.default_generator

"""Generalised label smoothing of logits of bounded length, which is bounded below even at negative rates.

Where the logits' Euclidean norm is at most R, the loss at a rate r <= 1 is at least `ln K - (1 - r) R sqrt(1 - 1/K)`:
logsumexp(z) >= mean(z) + ln K, and z_y - mean(z) <= R sqrt(1 - 1/K).
"""

from torch import Tensor, linalg

from tosmooth.trainables import rules
from tosmooth.trainables.losses.common import widened
from tosmooth.trainables.losses.smoothing import gls_loss

LEAST_NORM = 1e-7  # added to a norm before one divides by it, as in the authors' code


def logit_norm_loss(
    logits: Tensor, labels: Tensor, temperature: float, rate: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Mean smoothed cross-entropy [] of `z / (temperature * |z|)`: all logits have the norm 1 / temperature. In nats.

    logits [B, K], labels [B]; temperature > 0. At rate 0 it is its source's: Wei et al., "Mitigating Neural Network
    Overconfidence with Logit Normalization", ICML 2022 (arXiv 2205.09310), section 3.2; 0.04 on CIFAR-10.
    """
    rules.positive("temperature", temperature)
    z = widened(logits)
    return gls_loss(z / (linalg.vector_norm(z, dim=1, keepdim=True) + LEAST_NORM) / temperature, labels, rate, weights)


def logit_clip_loss(
    logits: Tensor, labels: Tensor, tau: float, rate: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Mean smoothed cross-entropy [] of the logits z, those longer than `tau` scaled to that Euclidean norm. In nats.

    logits [B, K], labels [B]; tau > 0. At rate 0 it is its source's: Wei et al., "Mitigating Memorization of Noisy
    Labels by Clipping the Model Prediction", ICML 2023 (arXiv 2212.04055), section 3. (The authors' code scales logits
    longer than `temp` to the norm 1 / temp, which is the same where it is 1, the code's default.)
    """
    rules.positive("tau", tau)
    z = widened(logits)
    scale = (tau / (linalg.vector_norm(z, dim=1, keepdim=True) + LEAST_NORM)).clamp(max=1)
    return gls_loss(z * scale, labels, rate, weights)

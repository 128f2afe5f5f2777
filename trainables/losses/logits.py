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
    return gls_loss(normalised(logits, temperature), labels, rate, weights)


def normalised(logits: Tensor, temperature: float) -> Tensor:
    """Scale the logits [B, K] of each example to the Euclidean norm 1 / temperature, in float32 or wider."""
    rules.positive("temperature", temperature)
    z = widened(logits)
    scaled: Tensor = z / (linalg.vector_norm(z, dim=1, keepdim=True) + LEAST_NORM) / temperature
    return scaled


def logit_clip_loss(
    logits: Tensor, labels: Tensor, tau: float, rate: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Mean smoothed cross-entropy [] of the logits z, those longer than `tau` scaled to that Euclidean norm. In nats.

    logits [B, K], labels [B]; tau > 0. At rate 0 it is its source's: Wei et al., "Mitigating Memorization of Noisy
    Labels by Clipping the Model Prediction", ICML 2023 (arXiv 2212.04055), section 3. (The authors' code scales logits
    longer than `temp` to the norm 1 / temp, which is the same where it is 1, the code's default.)
    """
    return gls_loss(clipped(logits, tau), labels, rate, weights)


def clipped(logits: Tensor, tau: float) -> Tensor:
    """Scale the logits [B, K] of the examples where their Euclidean norm is above `tau` to it, in float32 or wider."""
    rules.positive("tau", tau)
    z = widened(logits)
    cut: Tensor = z * (tau / (linalg.vector_norm(z, dim=1, keepdim=True) + LEAST_NORM)).clamp(max=1)
    return cut

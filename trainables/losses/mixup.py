"""mixup: each example is mixed with another of its batch, and so is its label."""

import torch
from torch import Tensor

from tosmooth.trainables import rules
from tosmooth.trainables.losses.common import log_probabilities, of_label
from tosmooth.trainables.losses.interface import Mixed, Step


def mixing_share(alpha: float, generator: torch.Generator) -> Tensor:
    """Draw a share [] from Beta(alpha, alpha), float32, on the generator's device, without waiting for it.

    `X / (X + Y)` of two Gamma(alpha), in logarithms: Gamma(alpha) is Gamma(alpha + 1) * U^(1 / alpha) (Marsaglia &
    Tsang 2000), and both underflow where alpha is small.
    """
    shape = torch.full((2,), alpha + 1, device=generator.device)
    # The only one of torch's samplers of a gamma distribution that takes a generator.
    gamma = torch._standard_gamma(shape, generator=generator)
    uniform = 1 - torch.rand(2, generator=generator, device=generator.device)  # (0, 1]
    first, second = gamma.log() + uniform.log() / alpha
    share: Tensor = (first - second).sigmoid()
    return share


def mix(inputs: Tensor, labels: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Mixed]:
    """Mix as `share * inputs + (1 - share) * partners` [B, ...], one share for the batch; also return how.

    labels [B]; the partners are a permutation of the batch; alpha > 0. Source: Zhang et al., "mixup: Beyond Empirical
    Risk Minimization", ICLR 2018 (arXiv 1710.09412), section 2 and figure 1a; alpha = 1 on CIFAR-10.
    """
    rules.positive("alpha", alpha)
    order = torch.randperm(len(labels), generator=generator, device=generator.device)
    share = mixing_share(alpha, generator)
    # The inputs first: the result has their layout in memory.
    return torch.lerp(inputs, inputs[order], (1 - share).to(inputs.dtype)), Mixed(labels[order], share)


def mixup_loss(logits: Tensor, labels: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """Mean [] of `share * CE(y) + (1 - share) * CE(partner's y)`, in nats: logits [B, K] of inputs that were mixed.

    labels and `partners` [B], share []. Source: Zhang et al. 2018 (arXiv 1710.09412), figure 1a.
    """
    log_p = log_probabilities(logits)
    share = share.to(log_p.dtype)
    return -(share * of_label(log_p, labels) + (1 - share) * of_label(log_p, partners)).mean()


class Mixup:
    """Loss of inputs that its `mix` has mixed."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def mix(self, inputs: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Mixed]:
        return mix(inputs, labels, self.alpha, generator)

    def __call__(self, logits: Tensor, labels: Tensor, step: Step) -> Tensor:
        if step.mixed is None:
            raise ValueError("the inputs of mixup are to be mixed first, by its `mix`")
        return mixup_loss(logits, labels, step.mixed.labels, step.mixed.share)

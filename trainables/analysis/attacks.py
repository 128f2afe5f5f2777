"""Accuracy under FGSM and PGD, and what tells whether these attacks failed for want of a gradient.

Attacks are in float32, on images in [0, 1] before they are normalised.
"""

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tosmooth.trainables.analysis.predictions import test_set
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import require
from tosmooth.trainables.networks.device import EVALUATION_BATCH
from tosmooth.trainables.training.batches import Batches

EPSILON = 8 / 255  # of images, in pixel values of [0, 1], the usual one for CIFAR (Madry et al. 2018)
# Of features, in standard deviations: takes the best classifier of Twonorm from 97.7 to 94.0 %.
FEATURE_EPSILON = 0.1
STEPS = 20
STEP = 1 / 4  # of epsilon: 2/255 for images
POINTS = 1.0  # by so many points of accuracy another attack may be stronger than PGD before it counts as a sign
ZEROS = 1.0  # percent of gradients that may be 0 likewise

Loss = Callable[[Tensor, Tensor], Tensor]  # of logits [B, K] and labels [B], summed over the examples


@dataclass(frozen=True, slots=True)
class Robustness:
    """Accuracies in percent, on the same clean test examples. What is wrong without an attack is wrong under it."""

    examples: int
    epsilon: float  # largest change of a pixel of [0, 1], or of a feature
    accuracy: float  # without an attack
    fgsm_accuracy: float  # Goodfellow et al. 2015: one step
    pgd_accuracy: float  # Madry et al. 2018: 20 steps from a random start on cross-entropy
    margin_accuracy: float  # PGD on the largest other logit minus the label's, which never saturates
    transfer_accuracy: float | None  # under PGD's examples for the network `source`, where there is one
    worst_accuracy: float  # right under each of them: no attack alone, nor all of them, is a proof of robustness
    zero_gradients: float  # percent of the right predictions where cross-entropy's gradient by the inputs is 0
    masking: str  # why the accuracies under attack look better than they are; empty: no sign of it was found

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values, for JSON."""
        return dataclasses.asdict(self)


def robustness(
    network: nn.Module,
    data: LevelData,
    device: torch.device,
    source: nn.Module | None = None,
    epsilon: float | None = None,
    examples: int | None = None,
    seed: int = 0,
) -> Robustness:
    """Attack a `network` on so many `examples`, evenly taken from the clean test set (None: all of it).

    Its weights are not touched. `source`: a network of the same data, plain cross-entropy's say, on which PGD makes the
    examples of a transfer attack. `seed` draws PGD's random starts. Raises `InputError` where there is no test set. On
    masked gradients: Athalye, Carlini and Wagner 2018 (arXiv 1802.00420), 3.1. A network that is very sure of itself,
    which negative smoothing makes, has a cross-entropy of 0 and no gradient in float32: hence the margin.
    """
    test = test_set(data)
    images = test.inputs.ndim == 4
    size = epsilon if epsilon is not None else EPSILON if images else FEATURE_EPSILON
    require(size > 0, "epsilon", size, "above 0")
    require(examples is None or examples >= 1, "examples", examples, "at least 1")
    # Pixels of [0, 1], or features in standard deviations.
    plain = dataclasses.replace(data, mean=(0.0,) * len(data.mean), std=(1.0,) * len(data.std))
    raw = Batches(test, plain if images else data, device, torch.float32)
    data = data if images else plain
    n = len(raw) if examples is None else min(examples, len(raw))
    rows = torch.arange(n, device=device) * len(raw) // n
    attack = _Attack(_in_pixels(network, data, device), images, size)
    others = None if source is None else _Attack(_in_pixels(source, data, device), images, size)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        found = [_batch(attack, others, *raw.take(index)) for index in rows.split(EVALUATION_BATCH[device.type])]
    right = torch.cat(found, dim=1).cpu()  # bool [6, n]
    attacked, flat = right[:5] & right[0], right[5] & right[0]
    accuracy, fgsm, pgd, margin, transfer = (100 * attacked.double().mean(dim=1)).tolist()
    zeros = 100 * int(flat.sum()) / max(1, int(right[0].sum()))
    transferred = transfer if source is not None else None
    return Robustness(
        examples=n,
        epsilon=size,
        accuracy=accuracy,
        fgsm_accuracy=fgsm,
        pgd_accuracy=pgd,
        margin_accuracy=margin,
        transfer_accuracy=transferred,
        worst_accuracy=100 * attacked.all(dim=0).double().mean().item(),
        zero_gradients=zeros,
        masking=_masking(fgsm, pgd, margin, transferred, zeros),
    )


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="sum")


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over examples of the largest other logit minus the label's (Carlini and Wagner 2017, their f6)."""
    own = labels[:, None]
    return (logits.scatter(1, own, -torch.inf).amax(dim=1) - logits.gather(1, own)[:, 0]).sum()


class _Attack:
    """Attack that makes adversarial examples for one network, which takes inputs that are not normalised."""

    def __init__(self, network: nn.Module, images: bool, epsilon: float) -> None:
        self.network, self.epsilon = network, epsilon
        self._bounds = (0.0, 1.0) if images else (-torch.inf, torch.inf)

    def fgsm(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Take one step of epsilon up the cross-entropy (Goodfellow et al. 2015), [B, ...]."""
        return self._step(inputs, inputs, labels, self.epsilon, _cross_entropy)

    def pgd(self, inputs: Tensor, labels: Tensor, loss: Loss = _cross_entropy) -> Tensor:
        """Take STEPS steps up the `loss` from a start drawn uniformly within epsilon (Madry et al. 2018), [B, ...]."""
        noise = 2 * self.epsilon * torch.rand(inputs.shape, device=inputs.device) - self.epsilon
        x = (inputs + noise).clamp(*self._bounds)
        for _ in range(STEPS):
            x = self._step(x, inputs, labels, STEP * self.epsilon, loss)
        return x

    def margin(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """PGD up the margin, [B, ...]."""
        return self.pgd(inputs, labels, _margin)

    def _step(self, x: Tensor, inputs: Tensor, labels: Tensor, size: float, loss: Loss) -> Tensor:
        """A step from `x` by the gradient's sign, kept within epsilon of `inputs` and in their range."""
        stepped = x + size * self._gradient(x, labels, loss).sign()
        return (inputs + (stepped - inputs).clamp(-self.epsilon, self.epsilon)).clamp(*self._bounds)

    def _gradient(self, x: Tensor, labels: Tensor, loss: Loss) -> Tensor:
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(self.network(x), labels), x)
        return gradient

    @torch.no_grad()
    def right(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Mask of the predictions that are right, bool [B]."""
        predicted: Tensor = self.network(inputs).argmax(dim=1)
        return predicted == labels

    def no_gradient(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Mask of the examples at which the gradient of cross-entropy is 0 in every input value, bool [B]."""
        return (self._gradient(inputs, labels, _cross_entropy).flatten(1) == 0).all(dim=1)


def _batch(attack: _Attack, source: _Attack | None, inputs: Tensor, labels: Tensor) -> Tensor:
    """Outcomes, bool [6, B]: right without attack, under FGSM, PGD, PGD on the margin, transferred PGD; no gradient."""
    made = [inputs, *(each(inputs, labels) for each in (attack.fgsm, attack.pgd, attack.margin))]
    made.append(inputs if source is None else source.pgd(inputs, labels))
    return torch.stack([*(attack.right(each, labels) for each in made), attack.no_gradient(inputs, labels)])


class _InPixels(nn.Module):
    """A network behind the normalisation that `Batches` does otherwise."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, data: LevelData) -> None:
        super().__init__()
        shape = (-1, 1, 1) if data.train.inputs.ndim == 4 else (-1,)
        self.network = network
        self.register_buffer("mean", torch.tensor(data.mean).view(shape))
        self.register_buffer("std", torch.tensor(data.std).view(shape))

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network((inputs - self.mean) / self.std)
        return logits


def _in_pixels(network: nn.Module, data: LevelData, device: torch.device) -> nn.Module:
    """A copy of the network that takes no gradients by its weights: nobody asks for them."""
    return _InPixels(copy.deepcopy(network), data).to(device).eval().requires_grad_(False)


def _masking(fgsm: float, pgd: float, margin: float, transfer: float | None, zeros: float) -> str:
    """Describe each sign that gradients are masked; "" if there is none."""
    signs = []
    if pgd > fgsm:
        signs.append(f"PGD is weaker than a single step: accuracy {pgd:.1f} against {fgsm:.1f} %")
    if margin < pgd - POINTS:
        signs.append(f"PGD on the margin is stronger than on cross-entropy: accuracy {margin:.1f} against {pgd:.1f} %")
    if transfer is not None and transfer < pgd - POINTS:
        signs.append(f"examples made for another network are stronger: accuracy {transfer:.1f} against {pgd:.1f} %")
    if zeros > ZEROS:
        signs.append(f"cross-entropy has no gradient at {zeros:.1f} % of the right predictions")
    return "; ".join(signs)

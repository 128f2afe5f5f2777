"""Projection of the penultimate layer's activations onto the plane through the templates of three classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.errors import require
from tosmooth.trainables.networks.device import EVALUATION_BATCH, compute_dtype
from tosmooth.trainables.training.batches import Batches


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Projected examples of some classes and these classes' templates, in the plane through the templates."""

    points: Tensor  # float64 [n, 2]; [n, 1] where there are but two classes, whose templates span a line
    labels: Tensor  # int64 [n]
    templates: Tensor  # float64 [3, 2], or [2, 1]
    classes: tuple[int, ...]
    tightness: float  # `tightness` of the points: in the plane alone

    def to_dict(self) -> dict[str, object]:
        """Convert for JSON: what is not finite is None."""
        plain = {key: getattr(self, key).tolist() for key in ("points", "labels", "templates")}
        tight = self.tightness if math.isfinite(self.tightness) else None
        return plain | {"classes": list(self.classes), "tightness": tight}


def last_layer(network: nn.Module) -> nn.Linear:
    """Find the layer that makes the logits: in all our networks the last linear one."""
    *_, last = (module for module in network.modules() if isinstance(module, nn.Linear))
    return last


@torch.inference_mode()
def penultimate(network: nn.Module, config: TrialConfig, data: LevelData, split: Split, device: torch.device) -> Tensor:
    """Activations of the penultimate layer for each example of `split`, float32 [n, D], on the CPU.

    Where a network looks at an image and its mirror image, the mean of both: the last layer makes the mean of their
    logits of it.
    """
    dtype = compute_dtype(config, device)
    batches = Batches(split, data, device, dtype)
    seen: list[Tensor] = []
    hook = last_layer(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
    network.eval()
    found = []
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            for index in torch.arange(len(batches), device=device).split(EVALUATION_BATCH[device.type]):
                seen.clear()
                network(batches.take(index)[0])
                found.append(torch.stack(seen).mean(dim=0))
    finally:
        hook.remove()
    return torch.cat(found).cpu()


def project(activations: Tensor, labels: Tensor, layer: nn.Linear, classes: Sequence[int] = (0, 1, 2)) -> Projection:
    """Project `activations` [n, D] of the examples of `classes` onto the plane through these classes' templates.

    Müller, Kornblith and Hinton, "When Does Label Smoothing Help?", NeurIPS 2019 (arXiv 1906.02629), section 2: the
    template of a class is its row of weights of the last `layer`; activations are extended by a 1 where it has a bias.
    The plane's orthonormal basis starts at the first template, its first axis leads to the second. Raises `InputError`
    for classes that are not 2 or 3 different ones of the network, or that have no example.
    """
    K = layer.out_features
    known = len(set(classes)) == len(classes) in (2, 3) and all(0 <= k < K for k in classes)
    require(known, "classes", tuple(classes), f"2 or 3 different ones of 0..{K - 1}")
    chosen = torch.isin(labels, torch.tensor(classes))
    require(bool(chosen.any()), "classes", tuple(classes), "some example is of one of them")
    weights, x = layer.weight.detach().cpu().double(), activations[chosen].double()
    if layer.bias is not None:
        weights = torch.cat([weights, layer.bias.detach().cpu().double()[:, None]], dim=1)
        x = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    origin, *others = weights[list(classes)]  # [D]
    basis, r = torch.linalg.qr(torch.stack([other - origin for other in others], dim=1))  # [D, 2], [2, 2]
    basis = basis * r.diagonal().sign()  # QR leaves the axes' signs open: each template on the positive side
    points = (x - origin) @ basis
    templates = (weights[list(classes)] - origin) @ basis
    return Projection(points, labels[chosen], templates, tuple(classes), tightness(points, labels[chosen]))


def tightness(activations: Tensor, labels: Tensor) -> float:
    """Variance within classes over variance between them, of `activations` [n, D] with `labels` [n].

    0 where each class is one point; it does not change when all activations are scaled, moved or turned. The ratio of
    the traces of both covariances: what neural collapse (Papyan, Han and Donoho 2020, NC1) says goes to 0, and
    1 / R^2 - 1 of the class separation of Kornblith et al. 2021 with Euclidean distances and classes of equal size.
    Infinite where all classes have the same mean.
    """
    x = activations.double()
    _, group, size = labels.unique(return_inverse=True, return_counts=True)
    means = torch.zeros(len(size), x.shape[1], dtype=torch.float64).index_add_(0, group, x) / size[:, None]
    within = (x - means[group]).square().sum()
    between = (means[group] - x.mean(dim=0)).square().sum()
    return float(within / between)

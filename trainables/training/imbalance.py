"""Classes of unequal size: their weights in the loss, and epochs that draw each class equally often."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tosmooth.trainables.config import TrainingConfig
from tosmooth.trainables.errors import require

BETA = 0.999  # of effective numbers: the more examples a class has beyond 1 / (1 - BETA), the less they add
NAMED = 10  # classes that a message names


def class_weights_of(
    config: TrainingConfig, labels: Tensor, classes: int, names: Sequence[str] | None = None
) -> Tensor | None:
    """Weights of the classes in the loss, float32 [K]; `None` where all examples weigh the same.

    `labels` [n] are those that the run trains on, as noisy as they are; `names` of the classes, by default their
    numbers. `balanced`: n / (K n_k); `effective-number`: (1 - beta) / (1 - beta^n_k) with beta = 0.999, scaled to a
    mean of 1 (Cui et al. 2019, arXiv 1901.05555); a class that a mapping leaves out weighs 1. K counts the classes
    that have a training example; one without weighs 0. A name that is no class raises `InputError`.

    The weight is that of the example, by its label: its whole loss, smoothed or not, counts so much in the mean.
    `torch.nn.functional.cross_entropy(weight=..., label_smoothing=r)` weighs each entry of the smoothed target by its
    own class instead; at r = 0 both are the same.
    """
    if config.class_weights == "none":
        return None
    counts = labels.bincount(minlength=classes).double()
    there = counts > 0
    if isinstance(config.class_weights, Mapping):
        weights = _given(config.class_weights, names or tuple(map(str, range(classes)))).to(labels.device)
    elif config.class_weights == "balanced":
        weights = len(labels) / (there.sum() * counts)
    else:
        weights = (1 - BETA) / (1 - BETA**counts)
        weights /= weights[there].mean()
    found = torch.where(there, weights, 0.0)
    rule = "above 0 for a class that has training examples"
    require(bool((found > 0).any()), "training.class_weights", config.class_weights, rule)
    return found.float()


def _given(weights: Mapping[str, float], names: Sequence[str]) -> Tensor:
    found = torch.ones(len(names), dtype=torch.float64)
    known = {name: k for k, name in enumerate(names)}
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    for name, weight in weights.items():
        rule = f"no class of this name; they are {', '.join(names[:NAMED])}{more}"
        require(name in known, f"training.class_weights.{name}", weight, rule)
        found[known[name]] = weight
    return found


class EvenDraws:
    """Sampler of epochs in which each class comes equally often in expectation, by drawing with replacement.

    Each example of a class of n_k examples is drawn with a probability in proportion to 1 / n_k.
    """

    def __init__(self, labels: Tensor) -> None:
        """Take the labels [n] of the training set, on the run's device."""
        counts = labels.bincount()
        self.counts = counts[counts > 0]
        self.starts = self.counts.cumsum(0) - self.counts
        self.by_class = labels.argsort(stable=True)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Draw the examples of an epoch [n], on the generator's device. `torch.multinomial` takes 2^24 at most."""
        n, device = len(self.by_class), generator.device
        drawn = torch.randint(len(self.counts), (n,), generator=generator, device=device)
        place = torch.randint(2**62, (n,), generator=generator, device=device) % self.counts[drawn]
        return self.by_class[self.starts[drawn] + place]

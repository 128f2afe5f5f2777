"""A backbone and the head that makes logits of its features."""

from itertools import pairwise

from torch import Tensor, nn

from tosmooth.trainables.errors import InputError

WIDTH = 64  # hidden units, where none are named


def mlp(inputs: int, width: int, depth: int, classes: int) -> nn.Sequential:
    """A perceptron of `depth` hidden layers with ReLU, from features [B, inputs] to logits [B, classes]."""
    sizes = [inputs, *[width] * depth]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))


class Headed(nn.Module):
    """A backbone, pictures to features [B, D], and a new head on it."""

    def __init__(self, backbone: nn.Module, features: int, width: int, depth: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = mlp(features, width, depth, classes)
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images))
        return logits


def without_head(network: nn.Module, name: str) -> tuple[nn.Module, int]:
    """Take the last linear layer out: the network to features [B, D], and D.

    Raises `InputError` where there is none.
    """
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"network.name: {name} has no linear layer at its end whose place a new head could take")
    layer = network.get_submodule(linear[-1])
    network.set_submodule(linear[-1], nn.Identity())
    return network, layer.in_features  # type: ignore[return-value]

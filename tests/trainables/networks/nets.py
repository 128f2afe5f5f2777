"""Networks as a user would write them, and factories of them, right and wrong."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class TinyNet(nn.Module):
    """Two convolutions and a linear head on 8 features."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.stem(x).mean(dim=(2, 3)))
        return logits


class FlatNet(nn.Module):
    """A network whose layers share no module, as those of torchvision's ResNet do not."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.fc = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.layer1(self.bn1(self.conv1(x))).mean(dim=(2, 3)))
        return logits


def tiny(shape: Sequence[int], classes: int) -> nn.Module:
    return TinyNet(classes)


def sized(shape: Sequence[int], classes: int, width: int = 4) -> nn.Module:
    """A network that takes one shape of inputs alone, features or pictures."""
    inputs = int(torch.tensor(list(shape)).prod())
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))


class HeadBefore(TinyNet):
    """A network whose head is not the last of its linear layers."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.gate = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x).mean(dim=(2, 3))
        logits: Tensor = self.fc(features * self.gate(features).sigmoid())
        return logits


def head_before(shape: Sequence[int], classes: int) -> nn.Module:
    return HeadBefore(classes)


def lazy(shape: Sequence[int], classes: int) -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(classes))


def on_meta(shape: Sequence[int], classes: int) -> nn.Module:
    with torch.device("meta"):
        return TinyNet(classes)


def untrained(shape: Sequence[int], classes: int) -> nn.Module:
    return TinyNet(classes).requires_grad_(False)


def exits(shape: Sequence[int], classes: int) -> nn.Module:
    raise SystemExit("no licence")


def sets_all(shape: Sequence[int], classes: int) -> nn.Module:
    network = TinyNet(classes)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    print("made")
    return network


def prints(shape: Sequence[int], classes: int) -> nn.Module:
    print("made")
    return sized(shape, classes)


def normalised(shape: Sequence[int], classes: int) -> nn.Module:
    return nn.Sequential(TinyNet(6), nn.BatchNorm1d(6), nn.Linear(6, classes))


def raises(shape: Sequence[int], classes: int) -> nn.Module:
    raise ValueError("no such width")


def returns_text(shape: Sequence[int], classes: int) -> Any:
    return "resnet"


def wrong_classes(shape: Sequence[int], classes: int) -> nn.Module:
    return TinyNet(classes + 1)


def returns_tuple(shape: Sequence[int], classes: int) -> nn.Module:
    class Two(TinyNet):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x), x

    return Two(classes)


def no_linear(shape: Sequence[int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def fixed(shape: Sequence[int], classes: int) -> nn.Module:
    """A network whose layers but the last are not trained."""
    network = TinyNet(classes)
    network.stem.requires_grad_(False)
    return network

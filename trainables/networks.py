"""The networks: a perceptron for features, a small CNN and ResNets for small images."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torchvision import models

from trainables.config import NetworkConfig, require


def build_network(config: NetworkConfig, shape: Sequence[int], classes: int) -> nn.Module:
    """A network from inputs [B, *shape] to logits [B, classes]; `shape` is (D,) for features, (C, H, W) for images.

    Weights are drawn from torch's global random state. Raises `InputError` where network and inputs do not fit.
    """
    images = len(shape) == 3
    rule = "images take cnn, resnet18 or resnet34; features take mlp"
    require(images == (config.name != "mlp"), "network.name", config.name, rule)
    # More than one pixel must reach the last batch normalisation: it refuses to train on a batch of one value.
    smallest = {"mlp": 1, "cnn": 16}.get(config.name, 9)
    rule = f"the images are {' x '.join(map(str, shape[1:]))} pixels, the least for it is {smallest} x {smallest}"
    require(min(shape[1:], default=1) >= smallest, "network.name", config.name, rule)
    if config.name == "mlp":
        return _mlp(shape[0], config.width or 64, config.depth or 1, classes)
    if config.name == "cnn":
        return SmallCNN(shape[0], config.width or 32, classes)
    return _resnet(config.name, shape[0], classes)


def _mlp(inputs: int, width: int, depth: int, classes: int) -> nn.Module:
    sizes = [inputs, *[width] * depth]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


class SmallCNN(nn.Module):
    """Four 3x3 convolutions with batch normalisation, three times pooled; 94,122 parameters at width 32, 10 classes."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        sizes = [channels, width, 2 * width, 2 * width, 2 * width]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            # Pooled before it is normalised: a quarter of the work for the layers behind it.
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.MaxPool2d(2)]
            layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        del layers[-3]  # the last pooling is the maximum below
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.features(images)  # [B, 2 * width, H / 8, W / 8]
        logits: Tensor = self.head(hidden.amax(dim=(2, 3)))
        return logits


def _resnet(name: str, channels: int, classes: int) -> nn.Module:
    """torchvision's ResNet with the stem for 32x32 images: a 3x3 convolution and no pooling (He et al. 2016, 4.2)."""
    network: nn.Module = models.get_model(name, num_classes=classes)
    network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    network.maxpool = nn.Identity()
    return network

"""Networks of ours: a perceptron for features; two CNNs and ResNets for small images."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tosmooth.trainables.config import NetworkConfig
from tosmooth.trainables.networks.heads import WIDTH, mlp


def enlargement(name: str, shape: Sequence[int]) -> int:
    """Return how many times as large images [C, H, W] are made, each way, before the network called `name` sees them.

    More than one pixel must reach the last batch normalisation: it refuses to train on a batch of one value.
    """
    smallest = {"mlp": 1, "cnn": 16, "fastcnn": 17}.get(name, 9)
    return -(-smallest // min(shape[1:], default=smallest))


def enlarged(images: Tensor, times: int) -> Tensor:
    """Make images [B, C, H, W] so many times as large each way."""
    return functional.interpolate(images, scale_factor=times, mode="bilinear") if times > 1 else images


def small_network(config: NetworkConfig, shape: Sequence[int], classes: int) -> nn.Module:
    """A network of ours from inputs [B, *shape] to logits [B, classes].

    Images that are too small for the network are enlarged as it sees them (`enlargement`).
    """
    network = _made(config, shape, classes)
    if (times := enlargement(config.name, shape)) > 1:
        network.register_forward_pre_hook(lambda module, inputs: (enlarged(inputs[0], times),))
    return network


def _made(config: NetworkConfig, shape: Sequence[int], classes: int) -> nn.Module:
    if config.name == "mlp":
        depth = 1 if config.depth is None else config.depth
        return mlp(shape[0], config.width or WIDTH, depth, classes)
    if config.name == "cnn":
        return SmallCNN(shape[0], config.width or 32, classes)
    if config.name == "fastcnn":
        return FastCNN(shape[0], config.width or 64, classes)
    return _resnet(config.name, shape[0], classes)


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


class FastCNN(nn.Module):
    """A CNN for short trainings on a GPU: 1.97 million parameters and 118 million multiplications at width 64, 32x32.

    After Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv 2404.00498): a fixed first layer
    that whitens 2x2 patches, three stages of two convolutions, convolutions that start as the identity, normalisation
    that learns fast and has no scale. In evaluation logits are the mean over each image and its mirror image.
    """

    PATCH = 2  # pixels, each side
    SCALE = 1 / 9  # of the logits

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        patches = 2 * channels * self.PATCH**2  # each direction of a patch and its negative
        self.whitening = nn.Conv2d(channels, patches, self.PATCH)
        self.whitening.weight.requires_grad_(False)
        nn.init.zeros_(self.whitening.bias)  # type: ignore[arg-type] # it has one
        layers: list[nn.Module] = [nn.GELU()]
        for before, after in pairwise([patches, width, 4 * width, 4 * width]):
            layers += [_identity_like(before, after), nn.MaxPool2d(2), _Shifted(after), nn.GELU()]
            layers += [_identity_like(after, after), _Shifted(after), nn.GELU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(4 * width, classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        logits = self._logits(images)
        return logits if self.training else (logits + self._logits(images.flip(3))) / 2

    def _logits(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.features(self.whitening(images))  # [B, 4 * width, H / 8, W / 8]
        logits: Tensor = self.head(hidden.amax(dim=(2, 3)))
        return logits * self.SCALE

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Fit the first layer to `images` [B, C, H, W].

        Its outputs are the principal components of patches, scaled to unit variance, and their negatives.
        """
        k, channels = self.PATCH, images.shape[1]
        patches = images.double().unfold(2, k, 1).unfold(3, k, 1)  # [B, C, H - 1, W - 1, k, k]
        patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * k * k)
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        # 5e-4, as in the source: a direction that pictures hardly have is not to be blown up.
        filters = (directions / (variances + 5e-4).sqrt()).T.flip(0).reshape(-1, channels, k, k)
        self.whitening.weight.copy_(torch.cat([filters, -filters]))


class _Shifted(nn.BatchNorm2d):
    """Batch normalisation without a scale, with a shift that learns 64 times as fast as other parameters do."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=False, momentum=0.4)  # a run is short: its averages must follow
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        # A factor of 8 on the parameter is one of 64 on the learning rate of the shift.
        shift = 8 * self.shift
        mean, variance = self.running_mean, self.running_var
        return functional.batch_norm(x, mean, variance, None, shift, self.training, self.momentum or 0.0, self.eps)


def _identity_like(before: int, after: int) -> nn.Conv2d:
    """A 3x3 convolution whose first channels start as copies of its input."""
    layer = nn.Conv2d(before, after, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight[:before])
    return layer


def _resnet(name: str, channels: int, classes: int) -> nn.Module:
    """torchvision's ResNet with the stem for 32x32 images: a 3x3 convolution and no pooling (He et al. 2016, 4.2)."""
    from torchvision import models  # noqa: PLC0415 - 2 s of a worker's start

    network: nn.Module = models.get_model(name, num_classes=classes)
    network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    network.maxpool = nn.Identity()
    return network

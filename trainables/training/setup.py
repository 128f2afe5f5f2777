"""Network and optimizer of a run, as they are before its first step."""

from contextlib import suppress
from typing import Any

import torch
from torch import nn

from tosmooth.trainables.config import OptimizerConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.networks.build import Weights, build_network, check_logits
from tosmooth.trainables.networks.heads import Headed
from tosmooth.trainables.networks.small import FastCNN, enlarged, enlargement
from tosmooth.trainables.training.batches import Batches
from tosmooth.trainables.training.optimizers import SGD, AdamW

WHITENED = 5000  # images whose patches a whitening layer is fitted to
FACTOR = "factor"  # of a group of weights on the learning rate, as the optimizer keeps it
BACKBONE_LR = 0.1  # that factor of a backbone that is tuned, where none is named


def fitting_network(config: TrialConfig, data: LevelData, start: Weights | None = None) -> nn.Module:
    """A new network for the data, which are as `prepared` has them; `start`: weights of its backbone.

    Raises `InputError` where network and data do not fit.
    """
    shape = _shape(data)
    network = build_network(config.network, shape, data.classes, start)
    padding, rule = config.training.crop_padding, f"less than the images' {' x '.join(map(str, shape[1:]))} pixels"
    fits = config.training.augment == "none" or padding < min(shape[1:], default=padding + 1)
    require(fits, "training.crop_padding", padding, rule)
    return network


def check_network(config: TrialConfig, data: LevelData) -> None:
    """Check that a trial's network and data fit, without its weights. Raises `InputError` where they do not."""
    if config.network.factory is None:
        with suppress(NotImplementedError), torch.device("meta"):  # no memory, no time
            return _check_network(config, data)
    # What a user's code, or a few models of libraries, do with tensors that hold nothing is not known.
    with torch.random.fork_rng(devices=[]):
        return _check_network(config, data)


def _check_network(config: TrialConfig, data: LevelData) -> None:
    network = fitting_network(config, data)
    if config.network.own:
        return
    check_logits(network, config.network, _shape(data), data.classes)
    size, rows = config.training.batch_size, len(data.train)
    if size == 1 or rows % size == 1:  # which batch normalisation may refuse
        try:
            check_logits(network.train(), config.network, _shape(data), data.classes, examples=1)
        except InputError as error:
            last = "each batch" if size == 1 else f"the last batch of the {rows} training examples"
            rule = f"{last} is of one example, which the network refuses: {error}"
            require(False, "training.batch_size", size, rule)


def _shape(data: LevelData) -> tuple[int, ...]:
    """Shape of an example as networks see it: (C, H, W) of images [N, H, W, C], (D,) of features [N, D]."""
    *size, channels = data.train.inputs.shape[1:]
    return (channels, *size)


def ready_network(
    config: TrialConfig, data: LevelData, batches: Batches, device: torch.device, start: Weights | None = None
) -> nn.Module:
    """A new network on the device; a whitening layer is fitted to the training images, of which `batches` are made."""
    network = fitting_network(config, data, start)
    if isinstance(network, FastCNN):
        some = torch.arange(0, len(data.train), max(1, len(data.train) // WHITENED), device=device)
        images = batches.take(some)[0].cpu()
        network.whiten(enlarged(images, enlargement(config.network.name, images.shape[1:])))
    network = network.to(device)
    return network.to(memory_format=torch.channels_last) if batches.images else network


def new_optimizer(
    config: OptimizerConfig, network: nn.Module, backbone_lr: float | None = None
) -> torch.optim.Optimizer:
    """A fresh optimizer of all of the network's weights; `backbone_lr`: factor on the backbone's learning rate."""
    groups: list[dict[str, Any]] = [{"params": list(network.parameters()), FACTOR: 1.0}]
    if backbone_lr is not None and isinstance(network, Headed):
        groups = [
            {"params": list(network.backbone.parameters()), FACTOR: backbone_lr},
            {"params": list(network.head.parameters()), FACTOR: 1.0},
        ]
    if config.name == "adamw":
        return AdamW(groups, config.lr, weight_decay=config.weight_decay, fused=True)
    return SGD(
        groups,
        config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=True,
    )

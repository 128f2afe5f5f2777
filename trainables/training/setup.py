"""Network and optimizer of a run, as they are before its first step."""

import torch
from torch import nn

from tosmooth.trainables.config import OptimizerConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import require
from tosmooth.trainables.training.batches import Batches
from tosmooth.trainables.training.networks import FastCNN, build_network, enlarged, enlargement
from tosmooth.trainables.training.optimizers import SGD, AdamW

WHITENED = 5000  # images whose patches a whitening layer is fitted to


def fitting_network(config: TrialConfig, data: LevelData) -> nn.Module:
    """A new network for the data. Raises `InputError` where the two do not fit."""
    *size, channels = data.train.inputs.shape[1:]  # images [N, H, W, C], features [N, D]
    network = build_network(config.network, (channels, *size), data.classes)
    padding, rule = config.training.crop_padding, f"less than the images' {' x '.join(map(str, size))} pixels"
    require(config.training.augment == "none" or padding < min(size), "training.crop_padding", padding, rule)
    return network


def ready_network(config: TrialConfig, data: LevelData, batches: Batches, device: torch.device) -> nn.Module:
    """A new network on the device; a whitening layer is fitted to the training images, of which `batches` are made."""
    network = fitting_network(config, data)
    if isinstance(network, FastCNN):
        some = torch.arange(0, len(data.train), max(1, len(data.train) // WHITENED), device=device)
        images = batches.take(some)[0].cpu()
        network.whiten(enlarged(images, enlargement(config.network.name, images.shape[1:])))
    network = network.to(device)
    return network.to(memory_format=torch.channels_last) if batches.images else network


def new_optimizer(config: OptimizerConfig, network: nn.Module) -> torch.optim.Optimizer:
    """A fresh optimizer of all of the network's weights."""
    if config.name == "adamw":
        return AdamW(network.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
    return SGD(
        network.parameters(),
        config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=True,
    )

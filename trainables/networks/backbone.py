"""Weights that a network begins with: read or fetched once a process, and known by their SHA-256."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tosmooth.trainables.config import NetworkConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.digests import file_digest
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.build import backbone_of
from tosmooth.trainables.networks.model_zoo import default_weights
from tosmooth.trainables.networks.weights_file import digest_of, matching, read_state_file

FETCHED = "weights"  # folder in the cache
Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Weights that a backbone begins with."""

    state: Weights
    sha256: str  # of the file; of the weights themselves where they are in none that is known


def start_of(config: NetworkConfig, shape: tuple[int, ...], classes: int, folders: Folders) -> Start:
    """Read the weights that a network's backbone begins with.

    Raises `InputError` where they cannot be had, are not those of the network, or have another SHA-256 than
    `config.sha256`.
    """
    # What shapes the head has no part in it, so that trials which differ in that alone read them once.
    known = replace(config, sha256=None, depth=None, width=None, backbone_lr=None, mode="finetune", views=1)
    start = _start(_Asked(known, str(known.arguments)), shape, classes, folders)
    if config.sha256 not in (None, start.sha256):
        raise InputError(
            f"network.weights: {config.weights}: these are others than before: SHA-256 {config.sha256} was asked for, "
            f"found is {start.sha256}; bring the former ones back, or begin anew under another name"
        )
    return start


def loaded_backbone(
    config: NetworkConfig, shape: tuple[int, ...], classes: int, folders: Folders
) -> tuple[nn.Module, int]:
    """A backbone with its weights, ready to compute features [B, D], and D."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of buffers that are drawn, and in no state dict
        backbone, features = backbone_of(config, shape, classes)
    # Of all that it has but for counters of batches.
    backbone.load_state_dict(start_of(config, shape, classes, folders).state, strict=False)
    return backbone.eval(), features


@dataclass(frozen=True, slots=True)
class _Asked:
    """Key of what is kept: a factory's arguments need not have a hash."""

    config: NetworkConfig
    arguments: str


@functools.lru_cache(maxsize=2)
def _start(asked: _Asked, shape: tuple[int, ...], classes: int, folders: Folders) -> Start:
    config = asked.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # where a factory draws its weights, they are the same each time
        backbone, _ = backbone_of(config, shape, classes)
    wanted = backbone.state_dict()
    if config.weights == "none":
        return Start(wanted, digest_of(wanted))
    if config.weights == "default":
        state, file = default_weights(config.name, folders.cache / FETCHED, config.input_size)
        found = matching(state, wanted, config.name)
        return Start(found, digest_of(found) if file is None else file_digest(file))
    state, sha256 = read_state_file(config.weights, folders)
    return Start(matching(state, wanted, config.name), sha256)

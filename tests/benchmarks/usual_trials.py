"""The trainables of the usual platform. Workers import this: all that a trainable needs it imports when it runs.

`tests/benchmarks/usual.py` runs them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ray import tune

if TYPE_CHECKING:
    from tosmooth.trainables.config import TrialConfig
    from tosmooth.trainables.files.folders import Folders

REPORTS = 10  # of a trial that trains nothing
METRICS = (
    *("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds", "test_loss", "test_accuracy"),
    *("test_ece", "test_brier", "test_confidence_right", "test_confidence_wrong"),
)  # of an epoch, but for the two that tell wrong labels apart


def empty_metrics(rate: float, epoch: int) -> dict[str, float]:
    """What a trial that trains nothing reports; the sampler finds a best rate in it."""
    values = {name: float(epoch + i) for i, name in enumerate(METRICS)}
    return values | {"val_accuracy": 80 + epoch - abs(rate + 1), "seconds": 0.0}


def empty(config: dict[str, Any]) -> None:
    """A trial that only reports."""
    for epoch in range(1, REPORTS + 1):
        tune.report(empty_metrics(config["rate"], epoch))


def classic(config: dict[str, Any], base: TrialConfig, folders: Folders) -> None:
    """A trial with the classic loop: `base` with the sampled parameters."""
    import torch
    from classic import train_classic

    from tosmooth.trainables.data.datasets import load_level

    trial = _with(base, config)
    threads = torch.get_num_threads()

    def report(_: int, metrics: dict[str, float]) -> None:
        tune.report({**metrics, "threads": threads})

    train_classic(trial, load_level(trial.data, folders), report, torch.device("cpu"), workers=0)


def first_epoch(config: dict[str, Any], base: TrialConfig, folders: Folders) -> None:
    """One epoch of `base`, and when it began."""
    import torch

    from tosmooth.trainables.data.datasets import load_level
    from tosmooth.trainables.training.trainer import Trainer

    trial = _with(base, config)
    trainer = Trainer(trial, load_level(trial.data, folders), torch.device("cpu"))
    first_step = time.time()
    tune.report({"val_accuracy": trainer.run_epoch().metrics["val_accuracy"], "first_step": first_step})


def _with(base: TrialConfig, config: dict[str, Any]) -> TrialConfig:
    """`base` with what was sampled; `config` also holds the place on the symlog axis."""
    return replace(base, **{name: config[name] for name in ("rate", "warmup", "lr_after_warmup") if name in config})

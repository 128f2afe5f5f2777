"""The sections of a study file that are about the search: dataset, sampler and pruner, resources."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from search.parameters import Space, grid_size
from trainables.config import DataConfig, TableSource, require

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # names become parts of keys and of file names


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """A dataset and the noise levels to compare; the fields of `DataConfig` besides."""

    name: str
    levels: tuple[str, ...]  # "clean", "given", "worst", "symmetric-0.4", ...
    noise_seed: int | None = None  # None: the study's seed
    split_seed: int | None = None  # None: the study's seed
    validation_fraction: float = 0.1
    size: int | None = None
    test_size: int | None = None
    table: TableSource | None = None

    def __post_init__(self) -> None:
        rule = "letters, digits, dots, - and _, at most 64"
        for key, name in (("name", self.name), *((f"levels[{i}]", level) for i, level in enumerate(self.levels))):
            require(WORD.fullmatch(name) is not None, f"dataset.{key}", name, rule)
        require_distinct("dataset.levels", self.levels)
        self.config(self.levels[0], 0)  # for its checks

    def config(self, noise: str, seed: int) -> DataConfig:
        """One of the levels; `seed` is the study's."""
        return DataConfig(
            dataset=self.name,
            noise=noise,
            noise_seed=seed if self.noise_seed is None else self.noise_seed,
            split_seed=seed if self.split_seed is None else self.split_seed,
            validation_fraction=self.validation_fraction,
            size=self.size,
            test_size=self.test_size,
            table=self.table,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """How parameters are proposed and poor trials stopped. What is None in the file is filled in by `resolved`."""

    trials: int | None = None  # per cell, baselines included; None: 30, for a grid: all of it
    sampler: Literal["tpe", "gp", "random", "grid"] = "tpe"
    pruner: Literal["none", "successive-halving", "median"] = "none"
    pruner_min_epochs: int | None = None  # no trial is pruned before; None: a quarter of the epochs
    reduction_factor: int | None = None  # successive halving: one in so many goes on; None: 4

    def resolved(self, space: Space, epochs: int) -> "SearchSpec":
        """This search in this space, every number settled. Raises `InputError` where they do not fit together."""
        pruned, halved = self.pruner != "none", self.pruner == "successive-halving"
        require(not pruned or epochs > 1, "search.pruner", self.pruner, "a run of one epoch cannot be pruned")
        least = self.pruner_min_epochs if self.pruner_min_epochs is not None else max(1, epochs // 4)
        rule = f"from 1 to below {epochs}, the epochs of the run"
        require(not pruned or 1 <= least < epochs, "search.pruner_min_epochs", least, rule)
        factor = self.reduction_factor if self.reduction_factor is not None else 4
        require(factor >= 2, "search.reduction_factor", factor, "at least 2")
        if not pruned:
            require(self.pruner_min_epochs is None, "search.pruner_min_epochs", least, "there is no pruner")
        if not halved:
            require(self.reduction_factor is None, "search.reduction_factor", factor, "for successive-halving alone")
        return replace(
            self,
            trials=self._budget(space),
            pruner_min_epochs=least if pruned else None,
            reduction_factor=factor if halved else None,
        )

    def _budget(self, space: Space) -> int:
        if self.sampler == "grid":
            size = grid_size(space)
            rule = f"the grid and the baselines make {size} trials: leave `trials` out"
            require(self.trials in (None, size), "search.trials", self.trials, rule)
            require(size <= 100_000, "search.sampler", "grid", f"{size} trials per cell, at most 100000")
            return size
        if self.sampler == "gp":
            # A trial outside the space would take its parameters from what Optuna's GP models: it fell back to chance.
            rule = "gp needs rates that hold the baselines 0 and 0.1; tpe does not"
            require(0.0 in space["rate"] and 0.1 in space["rate"], "search.sampler", "gp", rule)
        trials = 30 if self.trials is None else self.trials
        require(trials >= 2, "search.trials", trials, "at least 2, which are cross-entropy and label smoothing")
        return trials


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one trial takes, and how many run at once."""

    cpus: float = 1.0  # CPU cores, which is threads too
    gpus: float | None = None  # GPUs, or a share of one; None: a quarter where Ray finds one, else 0
    concurrent: int | None = None  # at most so many trials at once; None: as many as fit

    def __post_init__(self) -> None:
        require(self.cpus > 0, "resources.cpus", self.cpus, "above 0")
        require(self.gpus is None or self.gpus >= 0, "resources.gpus", self.gpus, "0 or more")
        for key, value in (("cpus", self.cpus), ("gpus", self.gpus or 0.0)):
            require(
                value <= 1 or value.is_integer(), f"resources.{key}", value, "whole numbers above 1, as Ray takes them"
            )
        require(self.concurrent is None or self.concurrent >= 1, "resources.concurrent", self.concurrent, "at least 1")


def require_distinct(key: str, names: Sequence[str]) -> None:
    require(len(names) > 0, key, list(names), "at least one")
    require(len(set(names)) == len(names), key, list(names), "each once")

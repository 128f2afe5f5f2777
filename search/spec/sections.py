"""Sections of a study file that are about the search: dataset, sampler and pruner, confirmation, resources."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from tosmooth.search.records import MEASURES, Measure, Rule
from tosmooth.search.spec.parameters import Params, Space
from tosmooth.search.spec.plugins import check_choice, in_words
from tosmooth.search.spec.space import grid_size
from tosmooth.trainables.config import CLEANED, MATRIX, CleanedBy, DataConfig, TableSource
from tosmooth.trainables.errors import require
from tosmooth.trainables.redact import masked

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)  # of a study, which is that of its folder
NAME_RULE = "lower-case letters, digits, - and _, at most 64, a letter or digit first"
MOST_TRIALS = 100_000  # of a cell
MOST = 1000  # fresh seeds, and finalists: each is a training of its own
PASSWORD = re.compile(r"://[^/@]*:.*@", re.DOTALL)  # in a URI: it may hold "/" and "@" itself
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # names become parts of keys and of file names


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec:
    """Dataset and the noise levels to compare; the other fields are those of `DataConfig`."""

    name: str
    noise: tuple[str, ...]  # "clean", "given", "worst", "symmetric-0.4", "like-worst", "matrix-NAME", ...
    noise_seed: int | None = None  # None: the study's seed
    split_seed: int | None = None  # None: the study's seed
    validation_fraction: float = 0.1
    size: int | None = None
    test_size: int | None = None
    table: TableSource | None = None
    matrices: Mapping[str, str] | None = None  # NAME -> the file of level matrix-NAME, as `DataConfig.matrix` takes it
    cleaned_by: Mapping[str, CleanedBy] | None = None  # NAME -> {level, file} of level cleaned-NAME (`tosmooth clean`)

    def __post_init__(self) -> None:
        rule = "letters, digits, dots, - and _, at most 64"
        levels = {f"noise[{i}]": level for i, level in enumerate(self.noise)}
        names = {"name": self.name, **levels, **{f"matrices.{name}": name for name in self.matrices or ()}}
        names |= {f"cleaned_by.{name}": name for name in self.cleaned_by or ()}
        for key, name in names.items():
            require(WORD.fullmatch(name) is not None, f"dataset.{key}", name, rule)
        require_distinct("dataset.noise", self.noise)
        for key, level in levels.items():
            there = not level.startswith(MATRIX) or self._matrix(level) is not None
            require(there, f"dataset.{key}", level, f"dataset.matrices has no file for {level.removeprefix(MATRIX)!r}")
            there = not level.startswith(CLEANED) or self._cleaned(level) is not None
            name = level.removeprefix(CLEANED)
            require(there, f"dataset.{key}", level, f"dataset.cleaned_by has no level and file for {name!r}")
        for level in self.noise:
            self.config(level, 0)  # for its checks

    @property
    def of_pictures(self) -> bool:
        """True if its examples are known to be pictures."""
        return self.name.startswith("cifar") if self.table is None else self.table.of_pictures

    @property
    def reads_files(self) -> bool:
        """True if it is read from the data folder; other data are generated, or come with a library."""
        return self.name.startswith("cifar") or self.table is not None or bool(self.matrices or self.cleaned_by)

    def config(self, noise: str, seed: int) -> DataConfig:
        """Configuration of the data at one noise level; `seed` is the study's."""
        cleaned = self._cleaned(noise)
        return DataConfig(
            dataset=self.name,
            noise=noise,
            noise_seed=seed if self.noise_seed is None else self.noise_seed,
            split_seed=seed if self.split_seed is None else self.split_seed,
            validation_fraction=self.validation_fraction,
            size=self.size,
            test_size=self.test_size,
            table=self.table,
            matrix=self._matrix(noise if cleaned is None else cleaned.level),
            cleaned_by=cleaned,
        )

    def _cleaned(self, noise: str) -> CleanedBy | None:
        """Level whose labels a `cleaned-NAME` has, and the table that changes them; `None` for another level."""
        return (self.cleaned_by or {}).get(noise.removeprefix(CLEANED)) if noise.startswith(CLEANED) else None

    def _matrix(self, noise: str) -> str | None:
        """File of a level's transition matrix, `None` for a level without one."""
        return (self.matrices or {}).get(noise.removeprefix(MATRIX)) if noise.startswith(MATRIX) else None


Sampler = Literal["posterior", "tpe", "gp", "random", "grid"]
Pruner = Literal["none", "median"]
GUIDED = ("posterior", "tpe", "gp")  # samplers that have a head start: a random search and a grid take no advice


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWhen:
    """Conditions that end a level's search before its budget is used; either is enough."""

    rate_interval: float | None = None  # the best rate's 95 % interval is at most so wide, in symlog units
    accuracy_margin: float | None = None  # the expected loss of accuracy by choosing wrongly is at most so many points

    def __post_init__(self) -> None:
        for key, value in (("rate_interval", self.rate_interval), ("accuracy_margin", self.accuracy_margin)):
            require(value is None or value > 0, f"search.stop_when.{key}", value, "above 0")
        some = self.rate_interval is not None or self.accuracy_margin is not None
        require(some, "search.stop_when", {}, "rate_interval, accuracy_margin or both")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """Settings by which parameters are proposed, poor trials stopped and the best chosen.

    `resolved` fills in what is None.
    """

    trials: int | None = None  # per cell, baselines included; None: 30, for a grid: all of it
    # `posterior`: the trial that by the readout's own model gains or tells most; the others are Optuna's, and a mapping
    # names any class of its interface (`search.spec.plugins`)
    sampler: Sampler | Mapping[str, Any] = field(default="posterior", hash=False)
    # Training seeds that the trials of a level take in turn; own: each has another.
    training_seeds: int | Literal["own"] = 3
    epoch: Rule = "last"  # whose noisy validation scores a trial
    readout: Literal["posterior", "best"] = "posterior"  # of a smooth model of all trials, or the best single trial
    estimate_noise: bool = True  # cross-entropy runs estimate the noise rate from the noisy labels alone
    head_start: bool = True  # posterior, tpe and gp: propose the theory's rate and the neighbouring levels' best early
    prior_study: str | None = None  # a study of the same home whose findings are proposed early
    stop_when: StopWhen | None = None  # None: each level uses its budget
    pruner: Pruner | Mapping[str, Any] = field(default="none", hash=False)  # a mapping as for the sampler
    pruner_min_epochs: int | None = None  # no trial is pruned before; None: a quarter of the epochs
    pruner_grace: int | None = None  # nor before so many epochs after its warm-up; None: 2

    def __post_init__(self) -> None:
        check_choice("search.sampler", self.sampler, get_args(Sampler))
        check_choice("search.pruner", self.pruner, get_args(Pruner))
        seeds = self.training_seeds
        require(seeds == "own" or seeds >= 1, "search.training_seeds", seeds, "at least 1, or own")
        require(self.epoch in ("last", "best"), "search.epoch", self.epoch, "last or best")
        require(self.readout in ("posterior", "best"), "search.readout", self.readout, "posterior or best")
        name = self.prior_study is None or NAME.fullmatch(self.prior_study) is not None
        require(name, "search.prior_study", self.prior_study, NAME_RULE)

    @property
    def guided(self) -> bool:
        """True if the sampler has a head start: points that cover the space, theory's rate, the neighbours' best."""
        return isinstance(self.sampler, Mapping) or self.sampler in GUIDED

    @property
    def modelled(self) -> bool:
        """True if the sampler learns from trials of one set of bounds alone, or may: the bounds must stay."""
        return isinstance(self.sampler, Mapping) or self.sampler == "gp"

    def resolved(self, space: Space, epochs: int) -> "SearchSpec":
        """Settle every number of this search for this space. Raises `InputError` if they do not fit together."""
        pruned = self.pruner != "none"
        require(not pruned or epochs > 1, "search.pruner", self.pruner, "a run of one epoch cannot be pruned")
        rule = f"for the samplers {', '.join(GUIDED)}, and classes of Optuna's"
        require(self.guided or self.prior_study is None, "search.prior_study", self.prior_study, rule)
        stopped = {key: value for key, value in asdict(self.stop_when).items() if value} if self.stop_when else {}
        require(self.sampler != "grid" or not stopped, "search.stop_when", stopped, "a grid is tried whole")
        least = self.pruner_min_epochs if self.pruner_min_epochs is not None else max(1, epochs // 4)
        rule = f"from 1 to below {epochs}, the epochs of the run"
        require(not pruned or 1 <= least < epochs, "search.pruner_min_epochs", least, rule)
        grace = self.pruner_grace if self.pruner_grace is not None else min(2, epochs - 1)
        require(not pruned or 0 <= grace < epochs, "search.pruner_grace", grace, f"from 0 to below {epochs} epochs")
        if not pruned:
            require(self.pruner_min_epochs is None, "search.pruner_min_epochs", least, "there is no pruner")
            require(self.pruner_grace is None, "search.pruner_grace", grace, "there is no pruner")
        return replace(
            self,
            trials=self._budget(space),
            pruner_min_epochs=least if pruned else None,
            pruner_grace=grace if pruned else None,
        )

    def _budget(self, space: Space) -> int:
        if self.sampler == "grid":
            size = grid_size(space)
            rule = f"the grid and the baselines make {size} trials: leave `trials` out"
            require(self.trials in (None, size), "search.trials", self.trials, rule)
            require(size <= MOST_TRIALS, "search.sampler", "grid", f"{size} trials per cell, at most {MOST_TRIALS}")
            return size
        if self.modelled:
            # A trial outside the space would take its parameters from what Optuna's GP models: it fell back to chance.
            rule = f"{in_words(self.sampler)} needs rates that hold the baselines 0 and 0.1; tpe does not"
            rates = space.get("rate")
            require(rates is None or (0.0 in rates and 0.1 in rates), "search.sampler", in_words(self.sampler), rule)
        trials = 30 if self.trials is None else self.trials
        rule = f"at least 2, which are cross-entropy and label smoothing, and at most {MOST_TRIALS}"
        require(2 <= trials <= MOST_TRIALS, "search.trials", trials, rule)
        return trials


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationSpec:
    """Numbers of fresh training seeds and of finalists with which the best parameters of a cell are confirmed."""

    seeds: int | Literal["auto"] = 5  # fresh training seeds on which the best rate, CE and LS are trained again
    gain_interval: float | None = None  # `auto` adds seeds until the gain's 95 % interval is so narrow, points; None: 1
    max_seeds: int | None = None  # `auto` adds no more than so many; None: 20
    # Distinct parameters confirmed; the best mean over the fresh seeds is chosen. auto: one or two, as
    # `search.selection.choice` finds necessary.
    finalists: int | Literal["auto"] = "auto"
    keep_weights: Literal["first", "all"] = "first"  # networks kept: of the first fresh seed, or of each

    def __post_init__(self) -> None:
        kept = self.keep_weights in ("first", "all")
        require(kept, "confirmation.keep_weights", self.keep_weights, "first or all")
        auto = self.seeds == "auto"
        for key, number in (("seeds", self.seeds), ("finalists", self.finalists)):
            some = number == "auto" or 1 <= number <= MOST
            require(some, f"confirmation.{key}", number, f"at least 1 and at most {MOST}, or auto")
        for key, value, least in (("gain_interval", self.gain_interval, 0), ("max_seeds", self.max_seeds, 2)):
            require(value is None or auto, f"confirmation.{key}", value, "for `seeds: auto` alone")
            require(value is None or value >= least, f"confirmation.{key}", value, f"at least {least}")
        fits = self.max_seeds is None or self.max_seeds <= MOST
        require(fits, "confirmation.max_seeds", self.max_seeds, f"at most {MOST}")

    @property
    def most_seeds(self) -> int:
        """Most fresh seeds that are confirmed: all of them, unless `auto` is content with fewer."""
        return self.seeds if isinstance(self.seeds, int) else 20 if self.max_seeds is None else self.max_seeds

    @property
    def fewest_seeds(self) -> int:
        """Fewest fresh seeds that are confirmed: under `auto` three, which say how far seeds differ."""
        return self.seeds if isinstance(self.seeds, int) else min(3, self.most_seeds)

    @property
    def fewest_finalists(self) -> int:
        """Fewest finalists that are confirmed."""
        return self.finalists if isinstance(self.finalists, int) else 1

    @property
    def most_finalists(self) -> int:
        """Most finalists that are confirmed."""
        return self.finalists if isinstance(self.finalists, int) else 2

    @property
    def widest_gain(self) -> float | None:
        """Widest interval of the gain, in points, that is narrow enough under `auto`; else `None`."""
        if isinstance(self.seeds, int):
            return None
        return 1.0 if self.gain_interval is None else self.gain_interval

    @property
    def seeds_in_words(self) -> str:
        """Number of fresh seeds in words, such as "5" or "3 to 20"."""
        few, most = self.fewest_seeds, self.most_seeds
        return str(few) if few == most else f"{few} to {most}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSpec:
    """What tells the better of two trials, in search and confirmation alike, and what a gain is told in."""

    metric: Measure = "accuracy"  # of the noisy validation; balanced: where classes are of unequal size
    validate_on: Literal["noisy", "clean"] = "noisy"  # clean: labels that are known to be right, where there are some
    bounded: bool = False  # trials whose logits run away count as diverged: what is chosen has usable probabilities

    def __post_init__(self) -> None:
        require(self.metric in MEASURES, "selection.metric", self.metric, f"one of {', '.join(MEASURES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """Parameters with which plain cross-entropy and label smoothing are confirmed; empty where they are not."""

    ce: Params
    ls: Params


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkSpec:
    """Sharing of the warm-up among trials of one level and training seed, and where trunks are kept meanwhile."""

    share: bool = True
    keep: bool = False  # after the study is done
    folder: str | None = None  # a path that every node sees, or a URI (s3://, gs://, hdfs://); None: in the home
    max_gb: float | None = None  # beyond it the oldest go, in units of 1e9 bytes; None: 20

    def __post_init__(self) -> None:
        require(self.max_gb is None or self.max_gb > 0, "trunks.max_gb", self.max_gb, "above 0")
        # A study file is kept in the home, and trials are told of the place through Tune.
        variables = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ..."
        rule = f"without a password (between : and @): stores take it from the environment ({variables})"
        require(PASSWORD.search(self.folder or "") is None, "trunks.folder", masked(self.folder or ""), rule)
        for key, value in (("keep", self.keep), ("folder", self.folder), ("max_gb", self.max_gb)):
            require(self.share or not value, f"trunks.{key}", value, "for trunks that are shared")

    @property
    def most_gb(self) -> float:
        """Most disk space that all trunks of the study may take, in units of 1e9 bytes."""
        return 20.0 if self.max_gb is None else self.max_gb


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Resources that one trial takes, and how many trials run at once."""

    cpus: float = 1.0  # CPU cores, which is threads too
    gpus: float | None = None  # GPUs, or a share of one; None: a quarter where Ray finds one, else 0
    concurrent: int | None = None  # at most so many trials at once; None: as many as fit
    accelerator: str | None = None  # type of GPU, as Ray names it: H100; None: any

    def __post_init__(self) -> None:
        named = self.accelerator is None or re.fullmatch(r"[A-Za-z0-9_.-]+", self.accelerator) is not None
        require(named, "resources.accelerator", self.accelerator, "a type of GPU as Ray names it, such as H100 or A100")
        some = self.accelerator is None or self.gpus is None or self.gpus > 0
        require(some, "resources.gpus", self.gpus, "above 0 where resources.accelerator asks for a type of GPU")
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

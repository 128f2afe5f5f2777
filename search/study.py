"""What a study is: a YAML file, checked once, with every choice settled. Loads without Ray, Optuna, MLflow or torch.

A study file says (only `name` and `dataset` must be there):

    name, question, cost    texts; `cost` was seen on named hardware
    seed                    of which all seeds of trials and samplers are derived
    dataset                 name, levels, noise_seed, split_seed, validation_fraction, size, test_size, table
    network, training       the recipe, as `trainables.config` has it
    method                  gls
    space                   parameter: {low, high, scale, step} or {values: [...]}
    search                  trials, sampler, seeds, estimate_noise, head_start, prior_study, allocation, stop_when,
                            pruner, pruner_min_epochs, pruner_grace, reduction_factor
    trunks                  share, keep, folder, max_gb
    selection               readout, epoch, seeds, finalists, gain_interval, max_seeds
    resources               cpus, gpus, concurrent
    trial_attempts          how often a trial that crashes is started before it is failed
    trial_timeout           seconds within which each of its epochs must end, or it has crashed; null: any time
    trial_checkpoint        seconds between two states kept of a running trial, to go on from; null: none is kept
"""

import dataclasses
import itertools
import json
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from search.parameters import BASELINES, Params, Range, Space, build_space, with_params
from search.sections import NAME, NAME_RULE, DatasetSpec, Resources, SearchSpec, TrunkSpec, require_distinct
from search.selection import Baselines, Selection
from search.study_file import LONGEST, differences, dump, override, parse_mapping, plain, readable
from trainables.config import DataConfig, InputError, NetworkConfig, TrainingConfig, TrialConfig, build, require

T = TypeVar("T")
METHODS = ("gls",)


class Cell(NamedTuple):
    """A noise level and a method: one row of the table."""

    level: str  # "cifar10n/worst"
    method: str  # "gls"

    @property
    def noise(self) -> str:
        return self.level.partition("/")[2]

    @property
    def key(self) -> str:
        """The cell's name in storages, seeds and messages: "cifar10n/worst/gls"."""
        return f"{self.level}/{self.method}"


def _section(cls: type[T], key: str) -> BeforeValidator:
    """Build a part of the study as a trial's configuration is built, so that messages are the same everywhere."""

    def make(value: object) -> T:
        return value if isinstance(value, cls) else build(cls, value, f"{key}.")

    return BeforeValidator(make)


class StudySpec(BaseModel):
    """A study. Make one by `load_study` or `read_study`, which raise `InputError` with a line for each thing wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    question: str = ""
    cost: str = "not measured"
    seed: int = Field(default=0, ge=0, lt=2**32)
    dataset: Annotated[DatasetSpec, _section(DatasetSpec, "dataset")]
    network: Annotated[NetworkConfig, _section(NetworkConfig, "network")] = NetworkConfig()
    training: Annotated[TrainingConfig, _section(TrainingConfig, "training")] = TrainingConfig()
    method: tuple[Literal["gls"], ...] = ("gls",)
    space: Space = Field(default_factory=dict, validate_default=True)
    search: Annotated[SearchSpec, _section(SearchSpec, "search")] = Field(default=SearchSpec(), validate_default=True)
    trunks: Annotated[TrunkSpec, _section(TrunkSpec, "trunks")] = TrunkSpec()
    selection: Annotated[Selection, _section(Selection, "selection")] = Selection()
    resources: Annotated[Resources, _section(Resources, "resources")] = Resources()
    trial_attempts: int = Field(default=3, ge=1)
    trial_timeout: float | None = Field(default=3600.0, gt=0, allow_inf_nan=False)
    trial_checkpoint: float | None = Field(default=60.0, ge=0, allow_inf_nan=False)

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        return check_name(value)

    @field_validator("question", "cost")
    @classmethod
    def _check_text(cls, value: str, info: ValidationInfo) -> str:
        require(value.isprintable(), str(info.field_name), value, "text on one line")
        return value

    @field_validator("method", mode="before")
    @classmethod
    def _check_methods(cls, value: object) -> tuple[Any, ...]:
        methods = tuple(value) if isinstance(value, list | tuple) else (value,)
        for method in methods:
            require(method in METHODS, "method", method, f"one of {', '.join(METHODS)}")
        require_distinct("method", methods)
        return methods

    @field_validator("space", mode="before")
    @classmethod
    def _build_space(cls, value: object, info: ValidationInfo) -> Space:
        if not {"network", "training"} <= info.data.keys():
            return {}  # they are wrong, and say so
        return build_space(value, info.data["network"], info.data["training"])

    @field_validator("search")
    @classmethod
    def _resolve_search(cls, value: SearchSpec, info: ValidationInfo) -> SearchSpec:
        return value.resolved(info.data["space"], info.data["training"].epochs) if info.data.get("space") else value

    @property
    def budget(self) -> int:
        """Trials of a cell's search that are to end as complete, pruned or diverged, baselines included."""
        return cast(int, self.search.trials)  # `SearchSpec.resolved` settled it

    @property
    def rate_bounds(self) -> tuple[float, float]:
        """The least and the greatest rate searched."""
        rates = self.space["rate"].extremes
        return min(rates), max(rates)

    def cells(self) -> list[Cell]:
        """Every noise level with every method, in the order of the file."""
        levels = [f"{self.dataset.name}/{noise}" for noise in self.dataset.levels]
        return [Cell(level, method) for level in levels for method in self.method]

    def data_config(self, noise: str) -> DataConfig:
        """The data of one noise level of the study."""
        return self.dataset.config(noise, self.seed)

    def trial_config(self, cell: Cell, params: Params, train_seed: int) -> TrialConfig:
        """The training run of a trial. Raises `InputError` where the recipe refuses the parameters."""
        data = self.data_config(cell.noise)
        method: Any = cell.method
        config = TrialConfig(
            data=data, network=self.network, training=self.training, method=method, train_seed=train_seed
        )
        return with_params(config, params)

    def baseline(self, rate: float) -> Params:
        """The parameters of plain cross-entropy (rate 0) or label smoothing (0.1) as the file's recipe has them.

        Under the recipe `single` smoothing starts as early as the space allows, under `two-phase` as late; the
        learning rate after it is unchanged. Each value lies in the space but for the rate.
        """
        data = self.data_config(self.dataset.levels[0])
        recipe = TrialConfig(data=data, network=self.network, training=self.training).to_dict()
        params: Params = {}
        for name, parameter in self.space.items():
            value: Any = recipe
            for key in name.split("."):
                value = None if value is None else value[key]
            params[name] = parameter.nearest(value)
        start = max if self.training.recipe == "two-phase" else min
        return params | {"rate": rate, "warmup": start(self.space["warmup"].extremes)}

    def baseline_of(self, rate: float, chosen: Params) -> Params:
        """The baseline to compare `chosen` with: what else of the recipe was searched is taken from `chosen`.

        So the gain is not that of tuning. Under `two-phase` warm-up and learning rate are taken too: they belong to
        its second phase. Under `single` the baseline has neither, and the table says so where `chosen` has.
        """
        shared = ("warmup", "lr_factor") if self.training.recipe == "two-phase" else ()
        return {name: chosen[name] if "." in name or name in shared else v for name, v in self.baseline(rate).items()}

    def baselines(self, chosen: Params | None = None) -> Baselines:
        """Cross-entropy and label smoothing: to compare `chosen` with, or before anything is chosen."""
        ce, ls = (self.baseline_of(rate, chosen) if chosen else self.baseline(rate) for rate in BASELINES)
        return Baselines(ce=ce, ls=ls)

    def confirmation_seeds(self) -> list[int]:
        """The fresh training seeds of the confirmation: the same for all cells and parameters, to compare in pairs.

        As many as there are at most: `seeds: auto` takes as many of the first as it needs.
        """
        return [derive_seed(self.seed, "confirmation", i, "train") for i in range(self.selection.most_seeds)]

    def search_seed(self, cell: Cell, number: int, baseline: bool, had: Collection[int]) -> int:
        """The training seed of search trial `number` of a cell, whose parameters have `had` others already.

        With `search.seeds: n` the trials of all levels take n seeds in turn, so that those of one seed can be compared
        and share their warm-up; the baselines take the first. Parameters that come again get a seed that they have not
        had, from beyond the n where they had them all.
        """
        pool = self.search.seeds
        if pool == "own":
            return derive_seed(self.seed, cell.key, "search", number, "train")
        if had:
            seeds = (derive_seed(self.seed, "search", i, "train") for i in itertools.count())
            return next(seed for seed in seeds if seed not in had)
        return derive_seed(self.seed, "search", 0 if baseline else number % pool, "train")

    def meaning(self) -> dict[str, Any]:
        """What shapes the numbers of trials that ended, plain: while this is the same, a study can grow."""
        data = dataclasses.asdict(self.data_config(self.dataset.levels[0]))
        values = {
            "seed": self.seed,
            "dataset": {"name" if key == "dataset" else key: v for key, v in data.items() if key != "noise"},
            "network": self.network,
            "training": dataclasses.replace(self.training, test_every=1),  # the test set chooses nothing
            "space": {name: parameter.kind for name, parameter in self.space.items()},
            "selection": {"epoch": self.selection.epoch},  # by which the sampler was told of each trial
        }
        return plain(values)


def load_study(
    name_or_path: str | Path, overrides: Sequence[str] = (), name: str | None = None, seed: int | None = None
) -> StudySpec:
    """A study that comes with the package, by name, or one of the user's, by path to its YAML file.

    `overrides` are `key.path=value`, applied in order before anything is checked, then `name` and `seed`.
    """
    text, where = _source(name_or_path)
    return read_study(text, where, overrides, name, seed)


def read_study(
    text: str, where: str = "study", overrides: Sequence[str] = (), name: str | None = None, seed: int | None = None
) -> StudySpec:
    """The study of a YAML text; `where` it comes from, for messages about its syntax."""
    values = parse_mapping(text, where)
    for change in overrides:
        override(values, change)
    values |= {key: value for key, value in (("name", name), ("seed", seed)) if value is not None}
    try:
        return StudySpec.model_validate(values)
    except ValidationError as error:
        raise readable(error, StudySpec.model_fields) from error


def shipped_studies() -> list[str]:
    """The names of the studies that come with the package."""
    entries = (entry.name for entry in files("studies").iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def to_yaml(spec: StudySpec) -> str:
    """The study as the text of a file, every choice settled; `read_study` takes it back to an equal study."""
    method = spec.method[0] if len(spec.method) == 1 else spec.method
    return dump({**dict(spec), "method": method})


def difference(old: StudySpec, new: StudySpec) -> list[str]:
    """Why `new` cannot go on where `old` stopped, a line each (`training.epochs: 10 -> 20`); empty if it can.

    Free to change: more or fewer trials (what was tried stays, and counts), added levels and methods, bounds, sampler,
    pruner, selection, resources, question, cost and name. Not so what shapes the numbers of trials, and nothing that
    was searched may go. Optuna's GP learns from trials of one set of bounds only, and a grid is one set of points:
    with them the bounds are settled too, and a study is a grid from its start or never.
    """
    before, after = old.meaning(), new.meaning()
    if new.search.sampler in ("gp", "grid"):
        before["bounds"], after["bounds"] = _bounds(old), _bounds(new)
    if new.search.sampler == "grid":
        before["sampler"], after["sampler"] = old.search.sampler, "grid"
    lines = differences(before, after)
    lines += [f"dataset.levels: {level} is removed" for level in old.dataset.levels if level not in new.dataset.levels]
    return lines + [f"method: {method} is removed" for method in old.method if method not in new.method]


def check_name(name: str) -> str:
    """The name of a study, which is that of its folder. Raises `InputError` for one that could lead out of the home."""
    require(NAME.fullmatch(name) is not None, "name", name, NAME_RULE)
    return name


def derive_seed(*parts: object) -> int:
    """A seed of 31 bits, which every library takes, from texts and numbers; unrelated for different parts."""
    return int.from_bytes(blake2b(json.dumps(parts).encode(), digest_size=4).digest()) >> 1


def _bounds(spec: StudySpec) -> dict[str, list[float]]:
    return {name: list(p.extremes) for name, p in spec.space.items() if isinstance(p, Range)}


def _source(name_or_path: str | Path) -> tuple[str, str]:
    known = shipped_studies()
    if name_or_path in known:
        return files("studies").joinpath(f"{name_or_path}.yaml").read_text(encoding="utf-8"), f"study {name_or_path}"
    path = Path(name_or_path)
    if not _is_file(path) and path.suffix not in (".yaml", ".yml") and len(path.parts) < 2:
        near = get_close_matches(str(name_or_path), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"those that come with it: {', '.join(known)}."
        raise InputError(f"study {str(name_or_path)!r}: unknown; {hint} One of your own goes by the path of its file")
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(LONGEST + 1), str(path)  # a device has no end, and `parse` refuses what is longer
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the study file cannot be read: {error}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long for the file system
        return False

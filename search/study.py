"""What a study is: a YAML file, checked once, with every choice settled. Loads without Ray, Optuna, MLflow or torch.

A study file says (only `name` and `dataset` must be there):

    name, question, cost    texts; `cost` was seen on named hardware
    seed                    of which all seeds of trials and samplers are derived
    dataset                 name, levels, noise_seed, split_seed, validation_fraction, size, test_size, table, matrices
    network, training       the recipe, as `trainables.config` has it
    method                  gls, or one of its relatives (`trainables.methods`), or a list of them
    transition              estimated, measured, or K rows of P(noisy label | clean label): for forward and backward
    space                   parameter: {low, high, scale, step} or {values: [...]}
    search                  trials, sampler, seeds, estimate_noise, head_start, prior_study, allocation, stop_when,
                            pruner, pruner_min_epochs, pruner_grace, reduction_factor
    trunks                  share, keep, folder, max_gb
    selection               readout, epoch, seeds, finalists, gain_interval, max_seeds, keep_weights
    resources               cpus, gpus, concurrent
    trial_attempts          how often a trial that crashes is started before it is failed
    trial_timeout           seconds within which each of its epochs must end, or it has crashed; null: any time
    trial_checkpoint        seconds between two states kept of a running trial, to go on from; null: none is kept
"""

import dataclasses
import itertools
import json
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from search.parameters import BASELINES, Params, Space, method_of, with_params
from search.sections import NAME, NAME_RULE, DatasetSpec, Resources, SearchSpec, TrunkSpec, require_distinct
from search.selection import Baselines, Selection
from search.space_file import build_space, space_of
from search.study_file import plain
from trainables.config import (
    DataConfig,
    NetworkConfig,
    TrainingConfig,
    TrialConfig,
    build,
    convert,
    require,
)
from trainables.methods import METHODS

T = TypeVar("T")


Transition = Literal["estimated", "measured"] | tuple[tuple[float, ...], ...] | None


class Cell(NamedTuple):
    """A noise level and a method: one row of the table."""

    level: str  # "cifar10n/worst"
    method: str  # "gls", "peer", ...

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
    """A study, as `search.loading` makes it, which raises `InputError` with a line for each thing that is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    question: str = ""
    cost: str = "not measured"
    seed: int = Field(default=0, ge=0, lt=2**32)
    dataset: Annotated[DatasetSpec, _section(DatasetSpec, "dataset")]
    network: Annotated[NetworkConfig, _section(NetworkConfig, "network")] = NetworkConfig()
    training: Annotated[TrainingConfig, _section(TrainingConfig, "training")] = TrainingConfig()
    method: tuple[str, ...] = ("gls",)
    transition: Transition = None
    space: Space = Field(default_factory=dict, validate_default=True)
    search: Annotated[SearchSpec, _section(SearchSpec, "search")] = Field(default=SearchSpec(), validate_default=True)
    trunks: Annotated[TrunkSpec, _section(TrunkSpec, "trunks")] = TrunkSpec()
    selection: Annotated[Selection, _section(Selection, "selection")] = Selection()
    resources: Annotated[Resources, _section(Resources, "resources")] = Resources()
    trial_attempts: int = Field(default=3, ge=1)
    trial_timeout: float | None = Field(default=3600.0, gt=0, allow_inf_nan=False)
    trial_checkpoint: float | None = Field(default=60.0, ge=0, allow_inf_nan=False)
    _whole: "StudySpec | None" = PrivateAttr(default=None)  # of which this is the view of one method

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
            require(isinstance(method, str) and method in METHODS, "method", method, f"one of {', '.join(METHODS)}")
        require_distinct("method", methods)
        return methods

    @field_validator("transition", mode="before")
    @classmethod
    def _check_transition(cls, value: object, info: ValidationInfo) -> object:
        methods = info.data.get("method", ())
        needed = value is None or not methods or any(METHODS[method].needs_transition for method in methods)
        require(needed, "transition", value, f"none of the study's methods ({', '.join(methods)}) has a use for it")
        return convert(Transition, value, "transition")

    @field_validator("space", mode="before")
    @classmethod
    def _build_space(cls, value: object, info: ValidationInfo) -> Space:
        if not {"network", "training", "method", "transition"} <= info.data.keys():
            return {}  # they are wrong, and say so
        parts = (info.data[key] for key in ("network", "training", "transition"))
        return build_space(value, recipes_of(info.data["method"], *parts))

    @field_validator("search")
    @classmethod
    def _resolve_search(cls, value: SearchSpec, info: ValidationInfo) -> SearchSpec:
        if not info.data.get("space"):
            return value
        alone = value.sampler != "grid" or len(info.data["method"]) == 1
        require(alone, "search.sampler", value.sampler, "one method: of several, each has a grid of another size")
        return value.resolved(info.data["space"], info.data["training"].epochs)

    @property
    def budget(self) -> int:
        """Trials of a cell's search that are to end as complete, pruned or diverged, baselines included."""
        return cast(int, self.search.trials)  # `SearchSpec.resolved` settled it

    @property
    def rate_bounds(self) -> tuple[float, float] | None:
        """The least and the greatest rate searched; `None` for a method that has none."""
        rates = self.space["rate"].extremes if "rate" in self.space else ()
        return (min(rates), max(rates)) if rates else None

    def of(self, method: str) -> "StudySpec":
        """The study as the cells of one method see it: its space is what that method searches."""
        recipe = recipes_of((method,), self.network, self.training, self.transition)[method]
        view = self.model_copy(update={"method": (method,), "space": space_of(self.space, recipe)})
        view._whole = self
        return view

    @property
    def axis(self) -> str:
        """What pictures and intervals are over: the rate, another method's first parameter, or else the warm-up.

        As all that is about a space, it is asked of the study of one method (`of`).
        """
        return next(iter(self.space))

    def openers(self) -> list[Params]:
        """What a cell tries first, and never prunes: cross-entropy and label smoothing, or a method's defaults."""
        if self.method == ("gls",):
            return [self.baseline(rate) for rate in BASELINES]
        return [self._as_in_the_file(self.method[0])]

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
        recipe = recipes_of((cell.method,), self.network, self.training, self.transition)[cell.method]
        return with_params(dataclasses.replace(recipe, data=data, train_seed=train_seed), params)

    def baseline(self, rate: float) -> Params:
        """The parameters of plain cross-entropy (rate 0) or label smoothing (0.1) as the file's recipe has them.

        Under the recipe `single` smoothing starts as early as the space allows, under `two-phase` as late; the
        learning rate after it is unchanged. Each value lies in the space but for the rate. In a cell of another method
        they say that they are gls.
        """
        whole = self._whole or self  # baselines are the same beside every method
        params = {name: v for name, v in whole._as_in_the_file("gls").items() if method_of(name) is None}
        return {"rate": rate} | params | ({} if self.method == ("gls",) else {"method": "gls"})

    def _as_in_the_file(self, method: str) -> Params:
        """Each searched parameter as the recipe has it, or the nearest in the space; the method's as in its source."""
        recipe = recipes_of((method,), self.network, self.training, self.transition)[method].to_dict()
        params: Params = {}
        for name, parameter in self.space.items():
            if method_of(name) not in (None, method):
                continue
            value: Any = recipe
            for key in ("parameters", name.split(".")[1]) if "." in name and method_of(name) else name.split("."):
                value = None if value is None else value.get(key)
            params[name] = parameter.nearest(value)
        start = max if self.training.recipe == "two-phase" else min
        return params | {"warmup": start(self.space["warmup"].extremes)}

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

    def search_seed(self, cell: Cell, number: int, first: bool, had: Collection[int]) -> int:
        """The training seed of search trial `number` of a cell, whose parameters have `had` others already.

        With `search.seeds: n` the trials of all levels take n seeds in turn, so that those of one seed can be compared
        and share their warm-up; what each cell tries first (`openers`) takes the first. Parameters that come again get
        a seed that they have not had, from beyond the n where they had them all.
        """
        pool = self.search.seeds
        if pool == "own":
            return derive_seed(self.seed, cell.key, "search", number, "train")
        if had:
            seeds = (derive_seed(self.seed, "search", i, "train") for i in itertools.count())
            return next(seed for seed in seeds if seed not in had)
        return derive_seed(self.seed, "search", 0 if first else number % pool, "train")

    def meaning(self) -> dict[str, Any]:
        """What shapes the numbers of trials that ended, plain: while this is the same, a study can grow.

        What a transition matrix's file holds is covered by the digest of its level's data, wherever the file lies.
        """
        data = dataclasses.asdict(self.data_config(self.dataset.levels[0]))
        kept = {key: value for key, value in data.items() if key not in ("dataset", "noise", "matrix")}
        values = {
            "seed": self.seed,
            "dataset": {"name": self.dataset.name, **kept},
            "network": self.network,
            "transition": self.transition,
            "training": dataclasses.replace(self.training, test_every=1),  # the test set chooses nothing
            "space": {name: parameter.kind for name, parameter in self.space.items()},
            "selection": {"epoch": self.selection.epoch},  # by which the sampler was told of each trial
        }
        return plain(values)


def recipes_of(
    methods: Sequence[str], network: NetworkConfig, training: TrainingConfig, transition: Transition
) -> dict[str, TrialConfig]:
    """A run of each of the methods, on any data, with what the study leaves to all of them."""
    found = {}
    for method in methods:
        given = (transition or "estimated") if METHODS[method].needs_transition else None
        found[method] = TrialConfig(
            data=DataConfig(dataset="any"),
            network=network,
            training=training,
            method=method,
            transition=given,
            warmup=1 if given == "estimated" else 0,
        )
    return found


def check_name(name: str) -> str:
    """The name of a study, which is that of its folder. Raises `InputError` for one that could lead out of the home."""
    require(NAME.fullmatch(name) is not None, "name", name, NAME_RULE)
    return name


def derive_seed(*parts: object) -> int:
    """A seed of 31 bits, which every library takes, from texts and numbers; unrelated for different parts."""
    return int.from_bytes(blake2b(json.dumps(parts).encode(), digest_size=4).digest()) >> 1

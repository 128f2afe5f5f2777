"""Study: a YAML file, checked once, with every choice settled. Loads without Ray, Optuna, MLflow or torch.

A study file says (only `name` and `dataset` must be there):

    name, question, cost    texts; `cost` was seen on named hardware
    seed                    of which all seeds of trials and samplers are derived
    dataset                 name, noise (its levels), noise_seed, split_seed, validation_fraction, size, test_size,
                            table, matrices, cleaned_by
    network, training       the recipe, as `trainables.config` has it
    trainable, arguments    a function of the user's that trains in the place of our loop, and what it is given
    method                  gls, or one of its relatives (`trainables.methods`), or a list of them
    transition              estimated, measured, or K rows of P(noisy label | clean label): for forward and backward
    space                   parameter: {low, high, scale, step} or {values: [...]}
    search                  trials, sampler, training_seeds, epoch, readout, estimate_noise, head_start, prior_study,
                            stop_when, pruner, pruner_min_epochs, pruner_grace
    selection               metric, validate_on, bounded
    trunks                  share, keep, folder, max_gb
    confirmation            seeds, finalists, gain_interval, max_seeds, keep_weights
    resources               cpus, gpus, accelerator, concurrent
    trial_attempts          how often a trial that crashes is started before it is failed
    trial_timeout           seconds within which each of its epochs must end, or it has crashed; null: any time
    trial_checkpoint        seconds between two states kept of a running trial, to go on from; null: none is kept
    code                    digest of the user's code that the study names; settled when it is read from its file
"""

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tosmooth.search.records import Cell, Score
from tosmooth.search.spec.former_search import refuse_former
from tosmooth.search.spec.near_levels import check_levels
from tosmooth.search.spec.parameters import Params, Space, with_params
from tosmooth.search.spec.plugins import check_choice
from tosmooth.search.spec.recipes import Transition, recipes_of
from tosmooth.search.spec.sections import (
    NAME,
    NAME_RULE,
    ConfirmationSpec,
    DatasetSpec,
    Pruner,
    Resources,
    Sampler,
    SearchSpec,
    SelectionSpec,
    TrunkSpec,
    require_distinct,
)
from tosmooth.search.spec.seeds import derive_seed
from tosmooth.search.spec.space import build_space
from tosmooth.search.spec.yaml_file import plain
from tosmooth.trainables.config import (
    DataConfig,
    NetworkConfig,
    TrainingConfig,
    TrialConfig,
    check_code,
    check_trainable,
    references_of,
)
from tosmooth.trainables.conversion import build, convert, number, one_of
from tosmooth.trainables.errors import require
from tosmooth.trainables.methods import METHODS

T = TypeVar("T")


PICTURES: Literal["cnn"] = "cnn"  # the network for pictures, where a study names none


def _section(cls: type[T], key: str) -> BeforeValidator:
    """Build a part of the study as a trial's configuration is built, so that messages are the same everywhere."""

    def make(value: object) -> T:
        return value if isinstance(value, cls) else build(cls, value, f"{key}.")

    return BeforeValidator(make)


class StudySpec(BaseModel):
    """Study, made by `search.spec.loading`, which raises `InputError` with a line for each thing that is wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    question: str = ""
    cost: str = "not measured"
    seed: int = Field(default=0, ge=0, lt=2**32)
    dataset: Annotated[DatasetSpec, _section(DatasetSpec, "dataset")]
    network: Annotated[NetworkConfig, _section(NetworkConfig, "network")] = Field(
        default_factory=NetworkConfig, validate_default=True
    )
    training: Annotated[TrainingConfig, _section(TrainingConfig, "training")] = TrainingConfig()
    trainable: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    method: tuple[str, ...] = ("gls",)
    transition: Transition = None
    space: Space = Field(default_factory=dict, validate_default=True)
    search: Annotated[SearchSpec, _section(SearchSpec, "search")] = Field(default=SearchSpec(), validate_default=True)
    selection: Annotated[SelectionSpec, _section(SelectionSpec, "selection")] = SelectionSpec()
    trunks: Annotated[TrunkSpec, _section(TrunkSpec, "trunks")] = Field(default=TrunkSpec(), validate_default=True)
    confirmation: Annotated[ConfirmationSpec, _section(ConfirmationSpec, "confirmation")] = ConfirmationSpec()
    resources: Annotated[Resources, _section(Resources, "resources")] = Resources()
    trial_attempts: int = Field(default=3, ge=1)
    trial_timeout: float | None = Field(default=3600.0, gt=0, allow_inf_nan=False)
    trial_checkpoint: float | None = Field(default=60.0, ge=0, allow_inf_nan=False)
    code: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_method(cls, values: object) -> object:
        """Take cross-entropy where a function of the user's trains, and no smoothing rate is searched."""
        if isinstance(values, Mapping) and values.get("trainable") is not None and values.get("method") is None:
            space = values.get("space")
            rated = isinstance(space, Mapping) and space.get("rate") is not None
            return {**values, "method": "gls" if rated else "ce"}
        return values

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        return check_name(value)

    @field_validator("question", "cost")
    @classmethod
    def _check_text(cls, value: str, info: ValidationInfo) -> str:
        require(value.isprintable(), str(info.field_name), value, "text on one line")
        return value

    @field_validator("dataset", mode="before")
    @classmethod
    def _check_levels(cls, value: object) -> object:
        check_levels(value)
        return value

    @field_validator("network", mode="before")
    @classmethod
    def _default_network(cls, value: object, info: ValidationInfo) -> object:
        """Take a CNN for pictures where the file names no network."""
        dataset = info.data.get("dataset")
        pictures = dataset is not None and dataset.of_pictures
        if pictures and isinstance(value, Mapping) and "name" not in value and "factory" not in value:
            return {"name": PICTURES, **value}
        return NetworkConfig(name=PICTURES) if pictures and value == NetworkConfig() else value

    @field_validator("seed", "trial_attempts", "trial_timeout", "trial_checkpoint", mode="before")
    @classmethod
    def _read_number(cls, value: object, info: ValidationInfo) -> object:
        whole = info.field_name in ("seed", "trial_attempts")
        found = number(value)
        return int(found) if whole and isinstance(found, float) and found.is_integer() else found

    @field_validator("method", mode="before")
    @classmethod
    def _check_methods(cls, value: object, info: ValidationInfo) -> tuple[Any, ...]:
        methods = tuple(value) if isinstance(value, list | tuple) else (value,)
        for method in methods:
            require(isinstance(method, str) and method in METHODS, "method", method, one_of(method, METHODS))
            own = info.data.get("trainable") is not None
            require(method != "ce" or own, "method", method, "beside a `trainable` alone; gls at rate 0 is the same")
            require(method in ("gls", "ce") or not own, "method", method, "gls or ce beside `trainable`")
        require_distinct("method", methods)
        return methods

    @field_validator("arguments")
    @classmethod
    def _check_trainable(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if {"network", "training", "trainable"} <= info.data.keys():
            check_trainable(info.data["trainable"], value, info.data["network"], info.data["training"])
        return value

    @field_validator("trunks")
    @classmethod
    def _no_trunks(cls, value: TrunkSpec, info: ValidationInfo) -> TrunkSpec:
        """A function of the user's shares no warm-up."""
        return TrunkSpec(share=False) if info.data.get("trainable") is not None and value == TrunkSpec() else value

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
        if not {"network", "training", "method", "transition", "trainable", "arguments"} <= info.data.keys():
            return {}  # they are wrong, and say so
        parts = (info.data[key] for key in ("network", "training", "transition", "trainable", "arguments"))
        return build_space(value, recipes_of(info.data["method"], *parts))

    @field_validator("search", mode="before")
    @classmethod
    def _check_search(cls, value: object) -> object:
        refuse_former(value)
        for key, known in (("sampler", get_args(Sampler)), ("pruner", get_args(Pruner))):
            if isinstance(value, Mapping) and key in value:
                check_choice(f"search.{key}", value[key], known)
        return value

    @field_validator("search")
    @classmethod
    def _resolve_search(cls, value: SearchSpec, info: ValidationInfo) -> SearchSpec:
        if not info.data.get("space"):
            return value
        alone = value.sampler != "grid" or len(info.data["method"]) == 1
        require(alone, "search.sampler", value.sampler, "one method: of several, each has a grid of another size")
        return value.resolved(info.data["space"], info.data["training"].epochs)

    @field_validator("code")
    @classmethod
    def _check_code(cls, value: str | None, info: ValidationInfo) -> str | None:
        if {"network", "trainable"} <= info.data.keys():
            check_code(value, references_of(info.data["network"], info.data["trainable"]))
        return value

    @property
    def references(self) -> dict[str, str]:
        """Names of the user's code that trials run, by the keys that name it."""
        return references_of(self.network, self.trainable)

    @property
    def budget(self) -> int:
        """Trials of a cell's search that are to end as complete, pruned or diverged, baselines included."""
        return cast(int, self.search.trials)  # `SearchSpec.resolved` settled it

    @property
    def score(self) -> Score:
        """What trials are scored by."""
        return Score(self.selection.metric, self.search.epoch)

    def cells(self) -> list[Cell]:
        """List every noise level with every method, in the order of the file."""
        levels = [f"{self.dataset.name}/{noise}" for noise in self.dataset.noise]
        return [Cell(level, method) for level in levels for method in self.method]

    def data_config(self, noise: str) -> DataConfig:
        """Data of one noise level of the study."""
        return dataclasses.replace(self.dataset.config(noise, self.seed), validate_on=self.selection.validate_on)

    def recipe(self, method: str) -> TrialConfig:
        """Make a run of a method, on any data, with the settings that all methods share."""
        own = self.trainable, self.arguments
        recipe = recipes_of((method,), self.network, self.training, self.transition, *own)[method]
        return dataclasses.replace(recipe, code=self.code, bounded=self.selection.bounded)

    def trial_config(self, cell: Cell, params: Params, train_seed: int, method: str | None = None) -> TrialConfig:
        """Training run of a trial. Raises `InputError` if the recipe refuses the parameters.

        `method`: method of the loss if it is not the cell's, such as gls for a baseline beside another method.
        """
        recipe, data = self.recipe(method or cell.method), self.data_config(cell.noise)
        return with_params(dataclasses.replace(recipe, data=data, train_seed=train_seed), params)

    def confirmation_seeds(self) -> list[int]:
        """Fresh training seeds of the confirmation: the same for all cells and parameters, to compare in pairs.

        These are the most that may be used: `seeds: auto` takes as many of the first as it needs.
        """
        return [derive_seed(self.seed, "confirmation", i, "train") for i in range(self.confirmation.most_seeds)]

    def search_seed(self, cell: Cell, number: int, first: bool, had: Collection[int]) -> int:
        """Training seed of search trial `number` of a cell; `had`: seeds that its parameters were trained with before.

        With `search.training_seeds: n` the trials of all levels take n seeds in turn, so that those of one seed can be
        compared and share their warm-up; what each cell tries first (`MethodSpec.openers`) takes the first seed.
        Parameters that come again get a seed that they have not had, beyond the n if they had all of them.
        """
        pool = self.search.training_seeds
        if pool == "own":
            return derive_seed(self.seed, cell.key, "search", number, "train")
        if had:
            seeds = (derive_seed(self.seed, "search", i, "train") for i in itertools.count())
            return next(seed for seed in seeds if seed not in had)
        return derive_seed(self.seed, "search", 0 if first else number % pool, "train")

    def meaning(self) -> dict[str, Any]:
        """Settings that shape the numbers of ended trials, as plain values: while they are the same, a study can grow.

        The content of files of transition matrices and cleaned labels is covered by the digest of their level's data,
        wherever they lie.
        """
        data = dataclasses.asdict(self.data_config(self.dataset.noise[0]))
        kept = {key: value for key, value in data.items() if key not in ("dataset", "noise", "matrix", "cleaned_by")}
        values = {
            "seed": self.seed,
            "dataset": {"name": self.dataset.name, **kept},
            "network": self.network.without_place(),  # `levels.json` has the SHA-256 of weights
            "transition": self.transition,
            "trainable": self.trainable,
            "arguments": self.arguments,
            "code": self.code,
            "training": dataclasses.replace(self.training, test_every=1),  # the test set chooses nothing
            "space": {name: parameter.kind for name, parameter in self.space.items()},
            # By which the sampler was told of each trial.
            "search": {"epoch": self.search.epoch},
            "selection": {"metric": self.selection.metric, "bounded": self.selection.bounded},
        }
        return plain(values)


def check_name(name: str) -> str:
    """Check a study's name, also that of its folder. Raises `InputError` for one that could lead out of the home."""
    require(NAME.fullmatch(name) is not None, "name", name, NAME_RULE)
    return name


def known_keys() -> list[str]:
    """List the keys that a study file may have, those inside its sections by their dotted paths."""
    sections = {name: field.annotation for name, field in StudySpec.model_fields.items()}
    inside = [path for name, kind in sections.items() if dataclasses.is_dataclass(kind) for path in _below(name, kind)]
    return [*sections, *inside, "space.rate", "space.warmup", "space.lr_after_warmup"]


def _below(path: str, cls: Any) -> Iterator[str]:
    for key, hint in get_type_hints(cls).items():
        yield f"{path}.{key}"
        for kind in (hint, *get_args(hint)):
            if dataclasses.is_dataclass(kind):
                yield from _below(f"{path}.{key}", kind)

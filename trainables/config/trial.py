"""Configuration of one training run, whole."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from tosmooth.trainables.config.data import SOFT, DataConfig
from tosmooth.trainables.config.network import NetworkConfig
from tosmooth.trainables.config.training import TrainingConfig
from tosmooth.trainables.conversion import build
from tosmooth.trainables.errors import require
from tosmooth.trainables.former_words import refuse_former
from tosmooth.trainables.methods import METHODS, check_parameters
from tosmooth.trainables.user_code import check_reference

DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def references_of(network: NetworkConfig, trainable: str | None) -> dict[str, str]:
    """List the references to a user's code among the parts of a trial, by their keys."""
    named = {"network.factory": network.factory, "trainable": trainable}
    return {key: text for key, text in named.items() if text is not None}


def check_trainable(
    trainable: str | None, arguments: Mapping[str, Any], network: NetworkConfig, training: TrainingConfig
) -> None:
    """Refuse what a trainable of the user's own has no use for. Raises `InputError`."""
    if trainable is None:
        require(not arguments, "arguments", arguments, "for a `trainable` of your own alone")
        return
    check_reference(trainable, "trainable")
    rule = "a name of letters, digits and _, not rate, warmup or lr_after_warmup: the trial has these by itself"
    for name in arguments:
        taken = name in ("rate", "warmup", "lr_after_warmup")
        require(str(name).isidentifier() and not taken, "arguments", name, rule)
    rule = "left out beside `trainable`, which makes its own; give it `arguments`"
    require(network in (NetworkConfig(), NetworkConfig(name="cnn")), "network", network.name, rule)
    given = asdict(training) | {"epochs": 10, "test_every": 1}
    others = [key for key, value in asdict(TrainingConfig()).items() if given[key] != value]
    rule = "epochs alone beside `trainable`, which trains its own way; give it `arguments`"
    require(not others, f"training.{next(iter(others), '')}", next((given[key] for key in others), None), rule)


def check_code(code: str | None, references: Mapping[str, str]) -> None:
    """Raise `InputError` for what is no digest of code, or a digest where nothing of a user's is named."""
    rule = "a SHA-256 in hex, as tosmooth writes it for a study that names code of yours; leave it out otherwise"
    require(code is None or (DIGEST.fullmatch(code) is not None and bool(references)), "code", code, rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """Configuration of one training run."""

    data: DataConfig
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    method: str = "gls"  # generalised label smoothing, or one of its relatives: see `trainables.methods`
    rate: float = 0.0  # smoothing rate r in (-inf, 1]; gls alone
    parameters: dict[str, float] = field(
        default_factory=dict, hash=False
    )  # of another method: its own, filled up with defaults
    transition: Literal["estimated", "measured"] | tuple[tuple[float, ...], ...] | None = None  # for methods that
    # correct by one, P(noisy | clean): by the warm-up's predictions (None there), by clean labels, or K rows of it
    warmup: int = 0  # epochs of plain cross-entropy before the method starts
    lr_after_warmup: float = 1.0  # factor on the learning rate after the warm-up
    train_seed: int = 0  # initial weights, order of the examples, augmentation
    bounded: bool = False  # a run whose logits run away (`training.divergence`) counts as diverged, and ends
    trainable: str | None = None  # "package.module:callable", the user's: trains in the place of our loop, by a `Trial`
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)  # of the trainable: its `params`
    code: str | None = None  # digest, in hex, of the user's code that the trial runs (`user_code`); None: it runs none

    def __post_init__(self) -> None:
        require(self.method in METHODS, "method", self.method, f"one of {', '.join(METHODS)}")
        require(math.isfinite(self.rate) and self.rate <= 1, "rate", self.rate, "a finite smoothing rate of at most 1")
        bound = f"0 to {self.training.epochs}, the epochs of the run"
        require(0 <= self.warmup <= self.training.epochs, "warmup", self.warmup, bound)
        self._settle_parameters()
        require(0 < self.lr_after_warmup < math.inf, "lr_after_warmup", self.lr_after_warmup, "above 0")
        require(0 <= self.train_seed < 2**64, "train_seed", self.train_seed, "0 to 2**64 - 1, as torch takes a seed")
        self._check_views()
        self._check_imbalance()
        self._check_soft()
        check_trainable(self.trainable, self.arguments, self.network, self.training)
        self._check_own()
        check_code(self.code, self.references)

    def _check_own(self) -> None:
        """Refuse methods and levels of which a trainable of the user's own is told too little."""
        if self.trainable is not None:
            rule = "gls or ce beside `trainable`: the others need more than logits and labels"
            require(self.method in ("gls", "ce"), "method", self.method, rule)
            require(not self.parameters.get("ramp"), "gls.ramp", self.parameters.get("ramp"), "0 beside `trainable`")
            require(self.data.noise != SOFT, "dataset.noise", SOFT, "a level of labels beside `trainable`")

    def _check_views(self) -> None:
        """Refuse augmentation of what is no picture any more, and copies that are not augmented."""
        augment, views = self.training.augment, self.network.views
        suits = augment == "none" or not self.network.of_features or views > 1
        several = " (of a frozen network: with network.views above 1)" if self.network.mode == "frozen" else ""
        require(suits, "training.augment", augment, f"features are not augmented; images are{several}")
        rule = "copies differ by training.augment: set it to crop-flip, trivial or randaugment"
        require(views == 1 or augment not in ("none", "crop-altflip"), "network.views", views, rule)

    def _check_soft(self) -> None:
        """Refuse a method that trains on labels where the level has soft targets."""
        able = ", ".join(name for name, each in METHODS.items() if each.soft)
        hard = self.data.table is None or self.data.noise != SOFT or METHODS[self.method].soft
        require(hard, "method", self.method, f"at the noise level {SOFT} for the methods {able}")

    def _check_imbalance(self) -> None:
        """Refuse weights and samplers that the method's loss has no place for."""
        method, weights, sampler = METHODS[self.method], self.training.class_weights, self.training.sampler
        able = ", ".join(name for name, each in METHODS.items() if each.weighs)
        require(method.weighs or weights == "none", "training.class_weights", weights, f"for the methods {able}")
        able = ", ".join(name for name, each in METHODS.items() if not each.recalls)
        require(not method.recalls or sampler == "shuffled", "training.sampler", sampler, f"for the methods {able}")

    def _settle_parameters(self) -> None:
        """Fill in defaults of the method's parameters, so that runs that are the same compare as equal."""
        rule = f"for the method gls; the rate of {self.method}, where it has one, is a parameter"
        require(self.method == "gls" or self.rate == 0, "rate", self.rate, rule)
        require("rate" not in self.parameters or self.method != "gls", "gls.rate", self.parameters, "it is `rate`")
        settled = check_parameters(self.method, self.parameters)
        if self.method == "gls":
            del settled["rate"]
        object.__setattr__(self, "parameters", settled)
        method = METHODS[self.method]
        needed = method.needs_transition
        require(needed or self.transition is None, "transition", self.transition, f"{self.method} has no use for it")
        if needed and self.transition is None:
            object.__setattr__(self, "transition", "estimated")
        rule = "at least 1: the transition matrix is estimated by what the warm-up predicts"
        require(self.transition != "estimated" or self.warmup >= 1, "warmup", self.warmup, rule)
        kept = self.transition != "estimated" or self.data.cleaned_by is None
        rule = "measured, or a matrix, where labels were cleaned: those of the validation, which tell it, were not"
        require(kept, "transition", self.transition, rule)
        rule = f"0: {self.method} acts from the first epoch"
        require(not method.from_start or self.warmup == 0, "warmup", self.warmup, rule)

    @property
    def references(self) -> dict[str, str]:
        """Names of the user's code that the trial runs, by the keys that name it."""
        return references_of(self.network, self.trainable)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from nested plain values, as JSON gives them. Unknown keys and wrong types raise `InputError`."""
        if isinstance(values, Mapping):
            refuse_former(values)
        return build(cls, values, "")

    def to_dict(self) -> dict[str, Any]:
        """Convert to nested plain values, for JSON; `from_dict` takes them back."""
        return dataclasses.asdict(self)

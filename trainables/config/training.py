"""Training recipe: epochs, optimizer, schedule, augmentation, weights of classes."""

import math
from dataclasses import dataclass, field
from typing import Literal

from tosmooth.trainables.errors import require

LONGEST, LARGEST_BATCH = 100_000, 2**31  # epochs of a run; examples


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """Optimizer of torch."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.1  # peak learning rate
    momentum: float = 0.9  # sgd alone
    nesterov: bool = False  # sgd alone
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        require(self.name in ("sgd", "adamw"), "training.optimizer.name", self.name, "sgd or adamw")
        require(0 < self.lr < math.inf, "training.optimizer.lr", self.lr, "above 0")
        require(0 <= self.momentum < 1, "training.optimizer.momentum", self.momentum, "in [0, 1)")
        in_use = self.name == "sgd" or self.momentum == 0.9  # its default
        require(in_use, "training.optimizer.momentum", self.momentum, "for sgd alone")
        decay = 0 <= self.weight_decay < math.inf
        require(decay, "training.optimizer.weight_decay", self.weight_decay, "0 or more")
        rule = "Nesterov's method needs sgd with momentum"
        suits = not self.nesterov or (self.name == "sgd" and self.momentum > 0)
        require(suits, "training.optimizer.nesterov", self.nesterov, rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """Learning-rate schedule over the epochs of a run, as a factor of the optimizer's `lr`."""

    name: Literal["constant", "cosine", "step"] = "constant"
    lr_rampup: float = 0.0  # epochs in which the learning rate rises linearly from 0
    milestones: tuple[int, ...] = ()  # step alone: epochs after which it is multiplied by `gamma`
    gamma: float = 0.1  # step alone

    def __post_init__(self) -> None:
        known = ("constant", "cosine", "step")
        require(self.name in known, "training.schedule.name", self.name, f"one of {', '.join(known)}")
        require(self.lr_rampup >= 0, "training.schedule.lr_rampup", self.lr_rampup, "0 epochs or more")
        given = bool(self.milestones) == (self.name == "step")
        require(given, "training.schedule.milestones", self.milestones, "for the schedule step, and for it alone")
        rising = list(self.milestones) == sorted(set(self.milestones)) and all(m > 0 for m in self.milestones)
        require(rising, "training.schedule.milestones", self.milestones, "positive epochs in rising order")
        require(0 < self.gamma < 1, "training.schedule.gamma", self.gamma, "in (0, 1)")
        in_use = self.name == "step" or self.gamma == 0.1  # its default
        require(in_use, "training.schedule.gamma", self.gamma, "for the schedule step alone")


WEIGHTS = ("none", "balanced", "effective-number")
SAMPLERS = ("shuffled", "balanced")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Training recipe.

    `single`: one optimizer and schedule; the loss switches after the warm-up. `two-phase` (Wei et al. 2022): after the
    warm-up a fresh optimizer (`second_optimizer`, by default like the first) at a constant learning rate.
    """

    epochs: int = 10  # of the whole run, warm-up included
    batch_size: int = 128
    recipe: Literal["single", "two-phase"] = "single"
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    second_optimizer: OptimizerConfig | None = None  # two-phase alone
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    # Images: random crop, horizontal flip; `altflip` shows each image as it is in one epoch and mirrored in the next;
    # `trivial` and `randaugment` go on from crop-flip with torchvision's TrivialAugmentWide and RandAugment
    augment: Literal["none", "crop-flip", "crop-altflip", "trivial", "randaugment"] = "none"
    crop_padding: int = 4  # pixels around an image before it is cropped at random
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the forward pass; the loss is float32 always
    test_every: int = 1  # epochs from one evaluation of the clean test set to the next; the last epoch has one always
    # Of unequal classes: what an example counts in the loss, by its label (`training.imbalance`); or by a mapping
    class_weights: Literal["none", "balanced", "effective-number"] | dict[str, float] = field(
        default="none", hash=False
    )
    sampler: Literal["shuffled", "balanced"] = "shuffled"  # balanced: drawn with replacement, each class equally often

    def __post_init__(self) -> None:
        require(1 <= self.epochs <= LONGEST, "training.epochs", self.epochs, f"at least 1, at most {LONGEST}")
        fits, rule = 1 <= self.batch_size <= LARGEST_BATCH, f"at least 1, at most {LARGEST_BATCH}"
        require(fits, "training.batch_size", self.batch_size, rule)
        require(self.recipe in ("single", "two-phase"), "training.recipe", self.recipe, "single or two-phase")
        second = self.second_optimizer is None or self.recipe == "two-phase"
        require(second, "training.second_optimizer", self.second_optimizer, "for the recipe two-phase alone")
        known = ("none", "crop-flip", "crop-altflip", "trivial", "randaugment")
        require(self.augment in known, "training.augment", self.augment, f"one of {', '.join(known)}")
        in_use = self.augment != "none" or self.crop_padding == 4  # its default
        require(in_use, "training.crop_padding", self.crop_padding, "for images that are augmented")
        require(self.crop_padding >= 0, "training.crop_padding", self.crop_padding, "0 pixels or more")
        choices = ("auto", "float32", "bfloat16")
        require(self.precision in choices, "training.precision", self.precision, f"one of {', '.join(choices)}")
        require(self.test_every >= 1, "training.test_every", self.test_every, "at least 1 epoch")
        self._settle_weights()
        require(self.sampler in SAMPLERS, "training.sampler", self.sampler, f"one of {', '.join(SAMPLERS)}")
        rampup = self.schedule.lr_rampup <= self.epochs
        require(rampup, "training.schedule.lr_rampup", self.schedule.lr_rampup, f"at most {self.epochs} epochs")

    def _settle_weights(self) -> None:
        """Name classes by text: a file's keys may be numbers, and JSON's are not."""
        key, weights = "training.class_weights", self.class_weights
        if isinstance(weights, str):
            require(weights in WEIGHTS, key, weights, f"one of {', '.join(WEIGHTS)}, or a weight for each class")
            return
        settled = {str(name): value for name, value in weights.items()}
        require(len(settled) == len(weights) > 0, key, weights, "classes with their weights, each once")
        for name, value in settled.items():
            require(0 <= value < math.inf, f"{key}.{name}", value, "a finite number, 0 or more")
        object.__setattr__(self, "class_weights", settled)

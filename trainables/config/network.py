"""Network of a trial."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from tosmooth.trainables.conversion import one_of
from tosmooth.trainables.errors import require
from tosmooth.trainables.user_code import check_reference

NETWORKS = ("mlp", "cnn", "fastcnn", "resnet18", "resnet34")
LIBRARIES = ("torchvision", "timm")  # whose classification models are taken by LIBRARY/NAME
WIDE = ("mlp", "cnn", "fastcnn")  # networks whose width can be set
# Far beyond what anyone trains: what is larger is a slip, and would take all memory before a message could be given.
WIDEST, DEEPEST = 2**16, 1000
LARGEST_INPUT, MOST_VIEWS = 4096, 64  # pixels; augmented copies
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Network: `mlp` for features; for pictures ours, those of torchvision and timm; or a user's own by `factory`."""

    name: Literal["mlp", "cnn", "fastcnn", "resnet18", "resnet34"] | str = "mlp"  # or torchvision/NAME, timm/NAME
    width: int | None = None  # mlp: hidden units (64); cnn (32), fastcnn (64): channels of the first stage; of a head
    # on a backbone: hidden units (64)
    depth: int | None = None  # hidden layers: of mlp (1; 0 is a linear model), of a head on a backbone (0)
    factory: str | None = None  # "package.module:callable", the user's: (shape, classes, **arguments) -> module
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)  # of the factory
    weights: Literal["none", "default"] | str = "none"  # to begin with: the library's, or those of a file, absolute or
    # relative to the data folder
    sha256: str | None = None  # of these weights, 64 hexadecimal digits; None: filled in where they are read
    # train: all layers alike; finetune: the backbone at its own learning rate; frozen: the head alone is trained, on
    # features. None: finetune where there are `weights`, else train
    mode: Literal["train", "finetune", "frozen"] | None = None
    backbone_lr: float | None = None  # finetune alone: learning rate of the backbone, as a factor of the head's (0.1)
    input_size: int | None = None  # pixels, to which pictures are resized; None: as the weights' description says
    mean: tuple[float, ...] = ()  # per channel, of pixels in [0, 1]; (): as the weights' description says, else of the
    std: tuple[float, ...] = ()  # training pictures; likewise
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = None  # of resizing; None: likewise, else bilinear
    views: int = 1  # frozen alone: augmented copies of each picture, by `training.augment`

    def __post_init__(self) -> None:
        self._settle_name()
        self._check_layers()
        self._check_weights()
        self._check_inputs()

    @property
    def own(self) -> bool:
        """True for a network of ours."""
        return self.name in NETWORKS

    @property
    def of_features(self) -> bool:
        """True if what is trained takes features: numbers that came so, or were computed by a frozen backbone."""
        return self.name == "mlp" or self.mode == "frozen"

    @property
    def has_backbone(self) -> bool:
        """True if the head is apart from the rest, and new."""
        return self.mode in ("finetune", "frozen") or self.weights != "none"

    def without_place(self) -> Self:
        """Return the same network with no word of where its weights lie, and which they are."""
        kind = self.weights if self.weights in ("none", "default") else "file"
        return replace(self, weights=kind, sha256=None)

    def _settle_name(self) -> None:
        if self.factory is not None:
            check_reference(self.factory, "network.factory")
            rule = "left out beside network.factory; --set takes both at once: network={factory: ...}"
            require(self.name in ("mlp", self.factory), "network.name", self.name, rule)
            object.__setattr__(self, "name", self.factory)
        else:
            require(not self.arguments, "network.arguments", self.arguments, "for network.factory alone")
            library, slash, model = self.name.partition("/")
            known = self.own or (library in LIBRARIES and bool(slash and model))
            rule = f"{one_of(self.name, NETWORKS)}; or torchvision/NAME, timm/NAME; your own needs network.factory"
            require(known, "network.name", self.name, rule)
        if self.mode is None:
            object.__setattr__(self, "mode", "train" if self.weights == "none" else "finetune")

    def _check_layers(self) -> None:
        head = self.has_backbone or (not self.own and self.factory is None)
        wide = self.width is None or self.name in WIDE or head
        require(wide, "network.width", self.width, f"for {', '.join(WIDE)} and heads; that of other networks is fixed")
        fits = self.width is None or 1 <= self.width <= WIDEST
        require(fits, "network.width", self.width, f"at least 1, at most {WIDEST}")
        deep = self.depth is None or self.name == "mlp" or head
        require(deep, "network.depth", self.depth, "for mlp and heads alone")
        fits = self.depth is None or 0 <= self.depth <= DEEPEST
        require(fits, "network.depth", self.depth, f"at least 0 (a linear model), at most {DEEPEST}")
        linear = self.depth == 0 or (self.depth is None and head)
        rule = "for hidden layers, and there are none: set network.depth"
        require(self.width is None or not linear, "network.width", self.width, rule)

    def _check_weights(self) -> None:
        require(self.weights != "", "network.weights", self.weights, "none, default or a file")
        rule = "for torchvision/NAME, timm/NAME and a factory"
        require(self.weights == "none" or not self.own, "network.weights", self.weights, rule)
        rule = "a factory brings its own weights, or they are in a file"
        require(self.weights != "default" or self.factory is None, "network.weights", self.weights, rule)
        require(self.mode == "train" or not self.own, "network.mode", self.mode, "for a network with a backbone")
        loaded = self.mode == "train" or self.weights != "none" or self.factory is not None
        rule = f"with weights: nothing was learnt that could be {'frozen' if self.mode == 'frozen' else 'tuned'}"
        require(loaded, "network.mode", self.mode, rule)
        own_lr = self.backbone_lr is None or self.mode == "finetune"
        require(own_lr, "network.backbone_lr", self.backbone_lr, "for the mode finetune alone")
        fits = self.backbone_lr is None or 0 <= self.backbone_lr <= 100
        require(fits, "network.backbone_lr", self.backbone_lr, "a factor of training.optimizer.lr, 0 to 100")
        hexadecimal = self.sha256 is None or DIGEST.fullmatch(self.sha256) is not None
        require(hexadecimal, "network.sha256", self.sha256, "64 hexadecimal digits, in lower case")
        some = self.sha256 is None or self.has_backbone
        require(some, "network.sha256", self.sha256, "for weights, and there are none")

    def _check_inputs(self) -> None:
        fits = self.input_size is None or 1 <= self.input_size <= LARGEST_INPUT
        require(fits, "network.input_size", self.input_size, f"1 to {LARGEST_INPUT} pixels")
        for key in ("mean", "std"):
            values = getattr(self, key)
            require(
                len(values) in (0, 3), f"network.{key}", values, "a number for red, green and blue, of pixels in [0, 1]"
            )
        require(bool(self.mean) == bool(self.std), "network.std", self.std, "with network.mean, and with it alone")
        of_pixels = all(-10 <= each <= 10 for each in self.mean)
        require(of_pixels, "network.mean", self.mean, "of pixels in [0, 1], not in 0 to 255")
        of_pixels = all(0 < each <= 10 for each in self.std)
        require(of_pixels, "network.std", self.std, "above 0, and of pixels in [0, 1], not in 0 to 255")
        asked = {"input_size": self.input_size, "mean": self.mean, "interpolation": self.interpolation}
        for key, value in asked.items():
            require(not value or not self.own, f"network.{key}", value, "for torchvision/NAME, timm/NAME and a factory")
        rule = f"1 to {MOST_VIEWS}, and more than 1 for the mode frozen alone"
        several = self.views == 1 or self.mode == "frozen"
        require(several and 1 <= self.views <= MOST_VIEWS, "network.views", self.views, rule)

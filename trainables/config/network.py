"""Network of a trial."""

from dataclasses import dataclass
from typing import Literal

from tosmooth.trainables.errors import require

NETWORKS = ("mlp", "cnn", "fastcnn", "resnet18", "resnet34")
WIDE = ("mlp", "cnn", "fastcnn")  # networks whose width can be set
# Far beyond what anyone trains: what is larger is a slip, and would take all memory before a message could be given.
WIDEST, DEEPEST = 2**16, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Network: `mlp` for features, the others for 32x32 images (any size works)."""

    name: Literal["mlp", "cnn", "fastcnn", "resnet18", "resnet34"] = "mlp"
    width: int | None = None  # mlp: hidden units (64); cnn (32), fastcnn (64): channels of the first stage
    depth: int | None = None  # mlp alone: hidden layers (1)

    def __post_init__(self) -> None:
        require(self.name in NETWORKS, "network.name", self.name, f"one of {', '.join(NETWORKS)}")
        wide = self.width is None or self.name in WIDE
        require(wide, "network.width", self.width, f"for {', '.join(WIDE)}; a resnet's is fixed")
        fits = self.width is None or 1 <= self.width <= WIDEST
        require(fits, "network.width", self.width, f"at least 1, at most {WIDEST}")
        require(self.depth is None or self.name == "mlp", "network.depth", self.depth, "for mlp alone")
        fits = self.depth is None or 1 <= self.depth <= DEEPEST
        require(fits, "network.depth", self.depth, f"at least 1, at most {DEEPEST}")

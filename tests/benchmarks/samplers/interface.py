"""What a search asks of a library. Nothing but Python itself is imported: it runs in each library's own environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Point = dict[str, float]  # a value for each dimension


class Dimension(NamedTuple):
    """A hyperparameter. Rates come on their symlog axis, as Optuna gets them from tosmooth."""

    name: str
    low: float
    high: float
    integer: bool
    log: bool
    usual: float  # where a user would start: label smoothing of 0.1 without a warm-up, the recipe as it is


@dataclass(frozen=True, slots=True)
class Task:
    """A search to be made."""

    space: Sequence[Dimension]
    epochs: int  # of a whole run
    budget: int  # epochs in all
    seed: int


class Asked(NamedTuple):
    """What is to be trained next."""

    key: str  # a run that was asked for before goes on where it stopped
    point: Mapping[str, float]
    epochs: int  # until which it is to be trained
    seed: int | None = None  # training seed, where the library chooses it


class Sampler(Protocol):
    """A search by a library; accuracy is in percent, of the noisy validation.

    One that diverged counts at chance level: that is what an objective returns whose network predicts one class.
    """

    def __init__(self, task: Task) -> None: ...

    def ask(self) -> Asked:
        """What to train next."""

    def goes_on(self, key: str, epoch: int, accuracy: float) -> bool:
        """Whether the run is to go on after this epoch."""

    def tell(self, key: str, epoch: int, accuracy: float) -> None:
        """The run has come to this epoch, and stands there."""

    def best(self) -> Mapping[str, float] | None:
        """What the library recommends; `None` where nothing has been told."""


class WholeRuns:
    """A part of a sampler that stops no run."""

    def goes_on(self, key: str, epoch: int, accuracy: float) -> bool:
        """Whether the run is to go on after this epoch."""
        return True

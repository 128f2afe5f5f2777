"""Network of a cell's winner, as it is to be shown in MLflow as a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tosmooth.search.records import Cell

FORBIDDEN = str.maketrans(dict.fromkeys("/:.%\"'", "_"))  # in the name of a model


@dataclass(frozen=True, slots=True, eq=False)
class Winner:
    """The network of a cell's winner, to be shown as a model."""

    study: str
    cell: Cell
    weights: Path  # in the home
    code: Path | None  # archive of the user's code that the network is made by
    params: Mapping[str, Any]  # chosen
    write: Callable[[Path], None]  # writes the weights, with all that is needed to use them; raises `InputError`

    @property
    def identity(self) -> str:
        """Tag by which its models, and the run of its cell, are found."""
        return f"{self.study}/{self.cell.key}"

    @property
    def name(self) -> str:
        """Name of the model in MLflow."""
        return f"{self.study}-{self.cell.noise}-{self.cell.method}".translate(FORBIDDEN)

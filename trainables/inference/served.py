"""Loader of a network for MLflow, which names this module in a model's `MLmodel` and calls `_load_pyfunc`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tosmooth.trainables.inference.loading import load_weights

if TYPE_CHECKING:
    from pandas import DataFrame

WEIGHTS = "network.safetensors"  # in the model's data; the user's code, where there is some, is the .zip beside it


class Served:
    """A network as MLflow's `pyfunc` flavour wants one."""

    def __init__(self, folder: Path) -> None:
        """Load the weights in the folder of the model's data."""
        self.network = load_weights(folder / WEIGHTS)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> "DataFrame":
        """Probabilities of the classes, a column for each by its name, for raw rows or pictures."""
        from pandas import DataFrame  # noqa: PLC0415 - MLflow has it; a bare machine does without

        return DataFrame(self.network.probabilities(model_input), columns=list(self.network.classes))


def _load_pyfunc(path: str) -> Served:
    """Load what lies in a model's data: called by MLflow."""
    return Served(Path(path))

"""Predictions of several networks for the same new examples: the mean of their probabilities."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tosmooth.trainables.inference.inputs import raw_inputs
from tosmooth.trainables.inference.predictor import Predictor
from tosmooth.trainables.inference.reading import Block, read_new

KEY = "data"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Predicted:
    """Predictions for new examples, in their order."""

    classes: tuple[str, ...]  #: names of the classes
    probabilities: NDArray[np.float64]  #: [N, K]: mean over the networks
    networks: int  #: number of networks
    names: tuple[Any, ...]  #: names of the examples: paths of pictures, or numbers of rows from 0
    kind: str  #: what the names are: "file" or "row"
    remarks: tuple[str, ...] = ()  #: what was left out, such as pictures that cannot be read

    @property
    def labels(self) -> list[str]:
        """Name of the likeliest class of each example."""
        return [self.classes[k] for k in self.probabilities.argmax(axis=1)]

    def table(self) -> pa.Table:
        """Return an Arrow table: name or row, likeliest class, and the probability of each class as `p_NAME`."""
        columns = {self.kind: pa.array(list(self.names)), "class": pa.array(self.labels, pa.string())}
        own = {f"p_{name}": pa.array(self.probabilities[:, k]) for k, name in enumerate(self.classes)}
        return pa.table(columns | own)


def predicted(networks: Sequence[Predictor], inputs: Any) -> Predicted:
    """Predict new examples by networks of one study: those in a file or folder, or in memory as `Predictor` takes them.

    Raises `InputError` for what is not as the training set was.
    """
    made = networks[0].preprocessing
    if isinstance(inputs, str | Path):
        found = read_new(Path(inputs), made, KEY)
        return _of(networks, found.blocks, found.kind, found.remarks)
    raw = raw_inputs(inputs, made)
    return _of(networks, iter([(list(range(len(raw))), raw)]), "row", [])


def _of(networks: Sequence[Predictor], blocks: Iterator[Block], kind: str, remarks: list[str]) -> Predicted:
    names: list[Any] = []
    parts = [np.empty((0, len(networks[0].classes)))]
    for held, raw in blocks:
        names += held
        parts.append(np.mean([network.raw_probabilities(raw) for network in networks], axis=0))
    return Predicted(
        classes=networks[0].classes,
        probabilities=np.concatenate(parts),
        networks=len(networks),
        names=tuple(names),
        kind=kind,
        remarks=tuple(remarks),
    )

"""Weights of a trained network as a file of safetensors, with all that is needed to use them on raw examples.

The metadata hold, each as JSON: `trial`, the configuration; `inputs`, how raw examples become what the network sees
(`data.preprocessing`); `classes`, their names, where the data have some; `versions` of the libraries that trained it;
and `digest`, of the weights, the trial and the inputs. Files of the version before have neither inputs nor versions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tosmooth.trainables.files.atomic_write import replacing

if TYPE_CHECKING:
    from torch import Tensor  # only who saves needs it

BACKBONE = "backbone."  # so begin the names of a frozen backbone's weights in a file that is whole
# Whose versions shape what a network computes, or how its inputs are read.
LIBRARIES = ("tosmooth", "torch", "torchvision", "timm", "numpy", "pillow", "pyarrow")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Saved:
    """What a file of weights holds."""

    trial: str  # JSON; "": made elsewhere
    state: dict[str, NDArray[Any]]
    inputs: str = ""  # JSON of a `Preprocessing`; "": of the version before
    classes: tuple[str, ...] = ()
    versions: str = ""  # JSON

    @property
    def whole(self) -> bool:
        """True if the file alone is enough to use the network on raw examples."""
        network = json.loads(self.trial).get("network", {}) if self.trial else {}
        headed = network.get("mode") != "frozen" or any(name.startswith(BACKBONE) for name in self.state)
        return bool(self.inputs) and headed


def save_weights(
    path: Path,
    state: Mapping[str, Tensor],
    trial: str,
    classes: Sequence[str] = (),
    inputs: str = "",
    versions: str | None = None,
) -> None:
    """Write a network's state, and into the metadata what `Saved` says of it; whole or not at all.

    `trial`, `inputs` and `versions` are JSON; versions are those installed here unless given. `classes`: names in the
    order of the logits, where the data have names.
    """
    from safetensors.torch import save_file  # noqa: PLC0415 - a bare GPU machine that keeps no weights lacks it

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.cpu().contiguous() for name, value in state.items()}
    metadata = {"trial": trial, "versions": json.dumps(_versions()) if versions is None else versions}
    metadata["digest"] = _digest(trial, inputs, {name: value.numpy() for name, value in tensors.items()})
    if inputs:
        metadata["inputs"] = inputs
    if classes:
        metadata["classes"] = json.dumps(list(classes), ensure_ascii=False)
    with replacing(path) as partial:
        save_file(tensors, partial, metadata=metadata)


def read_trial(path: Path) -> str:
    """Read the configuration that a file of weights was trained with. Raises `ValueError` for a damaged file."""
    return read_weights(path).trial


def read_weights(path: Path) -> Saved:
    """Read what `save_weights` wrote, by one reading. Raises `ValueError` where the file is damaged."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - as above

    try:
        with safe_open(path, "np") as file:
            metadata: dict[str, str] = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    trial, inputs = metadata.get("trial", ""), metadata.get("inputs", "")
    if metadata.get("digest", known := _digest(trial, inputs, arrays)) != known:
        raise ValueError("its digest does not fit")
    classes = tuple(json.loads(metadata.get("classes", "[]")))
    return Saved(trial=trial, state=arrays, inputs=inputs, classes=classes, versions=metadata.get("versions", ""))


def _digest(trial: str, inputs: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.blake2b(f"{trial}{inputs}".encode(), digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    """Versions of the libraries that are installed."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

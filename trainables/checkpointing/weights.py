"""Weights of a trained network as a file of safetensors, with the configuration of its trial, and a digest of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tosmooth.trainables.files.atomic_write import replacing

if TYPE_CHECKING:
    from torch import Tensor  # only who saves needs it


def save_weights(path: Path, state: Mapping[str, Tensor], trial: str, classes: Sequence[str] = ()) -> None:
    """Write a network's state, and its trial's configuration as JSON into the metadata; whole or not at all.

    `classes`: names of the classes, in the order of the logits, where the data have names; a JSON list there.
    """
    from safetensors.torch import save_file  # noqa: PLC0415 - a bare GPU machine that keeps no weights lacks it

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.cpu().contiguous() for name, value in state.items()}
    digest = _digest(trial, {name: value.numpy() for name, value in tensors.items()})
    named = {"classes": json.dumps(list(classes), ensure_ascii=False)} if classes else {}
    with replacing(path) as partial:
        save_file(tensors, partial, metadata={"trial": trial, "digest": digest, **named})


def read_trial(path: Path) -> str:
    """Read the configuration that a file of weights was trained with. Raises `ValueError` for a damaged file."""
    return read_weights(path)[0]


def read_weights(path: Path) -> tuple[str, dict[str, NDArray[Any]]]:
    """Read what `save_weights` wrote: the trial's configuration and the network's state, by one reading.

    Raises `ValueError` where the file is damaged.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - as above

    try:
        with safe_open(path, "np") as file:
            metadata: dict[str, str] = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    trial = metadata.get("trial", "")
    if metadata.get("digest", known := _digest(trial, arrays)) != known:
        raise ValueError("its digest does not fit")
    return trial, arrays


def _digest(trial: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.blake2b(trial.encode(), digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

"""A file of weights as people have them: a state dict of torch or safetensors, read without executing anything."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tosmooth.trainables.errors import InputError, first_line
from tosmooth.trainables.files.digests import file_digest
from tosmooth.trainables.files.folders import Folders

KEY = "network.weights"
# Under which a checkpoint keeps the weights beside the state of its optimizer, the likelier first: the averaged ones
# are those that its authors report.
INSIDE = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "network", "net", "weights")
MOST_NAMED = 3
Weights = Mapping[str, Tensor]


def read_state_file(named: str, folders: Folders) -> tuple[Weights, str]:
    """Read a state dict from a file, absolute or relative to the data folder, and its SHA-256.

    Raises `InputError` where there is no such file, or it holds something else.
    """
    path = folders.data / named
    folders.bring(named)
    if not path.is_file():
        raise InputError(f"{KEY}: {path}: there is no such file")
    try:
        sha256 = file_digest(path)
        found = _safetensors(path) if _is_safetensors(path) else torch.load(path, "cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{KEY}: {path}: {error.strerror or error}") from error
    except Exception as error:  # torch and pickle say in many ways that a file is none of theirs
        rule = "a state dict alone is read, as torch.save(model.state_dict(), FILE) writes it, or safetensors"
        executed = "Weights only load failed" in str(error)
        reason = "it would have to execute code" if executed else first_line(error)
        raise InputError(f"{KEY}: {path}: {reason}: {rule}") from error
    state = _inside(found)
    if not state:
        raise InputError(f"{KEY}: {path}: holds no state dict: names of layers with their tensors")
    return state, sha256


def matching(state: Weights, wanted: Weights, name: str) -> Weights:
    """Find the weights of a network, `wanted`, in a file's `state`, under whatever prefix they stand there.

    What else the file holds, such as the old head, is not taken. Raises `InputError` where any is
    missing or of another shape: a network of which half was loaded trains, and is worth nothing.
    """
    best: dict[str, Tensor] = {}
    for prefix, place in _prefixes(state, wanted):
        found = {key: state[other] for key in wanted if (other := prefix + key.removeprefix(place)) in state}
        if len(found) > len(best):
            best = found
    missing = [key for key in wanted if key not in best and not key.endswith("num_batches_tracked")]
    if missing:
        some = ", ".join(missing[:MOST_NAMED])
        have = ", ".join(list(state)[:MOST_NAMED])
        raise InputError(
            f"{KEY}: lacks {len(missing)} of the {len(wanted)} tensors of {name}: {some}, ...; it has {have}, ..."
        )
    for key, tensor in best.items():
        if tensor.shape != wanted[key].shape:
            shapes = f"{tuple(tensor.shape)}, where {name} has {tuple(wanted[key].shape)}"
            raise InputError(f"{KEY}: {key} is of shape {shapes}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{KEY}: {key} holds values that are not finite")
    return best


def digest_of(state: Weights) -> str:
    """SHA-256 of weights that are in no file of their own: of names, types, shapes and values, in order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _is_safetensors(path: Path) -> bool:
    return path.suffix.lower() == ".safetensors"


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file  # noqa: PLC0415 - a bare GPU machine that reads no such file lacks it

    return load_file(path)


def _inside(found: object) -> dict[str, Tensor]:
    """Take the state dict out of a checkpoint."""
    if not isinstance(found, Mapping):
        return {}
    tensors = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    if tensors:
        return tensors
    for key in INSIDE:
        if isinstance(found.get(key), Mapping) and (inner := _inside(found[key])):
            return inner
    return {}


def _prefixes(state: Weights, wanted: Weights) -> list[tuple[str, str]]:
    """List pairs of prefixes: what stands before the file's names, and before ours.

    DataParallel puts "module." there, torch.compile "_orig_mod.", Lightning and self-supervised training "model.",
    "backbone.", "encoder_q.".
    """
    ours = next(iter(wanted), "")
    ending = ours.rpartition(".")[2]
    endings = [re.sub(r"^[^.]*\.", "", ours, count=n) for n in (0, 1)]
    found = {("", "")}
    for key in state:
        if not key.endswith(ending):
            continue
        for tail in endings:
            if key.endswith(tail):
                found.add((key.removesuffix(tail), ours.removesuffix(tail)))
    return sorted(found, key=lambda pair: (len(pair[0]) + len(pair[1]), pair))

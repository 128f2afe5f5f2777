"""A file of weights as people have them: a state dict of torch or safetensors, read without executing anything."""

import hashlib
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tosmooth.trainables.errors import InputError, first_line
from tosmooth.trainables.files.digests import file_digest
from tosmooth.trainables.files.folders import Folders

KEY = "network.weights"
# Parts of names that say which of several networks is meant. Averaged weights are those that their authors report (as
# timm, DINO); the slow copy that a method learns from is not (as MoCo, BYOL).
AVERAGED, SLOW = {"ema", "swa", "teacher"}, {"k", "momentum", "target"}
MOST_NAMED = 3
LOOKED_AT = 24  # bytes
# Classes of plain values, arguments and scores, that stand beside the weights in checkpoints of timm, DINO and MAE.
# Making one executes nothing of the file's.
PLAIN: list[Any] = [
    Namespace,
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("bool", "int32", "int64", "float32", "float64")},
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),  # as numpy 1 and 2 name it
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
]
COUNTER = "num_batches_tracked"  # of batch normalisation: older files lack it
Weights = Mapping[str, Tensor]
Names = Mapping[str, str]  # the network's names of tensors to those of a file


def find_state_file(named: str, folders: Folders) -> Path:
    """Find a file of weights, absolute or relative to the data folder. Raises `InputError` where there is none."""
    path = folders.data / Path(named).expanduser()
    folders.bring(named)
    if not path.is_file():
        relative = "" if Path(named).expanduser().is_absolute() else ": names are relative to the data folder"
        raise InputError(f"{KEY}: {path}: there is no such file{relative}")
    return path


def read_state_file(named: str, folders: Folders) -> tuple[Weights, str]:
    """Read a state dict from a file, absolute or relative to the data folder, and its SHA-256.

    Raises `InputError` where there is no such file, or it holds something else.
    """
    path = find_state_file(named, folders)
    try:
        sha256 = file_digest(path)
        beginning = _beginning(path)
        found = _safetensors(path) if _is_safetensors(beginning) else _of_torch(path, beginning)
    except OSError as error:
        raise InputError(f"{KEY}: {path}: {error.strerror or error}") from error
    except Exception as error:  # torch and pickle say in many ways that a file is none of theirs
        rule = "a state dict alone is read, as torch.save(model.state_dict(), FILE) writes it, or safetensors"
        raise InputError(f"{KEY}: {path}: {_reason(error)}: {rule}") from error
    state = dict(_named(found, ""))
    if not state:
        raise InputError(f"{KEY}: {path}: holds no state dict: names of layers with their tensors")
    return state, sha256


def matching(state: Weights, wanted: Weights, name: str) -> Weights:
    """Find the weights of a network, `wanted`, in a file's `state`, under whatever prefix they stand there.

    What else the file holds, such as the old head, is not taken. Raises `InputError` where any is
    missing or of another shape (a network of which half was loaded trains, and is worth nothing), and where the file
    holds several such networks and does not say which is meant.
    """
    best = _likeliest(_candidates(state, wanted), state, wanted, name)
    missing = [key for key in wanted if key not in best and not key.endswith(COUNTER)]
    if missing:
        some = ", ".join(missing[:MOST_NAMED])
        have = ", ".join(list(state)[:MOST_NAMED])
        raise InputError(
            f"{KEY}: lacks {len(missing)} of the {len(wanted)} tensors of {name}: {some}, ...; it has {have}, ..."
        )
    found = {key: state[other] for key, other in best.items()}
    for key, tensor in found.items():
        _check(key, tensor, wanted[key], name)
    return found


def _check(key: str, tensor: Tensor, wanted: Tensor, name: str) -> None:
    """Raise `InputError` where a tensor of a file cannot take the place of the network's."""
    if tensor.shape != wanted.shape:
        shapes = f"{tuple(tensor.shape)}, where {name} has {tuple(wanted.shape)}"
        raise InputError(f"{KEY}: {key} is of shape {shapes}")
    if tensor.layout != torch.strided or tensor.is_meta:
        raise InputError(f"{KEY}: {key} is {'without values' if tensor.is_meta else 'sparse'}: save it as it is used")
    if tensor.is_floating_point() != wanted.is_floating_point():
        kinds = (
            f"{str(tensor.dtype).removeprefix('torch.')}, where {name} has {str(wanted.dtype).removeprefix('torch.')}"
        )
        raise InputError(f"{KEY}: {key} is {kinds}")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
        raise InputError(f"{KEY}: {key} holds values that are not finite")


def digest_of(state: Weights) -> str:
    """SHA-256 of weights that are in no file of their own: of names, types, shapes and values, in order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _is_safetensors(beginning: bytes) -> bool:
    """True if the length of a header and JSON stand there, whatever the file is called."""
    return beginning[8:9] == b"{" and beginning[:1] != b"{"


def _safetensors(path: Path) -> Any:
    from safetensors.torch import load_file  # noqa: PLC0415 - a bare GPU machine that reads no such file lacks it

    return load_file(path)


def _of_torch(path: Path, beginning: bytes) -> Any:
    """Read what torch.save wrote; of classes none but those of plain values."""
    if beginning[:4] != b"PK\x03\x04" and beginning[:1] != b"\x80":  # zip; pickle, as torch wrote it before 1.6
        raise ValueError(f"it begins with {beginning[:LOOKED_AT]!r}")
    # An open file: by a path torch would go by its suffix.
    with torch.serialization.safe_globals(PLAIN), path.open("rb") as file:
        return torch.load(file, "cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """Say in a few words why a file is not read."""
    text = str(error)
    if "TorchScript" in text:
        return "it is TorchScript"
    if "Weights only load failed" in text:
        named = re.search(r"GLOBAL ([\w.]+)", text)
        return f"it would have to execute code{f' ({named[1]})' if named else ''}"
    return "it is damaged or cut short" if "reading zip archive" in text else first_line(error)


def _named(found: object, path: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a checkpoint, however deep they lie, by the path of their keys."""
    if isinstance(found, Tensor) and path:
        yield path, found
    elif isinstance(found, Mapping):
        for key, value in found.items():
            yield from _named(value, f"{path}.{key}" if path else str(key))


def _candidates(state: Weights, wanted: Weights) -> dict[str, Names]:
    """Find where in a file the network may stand: by the prefix there, the file's name of each tensor that is found.

    DataParallel puts "module." before the names, torch.compile "_orig_mod.", Lightning and self-supervised training
    "model.", "backbone.", "encoder_q."; ours may stand in a module that the file's does not, and the other way round.
    """
    first, deepest = next(iter(wanted), ""), max(wanted, key=lambda key: key.count("."), default="")
    found: dict[str, Names] = {}
    for place in _shared_prefixes(wanted):
        for end in {first.removeprefix(place), deepest.removeprefix(place)}:
            prefixes = {key.removesuffix(end) for key in state if key == end or key.endswith(f".{end}")}
            for prefix in prefixes:
                names = {key: other for key in wanted if (other := prefix + key.removeprefix(place)) in state}
                if len(names) > len(found.get(prefix, ())):
                    found[prefix] = names
    return found


def _shared_prefixes(wanted: Weights) -> list[str]:
    """List the modules that all tensors of the network lie in, from none to the innermost: "", "net.", "net.body."."""
    parts = [key.split(".")[:-1] for key in wanted]
    shared = list(takewhile(lambda same: len(set(same)) == 1, zip(*parts, strict=False)))
    return ["".join(f"{part[0]}." for part in shared[:n]) for n in range(len(shared) + 1)]


def _likeliest(found: Mapping[str, Names], state: Weights, wanted: Weights, name: str) -> Names:
    """Take the place that has most of the network's tensors; of equals the averaged weights, then the same names."""

    def rank(prefix: str) -> tuple[int, int]:
        fitting = sum(state[other].shape == wanted[key].shape for key, other in found[prefix].items())
        words = set(re.split(r"[^a-z]+", prefix.lower()))
        return fitting, bool(words & AVERAGED) - bool(words & SLOW)

    ranks = {prefix: rank(prefix) for prefix in found}
    equal = sorted((prefix for prefix in found if ranks[prefix] == max(ranks.values())), key=lambda p: (len(p), p))
    if not equal:
        return {}
    exact = [prefix for prefix in equal if all(key == other for key, other in found[prefix].items())]
    best, *others = exact or equal
    for other in others:
        if any(_differ(state[mine], state[found[other][key]]) for key, mine in found[best].items()):
            places = " and ".join(repr(prefix.rstrip(".")) for prefix in (best, other))
            raise InputError(f"{KEY}: holds {name} more than once, under {places}: save the one that is meant alone")
    return found[best]


def _differ(one: Tensor, other: Tensor) -> bool:
    return one is not other and (one.dtype != other.dtype or one.is_meta or not torch.equal(one, other))

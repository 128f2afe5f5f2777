"""CIFAR-N's human labels, read from its authors' files."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import MAGIC_PREFIX

from tosmooth.trainables.errors import SHOWN, InputError, first_line, shown
from tosmooth.trainables.noise.label_order import in_words, official_batches
from tosmooth.trainables.noise.synthetic import Labels

# Where the human labels come from, for every message about their files.
CIFARN_ADVICE = "`tosmooth data fetch cifar10n` (or cifar100n) brings the file as published"

NPY = "a pickle that could run code, in the order of TensorFlow Datasets (.npy), which is not read"

# All that a label file of CIFAR-N may name: plain arrays of int64, as numpy 1 and numpy 2 pickle them.
_RECONSTRUCT = np.ndarray(0).__reduce__()[0]
_SAFE_GLOBALS: list[Any] = [
    np.ndarray,
    np.dtype,
    np.dtypes.Int64DType,
    (_RECONSTRUCT, "numpy.core.multiarray._reconstruct"),
    (_RECONSTRUCT, "numpy._core.multiarray._reconstruct"),
]


def human_labels(path: Path, key: str, clean: Labels, batches: Sequence[str] = ()) -> Labels:
    """Human labels `key` of a label file of CIFAR-N (Wei et al., ICLR 2022), int64 [n], in the data set's order.

    `clean` are the data set's own labels: the file's `clean_label` must equal them. `batches` tell the official order
    (`official_batches`). Whatever is wrong with the file, code that it would execute included, raises `InputError`;
    nothing of it is executed.
    """
    content = _load(path)
    classes = int(clean.max()) + 1
    labels, own = (_label_set(path, content, name, len(clean), classes) for name in (key, "clean_label"))
    if (own != clean).any():
        raise InputError(f"{path}: {_difference(own, clean, batches)}")
    return labels


def _difference(own: Labels, clean: Labels, batches: Sequence[str]) -> str:
    """Say how the clean labels of the file differ from those of the images, and which of the two to bring anew."""
    words = f"clean_label differs from the images' labels in {np.count_nonzero(own != clean)} of {len(clean)}"
    if (np.sort(own) != np.sort(clean)).any():
        return f"{words}, and in how many there are of each class: these labels are of another data set"
    orders = f"the order here is {in_words(own, batches)}, that of the images is {in_words(clean, batches)}"
    unofficial = batches and official_batches(own, batches) is None
    advice = CIFARN_ADVICE if unofficial else "`tosmooth data fetch cifar10n` (or cifar100n) brings the images in it"
    return f"{words}: {orders}: labels of people belong to the official order: {advice}"


def _load(path: Path) -> dict[Any, Any]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: {CIFARN_ADVICE}{_beside(path)}")
    try:
        _check_archive(path)
        with torch.serialization.safe_globals(_SAFE_GLOBALS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        if _is_npy(path):
            raise InputError(f"{path}: is {NPY}; {CIFARN_ADVICE}") from error
        reason = first_line(error)
        rule = "a label file of CIFAR-N holds plain arrays and nothing that runs code"
        raise InputError(f"{path}: damaged or unsafe, not loaded: {rule}; {CIFARN_ADVICE} ({reason})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}: a label file of CIFAR-N holds a dict of arrays")
    return content


def _beside(path: Path) -> str:
    """Say what lies there of CIFAR-N's repository and is not the file, or not in its place."""
    npy = path.with_name(f"{path.stem}_ordered.npy")
    if npy.is_file():
        return f"; {npy.name} beside it is {NPY}"
    deeper = sorted(path.parent.glob(f"*/{path.name}")) + sorted(path.parent.glob(f"*/data/{path.name}"))
    return f"; it may be {deeper[0]}: move it here" if deeper else ""


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX


def _check_archive(path: Path) -> None:
    """Raise `ValueError` for an archive that unpacks to more than it is: torch makes room for whatever it claims.

    Needed as any file may lie there: only `tosmooth data` compares it with the published SHA-256.
    """
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        claimed = sum(member.file_size for member in archive.infolist())
    if claimed > size:
        raise ValueError(f"its parts claim {claimed} bytes of {size}: torch.save does not compress them")


def _label_set(path: Path, content: dict[Any, Any], key: str, length: int, classes: int) -> Labels:
    if key not in content:
        names = ", ".join(sorted(shown(name)[1:-1] for name in content if isinstance(name, str))) or "none"
        names = names if len(names) <= SHOWN else f"{names[:SHOWN]}..."
        raise InputError(f"{path}: the key {key!r} is missing, its keys are: {names}: is it of the other CIFAR?")
    labels = content[key]
    if not (isinstance(labels, np.ndarray) and labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)):
        raise InputError(f"{path}: {key} is refused: an array of integers with one axis")
    if len(labels) != length:
        raise InputError(f"{path}: {key} has {len(labels)} labels: the data set has {length} training examples")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"{path}: {key} has labels {labels.min()} to {labels.max()}: from 0 to {classes - 1}")
    return labels.astype(np.int64)

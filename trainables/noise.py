"""Label noise: names of levels, transition matrices, seeded corruption, CIFAR-N's human labels, what is measured."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.config import SHOWN, InputError, require, shown
from trainables.errors import first_line

Labels = NDArray[np.int64]
Matrix = NDArray[np.float64]  # [K, K]: P(noisy label = column | clean label = row)

SYNTHETIC = ("symmetric", "pairflip", "asymmetric")  # one rate makes a transition matrix
RATED = (*SYNTHETIC, "instance")  # kinds whose names end in a rate

# Where the human labels come from, for every message about their files.
CIFARN_ADVICE = "`tosmooth data fetch cifar10n` (or cifar100n) brings the file as published"

LARGEST = 2**26  # bytes of a label file: the published ones have 1 and 2.4 million

# All that a label file of CIFAR-N may name: plain arrays of int64, as numpy 1 and numpy 2 pickle them.
_RECONSTRUCT = np.ndarray(0).__reduce__()[0]
_SAFE_GLOBALS: list[Any] = [
    np.ndarray,
    np.dtype,
    np.dtypes.Int64DType,
    (_RECONSTRUCT, "numpy.core.multiarray._reconstruct"),
    (_RECONSTRUCT, "numpy._core.multiarray._reconstruct"),
]


class Synthetic(NamedTuple):
    """Noise of a rate."""

    kind: str  # one of RATED
    rate: float  # E in [0, 1)


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose: the same seed gives unrelated numbers to every other purpose."""
    return np.random.default_rng([seed, *purpose.encode()])


def parse_level(name: str) -> Synthetic | None:
    """The noise that `symmetric-E`, `pairflip-E`, `asymmetric-E` or `instance-E` stands for; None for any other name.

    Raises `InputError` where such a name comes without a rate E in [0, 1).
    """
    kind, _, rate = name.partition("-")
    if kind not in RATED:
        return None
    ok = re.fullmatch(r"\d*\.?\d+", rate, re.ASCII) is not None and float(rate) < 1
    require(ok, "dataset.noise", name, f"{kind}-E with a rate E from 0 to below 1, such as {kind}-0.4")
    return Synthetic(kind, float(rate))


def transition_matrix(noise: Synthetic, classes: int, flips: Mapping[int, int] | None = None) -> Matrix:
    """The transition matrix of one of SYNTHETIC, float64 [classes, classes].

    symmetric: a share E of the labels becomes wrong, each of the other classes equally likely.
    pairflip: class k becomes k + 1 (the last: 0) with probability E (Han et al. 2018, "Co-teaching").
    asymmetric: class k becomes `flips[k]` with probability E, classes not in `flips` stay (Patrini et al. 2017, "Making
    deep neural networks robust to label noise"). So the noise rate may be below E. Without `flips` it is refused.
    """
    kind, rate = noise
    if kind == "symmetric":
        matrix = np.full((classes, classes), rate / (classes - 1))
        np.fill_diagonal(matrix, 1 - rate)
        return matrix
    if kind == "pairflip":
        flips = {k: (k + 1) % classes for k in range(classes)}
    if flips is None:
        known = "asymmetric noise is defined for CIFAR-10 and CIFAR-100 alone; pairflip-E is its like for any data"
        raise InputError(f"dataset.noise: 'asymmetric-{rate}' is refused: {known}")
    matrix = np.eye(classes)
    for clean, noisy in flips.items():
        matrix[clean, [clean, noisy]] = 1 - rate, rate
    return matrix


def corrupt(labels: Labels, matrix: Matrix, seed: int) -> Labels:
    """Draw a noisy label for each of `labels` from its row of the transition `matrix`, int64 [n].

    The draw of an example depends on `seed`, its position and its label alone, not on how many follow.
    """
    uniform = stream(seed, "label noise").random(len(labels))
    cumulative = matrix.cumsum(axis=1)
    cumulative /= cumulative[:, -1:]  # ends at exactly 1, so that no class of probability 0 is drawn
    noisy = np.empty(len(labels), np.int64)
    for k, row in enumerate(cumulative):
        here = labels == k
        noisy[here] = np.searchsorted(row, uniform[here], side="right")
    return noisy


def noise_rate(noisy: Labels, clean: Labels) -> float:
    """The share of labels, in [0, 1], that differ from the clean ones."""
    return float(np.mean(noisy != clean))


def measured_transition(noisy: Labels, clean: Labels, classes: int) -> Matrix:
    """The share of each clean label (row) that became each noisy one (column), float64 [classes, classes]."""
    return by_rows(np.bincount(clean * classes + noisy, minlength=classes**2).reshape(classes, classes))


def by_rows(counts: NDArray[Any]) -> Matrix:
    """Counts (or shares) [K, K], each row divided by its sum; of a class that has none the labels stay."""
    empty = counts.sum(axis=1) == 0
    shares = counts + np.diag(empty)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float64)


def is_symmetric(matrix: Matrix) -> bool:
    """Whether a share of the labels, the same of every class, goes to all other classes alike."""
    rate = 1 - float(matrix.diagonal().mean())
    return bool(np.allclose(matrix, transition_matrix(Synthetic("symmetric", rate), len(matrix))))


def human_labels(path: Path, key: str, clean: Labels) -> Labels:
    """Human labels `key` of a label file of CIFAR-N (Wei et al., ICLR 2022), int64 [n], in the data set's order.

    `clean` are the data set's own labels: the file's `clean_label` must equal them. Whatever is wrong with the file,
    code that it would execute included, raises `InputError`; nothing of it is executed.
    """
    content = _load(path)
    classes = int(clean.max()) + 1
    labels, own = (_label_set(path, content, name, len(clean), classes) for name in (key, "clean_label"))
    differing = int(np.count_nonzero(own != clean))
    if differing:
        rule = "these labels are of another data set, or in another order"
        raise InputError(f"{path}: clean_label differs from the images' labels in {differing} of {len(clean)}: {rule}")
    return labels


def _load(path: Path) -> dict[Any, Any]:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: {CIFARN_ADVICE}")
    try:
        _check_archive(path)
        with torch.serialization.safe_globals(_SAFE_GLOBALS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        reason = first_line(error)
        rule = "a label file of CIFAR-N holds plain arrays and nothing that runs code"
        raise InputError(f"{path}: damaged or unsafe, not loaded: {rule}; {CIFARN_ADVICE} ({reason})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}: a label file of CIFAR-N holds a dict of arrays")
    return content


def _check_archive(path: Path) -> None:
    """Raise `ValueError` for what torch would unpack beyond all bounds: it looks at no size before it makes room."""
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{size} bytes: at most {LARGEST}")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its parts are compressed: torch.save writes them as they are")
    claimed = sum(member.file_size for member in members)
    if claimed > size:
        raise ValueError(f"its parts claim {claimed} bytes of {size}")


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

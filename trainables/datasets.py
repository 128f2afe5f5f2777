"""The data of a trial: a data set at one noise level, split into train, noisy validation and clean test."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.cifar import CIFAR_10, CIFAR_100, Cifar, HumanLabels, read
from trainables.config import MATRIX, DataConfig, InputError, require
from trainables.examples import Examples, Source, scale_of
from trainables.folders import Folders
from trainables.generators import ringnorm, twonorm, waveform
from trainables.levels import LIKE, noisy_labels, pattern
from trainables.noise import RATED, Labels, Matrix, measured_transition, noise_rate, stream
from trainables.sources import bundled, table

TEST_SEED = 0  # draws the part of a test set: the same for every study, so that their accuracies compare
MOST_CLASSES = 1024  # of which a transition matrix is measured: 8 MiB

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows of `inputs` with their labels as this level sees them."""

    inputs: Tensor  # uint8 [N, H, W, 3], mapped, never written to; or float32 [N, D]. May hold more than the split
    rows: Tensor  # int64 [n]: which rows of `inputs`
    labels: Tensor  # int64 [n]
    clean: Tensor | None = None  # int64 [n], where they are known: nothing is trained or chosen by them

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def flipped(self) -> Tensor | None:
        """Which labels are wrong, bool [n]; `None` where that is not known."""
        return None if self.clean is None else self.labels != self.clean


@dataclass(frozen=True, slots=True, eq=False)
class LevelData:
    """One noise level, ready to train on."""

    train: Split
    validation: Split  # with its noisy labels
    test: Split | None  # with its clean labels
    classes: int
    noise_rate: float | None  # share of wrong labels over train and validation, in [0, 1]; None: not known
    symmetric: bool  # the noise is known to be symmetric, as the theory assumes
    mean: tuple[float, ...]  # images: per channel, of pixels in [0, 1]; features, which are scaled already: (0,)
    std: tuple[float, ...]  # likewise; features: (1,)
    digest: str  # of inputs, rows and labels; the same however and wherever the data are stored
    transition: Matrix | None = None  # measured as the noise rate is; None: not known, or of more than MOST_CLASSES


@dataclass(frozen=True, slots=True)
class Dataset:
    """An entry of the registry."""

    read: Callable[[DataConfig, Folders], Source]
    flips: Mapping[int, int] | None = None  # asymmetric noise, where it is defined
    human: HumanLabels | None = None  # noise can be drawn like theirs
    human_levels: bool = True  # and they are levels themselves
    plain: tuple[str, ...] = ("clean",)  # levels that the data come with

    def levels(self) -> list[str]:
        """Every noise level there is; E stands for a rate, NAME for that of a transition matrix in a file."""
        human = list(self.human.keys) if self.human else []
        rated = [f"{kind}-E" for kind in RATED if kind != "asymmetric" or self.flips]
        own = [*self.plain, *(human if self.human_levels else [])]
        return [*own, *rated, *(f"{LIKE}{name}" for name in human), f"{MATRIX}NAME"]


def _cifar(cifar: Cifar, human_levels: bool = False) -> Dataset:
    return Dataset(partial(read, cifar), cifar.flips, cifar.human, human_levels)


DATASETS: dict[str, Dataset] = {
    "twonorm": Dataset(twonorm),
    "ringnorm": Dataset(ringnorm),
    "waveform": Dataset(waveform),
    "digits": Dataset(partial(bundled, "digits")),
    "breast_cancer": Dataset(partial(bundled, "breast_cancer")),
    "wine": Dataset(partial(bundled, "wine")),
    "iris": Dataset(partial(bundled, "iris")),
    "cifar10": _cifar(CIFAR_10),
    "cifar10n": _cifar(CIFAR_10, human_levels=True),
    "cifar100": _cifar(CIFAR_100),
    "cifar100n": _cifar(CIFAR_100, human_levels=True),
}
TABLE = Dataset(table, plain=("given", "clean"))  # the user's own, whatever its name


def find_dataset(config: DataConfig) -> Dataset:
    """The data set that `config` names. Reads no data; an unknown data set or noise level raises `InputError`."""
    dataset = TABLE if config.table is not None else DATASETS.get(config.dataset)
    if dataset is None:
        known = _nearest_first(config.dataset, list(DATASETS))
        raise InputError(f"dataset.name: {config.dataset!r} is unknown: one of {known}; your own needs dataset.table")
    if pattern(config.noise) not in dataset.levels():
        known = _nearest_first(config.noise, dataset.levels())
        raise InputError(f"noise level {config.noise!r} is unknown for {config.dataset}: one of {known}")
    return dataset


def _nearest_first(name: str, known: list[str]) -> str:
    return ", ".join(get_close_matches(name, known, n=len(known), cutoff=0))


def load_level(config: DataConfig, folders: Folders) -> LevelData:
    """Read, corrupt and split the data of one noise level.

    Noise is applied to the whole training set; then that is cut to `size` and split, both by `split_seed`. So levels
    of the same seeds have the same examples in the same splits. Wrong or missing data raises `InputError`.
    """
    dataset = find_dataset(config)
    source = dataset.read(config, folders)
    noisy, symmetric = noisy_labels(config, source, folders, dataset.flips, dataset.human)
    train_rows, validation_rows = _split_rows(config, len(noisy))
    inputs, test_inputs = _scaled(source, train_rows)
    train, validation = (_split(inputs, rows, noisy, source.train.clean) for rows in (train_rows, validation_rows))
    test = _test_split(config, source, test_inputs)
    rate, transition = _measured(source, noisy, np.concatenate([train_rows, validation_rows]))
    return LevelData(
        train=train,
        validation=validation,
        test=test,
        classes=source.classes,
        noise_rate=rate,
        symmetric=symmetric,
        mean=source.train.mean,
        std=source.train.std,
        digest=_digest([(source.train, train), (source.train, validation), (source.test, test)]),
        transition=transition,
    )


def _measured(source: Source, noisy: Labels, rows: Rows) -> tuple[float | None, Matrix | None]:
    """Noise rate and transition matrix of the labels in `rows`, where the clean ones are known."""
    if source.train.clean is None:
        return None, None
    noisy, clean = noisy[rows], source.train.clean[rows]
    few = source.classes <= MOST_CLASSES
    return noise_rate(noisy, clean), measured_transition(noisy, clean, source.classes) if few else None


def _split_rows(config: DataConfig, available: int) -> tuple[Rows, Rows]:
    """Rows of train and validation, each in the order of the data set."""
    used = _drawn(available, config.size, config.split_seed, "dataset.size")
    held_out = round(config.validation_fraction * len(used))
    rule = f"at least one of the {len(used)} examples on each side of the split"
    require(0 < held_out < len(used), "dataset.validation_fraction", config.validation_fraction, rule)
    return np.sort(used[held_out:]), np.sort(used[:held_out])


def _drawn(available: int, wanted: int | None, seed: int, key: str) -> Rows:
    """`wanted` rows in random order; those of a smaller draw are the first of a larger one."""
    require(wanted is None or wanted <= available, key, wanted, f"there are {available} examples")
    return stream(seed, key).permutation(available)[:wanted]


def _scaled(source: Source, train_rows: Rows) -> tuple[Tensor, Tensor | None]:
    """Inputs of the training set and the test set, standardised by the train rows where that is still to be done."""
    inputs, test_inputs = source.train.inputs, source.test.inputs if source.test else None
    if not source.standardise:
        return inputs, test_inputs
    mean, std = scale_of(inputs[torch.from_numpy(train_rows)])
    scaled = ((inputs - mean) / std).float()
    return scaled, None if test_inputs is None else ((test_inputs - mean) / std).float()


def _test_split(config: DataConfig, source: Source, inputs: Tensor | None) -> Split | None:
    if source.test is None or inputs is None:
        require(config.test_size is None, "dataset.test_size", config.test_size, "this data has no test set")
        return None
    rows = _drawn(len(inputs), config.test_size, TEST_SEED, "dataset.test_size")
    return _split(inputs, np.sort(rows), source.test.given, source.test.clean)


def _split(inputs: Tensor, rows: Rows, labels: Labels, clean: Labels | None) -> Split:
    own, known = torch.from_numpy(labels[rows]), None if clean is None else torch.from_numpy(clean[rows])
    return Split(inputs, torch.from_numpy(rows), own, known)


def _digest(parts: list[tuple[Examples | None, Split | None]]) -> str:
    digest = hashlib.sha256()
    for examples, split in parts:
        if examples is not None and split is not None:
            digest.update(f"{examples.digest} {len(split)}".encode())
            digest.update(split.rows.numpy().data)
            digest.update(split.labels.numpy().data)
    return digest.hexdigest()[:16]

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
from trainables.config import DataConfig, Folders, InputError, require
from trainables.examples import Examples, Source
from trainables.noise import Labels, corrupt, human_labels, noise_rate, parse_level, stream, transition_matrix
from trainables.sources import bundled, table, twonorm

TEST_SEED = 0  # draws the part of a test set: the same for every study, so that their accuracies compare

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows of `inputs` with their labels as this level sees them."""

    inputs: Tensor  # uint8 [N, H, W, 3], mapped, never written to; or float32 [N, D]. May hold more than the split
    rows: Tensor  # int64 [n]: which rows of `inputs`
    labels: Tensor  # int64 [n]

    def __len__(self) -> int:
        return len(self.rows)


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


@dataclass(frozen=True, slots=True)
class Dataset:
    """An entry of the registry."""

    read: Callable[[DataConfig, Folders], Source]
    flips: Mapping[int, int] | None = None  # asymmetric noise, where it is defined
    human: HumanLabels | None = None
    plain: tuple[str, ...] = ("clean",)  # levels that the data come with

    def levels(self) -> list[str]:
        """Every noise level there is; E stands for a rate."""
        human = list(self.human.keys) if self.human else []
        return [*self.plain, *human, "symmetric-E", "pairflip-E", *(["asymmetric-E"] if self.flips else [])]


def _cifar(cifar: Cifar, human: HumanLabels | None = None) -> Dataset:
    return Dataset(partial(read, cifar), cifar.flips, human)


DATASETS: dict[str, Dataset] = {
    "twonorm": Dataset(twonorm),
    "digits": Dataset(partial(bundled, "digits")),
    "breast_cancer": Dataset(partial(bundled, "breast_cancer")),
    "wine": Dataset(partial(bundled, "wine")),
    "iris": Dataset(partial(bundled, "iris")),
    "cifar10": _cifar(CIFAR_10),
    "cifar10n": _cifar(CIFAR_10, CIFAR_10.human),
    "cifar100": _cifar(CIFAR_100),
    "cifar100n": _cifar(CIFAR_100, CIFAR_100.human),
}
TABLE = Dataset(table, plain=("given", "clean"))  # the user's own, whatever its name


def find_dataset(config: DataConfig) -> Dataset:
    """The data set that `config` names. Reads no data; an unknown data set or noise level raises `InputError`."""
    dataset = TABLE if config.table is not None else DATASETS.get(config.dataset)
    if dataset is None:
        known = _nearest_first(config.dataset, list(DATASETS))
        raise InputError(f"dataset.name: {config.dataset!r} is unknown: one of {known}; your own needs dataset.table")
    synthetic = parse_level(config.noise)
    name = config.noise if synthetic is None else f"{synthetic.kind}-E"
    if name not in dataset.levels():
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
    noisy, symmetric = _noisy_labels(config, dataset, source, folders)
    train_rows, validation_rows = _split_rows(config, len(noisy))
    inputs, test_inputs = _scaled(source, train_rows)
    train, validation = _split(inputs, train_rows, noisy), _split(inputs, validation_rows, noisy)
    test = _test_split(config, source, test_inputs)
    used, clean = np.concatenate([train_rows, validation_rows]), source.train.clean
    return LevelData(
        train=train,
        validation=validation,
        test=test,
        classes=source.classes,
        noise_rate=None if clean is None else noise_rate(noisy[used], clean[used]),
        symmetric=symmetric,
        mean=source.train.mean,
        std=source.train.std,
        digest=_digest([(source.train, train), (source.train, validation), (source.test, test)]),
    )


def _noisy_labels(config: DataConfig, dataset: Dataset, source: Source, folders: Folders) -> tuple[Labels, bool]:
    """Labels of the whole training set at this level, and whether their noise is known to be symmetric."""
    given, clean = source.train.given, source.train.clean
    synthetic = parse_level(config.noise)
    if synthetic is not None:
        matrix = transition_matrix(synthetic, source.classes, dataset.flips)
        even = np.allclose(matrix, transition_matrix(synthetic._replace(kind="symmetric"), source.classes))
        return corrupt(given if clean is None else clean, matrix, config.noise_seed), even and clean is not None
    if config.noise == "given":
        return given, False
    if clean is None:
        raise InputError("dataset.noise: 'clean' is refused: it needs clean labels, dataset.table.clean_label")
    if dataset.human is None or config.noise == "clean":
        return clean, True
    return human_labels(folders.data / dataset.human.file, dataset.human.keys[config.noise], clean), False


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
    rows = inputs[torch.from_numpy(train_rows)].double()
    mean, std = rows.mean(dim=0), rows.std(dim=0, correction=0)
    std[std <= 1e-7 * mean.abs()] = 1  # a feature of one value: nothing to scale
    scaled = ((inputs - mean) / std).float()
    return scaled, None if test_inputs is None else ((test_inputs - mean) / std).float()


def _test_split(config: DataConfig, source: Source, inputs: Tensor | None) -> Split | None:
    if source.test is None or inputs is None:
        require(config.test_size is None, "dataset.test_size", config.test_size, "this data has no test set")
        return None
    rows = _drawn(len(inputs), config.test_size, TEST_SEED, "dataset.test_size")
    return _split(inputs, np.sort(rows), source.test.given)


def _split(inputs: Tensor, rows: Rows, labels: Labels) -> Split:
    return Split(inputs, torch.from_numpy(rows), torch.from_numpy(labels[rows]))


def _digest(parts: list[tuple[Examples | None, Split | None]]) -> str:
    digest = hashlib.sha256()
    for examples, split in parts:
        if examples is not None and split is not None:
            digest.update(f"{examples.digest} {len(split)}".encode())
            digest.update(split.rows.numpy().data)
            digest.update(split.labels.numpy().data)
    return digest.hexdigest()[:16]

"""Data sets that are no CIFAR: Twonorm, scikit-learn's bundled sets, and the user's own Parquet."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.config import DataConfig, Folders, InputError, TableSource, require
from trainables.digests import remembered_sha256, unchanged
from trainables.examples import Examples, Source
from trainables.images import decoded, pictures
from trainables.noise import Labels, stream
from trainables.parquet import read_features

BUNDLED_SEED = 0  # draws the test set of scikit-learn's sets, the same for everyone
TWONORM_SIZE, TWONORM_TEST_SIZE = 25_000, 10_000
TWONORM_LARGEST = 1_000_000


def twonorm(config: DataConfig, folders: Folders) -> Source:
    """Two 20-dimensional unit normals with means +-2/sqrt(20) in every coordinate.

    Breiman 1996, "Bias, variance, and arcing classifiers". Classes are equally likely; the best possible accuracy is
    97.7 %. A larger set begins with the examples of a smaller one.
    """
    for key, size in (("size", config.size), ("test_size", config.test_size)):
        require(size is None or size <= TWONORM_LARGEST, f"dataset.{key}", size, f"at most {TWONORM_LARGEST} examples")
    train = _twonorm(config.noise_seed, "train", config.size or TWONORM_SIZE)
    test = _twonorm(config.noise_seed, "test", config.test_size or TWONORM_TEST_SIZE)
    return Source(train=train, test=test, classes=2)


def _twonorm(seed: int, part: str, size: int) -> Examples:
    labels = stream(seed, f"twonorm {part} labels").integers(0, 2, size)
    points = stream(seed, f"twonorm {part} points").standard_normal((size, 20))
    centre = 2 / np.sqrt(20)
    return _features(points + np.where(labels, centre, -centre)[:, None], {"clean_label": labels})


def bundled(name: str, config: DataConfig, folders: Folders) -> Source:
    """One of scikit-learn's bundled sets of features; a third of it, or `test_size`, is held out as the test set."""
    from sklearn import datasets  # noqa: PLC0415 - a second of a worker's start, which other data do without

    inputs, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    held_out, most = config.test_size or len(labels) // 3, len(labels) - 10
    require(held_out <= most, "dataset.test_size", held_out, f"at most {most}, so that 10 examples remain to train on")
    order = stream(BUNDLED_SEED, "test set").permutation(len(labels))
    parts = order[held_out:], order[:held_out]
    train, test = (_features(inputs[rows], {"clean_label": labels[rows].astype(np.int64)}) for rows in parts)
    return Source(train=train, test=test, classes=int(labels.max()) + 1, standardise=True)


def table(config: DataConfig, folders: Folders) -> Source:
    """The user's own Parquet files, pictures or features, as `config.table` describes them."""
    wanted = config.table
    if wanted is None:
        raise InputError("dataset.table: None is refused: a table of the user's own is described there")
    columns = {"label": wanted.label} | ({"clean_label": wanted.clean_label} if wanted.clean_label else {})
    train = _table(folders.data / wanted.train, wanted, columns, folders.cache)
    classes = _classes(train.labels, folders.data / wanted.train)
    test = None
    if wanted.test is not None:
        path = folders.data / wanted.test
        test = _table(path, wanted, {"clean_label": wanted.label}, folders.cache)
        if test.inputs.shape[1:] != train.inputs.shape[1:]:
            sizes = f"{list(test.inputs.shape[1:])}, those of the training set {list(train.inputs.shape[1:])}"
            raise InputError(f"{path}: its pictures are of the size {sizes}: the two are alike")
        labels = test.given
        known = labels.min() >= 0 and labels.max() < classes
        require(bool(known), f"{path}: labels", f"{labels.min()}..{labels.max()}", f"0..{classes - 1}, as in training")
    return Source(train=train, test=test, classes=classes, standardise=wanted.features is not None)


def _table(path: Path, wanted: TableSource, columns: Mapping[str, str], cache: Path) -> Examples:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: dataset.table is relative to the data folder (--data-dir)")
    if wanted.features is not None:
        clash = set(wanted.features) & {wanted.label, wanted.clean_label}
        require(not clash, "dataset.table.features", wanted.features, "a label is no feature")
        inputs, labels = read_features(path, wanted.features, list(columns.values()))
        return _features(inputs, dict(zip(columns, labels, strict=True)))
    image = str(wanted.image)
    digest = remembered_sha256(path, cache)
    return decoded(cache, "table", [digest, image, columns], lambda: pictures(unchanged(path, digest), image, columns))


def _classes(labels: Mapping[str, Labels], path: Path) -> int:
    found = np.unique(np.concatenate(list(labels.values())))
    classes = int(found[-1]) + 1
    if found[0] < 0 or len(found) != classes or classes < 2:
        shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise InputError(f"{path}: the labels are {shown} to {found[-1]}: 0..K-1, each used, with K of 2 or more")
    return classes


def _features(inputs: NDArray[Any], labels: Mapping[str, Labels]) -> Examples:
    inputs = np.ascontiguousarray(inputs, np.float32)
    digest = hashlib.sha256(repr(inputs.shape).encode())
    digest.update(inputs.data)
    return Examples(inputs=torch.from_numpy(inputs), labels=labels, digest=digest.hexdigest())

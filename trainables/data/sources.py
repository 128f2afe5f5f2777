"""Sources other than generators and CIFAR: scikit-learn's bundled data sets, and the user's own Parquet."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.examples import Examples, Source, of_features
from tosmooth.trainables.data.images import decoded, pictures
from tosmooth.trainables.data.parquet import read_features
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.files.digests import remembered_sha256, unchanged
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.synthetic import Labels, stream

BUNDLED_SEED = 0  # draws the test set of scikit-learn's sets, the same for everyone


def bundled(name: str, config: DataConfig, folders: Folders) -> Source:
    """Read one of scikit-learn's bundled sets of features; a third of it, or `test_size`, is held out as test set."""
    from sklearn import datasets  # noqa: PLC0415 - a second of a worker's start, which other data do without

    inputs, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    held_out, most = config.test_size or len(labels) // 3, len(labels) - 10
    require(held_out <= most, "dataset.test_size", held_out, f"at most {most}, so that 10 examples remain to train on")
    order = stream(BUNDLED_SEED, "test set").permutation(len(labels))
    parts = order[held_out:], order[:held_out]
    train, test = (of_features(inputs[rows], {"clean_label": labels[rows].astype(np.int64)}) for rows in parts)
    return Source(train=train, test=test, classes=int(labels.max()) + 1, standardise=True)


def table(config: DataConfig, folders: Folders) -> Source:
    """Read the user's own Parquet files, pictures or features, as `config.table` describes them."""
    wanted = config.table
    if wanted is None:
        raise InputError("dataset.table: None is refused: a table of the user's own is described there")
    columns = {"label": wanted.label} | ({"clean_label": wanted.clean_label} if wanted.clean_label else {})
    folders.bring(wanted.train, *([wanted.test] if wanted.test is not None else []))
    train, origins = _table(folders.data / wanted.train, wanted, columns, folders.cache)
    classes = _classes(train.labels, folders.data / wanted.train)
    test = None
    if wanted.test is not None:
        path = folders.data / wanted.test
        test, _ = _table(path, wanted, {"clean_label": wanted.label}, folders.cache, origins)
        if test.inputs.shape[1:] != train.inputs.shape[1:]:
            sizes = f"{list(test.inputs.shape[1:])}, those of the training set {list(train.inputs.shape[1:])}"
            raise InputError(f"{path}: its pictures are of the size {sizes}: the two are alike")
        labels = test.given
        known = labels.min() >= 0 and labels.max() < classes
        require(bool(known), f"{path}: labels", f"{labels.min()}..{labels.max()}", f"0..{classes - 1}, as in training")
    return Source(train=train, test=test, classes=classes, standardise=wanted.features is not None)


def _table(
    path: Path, wanted: TableSource, columns: Mapping[str, str], cache: Path, origins: Sequence[float] | None = None
) -> tuple[Examples, list[float] | None]:
    """Read one file; also the origin of each feature, of pictures none."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: dataset.table is relative to the data folder (--data-dir)")
    if wanted.features is not None:
        inputs, labels, known = read_features(path, wanted.features, list(columns.values()), origins)
        return of_features(inputs, dict(zip(columns, labels, strict=True))), known
    image = str(wanted.image)
    digest = remembered_sha256(path, cache)
    read = decoded(cache, "table", [digest, image, columns], lambda: pictures(unchanged(path, digest), image, columns))
    return read, None


def _classes(labels: Mapping[str, Labels], path: Path) -> int:
    found = np.unique(np.concatenate(list(labels.values())))
    classes = int(found[-1]) + 1
    if found[0] < 0 or len(found) != classes or classes < 2:
        shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise InputError(f"{path}: the labels are {shown} to {found[-1]}: 0..K-1, each used, with K of 2 or more")
    return classes

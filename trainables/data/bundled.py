"""Data sets that come with scikit-learn."""

import numpy as np

from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.examples import Source, of_features
from tosmooth.trainables.data.preprocessing import plain_columns
from tosmooth.trainables.errors import require
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.synthetic import stream

BUNDLED_SEED = 0  # draws the test set of scikit-learn's sets, the same for everyone


def bundled(name: str, config: DataConfig, folders: Folders) -> Source:
    """Read one of scikit-learn's bundled sets of features; a third of it, or `test_size`, is held out as test set."""
    from sklearn import datasets  # noqa: PLC0415 - a second of a worker's start, which other data do without

    loaded = getattr(datasets, f"load_{name}")()
    inputs, labels = loaded.data, loaded.target
    held_out, most = config.test_size or len(labels) // 3, len(labels) - 10
    require(held_out <= most, "dataset.test_size", held_out, f"at most {most}, so that 10 examples remain to train on")
    order = stream(BUNDLED_SEED, "test set").permutation(len(labels))
    parts = order[held_out:], order[:held_out]
    train, test = (of_features(inputs[rows], {"clean_label": labels[rows].astype(np.int64)}) for rows in parts)
    columns = plain_columns(list(map(str, loaded.feature_names)))
    return Source(train=train, test=test, classes=int(labels.max()) + 1, standardise=True, columns=columns)

"""Folds of a level: each example, of training set and noisy validation alike, is judged by one network that was
trained neither on it nor on its equals.

Networks are trained on the training set alone, as the study's trials were, less a fold of it. No label of the noisy
validation shapes the judgement of a training label: labels that are cleaned by it do not leak the validation.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tosmooth.trainables.data.copies import Rows
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.noise.synthetic import stream


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Fold of each example, int64: of the training set [n], and of the noisy validation [m]."""

    number: int
    train: Rows
    validation: Rows

    @classmethod
    def of(cls, data: LevelData, number: int, seed: int) -> "Folds":
        """Draw `number` folds of a level: equal inputs share one, and each class is spread evenly over all.

        Raises `InputError` where there are not so many distinct training examples.
        """
        keys = np.concatenate([data.train.keys, data.validation.keys])
        labels = np.concatenate([data.train.labels.numpy(), data.validation.noisy_labels.numpy()])
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        trained = len(np.unique(group[: len(data.train)]))
        rule = f"at least 2, and at most the {trained} distinct training examples"
        require(2 <= number <= trained, "--folds", number, rule)
        # Groups of a class one after another, those that are trained on before the others, each in random order: dealt
        # out in turn they come as evenly into the folds as can be, whatever the size of the class.
        random = stream(seed, "folds of suspects").permutation(len(first))
        dealt = np.lexsort([random, first >= len(data.train), labels[first]])
        of_group = np.empty(len(first), np.int64)
        of_group[dealt] = np.arange(len(first)) % number
        found = of_group[group]
        return cls(number, found[: len(data.train)], found[len(data.train) :])

    def unseen(self, data: LevelData) -> int:
        """Count the examples whose label no training example of another fold has: it cannot be confirmed."""
        k, labels = data.classes, data.train.labels.numpy()
        counts = np.bincount(self.train * k + labels, minlength=self.number * k).reshape(self.number, k)
        elsewhere = counts.sum(axis=0) - counts  # [folds, K]
        own = elsewhere[self.train, labels], elsewhere[self.validation, data.validation.noisy_labels.numpy()]
        return int((np.concatenate(own) == 0).sum())


def without(data: LevelData, folds: Folds, fold: int) -> LevelData:
    """The level as the network of a fold sees it: trained without the fold, whose training examples validate it.

    Without a test set, which chooses nothing here. Its digest is another for each fold: trunks are kept by it.
    """
    held = folds.train == fold
    train, validation = part_of(data.train, ~held), part_of(data.train, held)
    for split in (train, validation):
        if not len(split):
            raise InputError(f"--folds: {folds.number} is refused: fold {fold + 1} leaves no example on one side")
    told = f"{data.digest} {folds.number} {fold} {hashlib.sha256(folds.train.tobytes()).hexdigest()}"
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    return replace(data, train=train, validation=validation, test=None, digest=digest)


def part_of(split: Split, mask: NDArray[np.bool_]) -> Split:
    """The examples of a split that a mask [n] says."""
    own = torch.from_numpy(mask)
    return replace(
        split,
        rows=split.rows[own],
        labels=split.labels[own],
        clean=None if split.clean is None else split.clean[own],
        known_keys=None if split.known_keys is None else split.known_keys[mask],
        soft=None if split.soft is None else split.soft[own],
        noisy=None if split.noisy is None else split.noisy[own],
    )

"""Noise levels by name: the labels that each gives to the training set."""

from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from tosmooth.trainables.config import MATRIX, DataConfig
from tosmooth.trainables.data.cifar import HumanLabels
from tosmooth.trainables.data.examples import Soft, Source, scale_of
from tosmooth.trainables.data.labels import majority, picked, votes_of
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.human_labels import human_labels
from tosmooth.trainables.noise.instance import instance_noise
from tosmooth.trainables.noise.matrix_file import read_matrix
from tosmooth.trainables.noise.synthetic import (
    Labels,
    Matrix,
    corrupt,
    is_symmetric,
    measured_transition,
    parse_level,
    stream,
    transition_matrix,
)

LIKE = "like-"  # so begin the names of levels that are drawn from the transition matrix of human labels


ANNOTATOR = "annotator-"  # so begin the names of levels that are one annotator's labels
VOTED = ("majority", "random-pick", "soft")  # levels by what several annotators say


class Noisy(NamedTuple):
    """Labels of a noise level."""

    labels: Labels  # int64 [N], of the whole training set; NONE where a row has none at this level
    symmetric: bool  # their noise is known to be symmetric
    soft: Soft | None = None  # float32 [N, K]: what is trained on instead of them


def pattern(noise: str) -> str:
    """Convert a level's name to that of `Dataset.levels`: `symmetric-0.4` to `symmetric-E`, files to `matrix-NAME`."""
    if (synthetic := parse_level(noise)) is not None:
        return f"{synthetic.kind}-E"
    return f"{MATRIX}NAME" if noise.startswith(MATRIX) and noise != MATRIX else noise


def noisy_labels(
    config: DataConfig, source: Source, folders: Folders, flips: Mapping[int, int] | None, human: HumanLabels | None
) -> Noisy:
    """Make the labels of the level that `config` names, a known one. Noise is drawn onto the clean labels.

    Where these are not all known it is drawn onto the labels as they came. `flips` are those of asymmetric noise,
    `human` the label sets that people gave. Wrong or missing files raise `InputError`.
    """
    given, clean = source.train.given, source.train.all_clean
    if config.noise == "given":
        return Noisy(given, False)
    if config.noise == "clean":
        if clean is None:
            what = "needs clean labels" if source.train.clean is None else "needs the clean label of every row"
            raise InputError(f"dataset.noise: 'clean' is refused: it {what}, dataset.table.clean_label")
        return Noisy(clean, True)
    if config.noise in VOTED or config.noise.startswith(ANNOTATOR):
        return _of_annotators(config, source)
    if human is not None and config.noise in human.keys:
        return Noisy(_human(config.noise, human, source, folders), False)
    labels, known = (given, False) if clean is None else (clean, True)
    synthetic = parse_level(config.noise)
    if synthetic is not None and synthetic.kind == "instance":
        inputs, classes = source.train.inputs, source.classes
        drawn = instance_noise(inputs, _scale(source), labels, classes, synthetic.rate, config.noise_seed)
        return Noisy(drawn, known and classes == 2)  # with one other class nothing depends on the example
    matrix = _matrix(config, source, folders, flips, human)
    return Noisy(corrupt(labels, matrix, config.noise_seed), known and is_symmetric(matrix))


def _of_annotators(config: DataConfig, source: Source) -> Noisy:
    """One annotator's labels, what most of them say, one's of each row by lot, or the share of each class in votes."""
    train = source.train
    if config.noise.startswith(ANNOTATOR):
        return Noisy(train.annotators[config.noise.removeprefix(ANNOTATOR)], False)
    votes = list(train.annotators.values())
    if config.noise == "random-pick":
        return Noisy(picked(votes, stream(config.noise_seed, "random-pick")), False)
    counted = votes_of(votes, source.classes) if votes else cast(Soft, train.soft)
    soft = counted if config.noise == "majority" or train.soft is None else train.soft
    labels = majority(soft, stream(config.noise_seed, "majority"))
    if config.noise == "majority":
        return Noisy(labels, False)
    return Noisy(labels, False, soft / np.maximum(soft.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny))


def _matrix(
    config: DataConfig, source: Source, folders: Folders, flips: Mapping[int, int] | None, human: HumanLabels | None
) -> Matrix:
    if config.matrix is not None:
        folders.bring(config.matrix)
        return read_matrix(folders.data / config.matrix, source.classes)
    if human is not None and config.noise.startswith(LIKE):
        labels = _human(config.noise.removeprefix(LIKE), human, source, folders)
        return measured_transition(labels, source.train.labels["clean_label"], source.classes)
    synthetic = parse_level(config.noise)
    if synthetic is None:
        raise InputError(f"dataset.noise: {config.noise!r} is unknown")
    return transition_matrix(synthetic, source.classes, flips)


def _human(level: str, human: HumanLabels, source: Source, folders: Folders) -> Labels:
    folders.bring(human.file)
    clean = source.train.labels["clean_label"]
    return human_labels(folders.data / human.file, human.keys[level], clean, human.batches)


def _scale(source: Source) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the whole training set, float64: per channel of pixels 0..255, or per feature."""
    train = source.train
    if source.standardise:
        return scale_of(train.inputs)
    whole = 1 if train.inputs.is_floating_point() else 255
    mean, std = (whole * torch.tensor(values, dtype=torch.float64) for values in (train.mean, train.std))
    return mean, std

"""Data of a trial: a data set at one noise level, split into train, noisy validation and clean test."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tosmooth.trainables.config import CLEANED, MATRIX, DataConfig, TableSource
from tosmooth.trainables.data.bundled import bundled
from tosmooth.trainables.data.cifar import CIFAR_10, CIFAR_100, Cifar, HumanLabels, read
from tosmooth.trainables.data.cleaned import cleaned_labels
from tosmooth.trainables.data.copies import Keys, Rows, held_out, keys_of
from tosmooth.trainables.data.examples import Examples, Source, scale_of, standardised
from tosmooth.trainables.data.generators import ringnorm, twonorm, waveform
from tosmooth.trainables.data.noise_levels import ANNOTATOR, LIKE, VOTED, noisy_labels, pattern
from tosmooth.trainables.data.own_data import annotator_names, own_data
from tosmooth.trainables.data.preprocessing import Preprocessing, plain_columns, two_valued
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.synthetic import NONE, RATED, Labels, Matrix, measured_transition, noise_rate, stream

TEST_SEED = 0  # draws the part of a test set: the same for every study, so that their accuracies compare
MOST_CLASSES = 1024  # of which a transition matrix is measured: 8 MiB


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows of `inputs` with their labels as this level sees them."""

    inputs: Tensor  # uint8 [N, H, W, 3], mapped, never written to; or float32 [N, D]. May hold more than the split
    rows: Tensor  # int64 [n]: which rows of `inputs`
    labels: Tensor  # int64 [n]
    clean: Tensor | None = None  # int64 [n], NONE where unknown: nothing is trained by them
    known_keys: Keys | None = None  # int64 [n] of pictures; features: worked out when asked for
    soft: Tensor | None = None  # float32 [n, K]: what is trained on instead of the labels
    noisy: Tensor | None = None  # int64 [n]: noisy labels of a validation whose `labels` are the clean ones
    inputs_digest: str = ""  # of all `inputs`, as the data came

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def keys(self) -> Keys:
        """Keys of the inputs, int64 [n]: equal ones, and those alone, have equal keys."""
        return keys_of(self.inputs[self.rows].numpy()) if self.known_keys is None else self.known_keys

    @property
    def flipped(self) -> Tensor | None:
        """Mask of the labels that are known to be wrong, bool [n]; `None` where no clean label is known."""
        return None if self.clean is None else (self.labels != self.clean) & (self.clean != NONE)

    @property
    def noisy_labels(self) -> Tensor:
        """Labels as noisy as the training set's, int64 [n]."""
        return self.labels if self.noisy is None else self.noisy


@dataclass(frozen=True, slots=True, eq=False)
class LevelData:
    """Data of one noise level, ready to train on."""

    train: Split
    validation: Split  # with its noisy labels
    test: Split | None  # with its clean labels
    classes: int
    noise_rate: float | None  # share of wrong labels over train and validation (cleaned: train alone); None: not known
    symmetric: bool  # the noise is known to be symmetric, as the theory assumes
    mean: tuple[float, ...]  # images: per channel, of pixels in [0, 1]; features, which are scaled already: (0,)
    std: tuple[float, ...]  # likewise; features: (1,)
    digest: str  # of inputs, rows and labels; the same however and wherever the data are stored
    transition: Matrix | None = None  # measured as the noise rate is; None: not known, or of more than MOST_CLASSES
    class_names: tuple[str, ...] = ()  # of a user's own data; otherwise classes are called by their numbers
    clean_rows: int | None = None  # of train and validation, by which the noise is measured; None: by all, or by none
    remarks: tuple[str, ...] = ()  # what was done to the data that a reader of the results must know
    preprocessing: Preprocessing | None = None  # what makes such inputs of raw examples; None: not known


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data set as the registry has it: how it is read, and which noise levels it has."""

    read: Callable[[DataConfig, Folders], Source]
    flips: Mapping[int, int] | None = None  # asymmetric noise, where it is defined
    human: HumanLabels | None = None  # noise can be drawn like theirs
    human_levels: bool = True  # and they are levels themselves
    plain: tuple[str, ...] = ("clean",)  # levels that the data come with

    def levels(self) -> list[str]:
        """List every noise level; E stands for a rate, NAME for the name of a transition matrix in a file."""
        human = list(self.human.keys) if self.human else []
        rated = [f"{kind}-E" for kind in RATED if kind != "asymmetric" or self.flips]
        own = [*self.plain, *(human if self.human_levels else [])]
        return [*own, *rated, *(f"{LIKE}{name}" for name in human), f"{MATRIX}NAME", f"{CLEANED}NAME"]


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


def own(source: TableSource) -> Dataset:
    """Make the data set of a user's own table, whatever its name."""
    voted = VOTED if source.annotators else ("majority", "soft") if source.targets else ()
    return Dataset(
        own_data, plain=("given", "clean", *voted, *(f"{ANNOTATOR}{name}" for name in annotator_names(source)))
    )


def find_dataset(config: DataConfig) -> Dataset:
    """Find the data set that `config` names. Reads no data; an unknown data set or noise level raises `InputError`."""
    dataset = DATASETS.get(config.dataset) if config.table is None else own(config.table)
    if dataset is None:
        known = _nearest_first(config.dataset, list(DATASETS))
        raise InputError(f"dataset.name: {config.dataset!r} is unknown: one of {known}; your own needs dataset.table")
    if pattern(config.drawn) not in dataset.levels():
        known = _nearest_first(config.drawn, dataset.levels())
        raise InputError(f"noise level {config.drawn!r} is unknown for {config.dataset}: one of {known}")
    return dataset


def _nearest_first(name: str, known: list[str]) -> str:
    return ", ".join(get_close_matches(name, known, n=len(known), cutoff=0))


def load_level(config: DataConfig, folders: Folders) -> LevelData:
    """Read, corrupt and split the data of one noise level.

    Noise is applied to the whole training set; then that is cut to `size` and split, both by `split_seed`, equal inputs
    to one side. So levels of the same seeds have the same examples in the same splits. Wrong or missing data raises
    `InputError`.
    """
    dataset = find_dataset(config)
    source = dataset.read(config, folders)
    drawn = replace(config, noise=config.drawn, cleaned_by=None)
    noisy = noisy_labels(drawn, source, folders, dataset.flips, dataset.human)
    train_rows, validation_rows = _split_rows(config, source.train)
    labels, remarks = noisy.labels, source.remarks
    if config.cleaned_by is not None:
        labels, said = cleaned_labels(config, config.cleaned_by, noisy.labels, source, train_rows, folders)
        remarks = (*remarks, said)
    left_out = (config.size or len(source.train.labelled)) - len(train_rows) - len(validation_rows)
    scale = _scale(source, train_rows)  # the same at every level: before rows leave that lack labels
    train_rows, validation_rows = (rows[labels[rows] != NONE] for rows in (train_rows, validation_rows))
    for side, rows in (("train on", train_rows), ("validate on", validation_rows)):
        require(len(rows) > 0, "dataset.noise", config.noise, f"no example to {side} has a label there")
    inputs = _scaled(source.train.inputs, scale)
    train = _split(source.train, inputs, train_rows, labels)
    validation = _split(source.train, inputs, validation_rows, labels)
    if noisy.soft is not None:
        train = replace(train, soft=torch.from_numpy(noisy.soft[train_rows]))
    if config.validate_on == "clean" and validation.clean is not None:
        validation = replace(validation, labels=validation.clean, noisy=validation.labels)
        remarks = (*remarks, f"trials are scored by the clean labels of {len(validation)} examples")
        if left_out:
            remarks = (*remarks, f"{left_out} examples are left out, as they equal some that trials are scored by")
    test = _test_split(config, source, None if source.test is None else _scaled(source.test.inputs, scale))
    measured = [train_rows] if config.cleaned_by is not None else [train_rows, validation_rows]
    rate, transition, clean_rows = _measured(source, labels, np.concatenate(measured))
    return LevelData(
        train=train,
        validation=validation,
        test=test,
        classes=source.classes,
        noise_rate=rate,
        symmetric=noisy.symmetric and config.cleaned_by is None,
        mean=source.train.mean,
        std=source.train.std,
        digest=_digest([(source.train, train), (source.train, validation), (source.test, test)]),
        transition=transition,
        class_names=source.class_names,
        clean_rows=clean_rows,
        remarks=remarks,
        preprocessing=_preprocessing(source, scale),
    )


def _measured(source: Source, noisy: Labels, rows: Rows) -> tuple[float | None, Matrix | None, int | None]:
    """Measure noise rate and transition matrix of the labels in `rows`, by those whose clean label is known.

    Also how many these are, where they are not all.
    """
    clean = source.train.clean
    known = rows if clean is None else rows[clean[rows] != NONE]
    if clean is None or len(known) == 0:
        return None, None, None
    noisy, clean = noisy[known], clean[known]
    few = source.classes <= MOST_CLASSES
    matrix = measured_transition(noisy, clean, source.classes) if few else None
    return noise_rate(noisy, clean), matrix, None if len(known) == len(rows) else len(known)


def _split_rows(config: DataConfig, examples: Examples) -> tuple[Rows, Rows]:
    """Draw the rows of train and validation, each in the order of the data set."""
    rows = examples.labelled
    used = rows[_drawn(len(rows), config.size, config.split_seed, "dataset.size")]
    wanted = round(config.validation_fraction * len(used))
    rule = f"at least one of the {len(used)} examples on each side of the split"
    require(0 < wanted < len(used), "dataset.validation_fraction", config.validation_fraction, rule)
    labels, keys = examples.given if examples.all_clean is None else examples.all_clean, examples.keys_of(used)
    if config.validate_on == "clean" and examples.all_clean is None:
        return _split_by_clean(examples, used, keys, wanted)
    validation = held_out(used, keys, labels[used], wanted)
    return np.sort(used[~validation]), np.sort(used[validation])


def _split_by_clean(examples: Examples, used: Rows, keys: Keys, wanted: int) -> tuple[Rows, Rows]:
    """Hold out rows whose clean label is known, as many as are wanted or there are; their equals are not trained on."""
    rule = "clean labels of some examples at least: dataset.table.clean_label"
    known = np.zeros(len(used), np.bool_) if examples.clean is None else examples.clean[used] != NONE
    require(bool(known.any()), "selection.validate_on", "clean", rule)
    validation = np.zeros(len(used), np.bool_)
    labels = examples.labels["clean_label"][used[known]]
    few = known.sum() <= wanted
    validation[known] = True if few else held_out(used[known], keys[known], labels, wanted)
    trained = ~np.isin(keys, keys[validation])
    return np.sort(used[trained]), np.sort(used[validation])


def _drawn(available: int, wanted: int | None, seed: int, key: str) -> Rows:
    """Draw `wanted` rows in random order; those of a smaller draw are the first of a larger one."""
    require(wanted is None or wanted <= available, key, wanted, f"there are {available} examples")
    return stream(seed, key).permutation(available)[:wanted]


def _scale(source: Source, train_rows: Rows) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation of the train rows, where features are still to be standardised by them."""
    return scale_of(source.train.inputs[torch.from_numpy(train_rows)]) if source.standardise else None


def _scaled(inputs: Tensor, scale: tuple[Tensor, Tensor] | None) -> Tensor:
    return inputs if scale is None else standardised(inputs, *scale)


def _preprocessing(source: Source, scale: tuple[Tensor, Tensor] | None) -> Preprocessing:
    """Describe how the inputs were made, for new ones."""
    shape = tuple(source.train.inputs.shape[1:])
    pictures = len(shape) == 3
    mean, std = ((), ()) if scale is None else (tuple(scale[0].tolist()), tuple(scale[1].tolist()))
    return Preprocessing(
        classes=source.class_names or tuple(map(str, range(source.classes))),
        shape=shape,
        mean=source.train.mean if pictures else mean,
        std=source.train.std if pictures else std,
        columns=() if pictures else source.columns or plain_columns([f"x{i}" for i in range(shape[0])]),
        image=source.image,
        rule=source.rule,
        black_and_white=pictures and two_valued(source.train.mean, source.train.std),
    )


def _test_split(config: DataConfig, source: Source, inputs: Tensor | None) -> Split | None:
    if source.test is None or inputs is None:
        require(config.test_size is None, "dataset.test_size", config.test_size, "this data has no test set")
        return None
    usable = source.test.labelled
    rows = usable[_drawn(len(usable), config.test_size, TEST_SEED, "dataset.test_size")]
    return _split(source.test, inputs, np.sort(rows), source.test.given)


def _split(examples: Examples, inputs: Tensor, rows: Rows, labels: Labels) -> Split:
    clean, keys = examples.clean, examples.keys
    known = None if clean is None else torch.from_numpy(clean[rows])
    own = torch.from_numpy(labels[rows])
    known_keys = None if keys is None else keys[rows]
    return Split(inputs, torch.from_numpy(rows), own, known, known_keys, inputs_digest=examples.digest)


def _digest(parts: list[tuple[Examples | None, Split | None]]) -> str:
    digest = hashlib.sha256()
    for examples, split in parts:
        if examples is not None and split is not None:
            digest.update(f"{examples.digest} {len(split)}".encode())
            digest.update(split.rows.numpy().data)
            digest.update(split.labels.numpy().data)
            if split.soft is not None:
                digest.update(split.soft.numpy().data)
    return digest.hexdigest()[:16]

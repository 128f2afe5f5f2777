"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in torchvision's layout or as Parquet, and CIFAR-N's human labels."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.examples import Examples, Source
from tosmooth.trainables.data.images import Chunk, decoded, pictures
from tosmooth.trainables.data.pictures import Dropped
from tosmooth.trainables.data.tables.parquet import readable
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.digests import file_digest, remembered_sha256, unchanged
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.redact import masked

PARTS = {"train": 50_000, "test": 10_000}  # rows of each

# Superclass of each of CIFAR-100's classes: `coarse_label` by `fine_label`, as the data set has them.
SUPERCLASS = (
    *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7),
    *(6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10),
    *(16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16),
    *(12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
)


def _within_superclass() -> dict[int, int]:
    groups = [[k for k, group in enumerate(SUPERCLASS) if group == s] for s in range(20)]
    return {k: following for group in groups for k, following in zip(group, [*group[1:], group[0]], strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanLabels:
    """Label file of CIFAR-N (Wei et al., ICLR 2022) for the training set."""

    file: str
    sha256: str  # as published
    keys: Mapping[str, str]  # noise level -> key in the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Cifar:
    """Facts about CIFAR-10 or CIFAR-100."""

    name: str
    title: str
    classes: int
    folder: str  # of torchvision's layout
    reader: Callable[[], type[Any]]  # gives torchvision's, with its list of files and published MD5s
    flips: Mapping[int, int]  # asymmetric noise (Patrini et al. 2017): class -> the class it is mistaken for
    human: HumanLabels


def _torchvision(name: str) -> type[Any]:
    from torchvision import datasets  # noqa: PLC0415 - 2 s of a worker's start, which Parquet does without

    reader: type[Any] = getattr(datasets, name)
    return reader


CIFAR_10 = Cifar(
    name="cifar10",
    title="CIFAR-10",
    classes=10,
    folder="cifar-10-batches-py",
    reader=partial(_torchvision, "CIFAR10"),
    flips={9: 1, 2: 0, 4: 7, 3: 5, 5: 3},  # truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog
    human=HumanLabels(
        file="CIFAR-10_human.pt",
        sha256="873e69c39cb9b5e97fb6bae2d60bb59b38a5cbc31d2b868f7903dcb2b9dd2310",
        keys={
            "aggre": "aggre_label",
            "random1": "random_label1",
            "random2": "random_label2",
            "random3": "random_label3",
            "worst": "worse_label",  # sic
        },
    ),
)
CIFAR_100 = Cifar(
    name="cifar100",
    title="CIFAR-100",
    classes=100,
    folder="cifar-100-python",
    reader=partial(_torchvision, "CIFAR100"),
    flips=_within_superclass(),  # to the next class of the same superclass
    human=HumanLabels(
        file="CIFAR-100_human.pt",
        sha256="bd2d80409754d420292d622e15e25248ba21e37d27429efac49c8da723f44394",
        keys={"noisy": "noisy_label"},
    ),
)


def read(cifar: Cifar, config: DataConfig, folders: Folders) -> Source:
    """Read the images and clean labels, in the data set's order, which is the same in both layouts."""
    folders.bring(cifar.folder, cifar.name, optional=True)
    found = parquet_files(cifar, folders.data)
    official = (folders.data / cifar.folder).is_dir()
    if not official and found is None:
        place = masked(folders.place)
        raise InputError(
            f"{place}: there is no {cifar.title} here: `tosmooth data fetch {config.dataset}` brings it, or "
            f"--data-dir names the folder that has it as {cifar.folder}/ (torchvision's layout) or as "
            f"{cifar.name}/train.parquet and {cifar.name}/test.parquet"
        )
    if official or found is None:
        train, test = (_from_torchvision(cifar, part, folders) for part in PARTS)
    else:
        train, test = (_from_parquet(cifar, part, path, folders) for part, path in zip(PARTS, found, strict=True))
    return Source(train=train, test=test, classes=cifar.classes)


def official_files(cifar: Cifar, data: Path) -> dict[Path, str]:
    """List the files of torchvision's layout with their published MD5s."""
    reader = cifar.reader()
    listed = [*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])]
    return {data / cifar.folder / name: published for name, published in listed}


def parquet_files(cifar: Cifar, data: Path) -> tuple[Path, Path] | None:
    """Find train and test file of the Parquet layout, by their published names; `None` unless both are there."""
    folders = [data / cifar.name / inner for inner in ("", "plain_text", "data", cifar.name)]
    for folder, ending in itertools.product(folders, ("", "-00000-of-00001")):
        train, test = (folder / f"{part}{ending}.parquet" for part in ("train", "test"))
        if train.is_file() and test.is_file():
            return train, test
    return None


def unpacked(path: Path) -> Iterator[Chunk | Dropped]:
    """Read the pictures and labels of a Parquet file, some at a time."""
    with readable(path) as file:
        column = "fine_label" if "fine_label" in file.schema_arrow.names else "label"
    return pictures(path, "img", {"clean_label": column})


def _from_torchvision(cifar: Cifar, part: str, folders: Folders) -> Examples:
    reader = cifar.reader()
    names = [name for name, _ in (reader.train_list if part == "train" else reader.test_list)]
    files = [folders.data / cifar.folder / name for name in names]
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: there is no such file: `tosmooth data fetch {cifar.name}` brings it anew")
    digests = [remembered_sha256(file, folders.cache) for file in files]
    return decoded(folders.cache, f"{cifar.name}-{part}", digests, lambda: _unpickled(cifar, part, folders.data))


def _unpickled(cifar: Cifar, part: str, data: Path) -> Iterator[Chunk]:
    try:
        images = cifar.reader()(data, train=part == "train", download=False)  # checks every MD5 before it unpickles
    except RuntimeError as error:
        official = official_files(cifar, data).items()
        wrong = [
            str(file) for file, published in official if not file.is_file() or file_digest(file, "md5") != published
        ]
        advice = f"not as published (MD5): `tosmooth data fetch {cifar.name}` brings it anew"
        raise InputError(f"{', '.join(wrong)}: {advice}") from error
    yield images.data, {"clean_label": np.asarray(images.targets, np.int64)}


def _from_parquet(cifar: Cifar, part: str, path: Path, folders: Folders) -> Examples:
    digest = remembered_sha256(path, folders.cache)
    name = f"{cifar.name}-{part}"
    examples = decoded(folders.cache, name, [digest], lambda: unpacked(unchanged(path, digest)))
    labels = examples.given
    if len(labels) != PARTS[part] or labels.min() != 0 or labels.max() != cifar.classes - 1:
        has = f"{len(labels)} rows with labels {labels.min()} to {labels.max()}"
        raise InputError(f"{path}: {has}: {cifar.title} has {PARTS[part]} with labels 0 to {cifar.classes - 1}")
    return examples

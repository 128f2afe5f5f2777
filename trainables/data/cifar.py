"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in torchvision's layout or as Parquet, and CIFAR-N's human labels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.examples import Examples, Source
from tosmooth.trainables.data.hub_layout import OWNER, nearest, parquet_files
from tosmooth.trainables.data.images import Chunk, decoded, pictures
from tosmooth.trainables.data.labels import integers_of
from tosmooth.trainables.data.pictures import Dropped
from tosmooth.trainables.data.tables.parquet import readable
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.digests import file_digest, remembered_sha256, unchanged
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.label_order import official_batches
from tosmooth.trainables.noise.synthetic import Labels
from tosmooth.trainables.redact import masked

PARTS = {"train": 50_000, "test": 10_000}  # rows of each
# Columns of Parquet files, the one that is found first; the last is what an error asks for.
IMAGES = ("image", "img")
LABELS = ("fine_label", "labels", "label")

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
    # The official order of the images that it belongs to: the digest of each batch's labels. On the Hugging Face hub
    # CIFAR-10 has its batches as 4 3 2 5 1.
    batches: tuple[str, ...]


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
        batches=(
            "66145c918fed3a0358c4001da734fbc15cb584ddf34c823fa524e6b9c81542b7",
            "1074c604720c88e1f4d8408e1995944e9bc65877af3e8c5503da69209d57286b",
            "fe1021a9820682f7eb5cc7f65ff3d015d8a33876df6dd7787404f0fa8cf5937f",
            "1599745ad42ec41be72e2f3f716b65bac89321693690656a125b1ea3ca3feeea",
            "a3a7f0cf6cafd5b2d4610fd467bd87987a0a9ff93958b860a567c925a00ad56d",
        ),
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
        batches=("8bf4935e7c77a3096270043c6f3b221b6ecb9c63d1a08608e9af66cff17e977a",),
    ),
)


def read(cifar: Cifar, config: DataConfig, folders: Folders) -> Source:
    """Read the images and clean labels, in the data set's order, which is the same in both layouts.

    Only the order of a Parquet file that is not made of the official batches is its own.
    """
    bring(cifar, folders)
    found = parquet_files(cifar.name, folders.data)
    official = (folders.data / cifar.folder).is_dir()
    if not official and found is None:
        place = masked(folders.place)
        raise InputError(
            f"{place}: there is no {cifar.title} here: `tosmooth data fetch {config.dataset}` brings it, or "
            f"--data-dir names the folder that has it as {cifar.folder}/ (torchvision's layout) or as "
            f"{cifar.name}/train.parquet and {cifar.name}/test.parquet{nearest(cifar.name, folders.data)}"
        )
    if official or found is None:
        train, test = (_from_torchvision(cifar, part, folders) for part in PARTS)
    else:
        train, test = (_from_parquet(cifar, part, found[part], folders) for part in PARTS)
    return Source(train=train, test=test, classes=cifar.classes)


def bring(cifar: Cifar, folders: Folders) -> None:
    """Copy what is there of both layouts, if it lies on another machine."""
    folders.bring(cifar.folder, cifar.name, f"{OWNER}/{cifar.name}", optional=True)


def official_files(cifar: Cifar, data: Path) -> dict[Path, str]:
    """List the files of torchvision's layout with their published MD5s."""
    reader = cifar.reader()
    listed = [*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])]
    return {data / cifar.folder / name: published for name, published in listed}


def unpacked(cifar: Cifar, part: str, paths: Sequence[Path]) -> Iterator[Chunk | Dropped]:
    """Read the pictures and labels of a part's Parquet files, some at a time, official batches in the official order.

    Raises `InputError` unless there are as many rows and classes as the data set has.
    """
    shards = [_labels(path) for path in paths]
    labels = _checked(cifar, part, paths, shards)
    shape = None
    for rows in official_batches(labels, cifar.human.batches) or [range(len(labels))]:
        for path, wanted in _pieces(paths, shards, rows):
            image, label = _columns(path)
            for chunk in pictures(path, image, {"clean_label": label}, wanted):
                if isinstance(chunk, Dropped):
                    yield chunk
                    continue
                size, shape = chunk[0].shape[1:], shape or chunk[0].shape[1:]
                if size != shape:
                    other = f"{size[1]}x{size[0]} pixels, others {shape[1]}x{shape[0]}"
                    raise InputError(f"{path}: pictures of {other}: all pictures have one size")
                yield chunk


def train_labels(cifar: Cifar, data: Path) -> Labels:
    """Read the labels of the training set alone, int64 [n], as they lie there."""
    found = parquet_files(cifar.name, data)
    if found is None or (data / cifar.folder).is_dir():
        _, columns = next(_unpickled(cifar, "train", data))
        return columns["clean_label"]
    return _checked(cifar, "train", found["train"], [_labels(path) for path in found["train"]])


def _pieces(paths: Sequence[Path], shards: Sequence[Labels], rows: range) -> Iterator[tuple[Path, range]]:
    """Files that `rows` of all of them lie in, and which rows of each file these are."""
    start = 0
    for path, shard in zip(paths, shards, strict=True):
        if wanted := range(max(rows.start - start, 0), min(rows.stop - start, len(shard))):
            yield path, wanted
        start += len(shard)


def _columns(path: Path) -> tuple[str, str]:
    """Names of the columns of pictures and labels."""
    with readable(path) as file:
        names = file.schema_arrow.names
    image, label = (next((name for name in known if name in names), known[-1]) for known in (IMAGES, LABELS))
    return image, label


def _labels(path: Path) -> Labels:
    _, label = _columns(path)
    with open_table([path]) as table:
        return integers_of(table.read([label]).column(0), f"{path}, column {label!r}")


def _checked(cifar: Cifar, part: str, paths: Sequence[Path], shards: Sequence[Labels]) -> Labels:
    labels = np.concatenate(shards)
    if len(labels) != PARTS[part] or labels.min() != 0 or labels.max() != cifar.classes - 1:
        has = f"{len(labels)} rows with labels {labels.min()} to {labels.max()}"
        where = f"{paths[0]}{f' to {paths[-1].name}' if len(paths) > 1 else ''}"
        raise InputError(f"{where}: {has}: {cifar.title} has {PARTS[part]} with labels 0 to {cifar.classes - 1}")
    return labels


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


def _from_parquet(cifar: Cifar, part: str, paths: Sequence[Path], folders: Folders) -> Examples:
    digests = [remembered_sha256(path, folders.cache) for path in paths]

    def chunks() -> Iterator[Chunk | Dropped]:
        return unpacked(cifar, part, [unchanged(path, digest) for path, digest in zip(paths, digests, strict=True)])

    return decoded(folders.cache, f"{cifar.name}-{part}", [*digests, "official order"], chunks)

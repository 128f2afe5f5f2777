"""A CIFAR-10 of 50 + 20 random pictures, packed as the real one is, so that its readers are tested without it."""

import dataclasses
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from torchvision.datasets import CIFAR10

from tests.tools import encoded
from tosmooth.trainables.data import cifar
from tosmooth.trainables.data.cifar import CIFAR_10, Cifar
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.label_order import digest_of

Save = Callable[..., Path]


def picture(pixels: NDArray[np.uint8]) -> dict[str, bytes | None]:
    """A picture as Parquet holds it: lossless, so that it comes back as it was."""
    return {"bytes": encoded(pixels), "path": None}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(data=tmp_path / "data", cache=tmp_path / "cache")


@pytest.fixture
def save() -> Save:
    """Write a Parquet file, with checksums of its pages, from its columns."""

    def write(path: Path, **columns: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path, write_page_checksum=True)
        return path

    return write


@dataclasses.dataclass(frozen=True)
class SmallCifar:
    """What it holds, how it is described, and its archive as it would be downloaded."""

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_labels: NDArray[np.int64]
    about: Cifar
    archive: bytes

    def unpack(self, data: Path) -> Path:
        """Write torchvision's layout under `data`."""
        data.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(self.archive)) as archive:
            archive.extractall(data, filter="data")
        return data / self.about.folder

    def write_parquet(self, data: Path, save: Save, train: str = "train.parquet", test: str = "test.parquet") -> None:
        """Write the Parquet layout under `data`."""
        save(data / "cifar10" / train, img=[*map(picture, self.train)], label=self.train_labels)
        save(data / "cifar10" / test, img=[*map(picture, self.test)], label=self.test_labels)


@pytest.fixture
def small_cifar(monkeypatch: pytest.MonkeyPatch) -> SmallCifar:
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 32, 32, 3), np.uint8) for n in (50, 20))
    train_labels, test_labels = np.arange(50) * 7 % 10, np.arange(20) % 10
    batch = [
        _pickled(train, train_labels),
        _pickled(test, test_labels),
        pickle.dumps({"label_names": list("abcdefghij")}),
    ]
    names = ["data_batch_1", "test_batch", "batches.meta"]
    md5s = [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in batch]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in zip(names, batch, strict=True):
            member = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

    class Reader(CIFAR10):  # type: ignore[misc]
        train_list = ((names[0], md5s[0]),)
        test_list = ((names[1], md5s[1]),)
        meta = {"filename": names[2], "key": "label_names", "md5": md5s[2]}  # noqa: RUF012 - as torchvision has it
        tgz_md5 = hashlib.md5(packed.getvalue(), usedforsecurity=False).hexdigest()

    monkeypatch.setattr(cifar, "PARTS", {"train": 50, "test": 20})
    human = dataclasses.replace(CIFAR_10.human, batches=(digest_of(train_labels),))
    about = dataclasses.replace(CIFAR_10, reader=lambda: Reader, human=human)
    return SmallCifar(train, test, train_labels, test_labels, about, packed.getvalue())


def _pickled(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> bytes:
    return pickle.dumps({"data": pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1), "labels": labels.tolist()})

"""Data at a URI of pyarrow's file systems: copied once a node, and read like those of a folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data import fetch
from tosmooth.trainables.data.cifar import read
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.files.remote import _relative

if TYPE_CHECKING:
    from tests.trainables.conftest import SmallCifar

Save = Callable[..., Path]
TABLE = TableSource(train="train.parquet", test="more/test.parquet", features=("a", "b"))
CONFIG = DataConfig(dataset="mine", noise="symmetric-0.5", table=TABLE)
LOAD = """
import sys
from pathlib import Path
from tosmooth.trainables.files.folders import Folders
Folders.at(sys.argv[1], Path(sys.argv[2])).bring("train.parquet", "more/test.parquet")
"""


def columns(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(5, 3, 60), "b": rng.integers(0, 9, 60), "label": np.arange(60) % 3}


@pytest.fixture
def store(tmp_path: Path, save: Save) -> Path:
    save(tmp_path / "store" / "train.parquet", **columns())
    save(tmp_path / "store" / "more" / "test.parquet", **columns(1))
    return tmp_path / "store"


def inodes(folder: Path) -> dict[str, int]:
    """The files below a folder: one that is written anew has another number."""
    found = {}
    for file in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # a partial one that others were writing
            if file.is_file():
                found[str(file.relative_to(folder))] = file.stat().st_ino
    return found


def test_a_table_at_a_uri_is_that_of_the_folder(store: Path, tmp_path: Path) -> None:
    here = load_level(CONFIG, Folders.at(str(store), tmp_path / "cache"))
    remote = Folders.at(store.as_uri(), tmp_path / "cache")
    assert remote.place == store.as_uri()
    there = load_level(CONFIG, remote)
    assert there.digest == here.digest
    assert there.test is not None
    before = inodes(remote.data)
    assert list(before) == ["more/test.parquet", "train.parquet"]
    load_level(CONFIG, remote)
    assert inodes(remote.data) == before


def test_processes_of_a_node_that_begin_at_once_copy_once(store: Path, tmp_path: Path) -> None:
    remote = Folders.at(store.as_uri(), tmp_path / "cache")
    command = [sys.executable, "-c", LOAD, store.as_uri(), str(remote.cache)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    found = []
    while any(process.poll() is None for process in processes):
        found += [inode for name, inode in inodes(remote.data).items() if name == "train.parquet"]
    assert [process.wait() for process in processes] == [0] * 4
    assert {*found, inodes(remote.data)["train.parquet"]} == {inodes(remote.data)["train.parquet"]}
    assert not [name for name in inodes(remote.data) if "partial" in name]


def test_a_file_that_changed_there_is_copied_anew(store: Path, tmp_path: Path, save: Save) -> None:
    remote = Folders.at(store.as_uri(), tmp_path / "cache")
    before, files = load_level(CONFIG, remote).digest, inodes(remote.data)
    save(store / "train.parquet", **columns(2))
    assert load_level(CONFIG, remote).digest != before
    assert inodes(remote.data)["more/test.parquet"] == files["more/test.parquet"]
    stat = (store / "train.parquet").stat()
    os.utime(store / "train.parquet", ns=(stat.st_mtime_ns, stat.st_mtime_ns + 10**9))
    files = inodes(remote.data)
    load_level(CONFIG, remote)
    assert inodes(remote.data)["train.parquet"] != files["train.parquet"]


def test_a_file_that_is_not_there_is_named_with_its_place(store: Path, tmp_path: Path) -> None:
    (store / "more" / "test.parquet").unlink()
    place = store.as_uri()
    with pytest.raises(InputError, match=rf"^{place}/more/test\.parquet: there is no such file: .*--data-dir"):
        load_level(CONFIG, Folders.at(place, tmp_path / "cache"))


def test_a_place_that_is_none_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^--data-dir: 'nosuch://\*\*\*@host/data' is refused: ") as caught:
        load_level(CONFIG, Folders.at("nosuch://me:hunter2@host/data", tmp_path / "cache"))
    assert "hunter2" not in str(caught.value)


def test_names_in_a_store_cannot_lead_out_of_the_cache() -> None:
    assert str(_relative("bucket/data/more/test.parquet", "bucket/data", "s3://bucket/data")) == "more/test.parquet"
    with pytest.raises(InputError, match="which leads out of it"):
        _relative("bucket/data/../../x", "bucket/data", "s3://bucket/data")


@pytest.mark.parametrize("layout", ["torchvision", "parquet"])
def test_cifar_at_a_uri_is_that_of_the_folder(
    layout: str, tmp_path: Path, small_cifar: "SmallCifar", save: Save
) -> None:
    if layout == "torchvision":
        small_cifar.unpack(tmp_path / "store")
    else:
        small_cifar.write_parquet(tmp_path / "store", save)
    config = DataConfig(dataset="cifar10", noise="clean")
    remote = Folders.at((tmp_path / "store").as_uri(), tmp_path / "cache")
    local = Folders.at(str(tmp_path / "store"), tmp_path / "own")
    here, there = (read(small_cifar.about, config, each) for each in (local, remote))
    assert torch.equal(here.train.inputs, there.train.inputs)
    assert (here.train.given == there.train.given).all()
    with pytest.raises(InputError, match=r"--data-dir: .* is refused: a folder of this machine to download into"):
        fetch.fetch("cifar10", remote)
    nowhere = Folders.at((tmp_path / "nothing").as_uri(), tmp_path / "cache")
    with pytest.raises(InputError, match=r"/nothing: there is no CIFAR-10 here"):
        read(small_cifar.about, config, nowhere)

"""Bringing data sets, from a server on this machine."""

import dataclasses
import hashlib
import http.server
import io
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from tosmooth.trainables.data import fetch as module
from tosmooth.trainables.data.cifar import CIFAR_10
from tosmooth.trainables.data.fetch import FETCHABLE, FileCheck, fetch, verify
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.label_order import digest_of

if TYPE_CHECKING:
    from tests.trainables.conftest import SmallCifar

Save = Callable[..., Path]


def human_file(labels: NDArray[np.int64]) -> bytes:
    """A label file of CIFAR-N for images with these `labels`, of more than one block."""
    file = io.BytesIO()
    content = dict.fromkeys(CIFAR_10.human.keys.values(), (labels + 1) % 10)
    torch.save({"clean_label": labels, **content, "more": np.zeros(75_000, np.int64)}, file)
    return file.getvalue()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path, small_cifar: "SmallCifar", monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that a server on this machine serves: the archive and the label file that `cifar10n` is made of."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "cifar.tar.gz").write_bytes(small_cifar.archive)
    labels = human_file(small_cifar.train_labels)
    (folder / "CIFAR-10_human.pt").write_bytes(labels)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds until it sees that it shall stop
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(small_cifar.about.reader(), "url", f"{address}/cifar.tar.gz", raising=False)
    human = dataclasses.replace(small_cifar.about.human, sha256=hashlib.sha256(labels).hexdigest())
    monkeypatch.setitem(FETCHABLE, "cifar10n", (small_cifar.about, human))
    monkeypatch.setattr(module, "CIFARN_URL", address)
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_images_and_labels_are_brought_with_progress(served: Path, folders: Folders) -> None:
    seen: list[tuple[str, int, int | None]] = []
    checks = fetch("cifar10n", folders, lambda *step: seen.append(step))
    assert [check.state for check in checks] == ["ok"] * 7
    assert names(folders.data) == ["CIFAR-10_human.pt", "cifar-10-batches-py"]
    labels = (served / "CIFAR-10_human.pt").read_bytes()
    assert (folders.data / "CIFAR-10_human.pt").read_bytes() == labels
    steps = [done for name, done, total in seen if name == "CIFAR-10_human.pt" and total == len(labels)]
    assert steps == [262_144, 524_288, len(labels)]  # blocks of 256 KiB
    assert {name for name, _, _ in seen} == {"cifar-10-python.tar.gz", "CIFAR-10_human.pt"}


def test_what_is_there_is_not_brought_again(served: Path, folders: Folders) -> None:
    fetch("cifar10n", folders)
    for file in served.iterdir():
        file.unlink()
    assert {check.state for check in fetch("cifar10n", folders)} == {"ok"}


def test_damaged_images_are_brought_anew(served: Path, folders: Folders) -> None:
    fetch("cifar10n", folders)
    (folders.data / "cifar-10-batches-py" / "test_batch").write_bytes(b"torn")
    assert [check.state for check in verify("cifar10n", folders)] == ["ok", "damaged", "ok", "ok"]
    assert {check.state for check in fetch("cifar10n", folders)} == {"ok"}


def test_images_that_are_there_as_parquet_are_not_brought(
    served: Path, folders: Folders, small_cifar: "SmallCifar", save: Save
) -> None:
    small_cifar.write_parquet(folders.data, save)
    (served / "cifar.tar.gz").unlink()
    assert [check.path.name for check in fetch("cifar10n", folders) if isinstance(check, FileCheck)] == [
        "train.parquet",
        "test.parquet",
        "CIFAR-10_human.pt",
    ]
    train = folders.data / "cifar10" / "train.parquet"
    train.write_bytes(train.read_bytes()[:-9])
    assert [check.state for check in verify("cifar10n", folders)] == ["damaged", "ok", "ok"]


def write_sorted(small_cifar: "SmallCifar", data: Path, save: Save) -> None:
    """Write the Parquet layout with the training set sorted by class."""
    small_cifar.write_parquet(data, save)
    rows, file = np.argsort(small_cifar.train_labels, kind="stable"), data / "cifar10" / "train.parquet"
    pq.write_table(pq.read_table(file).take(rows), file)


def together(name: str, folders: Folders) -> list[str]:
    """What `verify` says of the files together."""
    return [str(check) for check in verify(name, folders) if not isinstance(check, FileCheck)]


def test_verify_says_layout_and_order(served: Path, folders: Folders, small_cifar: "SmallCifar", save: Save) -> None:
    fetch("cifar10n", folders)
    order = "ok       order: the official one (first labels 0 7 4 1 8 5 2 9 6 3)"
    people = "ok       human labels: CIFAR-10_human.pt belongs to these images, in this order"
    assert together("cifar10n", folders) == ["ok       layout: torchvision's", order, people]
    small_cifar.write_parquet(folders.data, save)
    train = folders.data / "cifar10" / "train.parquet"
    layout = f"ok       layout: torchvision's; the Parquet beside it, {train}, is not read"
    assert together("cifar10n", folders) == [layout, order, people]
    shutil.rmtree(folders.data / "cifar-10-batches-py")
    assert together("cifar10n", folders) == ["ok       layout: Parquet, files: 1 train and 1 test", order, people]


def test_official_batches_in_another_order_pass(
    served: Path, folders: Folders, small_cifar: "SmallCifar", save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.random.default_rng(1).permutation(small_cifar.train_labels)
    parts, pictures = np.split(labels, 5), np.split(small_cifar.train, 5)
    content = human_file(labels)
    human = dataclasses.replace(
        CIFAR_10.human, sha256=hashlib.sha256(content).hexdigest(), batches=tuple(map(digest_of, parts))
    )
    monkeypatch.setitem(FETCHABLE, "cifar10n", (dataclasses.replace(small_cifar.about, human=human), human))
    hub = dataclasses.replace(
        small_cifar,
        train=np.concatenate([pictures[i - 1] for i in (4, 3, 2, 5, 1)]),
        train_labels=np.concatenate([parts[i - 1] for i in (4, 3, 2, 5, 1)]),
    )
    hub.write_parquet(folders.data, save)
    (folders.data / "CIFAR-10_human.pt").write_bytes(content)
    assert {check.state for check in verify("cifar10n", folders)} == {"ok"}
    words = r"ok       order: the official batches as 4 3 2 5 1 \(first labels [\d ]+\), read in the official one"
    assert re.fullmatch(words, together("cifar10n", folders)[1])


def test_images_in_an_order_of_their_own_are_brought_anew_for_human_labels_alone(
    served: Path, folders: Folders, small_cifar: "SmallCifar", save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sorted(small_cifar, folders.data, save)
    words = "order: sorted by class (first labels 0 0 0 0 0 1 1 1 1 1)"
    (folders.data / "CIFAR-10_human.pt").write_bytes((served / "CIFAR-10_human.pt").read_bytes())
    advice = "human labels belong to the official one: `tosmooth data fetch cifar10n` brings the images in it"
    assert together("cifar10n", folders)[1:] == [f"wrong    {words}: {advice}"]
    monkeypatch.setitem(FETCHABLE, "cifar10", (small_cifar.about, None))
    assert together("cifar10", folders)[1:] == [f"ok       {words}"]
    assert {check.state for check in fetch("cifar10", folders)} == {"ok"}
    assert not (folders.data / "cifar-10-batches-py").exists()
    assert {check.state for check in fetch("cifar10n", folders)} == {"ok"}
    assert (folders.data / "cifar-10-batches-py").is_dir()


def test_human_labels_of_other_images_are_named(
    served: Path, folders: Folders, small_cifar: "SmallCifar", monkeypatch: pytest.MonkeyPatch
) -> None:
    content = human_file(small_cifar.train_labels[::-1].copy())
    (served / "CIFAR-10_human.pt").write_bytes(content)
    human = dataclasses.replace(small_cifar.about.human, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(FETCHABLE, "cifar10n", (small_cifar.about, human))
    last = fetch("cifar10n", folders)[-1]
    assert last.state == "wrong"
    assert "human labels: " in str(last)
    assert "clean_label differs" in str(last)


def test_what_is_wrong_with_parquet_is_said(
    served: Path, folders: Folders, small_cifar: "SmallCifar", save: Save
) -> None:
    small_cifar.write_parquet(folders.data, save)
    file = folders.data / "cifar10" / "train.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    damaged, test, _ = verify("cifar10n", folders)
    found = "49 rows with labels 0 to 9: CIFAR-10 has 50 with labels 0 to 9"
    assert str(damaged) == f"damaged  {file} (expected Parquet that can be read to the end, found {found})"
    assert test.state == "ok"


@pytest.mark.parametrize("name", ["CIFAR-10_human.pt", "cifar.tar.gz"])
def test_file_with_a_wrong_digest_is_refused_and_leaves_nothing(served: Path, folders: Folders, name: str) -> None:
    (served / name).write_bytes(b"something else")
    with pytest.raises(InputError, match=rf"{name}: what came is not the published file and was thrown away"):
        fetch("cifar10n", folders)
    brought = ["cifar-10-batches-py"] if name == "CIFAR-10_human.pt" else []  # whole and checked before
    assert names(folders.data) == brought


def test_interrupted_download_leaves_nothing(served: Path, folders: Folders) -> None:
    def interrupt(name: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("cifar10n", folders, interrupt)
    assert names(folders.data) == []


def test_server_without_the_file_says_so(served: Path, folders: Folders) -> None:
    (served / "CIFAR-10_human.pt").unlink()
    with pytest.raises(InputError, match=r"CIFAR-10_human\.pt: the download failed.*404.*bring CIFAR-10_human\.pt"):
        fetch("cifar10n", folders)
    assert names(folders.data) == ["cifar-10-batches-py"]


def test_address_of_another_kind_is_refused(served: Path, folders: Folders) -> None:
    with pytest.raises(InputError, match=r"cifarn-url: 'file:///etc/' is refused: an address with http"):
        fetch("cifar10n", folders, cifarn_url="file:///etc/")


def test_verify_says_what_it_expected_and_found(served: Path, folders: Folders) -> None:
    folders.data.mkdir()
    (folders.data / "CIFAR-10_human.pt").write_bytes(b"abc")
    missing, *_, damaged = map(str, verify("cifar10n", folders))
    assert missing.startswith("missing")
    assert missing.endswith("found nothing)")
    sha_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    expected = hashlib.sha256((served / "CIFAR-10_human.pt").read_bytes()).hexdigest()
    path = folders.data / "CIFAR-10_human.pt"
    assert damaged == f"damaged  {path} (expected {expected}, found {sha_of_abc})"


def test_data_set_that_needs_no_download_is_refused(folders: Folders) -> None:
    with pytest.raises(InputError, match=r"'twonorm' is refused: one of cifar10, cifar10n, .*need no download"):
        fetch("twonorm", folders)


def test_real_files_are_as_published(real_data: Path, tmp_path: Path) -> None:
    for name in ("cifar10n", "cifar100n"):
        checks = verify(name, Folders(real_data, tmp_path))
        assert {check.state for check in checks} == {"ok"}
        assert fetch(name, Folders(real_data, tmp_path)) == checks  # and nothing is brought: the folder is read-only

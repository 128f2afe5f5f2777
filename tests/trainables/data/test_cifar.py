"""CIFAR in both layouts: small copies of its files, and the real ones where they are."""

import dataclasses
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from torchvision.datasets import CIFAR10

from tests.tools import Payload, encoded
from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.cifar import CIFAR_10, SUPERCLASS, Cifar, read
from tosmooth.trainables.data.datasets import DATASETS, Dataset, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.label_order import digest_of

if TYPE_CHECKING:
    from tests.trainables.conftest import SmallCifar

Save = Callable[..., Path]
CONFIG = DataConfig(dataset="cifar10n")
FOLDERS = ("", "plain_text/", "data/", "default/", "cifar10/")


def test_both_layouts_give_the_same_arrays_in_the_same_order(
    small_cifar: "SmallCifar", folders: Folders, save: Save
) -> None:
    small_cifar.write_parquet(folders.data, save)
    packed = read(small_cifar.about, CONFIG, folders)
    small_cifar.unpack(folders.data)
    shutil.rmtree(folders.data / "cifar10")
    official = read(small_cifar.about, CONFIG, folders)
    assert (official.train.inputs.numpy() == small_cifar.train).all()
    assert (official.train.given == small_cifar.train_labels).all()
    assert official.test is not None
    assert packed.test is not None
    for one, other in ((official.train, packed.train), (official.test, packed.test)):
        assert torch.equal(one.inputs, other.inputs)
        assert (one.given == other.given).all()
        assert one.digest == other.digest


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.parquet", "test.parquet"),
        *((f"{folder}train-00000-of-00001.parquet", f"{folder}test-00000-of-00001.parquet") for folder in FOLDERS),
        ("data/train-00000-of-00001-18bc3231d015f1e8.parquet", "data/test-00000-of-00001-4b638012d4442b44.parquet"),
        ("plain_text/cifar10-train.parquet", "plain_text/cifar10-test.parquet"),
        ("plain_text/train/0000.parquet", "plain_text/test/0000.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("../uoft-cs/cifar10/plain_text/train-00000-of-00001.parquet", "../uoft-cs/cifar10/plain_text/test.parquet"),
        (
            "../datasets--uoft-cs--cifar10/snapshots/0b2714987fa478/plain_text/train-00000-of-00001.parquet",
            "../datasets--uoft-cs--cifar10/snapshots/0b2714987fa478/plain_text/test-00000-of-00001.parquet",
        ),
    ],
)
def test_parquet_is_found_under_the_names_it_is_published_with(
    small_cifar: "SmallCifar", folders: Folders, save: Save, train: str, test: str
) -> None:
    (folders.data / "cifar10").mkdir(parents=True)
    small_cifar.write_parquet(folders.data, save, train, test)
    assert (read(small_cifar.about, CONFIG, folders).train.inputs.numpy() == small_cifar.train).all()


def test_links_into_a_cache_that_was_emptied_are_no_data(folders: Folders) -> None:
    for name in ("plain_text/train-00000-of-00001.parquet", "plain_text/test-00000-of-00001.parquet"):
        (folders.data / "cifar10" / name).parent.mkdir(parents=True, exist_ok=True)
        (folders.data / "cifar10" / name).symlink_to(folders.data / "gone")
    with pytest.raises(InputError, match=r"there is no CIFAR-10 here"):
        read(CIFAR_10, CONFIG, folders)


def batched(small_cifar: "SmallCifar") -> tuple[Cifar, NDArray[np.int64]]:
    """A CIFAR-10 of five batches, which differ, and its labels."""
    labels = np.random.default_rng(1).permutation(small_cifar.train_labels)
    human = dataclasses.replace(CIFAR_10.human, batches=tuple(map(digest_of, np.split(labels, 5))))
    return dataclasses.replace(small_cifar.about, human=human), labels


def write_rows(
    small_cifar: "SmallCifar", folders: Folders, save: Save, rows: Sequence[Sequence[int]], labels: NDArray[np.int64]
) -> None:
    """Write the Parquet layout with a shard for each of `rows`, of row groups of 7."""
    small_cifar.write_parquet(folders.data, save, test="data/test.parquet")
    (folders.data / "cifar10" / "train.parquet").unlink()
    for i, own in enumerate(rows):
        content = [{"bytes": encoded(small_cifar.train[row]), "path": None} for row in own]
        path = folders.data / f"cifar10/data/train-{i:05}-of-{len(rows):05}.parquet"
        pq.write_table(pa.table({"img": content, "label": labels[list(own)]}), path, row_group_size=7)


@pytest.mark.parametrize("cuts", [[], [25], [3, 4, 33], [10, 20, 30, 40]])
def test_official_batches_in_another_order_are_read_in_the_official_one(
    small_cifar: "SmallCifar", folders: Folders, save: Save, cuts: list[int]
) -> None:
    about, labels = batched(small_cifar)
    order = np.concatenate([np.arange(10) + 10 * (batch - 1) for batch in (4, 3, 2, 5, 1)])
    write_rows(small_cifar, folders, save, [own.tolist() for own in np.split(order, cuts)], labels)
    source = read(about, CONFIG, folders)
    assert (source.train.inputs.numpy() == small_cifar.train).all()
    assert (source.train.given == labels).all()
    shutil.rmtree(folders.data)
    write_rows(small_cifar, folders, save, [range(50)], labels)
    assert read(about, CONFIG, folders).train.digest == source.train.digest


def level(about: Cifar, folders: Folders, monkeypatch: pytest.MonkeyPatch, noise: str = "worst") -> NDArray[np.int64]:
    """Rows and noisy labels of a level of small data: [n, 2]."""
    monkeypatch.setitem(DATASETS, "cifar10n", Dataset(partial(read, about), human=about.human))
    data = load_level(DataConfig(dataset="cifar10n", noise=noise), folders)
    parts = (data.train, data.validation)
    return torch.cat([torch.stack([part.rows, part.labels], dim=1) for part in parts]).numpy()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("shuffled", r"that of the images is none that is known \(first labels"),
        ("sorted", r"that of the images is sorted by class \(first labels 0 0 0 0 0 1 1 1 1 1\)"),
    ],
)
def test_human_labels_of_images_in_an_order_of_their_own_are_refused_naming_both(
    small_cifar: "SmallCifar", folders: Folders, save: Save, monkeypatch: pytest.MonkeyPatch, order: str, words: str
) -> None:
    about, labels = batched(small_cifar)
    rows = np.random.default_rng(2).permutation(50) if order == "shuffled" else np.argsort(labels, kind="stable")
    write_rows(small_cifar, folders, save, [rows.tolist()], labels)
    assert (read(about, CONFIG, folders).train.inputs.numpy() == small_cifar.train[rows]).all()
    torch.save({"clean_label": labels, "worse_label": labels[::-1].copy()}, folders.data / "CIFAR-10_human.pt")
    first = " ".join(map(str, labels[:10]))
    message = rf"human\.pt: clean_label differs.* of 50: the order here is the official one \(first labels {first}\), "
    advice = r".*: labels of people belong to the official order: `tosmooth data fetch cifar10n`.*brings the images"
    with pytest.raises(InputError, match=message + words + advice):
        level(about, folders, monkeypatch)
    rows_and_labels = level(about, folders, monkeypatch, "symmetric-0.4")  # any order will do
    assert len(rows_and_labels) == 50


def test_human_labels_in_another_order_are_to_be_brought_anew(
    small_cifar: "SmallCifar", folders: Folders, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    about, labels = batched(small_cifar)
    write_rows(small_cifar, folders, save, [range(50)], labels)
    torch.save({"clean_label": labels[::-1].copy(), "worse_label": labels}, folders.data / "CIFAR-10_human.pt")
    message = r"the order here is none that is known .*the images is the official one .*brings the file as published"
    with pytest.raises(InputError, match=message):
        level(about, folders, monkeypatch)


@pytest.mark.parametrize(("image", "label"), [("image", "label"), ("img", "labels"), ("image", "fine_label")])
def test_columns_have_the_names_that_people_give_them(
    small_cifar: "SmallCifar", folders: Folders, save: Save, image: str, label: str
) -> None:
    small_cifar.write_parquet(folders.data, save)
    for file in (folders.data / "cifar10").iterdir():
        pq.write_table(pq.read_table(file).rename_columns([image, label]), file)
    assert (read(small_cifar.about, CONFIG, folders).train.given == small_cifar.train_labels).all()


def test_columns_of_other_names_are_shown(small_cifar: "SmallCifar", folders: Folders, save: Save) -> None:
    small_cifar.write_parquet(folders.data, save)
    file = folders.data / "cifar10" / "train.parquet"
    pq.write_table(pq.read_table(file).rename_columns(["picture", "class"]), file)
    with pytest.raises(InputError, match=r"train\.parquet has no column 'label': its columns are picture, class"):
        read(small_cifar.about, CONFIG, folders)


def test_shards_of_pictures_of_two_sizes_are_refused(small_cifar: "SmallCifar", folders: Folders, save: Save) -> None:
    write_rows(small_cifar, folders, save, [range(20), range(20, 50)], small_cifar.train_labels)
    content = [{"bytes": encoded(picture[:16]), "path": None} for picture in small_cifar.train[20:]]
    file = folders.data / "cifar10/data/train-00001-of-00002.parquet"
    pq.write_table(pa.table({"img": content, "label": small_cifar.train_labels[20:]}), file)
    with pytest.raises(InputError, match=r"train-00001-of-00002\.parquet: pictures of 32x16 pixels, others 32x32"):
        read(small_cifar.about, CONFIG, folders)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (
            ["cifar10/data/train-00001-of-00002.parquet", "cifar10/data/test.parquet"],
            r"cifar10/data has train-00001-of-00002\.parquet: each shard once is the whole",
        ),
        (
            ["cifar10/data/train-00000-of-00001-0a.parquet", "cifar10/data/train-00000-of-00001-0b.parquet"],
            r"cifar10/data has train-00000-of-00001-0a\.parquet, train-00000-of-00001-0b\.parquet: each shard once",
        ),
        (["cifar10/train.parquet"], r"there is .*cifar10/train\.parquet, and no test set beside it"),
        (["plain_text/train-00000-of-00001.parquet"], r"plain_text/train-00000-of-00001\.parquet is not where"),
        (["train.parquet"], r"/data/train\.parquet is not where it is looked for: move it there"),
        (["CIFAR-10/train.parquet"], r"CIFAR-10/train\.parquet is not where it is looked for: move it there"),
        (
            ["uoft-cs___cifar10/plain_text/0.0.0/0b27/cifar10-train.arrow"],
            r"cifar10-train\.arrow is Arrow, not Parquet: `datasets\.Dataset\.to_parquet`",
        ),
        (["cifar-10-python.tar.gz"], r"cifar-10-python\.tar\.gz is packed: `tar xf` unpacks it"),
        (["cifar-10-batches-bin/data_batch_1.bin"], r"data_batch_1\.bin is of the binary version"),
        (["other/train.parquet"], r"cifar10/test\.parquet$"),  # nothing near
    ],
)
def test_what_lies_near_is_named(folders: Folders, names: list[str], advice: str) -> None:
    for name in names:
        (folders.data / name).parent.mkdir(parents=True, exist_ok=True)
        (folders.data / name).touch()
    with pytest.raises(InputError, match=rf"there is no CIFAR-10 here: .*{advice}"):
        load_level(CONFIG, folders)


def test_missing_data_says_what_to_do(folders: Folders) -> None:
    advice = (
        r"no CIFAR-10 here: `tosmooth data fetch cifar10n`.*--data-dir.*cifar-10-batches-py/.*cifar10/train\.parquet"
    )
    with pytest.raises(InputError, match=advice):
        load_level(CONFIG, folders)


def test_damaged_file_of_torchvision_is_named(small_cifar: "SmallCifar", folders: Folders) -> None:
    file = small_cifar.unpack(folders.data) / "data_batch_1"
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"data_batch_1: not as published \(MD5\): `tosmooth data fetch cifar10`"):
        read(small_cifar.about, CONFIG, folders)


def test_missing_file_of_torchvision_is_named(small_cifar: "SmallCifar", folders: Folders) -> None:
    (small_cifar.unpack(folders.data) / "test_batch").unlink()
    with pytest.raises(InputError, match=r"test_batch"):
        read(small_cifar.about, CONFIG, folders)


def test_batch_that_would_run_code_is_never_unpickled(folders: Folders, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    content = pickle.dumps(Payload(mark))
    pickle.loads(content)
    assert mark.exists()  # so that the payload is one
    mark.unlink()
    (folders.data / CIFAR10.base_folder).mkdir(parents=True)
    for name, _ in [*CIFAR10.train_list, *CIFAR10.test_list, ("batches.meta", "")]:
        (folders.data / CIFAR10.base_folder / name).write_bytes(content)
    with pytest.raises(InputError, match=r"data_batch_1.*not as published"):
        load_level(CONFIG, folders)
    assert not mark.exists()


def test_parquet_with_other_rows_or_labels_is_no_cifar10(
    small_cifar: "SmallCifar", folders: Folders, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_cifar.write_parquet(folders.data, save)
    monkeypatch.undo()  # 50,000 and 10,000 rows again
    with pytest.raises(InputError, match=r"50 rows with labels 0 to 9: CIFAR-10 has 50000 with labels 0 to 9"):
        read(CIFAR_10, CONFIG, folders)


@pytest.fixture(scope="session")
def real(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The real data with a cache that the tests of this file share."""
    return Folders(data=real_data, cache=tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    ("level", "percent"),  # as published with CIFAR-N (Wei et al., ICLR 2022), to the third decimal
    [
        ("cifar10n/clean", "0.000"),
        ("cifar10n/aggre", "9.010"),
        ("cifar10n/random1", "17.234"),
        ("cifar10n/random2", "18.122"),
        ("cifar10n/random3", "17.640"),
        ("cifar10n/worst", "40.208"),
        ("cifar100n/noisy", "40.200"),
    ],
)
def test_human_labels_have_the_published_noise_rates(real: Folders, level: str, percent: str) -> None:
    dataset, noise = level.split("/")
    data = load_level(DataConfig(dataset=dataset, noise=noise), real)
    assert data.noise_rate is not None
    assert f"{100 * data.noise_rate:.3f}" == percent
    assert (len(data.train), len(data.validation), data.test and len(data.test)) == (45_000, 5_000, 10_000)
    assert data.symmetric == (noise == "clean")


@pytest.mark.parametrize("dataset", ["cifar10", "cifar10n"])
def test_noise_like_that_of_people_has_their_real_transition_matrix(real: Folders, dataset: str) -> None:
    drawn, worst = (
        load_level(DataConfig(dataset=name, noise=noise), real)
        for name, noise in ((dataset, "like-worst"), ("cifar10n", "worst"))
    )
    assert drawn.transition is not None
    assert worst.transition is not None
    assert drawn.noise_rate == pytest.approx(0.40208, abs=0.011)  # 5 standard deviations of 50,000
    np.testing.assert_allclose(drawn.transition, worst.transition, atol=0.036)  # of 5,000
    assert drawn.digest != worst.digest
    assert not drawn.symmetric


def test_instance_noise_on_all_of_cifar10_has_its_rate_in_bounded_time(real: Folders) -> None:
    load_level(DataConfig(dataset="cifar10"), real)
    start = time.process_time()
    data = load_level(DataConfig(dataset="cifar10", noise="instance-0.4"), real)
    assert time.process_time() - start < 10  # 0.6 s seen
    assert data.noise_rate == pytest.approx(0.4, abs=0.011)
    assert data.transition is not None
    assert data.transition.diagonal() == pytest.approx([0.6] * 10, abs=0.035)
    assert data.transition.max(where=~np.eye(10, dtype=bool), initial=0) > 0.1  # not spread evenly


def test_real_cifar10_has_the_known_channel_statistics(real: Folders) -> None:
    data = load_level(DataConfig(dataset="cifar10"), real)
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=5e-5)
    assert data.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=5e-5)


def test_warm_start_on_full_cifar10_takes_under_a_second(real: Folders) -> None:
    load_level(DataConfig(dataset="cifar10n", noise="worst"), real)
    start = time.perf_counter()
    load_level(DataConfig(dataset="cifar10n", noise="aggre"), real)
    assert time.perf_counter() - start < 1


def test_label_file_of_the_other_cifar_is_refused(real: Folders, tmp_path: Path) -> None:
    for name in ("cifar10", "cifar100"):
        (tmp_path / name).symlink_to(real.data / name)
    (tmp_path / "CIFAR-10_human.pt").symlink_to(real.data / "CIFAR-100_human.pt")
    (tmp_path / "CIFAR-100_human.pt").symlink_to(real.data / "CIFAR-10_human.pt")
    swapped = Folders(data=tmp_path, cache=real.cache)
    for dataset, noise in (("cifar10n", "worst"), ("cifar100n", "noisy")):
        with pytest.raises(InputError, match=r"is missing, its keys are.*the other CIFAR"):
            load_level(DataConfig(dataset=dataset, noise=noise), swapped)


def test_superclasses_are_those_of_the_data(real: Folders) -> None:
    table = pq.read_table(real.data / "cifar100" / "test.parquet", columns=["fine_label", "coarse_label"])
    assert (np.array(SUPERCLASS)[table["fine_label"].to_numpy()] == table["coarse_label"].to_numpy()).all()


def test_both_layouts_of_the_real_cifar10_give_the_same_arrays(real: Folders, tmp_path: Path) -> None:
    subprocess.run([sys.executable, real.data / "unpack.py", tmp_path], check=True)
    official = read(CIFAR_10, CONFIG, Folders(data=tmp_path, cache=tmp_path / "cache"))
    packed = read(CIFAR_10, CONFIG, real)
    assert official.test is not None
    assert packed.test is not None
    for one, other in ((official.train, packed.train), (official.test, packed.test)):
        assert torch.equal(one.inputs, other.inputs)
        assert (one.given == other.given).all()
        assert one.digest == other.digest


def test_cifar10_as_the_hub_has_it_gives_the_numbers_of_torchvisions_layout(real: Folders, tmp_path: Path) -> None:
    folder = tmp_path / "cifar10" / "plain_text"
    folder.mkdir(parents=True)
    rows = np.concatenate([np.arange(10_000) + 10_000 * (batch - 1) for batch in (4, 3, 2, 5, 1)])
    train = pq.read_table(real.data / "cifar10" / "train.parquet").take(rows)
    assert train["label"][:10].to_pylist() == [0, 6, 0, 2, 7, 2, 1, 2, 4, 1]  # as published there
    pq.write_table(train, folder / "train-00000-of-00001.parquet")
    (folder / "test-00000-of-00001.parquet").symlink_to(real.data / "cifar10" / "test.parquet")
    (tmp_path / "CIFAR-10_human.pt").symlink_to(real.data / "CIFAR-10_human.pt")
    for noise in ("worst", "symmetric-0.4"):
        config = DataConfig(dataset="cifar10n", noise=noise)
        hub, official = (load_level(config, each) for each in (Folders(tmp_path, tmp_path / "cache"), real))
        assert hub.digest == official.digest
        assert (hub.mean, hub.std, hub.noise_rate) == (official.mean, official.std, official.noise_rate)

"""CIFAR in both layouts: small copies of its files, and the real ones where they are."""

import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torchvision.datasets import CIFAR10

from tests.tools import Payload
from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.cifar import CIFAR_10, SUPERCLASS, read
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

if TYPE_CHECKING:
    from tests.trainables.conftest import SmallCifar

Save = Callable[..., Path]
CONFIG = DataConfig(dataset="cifar10n")


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


@pytest.mark.parametrize("folder", ["", "plain_text/", "data/", "cifar10/"])
def test_parquet_is_found_under_the_names_it_is_published_with(
    small_cifar: "SmallCifar", folders: Folders, save: Save, folder: str
) -> None:
    names = (f"{folder}{part}-00000-of-00001.parquet" for part in ("train", "test"))
    small_cifar.write_parquet(folders.data, save, *names)
    assert (read(small_cifar.about, CONFIG, folders).train.inputs.numpy() == small_cifar.train).all()


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

"""A file of weights alone gives, on raw examples, the accuracy that was recorded when it was trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

import tosmooth as ts
from tests.trainables.conftest import SmallCifar
from tests.trainables.data.test_picture_folder import fill
from tests.trainables.inference.tools import TABLE, raw_test, short, trained
from tests.trainables.user_code.conftest import Write, forget
from tosmooth.trainables.config import DataConfig, NetworkConfig, TableSource, TrialConfig
from tosmooth.trainables.data import datasets
from tosmooth.trainables.data.datasets import DATASETS, LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.inference import completed
from tosmooth.trainables.user_code import collect, use


def accuracy_of(path: Path, inputs: Any, data: LevelData) -> float:
    network = ts.load_weights(path)
    assert data.test is not None
    right = network.probabilities(inputs).argmax(axis=1) == data.test.labels.numpy()
    return 100 * int(right.sum()) / len(right)


def check(config: TrialConfig, folders: Folders, tmp_path: Path) -> Path:
    """The accuracy of the file alone is the recorded one, to the last digit; the file is returned."""
    trainer, data, recorded = trained(config, folders)
    written, elsewhere = tmp_path / "here" / "net.safetensors", tmp_path / "elsewhere" / "moved.safetensors"
    trainer.save_weights(written)
    completed(written, written, folders)
    elsewhere.parent.mkdir(exist_ok=True)
    written.rename(elsewhere)
    raw = raw_test(config.data, data, folders)
    assert accuracy_of(elsewhere, raw, data) == recorded
    assert accuracy_of(elsewhere, raw.numpy(), data) == recorded
    return elsewhere


@pytest.mark.parametrize("name", [name for name in DATASETS if not name.startswith("cifar")])
def test_features_of_a_built_in_data_set(name: str, folders: Folders, tmp_path: Path) -> None:
    sizes = (300, 200) if name in ("twonorm", "ringnorm", "waveform") else (None, None)
    config = DataConfig(dataset=name, noise="symmetric-0.2", size=sizes[0], test_size=sizes[1])
    check(short(config), folders, tmp_path)


def test_raw_features_are_standardised_as_training_did(folders: Folders, tmp_path: Path) -> None:
    """The trap: a plain network of the same weights on raw features has an accuracy that is plausible and wrong."""
    config = short(DataConfig(dataset="breast_cancer", noise="symmetric-0.2"))
    path = check(config, folders, tmp_path)
    network = ts.load_weights(path)
    raw = raw_test(config.data, load_level(config.data, folders), folders)
    assert not torch.allclose(network.network(raw), network(raw))
    assert network.features[0] == "mean radius"
    assert len(network.preprocessing.mean) == 30


@pytest.mark.parametrize("network", ["cnn", "fastcnn"])
def test_pictures_with_networks_of_ours(
    network: str, small_cifar: SmallCifar, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_cifar.unpack(folders.data)
    monkeypatch.setitem(datasets.DATASETS, "cifar10", datasets._cifar(small_cifar.about))
    config = DataConfig(dataset="cifar10", noise="symmetric-0.2", validation_fraction=0.2)
    path = check(short(config, NetworkConfig(name=network), epochs=1), folders, tmp_path)
    channels_first = torch.from_numpy(small_cifar.test).permute(0, 3, 1, 2)
    found = ts.load_weights(path)
    assert torch.equal(found(channels_first), found(small_cifar.test))


@pytest.mark.slow
def test_real_pictures_with_human_labels(real_data: Path, tmp_path: Path) -> None:
    folders = Folders(real_data, tmp_path / "cache")
    config = DataConfig(dataset="cifar10n", noise="worst", size=1000, test_size=500)
    check(short(config, NetworkConfig(name="cnn"), epochs=1), folders, tmp_path)


@pytest.mark.parametrize("name", ["torchvision/mobilenet_v3_small", "timm/resnet10t"])
def test_networks_of_libraries_that_resize_pictures(
    name: str, data_config: DataConfig, folders: Folders, tmp_path: Path
) -> None:
    check(short(data_config, NetworkConfig(name=name, input_size=32), epochs=1, batch_size=27), folders, tmp_path)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "frozen"},
        {"mode": "frozen", "depth": 1, "width": 4, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.3), "input_size": 16},
        {"mode": "finetune"},
        {"mode": "train", "weights": "none"},
    ],
    ids=["frozen", "frozen-resized", "finetune", "train"],
)
def test_networks_of_a_users_factory(
    changes: dict[str, Any], trial: TrialConfig, folders: Folders, tmp_path: Path
) -> None:
    check(replace(trial, network=replace(trial.network, **changes)), folders, tmp_path)


@pytest.mark.usefixtures("weights")
def test_a_head_without_its_backbone_says_how_to_get_it(trial: TrialConfig, folders: Folders, tmp_path: Path) -> None:
    trainer, _, _ = trained(trial, folders)
    trainer.save_weights(tmp_path / "head.safetensors")
    with pytest.raises(InputError, match=r"holds the head alone, without its frozen backbone: `tosmooth best"):
        ts.load_weights(tmp_path / "head.safetensors")


CODE = """
import torch
def make(shape, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0], classes))
"""


def test_a_users_own_code_travels_beside_the_file(write: Write, folders: Folders, tmp_path: Path) -> None:
    folder = write({"my_models.py": CODE})
    code = collect({"network.factory": "my_models:make"}, folder)
    use(code)
    config = short(DataConfig(dataset="iris", noise="symmetric-0.2"), NetworkConfig(factory="my_models:make"))
    config = replace(config, code=code.digest)
    trainer, data, recorded = trained(config, folders)
    path = tmp_path / "net.safetensors"
    trainer.save_weights(path)
    raw = raw_test(config.data, data, folders)

    forget()
    with pytest.raises(InputError, match=r"no module my_models installed; code names the folder or \.zip"):
        ts.load_weights(path)
    assert ts.load_weights(path, folder).classes == ("0", "1", "2")
    forget()
    path.with_suffix(".zip").write_bytes(code.archive)
    assert accuracy_of(path, raw, data) == recorded
    forget()
    write({"my_models.py": CODE + "# changed\n"})
    with pytest.raises(InputError, match="its network is made by other code than"):
        ts.load_weights(path, folder)


def test_tables_are_read_by_the_names_of_their_columns(own: tuple[Path, LevelData, float]) -> None:
    path, data, recorded = own
    table = pa.table(TABLE)
    other = table.select(["x", "since", "colour", "age"]).append_column("more", pa.nulls(60))
    assert accuracy_of(path, table, data) == recorded
    assert accuracy_of(path, other, data) == recorded
    assert accuracy_of(path, other.to_pandas(), data) == recorded
    network = ts.load_weights(path)
    assert network.classes == ("no", "yes")
    assert network.features == ("age", "colour=blue", "colour=green", "colour=red", "since", "x[0]", "x[1]")
    assert set(network.predict(table)) <= {"no", "yes"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["age"]), "inputs: has no column age: the network was trained on age, colour, "),
        (
            lambda t: t.rename_columns(["Age", *t.column_names[1:]]),
            "has no column age: the network was trained on age, colour, since, x; here are Age, colour, since, x",
        ),
        (lambda t: t.set_column(0, "age", pa.array(["old"] * 60)), "'age': text, in the training set numbers"),
        (lambda t: t.set_column(1, "colour", pa.array([1] * 60)), "'colour': numbers, in the training set categories"),
        (lambda t: t.set_column(2, "since", pa.array([1.0] * 60)), "'since': numbers, in the training set dates and"),
        (lambda t: t.set_column(3, "x", pa.array([[1.0]] * 60)), "'x': numbers[1], in the training set numbers[2]"),
        (lambda t: t.set_column(0, "age", pa.array([None, *range(59)])), "row 0, column 'age': is empty"),
    ],
    ids=["missing", "renamed", "text", "numbers", "no-dates", "shorter", "empty"],
)
def test_tables_that_are_not_as_the_training_set_are_refused(
    change: Any, message: str, own: tuple[Path, LevelData, float]
) -> None:
    network = ts.load_weights(own[0])
    with pytest.raises(InputError) as caught:
        network(change(pa.table(TABLE)))
    assert message in str(caught.value)


def test_arrays_that_do_not_say_what_they_hold_are_refused(own: tuple[Path, LevelData, float]) -> None:
    with pytest.raises(InputError, match="a table with named columns: numbers do not tell categories as 'colour'"):
        ts.load_weights(own[0])(np.zeros((2, 7)))


def test_features_that_do_not_fit_are_refused(folders: Folders, tmp_path: Path) -> None:
    path = check(short(DataConfig(dataset="iris", noise="symmetric-0.2")), folders, tmp_path)
    network = ts.load_weights(path)
    with pytest.raises(InputError, match=r"inputs: \[2, 5\] is refused: \[N, 4\], a number for each feature: sepal"):
        network(np.zeros((2, 5)))
    with pytest.raises(InputError, match=r"inputs, row 1, feature 'petal width \(cm\)': nan is refused"):
        network(np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, np.nan]]))
    assert network(np.zeros((2, 4), np.int32)).shape == (2, 3)
    frame = pd.DataFrame(np.zeros((2, 4)), columns=list(network.features))
    assert torch.equal(network(frame), network(np.zeros((2, 4))))


def test_pictures_come_to_the_size_that_the_study_made(folders: Folders, tmp_path: Path) -> None:
    """A study that resized its pictures resizes new ones alike; one that took them as they are refuses others."""
    for part in ("train", "test"):
        fill(folders.data / part, "cat", "dog", rows=6)
    rng = np.random.default_rng(1)
    larger = rng.integers(0, 256, (2, 20, 30, 3), np.uint8)
    for size, ok in ((None, False), (6, True)):
        source = TableSource(train="train", test="test", size=size)
        config = short(DataConfig(dataset="mine", noise="given", table=source, validation_fraction=0.3), epochs=1)
        config = replace(config, network=NetworkConfig(name="cnn"))
        network = ts.load_weights(check(config, folders, tmp_path))
        assert network.classes == ("cat", "dog")
        if ok:
            assert network(larger).shape == (2, 2)
        else:
            with pytest.raises(
                InputError, match="30x20 pixels' is refused: the network was trained on pictures of 8x8"
            ):
                network(larger)


def test_a_dark_picture_is_no_black_and_white_one(folders: Folders, tmp_path: Path) -> None:
    """Whole numbers 0 and 1 mean black and white where all training pictures were so, and there alone."""
    rng = np.random.default_rng(2)
    dark = (np.arange(64).reshape(1, 8, 8) % 2).astype(np.uint8)
    for most, white in ((2, 255), (256, 1)):
        pictures = rng.integers(0, most, (40, 8, 8), np.uint8)
        folders.data.mkdir(exist_ok=True)
        np.savez(folders.data / "train.npz", x=pictures, label=np.arange(40) % 2)
        source = TableSource(train="train.npz", test="train.npz", image="x", label="label")
        config = short(DataConfig(dataset="mine", noise="given", table=source), epochs=1)
        trainer, _, _ = trained(replace(config, network=NetworkConfig(name="cnn")), folders)
        trainer.save_weights(tmp_path / "net.safetensors")
        network = ts.load_weights(tmp_path / "net.safetensors")
        as_meant = np.repeat((dark * white)[..., None], 3, axis=3)
        assert torch.equal(network(dark), network(torch.from_numpy(as_meant)))


def test_files_of_the_version_before_are_completed_or_named(folders: Folders, tmp_path: Path) -> None:
    config = short(DataConfig(dataset="breast_cancer", noise="symmetric-0.2"))
    trainer, data, recorded = trained(config, folders)
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    save_file(trainer.network.state_dict(), old, metadata={"trial": json.dumps(config.to_dict())})
    with pytest.raises(InputError, match=r"old\.safetensors: does not say how raw inputs are .*tosmooth best"):
        ts.load_weights(old)
    completed(old, new, folders)
    assert accuracy_of(new, raw_test(config.data, data, folders), data) == recorded


def test_files_that_are_none_of_ours_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(InputError, match="there is no such file"):
        ts.load_weights(path)
    path.write_bytes(b"junk")
    with pytest.raises(InputError, match=r"a\.safetensors: damaged, or no file of safetensors"):
        ts.load_weights(path)
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="tosmooth did not write it"):
        ts.load_weights(path)


def test_what_the_metadata_say_is_for_others_too(folders: Folders, tmp_path: Path) -> None:
    """Names that documentation promises; a bit that flips in them is noticed."""
    from tosmooth.trainables.checkpointing.weights import read_weights

    path = check(short(DataConfig(dataset="iris", noise="symmetric-0.2")), folders, tmp_path)
    saved = read_weights(path)
    inputs, versions = json.loads(saved.inputs), json.loads(saved.versions)
    assert inputs["classes"] == ["0", "1", "2"]
    assert inputs["shape"] == [4]
    assert inputs["columns"][0]["name"] == "sepal length (cm)"
    assert len(inputs["mean"]) == len(inputs["std"]) == 4
    assert versions["torch"] == torch.__version__.partition("+")[0] or versions["torch"] == torch.__version__
    shutil.copy(path, tmp_path / "b.safetensors")
    content = path.read_bytes().replace(b"sepal length", b"Sepal length", 1)
    (tmp_path / "b.safetensors").write_bytes(content)
    assert load_file(tmp_path / "b.safetensors").keys() == saved.state.keys()
    with pytest.raises(InputError, match="its digest does not fit"):
        ts.load_weights(tmp_path / "b.safetensors")

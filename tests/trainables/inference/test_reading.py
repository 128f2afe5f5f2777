"""New rows and pictures in files, in any form that a study reads, are predicted as those of the test set were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

import tosmooth as ts
from tests.trainables.data.test_picture_folder import fill
from tests.trainables.inference.tools import TABLE, raw_test, short, trained
from tosmooth.trainables.config import DataConfig, NetworkConfig, TableSource
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.inference import Predicted, Predictor, predicted

Own = tuple[Path, LevelData, float]


def accuracy(found: Predicted, data: LevelData) -> float:
    assert data.test is not None
    right = np.array(found.labels) == np.array(found.classes)[data.test.labels.numpy()]
    return 100 * int(right.sum()) / len(right)


def test_rows_of_a_table_have_the_recorded_accuracy(own: Own, tmp_path: Path) -> None:
    path, data, recorded = own
    network = ts.load_weights(path)
    table = pa.table(TABLE).select(["x", "since", "age", "colour"]).append_column("id", pa.array(range(60)))
    pq.write_table(table, tmp_path / "new.parquet")
    found = predicted([network], tmp_path / "new.parquet")
    assert accuracy(found, data) == recorded
    assert found.remarks == ("columns that the network does not know are ignored: id",)
    assert found.table().column_names == ["row", "class", "p_no", "p_yes"]
    assert np.allclose(found.probabilities, network.probabilities(pa.table(TABLE)), atol=0)


def test_text_of_a_category_is_read_as_it_was_trained_on(folders: Folders, tmp_path: Path) -> None:
    """In the new file all categories look like numbers, as they did not in the training set: 007 is no 7."""
    lines = [f"{code},{i % 7},{label}" for i in range(30) for code, label in (("007", "a"), ("x", "b"))]
    folders.data.mkdir()
    (folders.data / "train.csv").write_text("\n".join(["code,n,label", *lines]))
    source = TableSource(
        train="train.csv", test="train.csv", features=("code", "n"), label="label", categorical="onehot"
    )
    config = DataConfig(dataset="mine", noise="given", table=source)
    trainer, _, _ = trained(short(config, epochs=20), folders)
    trainer.save_weights(tmp_path / "net.safetensors")
    network = ts.load_weights(tmp_path / "net.safetensors")
    (tmp_path / "new.csv").write_text("n,code\n3,007\n4,007\n")
    assert predicted([network], tmp_path / "new.csv").labels == ["a", "a"]
    (tmp_path / "new.csv").write_text("n,code\n3,007\n4,7\n")
    said = predicted([network], tmp_path / "new.csv").remarks
    assert said == ("1 rows have a category that the training set lacks: it counts as none",)


def test_columns_that_are_missing_or_of_another_type_are_refused(own: Own, tmp_path: Path) -> None:
    network = ts.load_weights(own[0])
    table = pa.table(TABLE)
    for other, message in (
        (table.rename_columns(["Age", "colour", "since", "x"]), "has no column 'age': .* the nearest is 'Age'"),
        (table.drop_columns(["x"]), "has no column 'x'"),
        (table.set_column(0, "age", pa.array(["old"] * 60)), "row 0, column 'age': text, in the training set numbers"),
    ):
        pq.write_table(other, tmp_path / "new.parquet")
        with pytest.raises(InputError, match=message):
            predicted([network], tmp_path / "new.parquet")
    with pytest.raises(InputError, match=r"data: '.*none\.csv': there is no such file or folder"):
        predicted([network], tmp_path / "none.csv")


def test_matrices_without_names_are_read_in_the_order_of_the_features(folders: Folders, tmp_path: Path) -> None:
    config = short(DataConfig(dataset="breast_cancer", noise="symmetric-0.2"))
    trainer, data, recorded = trained(config, folders)
    trainer.save_weights(tmp_path / "net.safetensors")
    network = ts.load_weights(tmp_path / "net.safetensors")
    raw = raw_test(config.data, data, folders).numpy()
    np.save(tmp_path / "new.npy", raw)
    np.savez(tmp_path / "new.npz", x=raw)
    pa.csv.write_csv(pa.table(dict(zip(network.features, raw.T, strict=True))), tmp_path / "new.csv")
    pq.write_table(pa.table({"v": pa.FixedSizeListArray.from_arrays(raw.reshape(-1), 30)}), tmp_path / "new.parquet")
    for name in ("new.npy", "new.npz", "new.csv", "new.parquet"):
        assert accuracy(predicted([network], str(tmp_path / name)), data) == recorded
    np.save(tmp_path / "short.npy", raw[:, 1:])
    with pytest.raises(InputError, match=r"short\.npy has no column 'mean radius': its columns are '?0, 1, 2"):
        predicted([network], tmp_path / "short.npy")


@pytest.fixture
def of_pictures(folders: Folders, tmp_path: Path) -> tuple[Predictor, Path]:
    """A network of pictures in folders, and the folder of the test set."""
    for part, rows in (("train", 20), ("test", 5)):
        fill(folders.data / part, "cat", "dog", rows=rows)
    config = DataConfig(dataset="mine", noise="given", table=TableSource(train="train", test="test"))
    trainer, _, _ = trained(replace(short(config, epochs=1), network=NetworkConfig(name="cnn")), folders)
    trainer.save_weights(tmp_path / "net.safetensors")
    return ts.load_weights(tmp_path / "net.safetensors"), folders.data / "test"


def test_pictures_in_a_folder_a_table_or_alone_are_the_same(of_pictures: tuple[Predictor, Path]) -> None:
    network, folder = of_pictures
    (folder / "cat" / "notes.txt").write_text("no picture")
    found = predicted([network], folder)
    names = [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(5)]
    assert (found.kind, list(found.names)) == ("file", names)
    pixels = np.stack([np.asarray(Image.open(folder / name)) for name in names])
    np.save(folder / "all.npy", pixels)
    np.savez(folder / "all.npz", img=pixels)
    (folder / "list.csv").write_text("path\n" + "".join(f"{name}\n" for name in names))
    images = [{"bytes": (folder / name).read_bytes(), "path": name} for name in names]
    pq.write_table(pa.table({"image": images, "id": range(10)}), folder / "hub.parquet")
    for name in ("all.npy", "all.npz", "hub.parquet"):
        again = predicted([network], folder / name)
        assert (again.kind, list(again.names)) == ("row", list(range(10)))
        np.testing.assert_array_equal(again.probabilities, found.probabilities)
    alone = predicted([network], folder / names[3])
    np.testing.assert_allclose(alone.probabilities, found.probabilities[3:4], atol=1e-6)
    with pytest.raises(InputError, match=r"list\.csv has not a column of pictures: its columns are 'path'"):
        predicted([network], folder / "list.csv")


def test_pictures_that_do_not_fit_or_decode_are_named(of_pictures: tuple[Predictor, Path], tmp_path: Path) -> None:
    network, _ = of_pictures
    fill(tmp_path / "new", "", rows=2)
    Image.new("RGB", (9, 8)).save(tmp_path / "other.png")
    with pytest.raises(InputError, match=r"other\.png: '9x8 pixels' is refused: the network was trained on .* 8x8"):
        predicted([network], tmp_path / "other.png")
    (tmp_path / "new" / "2.png").write_bytes(b"<!doctype html>")
    with pytest.raises(InputError, match=r"new/2\.png: the picture does not decode: it is a web page"):
        predicted([network], tmp_path / "new")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"data: .*empty: holds no picture"):
        predicted([network], tmp_path / "empty")


def test_several_networks_give_the_mean_of_their_probabilities(own: Own, folders: Folders, tmp_path: Path) -> None:
    first = ts.load_weights(own[0])
    second = ts.load_weights(own[0])
    for weight in second.parameters():
        weight.data.neg_()
    table = pa.table(TABLE)
    found = predicted([first, second], table)
    mean = (first.probabilities(table) + second.probabilities(table)) / 2
    np.testing.assert_array_equal(found.probabilities, mean)
    assert found.networks == 2

"""Folders that hold a folder of pictures for each class, as people have them."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from tests.trainables.data.test_own_data import in_order
from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

RNG = np.random.default_rng(0)
KINDS = {"a.JPG": "JPEG", "b.jpeg": "JPEG", "c.PNG": "PNG", "d.webp": "WEBP", "e.bmp": "BMP", "f.tif": "TIFF"}


def put(path: Path, kind: str = "PNG", size: int = 8) -> None:
    """Write a picture of random pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (size, size, 3), np.uint8)).save(file, kind)
    path.write_bytes(file.getvalue())


def fill(root: Path, *classes: str, rows: int = 10) -> Path:
    for name in classes:
        for i in range(rows):
            put(root / name / f"{i}.png")
    return root


def load(folders: Folders, train: str = "train", **table: Any) -> LevelData:
    source = TableSource(train=train, **table)
    return load_level(DataConfig(dataset="mine", noise="given", table=source), folders)


def test_pictures_and_classes_are_those_of_torchvision(folders: Folders) -> None:
    for name in ("dog", "cat", "polar bear"):
        for file, kind in KINDS.items():
            put(folders.data / "train" / name / file, kind)
        put(folders.data / "train" / name / "more" / "deep" / "1.png")
        fill(folders.data / "test", name, rows=2)
    data = load(folders, test="test")
    known = ImageFolder(str(folders.data / "train"))
    assert data.class_names == tuple(known.classes) == ("cat", "dog", "polar bear")
    assert (data.train.inputs.numpy() == np.stack([np.asarray(picture) for picture, _ in known])).all()
    assert in_order(data).tolist() == known.targets
    assert data.test is not None
    assert data.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.remarks == ()


def test_classes_that_are_numbers_come_by_size(folders: Folders) -> None:
    fill(folders.data / "train", "10", "9", "2", rows=4)
    data = load(folders)
    assert data.class_names == ("2", "9", "10")
    assert in_order(data).bincount().tolist() == [4, 4, 4]


def test_the_same_pictures_in_a_table_are_the_same_data(folders: Folders) -> None:
    fill(folders.data / "train", "cat", "dog")
    rows = [f"train/{name}/{i}.png,{name}\n" for name in ("cat", "dog") for i in range(10)]
    (folders.data / "train.csv").write_text("file,label\n" + "".join(rows))
    assert load(folders, "train.csv", image="file").digest == load(folders).digest


def test_what_is_no_picture_of_a_class_is_passed_over_and_said(folders: Folders) -> None:
    root = fill(folders.data / "train", "cat", "dog", ".ipynb_checkpoints", "dog/.hidden")
    (root / "empty").mkdir()
    for name in ("cat/.DS_Store", "cat/._0.png", "dog/Thumbs.db"):
        (root / name).write_bytes(b"junk")
    plain = load(folders)
    assert plain.remarks == ("folders in train without a picture, which are no classes: empty",)
    assert plain.class_names == ("cat", "dog")
    root = root.rename(folders.data / "more")
    put(root / "loose.png")
    (root / "cat" / "notes.txt").write_text("all mine")
    found = load(folders, "more")
    assert found.remarks == (
        "2 files in more are no pictures in a folder of a class, such as loose.png, cat/notes.txt",
        "folders in more without a picture, which are no classes: empty",
    )
    assert found.digest == plain.digest


@pytest.mark.parametrize(
    ("made", "named", "rule"),
    [
        ((), "train", r"table\.train: .*train: there is no such folder"),
        (("train/cat",), "train", r"folders of classes|only the class 'cat': two classes or more"),
        (
            ("photos/train/cat", "photos/test/cat"),
            "photos",
            r"holds train and test, and no folder a class: name one of these, photos/train",
        ),
        (("photos/Train/cat", "photos/val/cat"), "photos", "holds Train and val, and no folder a class"),
        (("train",), "train", r"holds no picture in a folder of its class, such as train/cat/1\.png"),
        (("train",), "train/0.png", r"is a file: give dataset\.table\.image or dataset\.table\.features"),
    ],
)
def test_what_holds_no_folders_of_classes_is_refused(
    made: tuple[str, ...], named: str, rule: str, folders: Folders
) -> None:
    folders.data.mkdir()
    for name in made:
        fill(folders.data, name, rows=2)
    with pytest.raises(InputError, match=rule):
        load(folders, named)


def test_several_folders_are_refused(folders: Folders) -> None:
    with pytest.raises(InputError, match=r"table\.train: \['a', 'b'\] is refused: one folder"):
        load_level(DataConfig(dataset="mine", noise="given", table=TableSource(train=("a", "b"))), folders)


def test_links_inside_are_followed_and_those_that_lead_out_are_not(folders: Folders) -> None:
    root = fill(folders.data / "train", "cat", "dog")
    (root / "cat" / "again").symlink_to(root / "cat")  # a circle
    (root / "dog" / "same.png").symlink_to("0.png")
    assert len(load(folders).train.inputs) == 21
    fill(folders.data / "elsewhere", "fox")
    for link, target in (("fox", "elsewhere/fox"), ("dog/fox.png", "elsewhere/fox/0.png")):
        (root / link).symlink_to(folders.data / target)
        with pytest.raises(
            InputError, match=rf"train/{link}: a link that leads out of the folder: .*follow_links: true"
        ):
            load(folders)
        assert len(load(folders, follow_links=True).train.inputs) == (31 if link == "fox" else 22)
        (root / link).unlink()


def test_a_link_to_nothing_is_a_bad_picture(folders: Folders) -> None:
    root = fill(folders.data / "train", "cat", "dog")
    (root / "cat" / "99.png").symlink_to("gone.png")
    with pytest.raises(InputError, match=r"cat/99\.png: .*cannot be read \(No such file"):
        load(folders)
    data = load(folders, on_bad="drop")
    assert in_order(data).bincount().tolist() == [10, 10]
    (remark,) = data.remarks
    assert remark.startswith("1 picture could not be read, left out: ")
    put(root / "cat" / "gone.png")
    assert len(load(folders, on_bad="drop").train.inputs) == 22


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused(folders: Folders) -> None:
    root = fill(folders.data / "train", "cat", "dog")
    for closed in (root / "cat", root):
        closed.chmod(0)
        try:
            with pytest.raises(InputError, match=r"table\.train: .*cannot be read \(Permission denied\)"):
                load(folders)
        finally:
            closed.chmod(0o755)


def test_pictures_that_are_left_out_keep_the_labels_of_the_others(folders: Folders) -> None:
    root = fill(folders.data / "train", "cat", "dog", "fox")
    whole = load(folders)
    (root / "cat" / "3.png").write_bytes(b"")
    (root / "dog" / "5.png").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"cat/3\.png: there is no picture: it is empty"):
        load(folders)
    data = load(folders, on_bad="drop")
    kept = [row for row in range(30) if row not in (3, 15)]
    assert data.train.inputs.equal(whole.train.inputs[kept])
    assert in_order(data).bincount().tolist() == [9, 9, 10]
    assert data.remarks[0].startswith("2 pictures could not be read, left out: ")


def test_folders_of_the_same_names_sizes_and_times_are_two_in_the_cache(folders: Folders) -> None:
    """As an archive leaves them that gives all its files one time, and pictures that are not packed one size."""
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            for i in range(10):
                path = folders.data / part / name / f"{i}.bmp"
                put(path, "BMP")
                os.utime(path, (1e9, 1e9))
    data = load(folders, test="test")
    assert data.test is not None
    assert not data.test.inputs.equal(data.train.inputs)
    assert len(list(folders.cache.glob("*.arrow"))) == 2


def test_a_picture_that_is_changed_is_decoded_anew(folders: Folders) -> None:
    root = fill(folders.data / "train", "cat", "dog")
    before = load(folders).digest
    assert load(folders).digest == before
    put(root / "cat" / "0.png", size=8)
    os.utime(root / "cat" / "0.png", (1e9, 1e9))
    assert load(folders).digest != before


def test_classes_of_the_test_set_that_no_training_picture_has_are_said(folders: Folders) -> None:
    fill(folders.data / "train", "cat", "dog")
    fill(folders.data / "test", "cat", "dog", "fox", "Dog", rows=2)
    data = load(folders, test="test")
    assert data.class_names == ("Dog", "cat", "dog", "fox")
    assert data.remarks == (
        "the classes 'Dog' and 'dog' differ in case, blanks or zeros alone: probably one class",
        "50 % of the test set are of classes that no training row has: 'Dog, fox'",
    )
    with pytest.raises(InputError, match=r"classes: does not have 'Dog', 'fox'"):
        load(folders, test="test", classes=("dog", "cat"))

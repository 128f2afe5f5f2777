"""Pictures of a user's own table: encoded, as arrays, or files whose paths a column holds."""

import base64
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.tools import encoded
from tests.trainables.data.test_own_data import in_order, load_table
from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.data.pictures import PictureRule, pixels_of
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

Save = Callable[..., Path]
N = 40
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 8, 6, 3), np.uint8)
LABELS = np.arange(N) % 4
PNG = [encoded(one) for one in PIXELS]


def load(folders: Folders, train: Any = "train.parquet", **table: Any) -> LevelData:
    source = TableSource(train=train, **{"image": "img", **table})
    return load_level(DataConfig(dataset="mine", noise="given", table=source), folders)


def seen(data: LevelData) -> NDArray[np.uint8]:
    """All pictures by row, which are the same in train and validation."""
    assert data.train.inputs is data.validation.inputs
    return data.train.inputs.numpy()


def files(folder: Path, **named: bytes) -> None:
    for name, content in named.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_pictures_in_any_column_are_the_same(folders: Folders, save: Save) -> None:
    """Bytes, structs, texts of base64, arrays of any kind, and paths."""
    files(folders.data / "img", **{f"{i}.png": content for i, content in enumerate(PNG)})
    paths = [f"img/{i}.png" for i in range(N)]
    texts = [base64.b64encode(content).decode() for content in PNG]
    kinds = {
        "bytes": PNG,
        "large": pa.array(PNG, pa.large_binary()),
        "struct": [{"bytes": content, "path": "gone.png"} for content in PNG],
        "paths in a struct": [{"bytes": None, "path": path} for path in paths],
        "both": [{"bytes": None if i % 2 else c, "path": paths[i] if i % 2 else None} for i, c in enumerate(PNG)],
        "base64": texts,
        "base64 in lines": [base64.encodebytes(content).decode() for content in PNG],
        "base64 of the web": [f"data:image/png;base64,{text}" for text in texts],
        "paths": paths,
        "absolute paths": [str(folders.data / path) for path in paths],
        "paths of Windows": [path.replace("/", "\\") for path in paths],
        "dictionary": pa.array(paths).dictionary_encode(),
        "lists": PIXELS.tolist(),
        "small lists": pa.array(PIXELS.tolist(), pa.list_(pa.list_(pa.list_(pa.uint8())))),
        "floats": (PIXELS / 255).tolist(),
    }
    digests = {}
    for kind, column in kinds.items():
        save(folders.data / "train.parquet", img=column, label=LABELS)
        data = load(folders)
        assert (seen(data) == PIXELS).all(), kind
        assert in_order(data).tolist() == LABELS.tolist()
        digests[kind] = data.digest
    assert len(set(digests.values())) == 1
    assert len({path.name for path in folders.cache.glob("*.arrow")}) == len(kinds)


@pytest.mark.parametrize("name", ["train.csv", "meta/train.jsonl"])
def test_paths_are_relative_to_the_table_or_to_the_data_folder(name: str, folders: Folders) -> None:
    table = folders.data / name
    for root in {table.parent, folders.data}:
        files(root / "img", **{f"{i}.png": content for i, content in enumerate(PNG)})
        if name.endswith("csv"):
            table.write_text("img,label\n" + "".join(f"img/{i}.png,{k}\n" for i, k in enumerate(LABELS)))
        else:
            table.parent.mkdir(exist_ok=True)
            table.write_text("".join(f'{{"img": "img/{i}.png", "label": {k}}}\n' for i, k in enumerate(LABELS)))
        assert (seen(load(folders, name)) == PIXELS).all()
        for path in (root / "img").iterdir():
            path.unlink()


def test_a_missing_file_is_refused_or_left_out(folders: Folders, save: Save) -> None:
    files(folders.data, **{f"{i}.png": content for i, content in enumerate(PNG)})
    (folders.data / "3.png").unlink()
    (folders.data / "8.png").write_bytes(b"<html>gone")
    save(folders.data / "train.parquet", img=[f"{i}.png" if i != 11 else "" for i in range(N)], label=LABELS)
    with pytest.raises(InputError, match=r"train\.parquet, row 3: .*3\.png: cannot be read \(No such file"):
        load(folders)
    data = load(folders, on_bad="drop")
    kept = [i for i in range(N) if i not in (3, 8, 11)]
    assert (seen(data) == PIXELS[kept]).all()
    assert in_order(data).tolist() == LABELS[kept].tolist()
    (remark,) = data.remarks
    assert remark.startswith("3 pictures could not be read, left out: ")
    assert "row 3: " in remark
    files(folders.data, **{"3.png": PNG[3]})  # brought later: nothing of the cache is in its way
    os.utime(folders.data / "train.parquet")
    again = load(folders, on_bad="drop")
    assert len(seen(again)) == N - 2
    assert again.remarks[0].startswith("2 pictures could not be read")


def test_if_no_picture_can_be_read_that_is_said(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", img=[f"{i}.png" for i in range(N)], label=LABELS)
    with pytest.raises(InputError, match=r"no picture decodes of 40: .*row 0: .*0\.png: cannot be read"):
        load(folders, on_bad="drop")


@pytest.mark.parametrize("on_bad", ["refuse", "drop"])
def test_paths_that_lead_out_and_addresses_are_refused(
    on_bad: Literal["refuse", "drop"], folders: Folders, save: Save
) -> None:
    files(folders.data, **{f"{i}.png": content for i, content in enumerate(PNG)})
    files(folders.data.parent, **{"secret.png": PNG[0]})
    (folders.data / "link.png").symlink_to(folders.data.parent / "secret.png")
    for path, rule in (
        ("../secret.png", "it leads out of"),
        ("..\\secret.png", "it leads out of"),
        ("link.png", "it leads out of"),
        ("http://localhost:1/1.png", "an address; pictures are files"),
        ("s3://bucket/1.png", "an address; pictures are files"),
        ("file:///etc/passwd", "an address; pictures are files"),
    ):
        save(folders.data / "train.parquet", img=[path if i == 2 else f"{i}.png" for i in range(N)], label=LABELS)
        with pytest.raises(InputError) as caught:
            load(folders, on_bad=on_bad)
        assert "train.parquet, row 2: " in str(caught.value)
        assert f"{path!r} is refused: {rule}" in str(caught.value)
    save(folders.data / "train.parquet", img=["link.png", *(f"{i}.png" for i in range(1, N))], label=LABELS)
    assert (seen(load(folders, follow_links=True)) == PIXELS).all()


@pytest.mark.parametrize("kind", ["N,H,W,C", "N,C,H,W", "N,H,W", "floats", "bool"])
def test_arrays_in_an_archive_of_both_parts(kind: str, folders: Folders) -> None:
    """Training set and test set of one .npz are two files in the cache."""
    array: NDArray[Any] = PIXELS
    if kind == "N,C,H,W":
        array = PIXELS.transpose(0, 3, 1, 2)
    if kind == "N,H,W":
        array = PIXELS[..., 0]
    if kind == "floats":
        array = PIXELS.astype(np.float32) / 255
    if kind == "bool":
        array = PIXELS[..., 0] > 99
    folders.data.mkdir()
    parts: dict[str, Any] = {"x_train": array, "y_train": LABELS, "x_test": array[::-1], "y_test": LABELS[::-1]}
    np.savez(folders.data / "both.npz", **parts)
    data = load(folders, "both.npz", test="both.npz", image="x", label="y")
    expected = PIXELS if array.ndim == 4 else np.repeat(PIXELS[..., :1], 3, axis=3)
    expected = np.where(expected > 99, 255, 0) if kind == "bool" else expected
    assert data.test is not None
    assert (seen(data) == expected).all()
    assert (data.test.inputs.numpy() == expected[::-1]).all()
    assert len(list(folders.cache.glob("*.arrow"))) == 2


def test_arrays_of_pixels_that_hardly_differ_keep_their_values(folders: Folders, save: Save) -> None:
    """Of features of so little spread the mean is taken away; pixels are as they stand."""
    pixels = PIXELS / 255
    pixels[:, 0, 0] = 1 - 1e-7 * np.random.default_rng(0).random((N, 3))
    save(folders.data / "train.parquet", img=pixels.tolist(), label=LABELS)
    data = load(folders)
    assert (seen(data)[:, 0, 0] == 255).all()
    assert (seen(data)[:, 1:] == PIXELS[:, 1:]).all()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_photographs_of_several_sizes_are_made_the_size_of_the_study(
    fit: Literal["crop", "pad", "stretch"], folders: Folders, save: Save
) -> None:
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(N):
        file = io.BytesIO()
        pixels = rng.integers(0, 256, (*rng.integers(16, 40, 2), 3), np.uint8)
        Image.fromarray(pixels).save(file, "JPEG")
        contents.append(file.getvalue())
    save(folders.data / "train.parquet", img=contents, label=LABELS)
    for size in (None, 24, (20, 12)):
        data = load(folders, size=size, fit=fit)
        sides = (32, 32) if size is None else (24, 24) if size == 24 else (20, 12)
        expected = [pixels_of(content, PictureRule(sides, fit)) for content in contents]
        assert (seen(data) == np.stack(expected)).all()
        several = f"pictures of several sizes are made 32x32 ({fit}): dataset.table.size sets another size"
        assert data.remarks == ((several,) if size is None else ())
    assert len(list(folders.cache.glob("*.arrow"))) == 3
    load(folders, size=24, fit=fit)
    assert len(list(folders.cache.glob("*.arrow"))) == 3  # one for each rule, and used again


def test_phones_say_in_exif_how_a_picture_is_to_be_turned(folders: Folders, save: Save) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees clockwise
    upright = [Image.fromarray(one).resize((16, 16)) for one in PIXELS]
    contents = []
    for i, picture in enumerate(upright):
        file = io.BytesIO()
        own = picture.transpose(Image.Transpose.ROTATE_90) if i % 2 else picture
        own.save(file, "PNG", **({"exif": turned} if i % 2 else {}))
        contents.append(file.getvalue())
    save(folders.data / "train.parquet", img=contents, label=LABELS)
    assert (seen(load(folders)) == np.stack([np.asarray(picture) for picture in upright])).all()


def test_glyphs_on_a_transparent_ground_of_their_own_colour_are_seen(folders: Folders, save: Save) -> None:
    """As palette PNGs have them: the hidden colour of the ground is the glyph's."""
    glyphs = np.random.default_rng(0).random((N, 8, 8)) < 0.3
    contents = []
    for glyph in glyphs:
        picture = Image.fromarray(glyph.astype(np.uint8), "P")
        picture.putpalette([40, 20, 60] * 2 + [0] * 762)
        file = io.BytesIO()
        picture.save(file, "PNG", transparency=0)
        contents.append(file.getvalue())
    save(folders.data / "train.parquet", img=contents, label=LABELS)
    expected = np.where(glyphs[..., None], [40, 20, 60], 255)
    assert (seen(load(folders)) == expected).all()


def test_what_holds_no_pictures_is_refused(folders: Folders, save: Save) -> None:
    for column, rule in (
        (list(range(N)), "of type int64: pictures are binary, a struct with binary `bytes`, arrays, or paths"),
        ([{"path": "1.png"}] * N, "of type struct<path: string>: pictures are binary"),
        ([[1.5, 2.0]] * N, r"of shape \[40, 2\]: pictures are \[N, H, W\]"),
        ([None] * N, "of type null: pictures are binary"),
        (["iVBORw0KGgo!"] * N, "row 0: "),
    ):
        save(folders.data / "train.parquet", img=column, label=LABELS)
        with pytest.raises(InputError, match=rule):
            load(folders)


def test_pictures_that_are_equal_stay_on_one_side(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", img=[PNG[i // 2] for i in range(N)], label=np.arange(N) // 2 % 4)
    data = load(folders)
    assert not np.isin(data.train.keys, data.validation.keys).any()
    assert set(data.train.labels.tolist()) == {0, 1, 2, 3}


def test_shards_of_pictures_are_one_training_set(folders: Folders, save: Save) -> None:
    for i in range(4):
        save(folders.data / f"train-{i}.parquet", img=PNG[10 * i : 10 * i + 10], label=LABELS[10 * i : 10 * i + 10])
    save(folders.data / "whole.parquet", img=PNG, label=LABELS)
    shards, whole = load(folders, "train-*.parquet"), load(folders, "whole.parquet")
    assert (seen(shards) == PIXELS).all()
    assert shards.digest == whole.digest
    assert shards.mean == whole.mean


def test_pictures_that_use_a_small_part_of_their_range_are_spoken_of(folders: Folders) -> None:
    """12 bits in files of 16, as cameras and microscopes write them."""
    for row in range(20):
        deep = np.random.default_rng(row).integers(0, 4096, (16, 16)).astype(np.uint16)
        file = folders.data / "scans" / "ab"[row % 2] / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(deep).save(file)
    (remark,) = load_table(folders, TableSource(train="scans")).remarks
    assert re.match(r"no pixel is brighter than 1[56] of 255, .*: scale pictures of 16 bits", remark)

"""What Hugging Face's `datasets` writes, read as it reads it."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

hf = pytest.importorskip("datasets", minversion="4")

ROWS = 24
NAMES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def features() -> Any:
    """A data set of features."""
    columns = {"x": np.linspace(-1, 1, ROWS).tolist(), "label": [i % 3 for i in range(ROWS)]}
    kinds = hf.Features({"x": hf.Value("float32"), "label": hf.ClassLabel(names=list(NAMES))})
    return hf.Dataset.from_dict(columns, features=kinds)


def read(place: str, folder: Path, *columns: str) -> tuple[dict[str, list[Any]], dict[str, tuple[str, ...]]]:
    """Values of columns, and names of classes, as this project reads them."""
    with open_table(files_of(place, folder, "key")) as table:
        return table.read(columns or table.names).to_pydict(), table.class_names


def load(folder: Path, **table: Any) -> LevelData:
    config = DataConfig(dataset="mine", noise="given", table=TableSource(**table))
    return load_level(config, Folders(folder, folder / "cache"))


def pictures() -> list[Image.Image]:
    return [Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)) for i in range(ROWS)]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.select(range(3, 15)),
        lambda data: data.select(range(3, 15)).shuffle(seed=1),
        lambda data: data.filter(lambda row: row["label"] != 2),
        lambda data: data.sort("x", reverse=True).flatten_indices(),
        lambda data: data.rename_column("label", "species"),
        lambda data: data.map(lambda row: {"y": 2 * row["x"]}),
        lambda data: data.with_format("numpy", columns=["x"]),
        lambda data: data.cast_column("label", hf.Value("int8")),
        lambda data: hf.concatenate_datasets([data, data.select(range(2))]),
    ],
)
@pytest.mark.parametrize("shards", [1, 3])
def test_saved_on_disk(features: Any, change: Any, shards: int, tmp_path: Path) -> None:
    changed = change(features)
    changed.save_to_disk(tmp_path / "saved", num_shards=shards)
    found, names = read("saved", tmp_path)
    assert found == changed.with_format(None).to_dict()
    label = {name: kind for name, kind in changed.features.items() if isinstance(kind, hf.ClassLabel)}
    assert names == {name: tuple(kind.names) for name, kind in label.items()}


def test_saved_splits_are_named_one_by_one(features: Any, tmp_path: Path) -> None:
    split = features.train_test_split(test_size=0.25, seed=0)
    split.save_to_disk(tmp_path / "both")
    assert read("both/test", tmp_path)[0] == split["test"].to_dict()
    with pytest.raises(InputError, match="name one of them: both/train, both/test"):
        files_of("both", tmp_path, "key")
    split["train"].select([]).save_to_disk(tmp_path / "empty")
    with pytest.raises(InputError, match="is empty"):
        load(tmp_path, train="empty", features=("x",))


def test_exported(features: Any, tmp_path: Path) -> None:
    features.to_parquet(tmp_path / "a.parquet")
    features.to_csv(tmp_path / "a.csv")
    features.to_json(tmp_path / "a.jsonl")
    features.to_json(tmp_path / "packed.jsonl.gz", compression="gzip")
    features.to_json(tmp_path / "one.json", lines=False)
    with hf.arrow_writer.ArrowWriter(path=str(tmp_path / "a.arrow"), writer_batch_size=5) as writer:
        for row in features:
            writer.write(row)
        writer.finalize()
    assert read("a.parquet", tmp_path) == (features.to_dict(), {"label": NAMES})
    for name in ("a.csv", "a.jsonl", "packed.jsonl.gz", "one.json", "a.arrow"):
        found, _ = read(name, tmp_path)
        assert found["label"] == features["label"][:]
        np.testing.assert_allclose(found["x"], features["x"][:], atol=1e-6)


def test_values_of_every_type(tmp_path: Path) -> None:
    days = [datetime.date(2024, 1, 1 + i) for i in range(ROWS)]
    times = [datetime.datetime(2024, 1, 1 + i) for i in range(ROWS)]
    whole = [kind for bits in (8, 16, 32, 64) for kind in (f"int{bits}", f"uint{bits}")]
    columns: dict[str, Any] = {kind: list(range(ROWS)) for kind in whole}
    columns |= {kind: [i / 2 for i in range(ROWS)] for kind in ("float16", "float32", "float64")}
    columns |= {kind: [f"s{i % 4}" for i in range(ROWS)] for kind in ("string", "large_string")}
    columns |= {"bool": [i % 2 == 0 for i in range(ROWS)], "date32": days, "timestamp[us]": times}
    kinds = hf.Features({name: hf.Value(name) for name in columns} | {"label": hf.ClassLabel(names=["b", "a"])})
    data = hf.Dataset.from_dict(columns | {"label": [i % 2 for i in range(ROWS)]}, features=kinds)
    data.save_to_disk(tmp_path / "saved")
    assert read("saved", tmp_path)[0] == data.to_dict()
    found = load(tmp_path, train="saved", features=tuple(columns), categorical="onehot")
    assert found.class_names == ("b", "a")
    assert found.train.inputs.shape[1] == len(columns) + 2 * 3  # of either column of text four categories


def test_lists_and_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {
        "lists": rng.normal(size=(ROWS, 3)).tolist(),
        "fixed": rng.integers(0, 9, (ROWS, 2)).tolist(),
        "nested": rng.normal(size=(ROWS, 2, 2)).tolist(),
        "two": rng.normal(size=(ROWS, 2, 3)).astype("float32"),
        "three": rng.integers(0, 256, (ROWS, 8, 8, 3)).astype("uint8"),
        "label": [i % 2 for i in range(ROWS)],
    }
    kinds = {
        "lists": hf.Sequence(hf.Value("float32")),
        "fixed": hf.Sequence(hf.Value("int64"), length=2),
        "nested": hf.Sequence(hf.Sequence(hf.Value("float64"))),
        "two": hf.Array2D((2, 3), "float32"),
        "three": hf.Array3D((8, 8, 3), "uint8"),
        "label": hf.Value("int64"),
    }
    data = hf.Dataset.from_dict(columns, features=hf.Features(kinds))
    data.save_to_disk(tmp_path / "saved")
    data.to_parquet(tmp_path / "data.parquet")
    for place in ("saved", "data.parquet"):
        for name in ("lists", "fixed", "nested", "two"):
            width = np.asarray(columns[name])[0].size
            assert load(tmp_path, train=place, features=(name,)).train.inputs.shape[1] == width
        found = load(tmp_path, train=place, image="three").train
        assert (found.inputs.numpy() == columns["three"]).all()


def test_pictures(tmp_path: Path) -> None:
    kinds = hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=list(NAMES))})
    columns = {"image": pictures(), "label": [i % 3 for i in range(ROWS)]}
    data = hf.Dataset.from_dict(columns, features=kinds)
    data.save_to_disk(tmp_path / "saved", num_shards=2)
    data.to_parquet(tmp_path / "data.parquet")
    for place in ("saved", "data.parquet"):
        found = load(tmp_path, train=place, image="image")
        assert found.class_names == NAMES
        assert found.train.inputs[:, 0, 0, 0].tolist() == list(range(0, 10 * ROWS, 10))


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
@pytest.mark.parametrize("below", ["", "pictures/"])
def test_pictures_beside_the_file_that_describes_them(name: str, below: str, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / below).mkdir(parents=True)
    files = [f"{below}{i}.png" for i in range(ROWS)]
    for file, picture in zip(files, pictures(), strict=True):
        picture.save(folder / file)
    about = hf.Dataset.from_dict({"file_name": files, "label": [NAMES[i % 3] for i in range(ROWS)]})
    {"csv": about.to_csv, "jsonl": about.to_json, "parquet": about.to_parquet}[name.partition(".")[2]](folder / name)
    theirs = hf.load_dataset("imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "own"), split="train")
    theirs.save_to_disk(tmp_path / "saved")
    ours = load(tmp_path, train="photos", image="file_name")
    assert load(tmp_path, train="saved", image="image").digest == ours.digest
    assert ours.train.inputs[:, 0, 0, 0].tolist() == list(range(0, 10 * ROWS, 10))

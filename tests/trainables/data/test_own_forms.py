"""The same data of a user in every form give the same training set, validation and test set, to the bit."""

import gzip
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv, feather

from tosmooth.trainables.config import AllBut, DataConfig, Files, TableSource
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

RNG = np.random.default_rng(0)
NAMES = np.array(["cat", "dog", "fox, red"])


def table_of(rows: int) -> pa.Table:
    """Features that any text keeps: eighths, of which some are whole, and whole numbers."""
    a, b = RNG.integers(-40, 40, (2, rows)) / 8
    return pa.table({"a": a, "b": b, "n": RNG.integers(0, 9, rows), "label": NAMES[np.arange(rows) % 3]})


TRAIN, TEST = table_of(60), table_of(12)
Write = Callable[[pa.Table, Path], Any]


def as_csv(table: pa.Table, delimiter: str = ",", comma: bool = False) -> str:
    """A table as CSV; `comma`: with decimal commas, as Excel writes it in most of Europe."""
    file = io.BytesIO()
    if comma:
        for i in range(2):
            numbers = [str(number).replace(".", ",") for number in table[i].to_pylist()]
            table = table.set_column(i, table.column_names[i], [numbers])
    csv.write_csv(table, file, csv.WriteOptions(delimiter=delimiter))
    return file.getvalue().decode()


def with_mark(table: pa.Table, path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + as_csv(table).replace("\n", "\r\n").encode())


def as_lines(table: pa.Table, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


def as_arrow(table: pa.Table, path: Path, stream: bool = False) -> None:
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


FORMS: dict[str, Write] = {
    "a.csv": lambda table, path: path.write_text(as_csv(table)),
    "german.csv": lambda table, path: path.write_text(as_csv(table, ";", comma=True)),
    "excel.csv": with_mark,
    "a.tsv": lambda table, path: path.write_text(as_csv(table, "\t")),
    "a.csv.gz": lambda table, path: path.write_bytes(gzip.compress(as_csv(table).encode())),
    "a.jsonl": as_lines,
    "a.json": lambda table, path: path.write_text(json.dumps(table.to_pylist(), indent=1)),
    "a.arrow": as_arrow,
    "a.arrows": partial(as_arrow, stream=True),
    "a.feather": partial(feather.write_feather, compression="lz4"),
    "groups.parquet": partial(pq.write_table, row_group_size=11, compression="gzip"),
    "dictionary.parquet": lambda table, path: pq.write_table(
        table.set_column(3, "label", table["label"].dictionary_encode()), path
    ),
    "pandas.csv": lambda table, path: path.write_text(as_csv(table.add_column(0, "Unnamed: 0", [range(len(table))]))),
}


def load(folders: Folders, train: Files, test: Files, **table: Any) -> LevelData:
    source = TableSource(train=train, test=test, **{"features": ("a", "b", "n"), **table})
    return load_level(DataConfig(dataset="mine", noise="symmetric-0.2", table=source), folders)


@pytest.fixture
def plain(folders: Folders) -> LevelData:
    """The data as plain Parquet has them."""
    folders.data.mkdir()
    pq.write_table(TRAIN, folders.data / "train.parquet")
    pq.write_table(TEST, folders.data / "test.parquet")
    found = load(folders, "train.parquet", "test.parquet")
    assert found.class_names == tuple(NAMES)
    assert (len(found.train), len(found.validation), found.test and len(found.test)) == (54, 6, 12)
    return found


def same(found: LevelData, plain: LevelData) -> bool:
    assert found.class_names == plain.class_names
    assert (found.noise_rate, found.symmetric, found.remarks) == (plain.noise_rate, plain.symmetric, plain.remarks)
    for one, other in ((found.train, plain.train), (found.validation, plain.validation), (found.test, plain.test)):
        assert one is not None
        assert other is not None
        assert (one.rows.tolist(), one.labels.tolist()) == (other.rows.tolist(), other.labels.tolist())
        assert one.inputs.equal(other.inputs)
    return found.digest == plain.digest


@pytest.mark.parametrize("name", FORMS)
def test_a_file_of_any_form(name: str, folders: Folders, plain: LevelData) -> None:
    for part, table in (("train", TRAIN), ("test", TEST)):
        FORMS[name](table, folders.data / f"{part}-{name}")
    assert same(load(folders, f"train-{name}", f"test-{name}"), plain)
    assert same(load(folders, f"train-{name}", f"test-{name}", features=AllBut(all_but=())), plain)


def test_arrays_of_numpy(folders: Folders, plain: LevelData) -> None:
    parts: dict[str, dict[str, Any]] = {}
    for part, table in (("train", TRAIN), ("test", TEST)):
        x = np.stack([table[name].to_numpy() for name in ("a", "b", "n")], axis=1)
        y = np.array(table["label"].to_pylist())
        parts[part] = {"x": x, "y": y}
        np.savez(folders.data / f"{part}.npz", X=x, y=y)
        np.save(folders.data / f"x-{part}.npy", x)
        np.save(folders.data / f"y-{part}.npy", y[:, None])  # as Keras has them
    both = {f"{name}_{part}": array for part, arrays in parts.items() for name, array in arrays.items()}
    np.savez_compressed(folders.data / "both.npz", **both)
    assert same(load(folders, "train.npz", "test.npz", features=("X",), label="y"), plain)
    assert same(load(folders, "both.npz", "both.npz", features=("x",), label="y"), plain)
    mapped = ({"x": f"x-{part}.npy", "label": f"y-{part}.npy"} for part in ("train", "test"))
    assert same(load(folders, *mapped, features=("x",)), plain)


def test_shards(folders: Folders, plain: LevelData) -> None:
    (folders.data / "spark").mkdir()
    names = []
    for i in range(12):  # part-10 comes after part-9
        names.append(f"spark/part-{i}.parquet")
        pq.write_table(TRAIN.slice(5 * i, 5), folders.data / names[-1])
    for name in ("_SUCCESS", ".part-0.parquet.crc", "_metadata"):
        (folders.data / "spark" / name).write_bytes(b"")
    for named in (tuple(names), "spark/part-*.parquet", "spark", "spark/*", str(folders.data / "spark")):
        assert same(load(folders, named, "test.parquet"), plain)


def test_folders_named_for_the_label(folders: Folders, plain: LevelData) -> None:
    """As Hive and Spark partition a table; its rows come by label, so that it equals the same rows as one file."""
    for i, name in enumerate(("cat", "dog", "fox%2C red")):
        folder = folders.data / "hive" / f"label={name}"
        folder.mkdir(parents=True)
        pq.write_table(TRAIN.take(np.arange(i, 60, 3)).drop(["label"]), folder / "part-0.parquet")
    ordered = TRAIN.take(np.concatenate([np.arange(i, 60, 3) for i in range(3)]))
    pq.write_table(ordered, folders.data / "ordered.parquet")
    found = load(folders, "hive", "test.parquet")
    assert same(found, load(folders, "ordered.parquet", "test.parquet"))
    assert same(found, load(folders, "hive/**/*.parquet", "test.parquet"))


def test_a_data_set_that_hugging_face_saved(folders: Folders, plain: LevelData) -> None:
    kind = {"_type": "ClassLabel", "names": list(NAMES)}
    info = {b"huggingface": json.dumps({"info": {"features": {"label": kind}}}).encode()}
    codes = {name: i for i, name in enumerate(NAMES)}
    for part, table in (("train", TRAIN), ("test", TEST)):
        folder = folders.data / "saved" / part
        folder.mkdir(parents=True)
        numbers = table.set_column(3, "label", pa.array([codes[name] for name in table["label"].to_pylist()]))
        as_arrow(numbers.replace_schema_metadata(info), folder / "data-00000-of-00001.arrow", stream=True)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
        (folder / "dataset_info.json").write_text(json.dumps({"features": {"label": kind}}))
    (folders.data / "saved" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    assert same(load(folders, "saved/train", "saved/test"), plain)
    with pytest.raises(InputError, match=r"table\.train: .*saved is a data set of several parts: .*saved/train"):
        load(folders, "saved", "saved/test")


def test_the_cache_of_the_hub_has_links_that_lead_out(folders: Folders, plain: LevelData) -> None:
    snapshot = folders.data / "hub" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "train-0.parquet").symlink_to(folders.data / "train.parquet")
    with pytest.raises(InputError, match=r"train-0\.parquet is refused: a link .*table\.follow_links: true follows"):
        load(folders, "hub/snapshots/1", "test.parquet")
    assert same(load(folders, "hub/snapshots/1", "test.parquet", follow_links=True), plain)


def test_the_test_set_may_have_its_columns_in_another_order_and_more(folders: Folders, plain: LevelData) -> None:
    other = TEST.select(["n", "label", "b", "a"]).append_column("source", [["web"] * len(TEST)])
    pq.write_table(other, folders.data / "other.parquet")
    for features in (AllBut(all_but=()), ("a", "b", "n"), ("?",)):
        assert same(load(folders, "train.parquet", "other.parquet", features=features), plain)
    pq.write_table(TEST.drop(["b"]), folders.data / "other.parquet")
    with pytest.raises(InputError, match=r"dataset\.table: .*other\.parquet has no column 'b'"):
        load(folders, "train.parquet", "other.parquet", features=AllBut(all_but=()))


def test_a_column_that_looks_like_the_label_is_no_feature_by_chance(folders: Folders, plain: LevelData) -> None:
    pq.write_table(TRAIN.append_column("expert", TRAIN["label"]), folders.data / "two.parquet")
    rule = r"table\.features: 'label' is refused: it looks like a label: name it as dataset\.table\.label, or under"
    source = TableSource(train="two.parquet", label="expert", features=AllBut(all_but=()))
    with pytest.raises(InputError, match=rule):
        load_level(DataConfig(dataset="mine", noise="given", table=source), folders)

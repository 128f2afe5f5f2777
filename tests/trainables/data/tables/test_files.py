"""How the files of a table are named, and tables of several files."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.errors import InputError

LABEL = {"names": ["cat", "dog"], "_type": "ClassLabel"}
FEATURES = {b"huggingface": json.dumps({"info": {"features": {"label": LABEL, "x": {"dtype": "int64"}}}}).encode()}


def put(folder: Path, *names: str, **columns: Any) -> None:
    """Write files; each has its number among them as x, unless its columns are given."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table(columns or {"x": [i]})
        if name.endswith(".csv"):
            path.write_text("\n".join([",".join(table.column_names), *(f"{i}" for i in table["x"].to_pylist())]))
        elif "parquet" in name:
            pq.write_table(table, path)
        else:
            path.write_text("{}")


def found(named: Any, folder: Path, **options: Any) -> list[str]:
    return [str(path.relative_to(folder)) for path in files_of(named, folder, "key", **options)]


def test_one_file_several_patterns_and_folders(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", "s/part-10.parquet", "s/part-2.parquet", "s/deep/b.csv", "x[1].csv", "s/.hidden.csv")
    assert found("a.parquet", tmp_path) == ["a.parquet"]
    assert files_of(str(tmp_path / "a.parquet"), Path("/nowhere"), "key") == [tmp_path / "a.parquet"]
    assert found("s/part-*.parquet", tmp_path) == ["s/part-2.parquet", "s/part-10.parquet"]
    assert found(f"{tmp_path}/s/part-?.parquet", tmp_path) == ["s/part-2.parquet"]
    assert found("**/*.csv", tmp_path) == ["s/deep/b.csv", "x[1].csv"]
    assert found("x[1].csv", tmp_path) == ["x[1].csv"]  # the file of that name, not x1.csv
    assert found(["x[1].csv", "s/part-*"], tmp_path) == ["x[1].csv", "s/part-2.parquet", "s/part-10.parquet"]


def test_what_is_no_shard_is_left_aside(tmp_path: Path) -> None:
    put(tmp_path, *(f"t/part-0000{i}.snappy.parquet" for i in range(3)))
    put(tmp_path, *(f"t/{name}" for name in ("_SUCCESS", "_metadata", ".part-00000.crc", "README.md", "LICENSE")))
    put(tmp_path, "t/dataset_infos.json", "t/_temporary/part-00009.parquet", "t/notes.md")
    assert found("t", tmp_path) == [f"t/part-0000{i}.snappy.parquet" for i in range(3)]
    put(tmp_path, "hadoop/part-00000", "hadoop/_SUCCESS")
    assert found("hadoop", tmp_path) == ["hadoop/part-00000"]


@pytest.mark.parametrize(
    ("named", "rule"),
    [
        ("trian.parquet", r"'trian\.parquet': there is no such file in .*; the nearest there: train\.parquet"),
        ("mixt/a.csv", r"'mixt/a\.csv': there is no such file in .*; the nearest there: mixed"),
        ("train-*.csv", "there is no such file in"),
        ("mixed", r"files of several forms, such as a\.csv, b\.parquet: name those meant with a pattern"),
        ("mixed/*", "files of several forms"),
        ("hub", r"hub has files of test, train: name those of one, such as hub/train-\*"),
        ("nested", "nested has folders: test, train: name one, or the files with a pattern"),
        ("empty", "empty has no file of a table: there is nothing"),
        (["train.parquet", "tr*.parquet"], r"train\.parquet is named twice"),
        ([], "at least one file"),
        ("a\0b", "refused|no such file"),
        ("x" * 300, "refused|no such file"),
        ("fifo", "neither a file nor a folder"),
        ({}, "at least one column"),
        ({"x": "train.parquet"}, r"\.x: 'train\.parquet' is refused: a \.npy file of one array"),
    ],
)
def test_names_that_lead_to_no_table_or_to_several(named: Any, rule: str, tmp_path: Path) -> None:
    put(tmp_path, "train.parquet", "mixed/a.csv", "mixed/b.parquet", "nested/train/a.csv", "nested/test/a.csv")
    put(tmp_path, "hub/train-00000-of-00001.parquet", "hub/test-00000-of-00001.parquet")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match=rf"^key.*({rule})"):
        files_of(named, tmp_path, "key")


def test_links(tmp_path: Path) -> None:
    """As the cache of the Hugging Face hub has them, which lead to its blobs."""
    put(tmp_path, "blobs/0123.parquet", "snapshot/a.parquet")
    (tmp_path / "snapshot" / "b.parquet").symlink_to("../blobs/0123.parquet")
    for named in ("snapshot", "snapshot/*"):
        with pytest.raises(InputError, match=r"b\.parquet is refused: a link that leads out of the folder"):
            files_of(named, tmp_path, "key")
        assert found(named, tmp_path, links=True) == ["snapshot/a.parquet", "snapshot/b.parquet"]
    assert found("snapshot/b.parquet", tmp_path) == ["snapshot/b.parquet"]  # named itself
    (tmp_path / "snapshot" / "b.parquet").unlink()
    (tmp_path / "snapshot" / "c.parquet").symlink_to("a.parquet")  # stays inside
    assert found("snapshot", tmp_path) == ["snapshot/a.parquet", "snapshot/c.parquet"]
    (tmp_path / "snapshot" / "d.parquet").symlink_to("gone")
    for named in ("snapshot", "snapshot/d.parquet", "snapshot/*"):
        with pytest.raises(InputError, match=r"d\.parquet is a link to nothing"):
            files_of(named, tmp_path, "key", links=True)


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    put(tmp_path, "t/label=a/x.parquet")
    (tmp_path / "t" / "label=b").symlink_to(".")
    with pytest.raises(InputError, match="is a link to a folder it is in"):
        files_of("t", tmp_path, "key")


def test_folders_named_for_a_value_are_columns(tmp_path: Path) -> None:
    put(tmp_path, "t/label=cat%2Fdog/fold=10/p.parquet", "t/label=cat/fold=9/p.parquet")
    put(tmp_path, "t/label=__HIVE_DEFAULT_PARTITION__/fold=9/q.parquet", x=[7, 8])
    for named in ("t", "t/label=*/fold=*/*.parquet", "t/label=*"):
        with open_table(files_of(named, tmp_path, "key")) as table:
            found = sorted(zip(*table.read(["x", "fold", "label"]).to_pydict().values(), strict=True))
            assert found == [(0, 10, "cat/dog"), (1, 9, "cat"), (7, 9, None), (8, 9, None)]
            assert table.read(["fold"]).num_rows == 4
            assert sorted(table.batches(["label"], 1).__next__().to_pydict()) == ["label"]
    put(tmp_path, "c.parquet")
    with (
        open_table(files_of(["c.parquet", "t"], tmp_path, "key")) as table,
        pytest.raises(InputError, match=r"c\.parquet: has no column 'label', which others have"),
    ):
        table.require(["label"], "key")
    with open_table(files_of("t/label=cat", tmp_path, "key")) as table:
        assert table.read(["label", "x"]).to_pydict() == {"label": ["cat"], "x": [1]}


def test_shards_are_one_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2], "label": ["a", "b"], "n": pa.nulls(2)}), tmp_path / "t-0.parquet")
    pq.write_table(
        pa.table({"x": pa.array([], pa.int64()), "label": pa.array([], pa.string()), "n": pa.nulls(0)}),
        tmp_path / "t-1.parquet",
    )
    pq.write_table(
        pa.table({"label": pa.array(["c"]).dictionary_encode(), "n": [5], "x": [0.5]}), tmp_path / "t-2.parquet"
    )
    with open_table(files_of("t-*.parquet", tmp_path, "key")) as table:
        assert (table.rows, table.names) == (3, ("x", "label", "n"))
        assert table.read(["n", "x", "label"]).to_pydict() == {
            "n": [None, None, 5],
            "x": [1, 2, 0.5],
            "label": [*"abc"],
        }
        assert table.schema.field("x").type == pa.float64()
        assert [table.place(row) for row in (0, 1, 2)] == [
            f"{tmp_path}/t-0.parquet, row 0",
            f"{tmp_path}/t-0.parquet, row 1",
            f"{tmp_path}/t-2.parquet, row 0",
        ]
        assert len(set(table.digests(tmp_path / "cache"))) == 3


def test_shards_that_do_not_fit_together(tmp_path: Path) -> None:
    put(tmp_path, "a.parquet", x=[1], label=[1], only=[1])
    put(tmp_path, "b.parquet", x=["1"], label=[2])
    with open_table(files_of("*.parquet", tmp_path, "key")) as table:
        assert table.read(["label"]).to_pydict() == {"label": [1, 2]}
        different = (
            r"key: 'x' is refused: column 'x' is of different types: int64 in .*a\.parquet, string in .*b\.parquet"
        )
        with pytest.raises(InputError, match=different):
            table.require(["x"], "key")
        with pytest.raises(InputError, match=r"b\.parquet: has no column 'only', which others have"):
            table.require(["only"], "key")


def test_names_of_classes_that_look_like_numbers_in_some_shards(tmp_path: Path) -> None:
    for i, label in enumerate(("100", "007", "cat")):
        (tmp_path / f"{i}.csv").write_text(f"x,label\n{i}.5,{label}\n")
    with open_table(files_of("*.csv", tmp_path, "key")) as table:
        assert table.read(["label", "x"]).to_pydict() == {"label": ["100", "007", "cat"], "x": [0.5, 1.5, 2.5]}


def save_to_disk(folder: Path, shards: int, **state: Any) -> None:
    """Write a data set as `datasets` saves it: streams, and what it says of them (version 4)."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{shards:05d}.arrow" for i in range(shards)]
    for i, name in enumerate(names):
        table = pa.table({"x": [i], "label": [i % 2]}).replace_schema_metadata(FEATURES)
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    about: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": "0",
        "_split": "train",
    }
    about |= {"_format_columns": None, "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False}
    (folder / "state.json").write_text(json.dumps(about | state, indent=2, sort_keys=True))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {"label": LABEL}}))


def test_data_set_saved_by_hugging_face(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "photos" / "train", 12)
    save_to_disk(tmp_path / "photos" / "test", 1)
    (tmp_path / "photos" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    with pytest.raises(
        InputError, match="photos is a data set of several parts: name one of them: photos/train, photos/test"
    ):
        files_of("photos", tmp_path, "key")
    with open_table(files_of("photos/train", tmp_path, "key")) as table:
        assert table.read(["x"])["x"].to_pylist() == list(range(12))
        assert table.class_names == {"label": ("cat", "dog")}
    save_to_disk(tmp_path / "old", 1, _indices_files=[{"filename": "indices.arrow"}])
    save_to_disk(tmp_path / "evil", 1, _data_files=[{"filename": "../photos/test/data-00000-of-00001.arrow"}])
    save_to_disk(tmp_path / "gone", 1, _data_files=[{"filename": "gone.arrow"}])
    for name, rule in (
        ("old", "a selection of another: .*flatten_indices"),
        ("evil", "damaged: its _data_files"),
        ("gone", "gone.arrow is missing"),
    ):
        with pytest.raises(InputError, match=rule):
            files_of(name, tmp_path, "key")


def test_names_of_classes_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1], "label": [0]}).replace_schema_metadata(FEATURES), tmp_path / "a.parquet")
    other = {b"huggingface": FEATURES[b"huggingface"].replace(b"dog", b"fox")}
    pq.write_table(pa.table({"x": [1], "label": [0]}).replace_schema_metadata(other), tmp_path / "b.parquet")
    pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({b"huggingface": b"[[{"}), tmp_path / "c.parquet")
    with open_table(files_of("a.parquet", tmp_path, "key")) as table:
        assert table.class_names == {"label": ("cat", "dog")}
    with open_table(files_of("c.parquet", tmp_path, "key")) as table:
        assert table.class_names == {}
    with (
        open_table(files_of(["a.parquet", "b.parquet"], tmp_path, "key")) as table,
        pytest.raises(InputError, match=r"b\.parquet has the classes \['cat', 'fox'\], those before \['cat', 'dog'\]"),
    ):
        table.require(["label"], "key")

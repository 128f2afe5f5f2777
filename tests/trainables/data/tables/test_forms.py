"""The same table in every form that people have it reads back the same, and whole."""

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv, feather

from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.errors import InputError

ROWS = 300
RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        "n": pa.array([None if i == 7 else i for i in range(ROWS)], pa.int64()),
        "x": RNG.normal(size=ROWS),
        "label": [f"{i % 3:03d}" for i in range(ROWS)],
        "name": [None if i == 5 else ("NA", 'a "b", c', "ü\nö")[i % 3] for i in range(ROWS)],
        "known": [i % 2 == 0 for i in range(ROWS)],
    }
)


def read(path: Path, *columns: str, what: str = "train") -> dict[str, list[Any]]:
    """The table in a file, whole and in batches, which are the same."""
    with open_table(files_of(str(path), path.parent, "key"), what) as table:
        names = list(columns or table.names)
        whole = table.read(names)
        assert whole.schema.types == [table.schema.field(name).type for name in names]
        batches = list(table.batches(names, 7))
        assert all(batch.num_rows <= 7 for batch in batches)
        assert pa.Table.from_batches(batches, whole.schema).equals(whole.combine_chunks())
        assert table.require(names, "key").rows == len(whole)
        found: dict[str, list[Any]] = whole.to_pydict()
        return found


def as_csv(table: pa.Table = TABLE, delimiter: str = ",") -> str:
    file = io.BytesIO()
    csv.write_csv(table, file, csv.WriteOptions(delimiter=delimiter))
    return file.getvalue().decode()


def as_lines(table: pa.Table = TABLE) -> str:
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist())


def as_arrow(table: pa.Table = TABLE, stream: bool = False, **options: Any) -> bytes:
    file = io.BytesIO()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(file, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=100)
    return file.getvalue()


def as_parquet(table: pa.Table = TABLE, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def as_feather(**options: Any) -> bytes:
    file = io.BytesIO()
    feather.write_feather(TABLE, file, **options)
    return file.getvalue()


def categories() -> pa.Table:
    """As pandas writes a column of categories."""
    return TABLE.set_column(2, "label", TABLE["label"].dictionary_encode())


def views() -> pa.Table:
    """As polars writes texts."""
    return TABLE.set_column(2, "label", TABLE["label"].cast(pa.string_view()))


FORMS: dict[str, Callable[[], bytes]] = {
    **{f"{c}.parquet": partial(as_parquet, compression=c) for c in ("none", "snappy", "gzip", "zstd", "brotli")},
    "no-ending": as_parquet,
    "categories.parquet": lambda: as_parquet(categories()),
    "a.arrow": as_arrow,
    "data-00000-of-00001.arrow": lambda: as_arrow(stream=True),
    "lz4.arrow": lambda: as_arrow(stream=True, compression="lz4"),
    "zstd.arrow": lambda: as_arrow(compression="zstd"),
    "categories.arrow": lambda: as_arrow(categories()),
    "views.arrow": lambda: as_arrow(views()),
    "views-zstd.arrow": lambda: as_arrow(views(), compression="zstd"),
    "a.feather": as_feather,
    "zstd.feather": lambda: as_feather(compression="zstd"),
    "a.csv": lambda: as_csv().encode(),
    "semicolon.csv": lambda: as_csv(delimiter=";").encode(),
    "bar.csv": lambda: as_csv(delimiter="|").encode(),
    "a.tsv": lambda: as_csv(delimiter="\t").encode(),
    "bom.csv": lambda: as_csv().encode("utf-8-sig"),
    "utf-16.txt": lambda: as_csv(delimiter="\t").encode("utf-16"),
    "sep.csv": lambda: b"sep=;\r\n" + as_csv(delimiter=";").encode(),
    "blank.csv": lambda: as_csv().encode() + b"\n\n\r\n",
    "no-newline.csv": lambda: as_csv().encode().rstrip(b"\n"),
    "a.csv.gz": lambda: gzip.compress(as_csv().encode()),
    "twice.csv.gz": lambda: gzip.compress(as_csv()[:999].encode()) + gzip.compress(as_csv()[999:].encode()),
    "a.csv.bz2": lambda: bz2.compress(as_csv().encode()),
    "a.csv.xz": lambda: lzma.compress(as_csv().encode()),
    "a.csv.zst": lambda: pa.Codec("zstd").compress(as_csv().encode(), asbytes=True),
    "a.jsonl": lambda: as_lines().encode(),
    "a.jsonl.gz": lambda: gzip.compress(as_lines().encode()),
    "a.json": lambda: json.dumps(TABLE.to_pylist()).encode(),
    "indented.json": lambda: json.dumps(TABLE.to_pylist(), indent=2, ensure_ascii=False).encode("utf-8-sig"),
    "gaps.jsonl": lambda: b"\n".join(
        json.dumps({k: v for k, v in row.items() if v is not None}).encode() for row in TABLE.to_pylist()
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_table_is_the_same_in_every_form(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FORMS[name]())
    assert read(tmp_path / name) == TABLE.to_pydict()


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_lines_end_in_any_way(ends: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(as_csv().replace("\n", ends).encode())
    assert read(tmp_path / "a.csv") == TABLE.to_pydict()


def test_csv_of_many_blocks_is_read_whole(tmp_path: Path) -> None:
    """What a column is shows in its last row alone, far from the first block."""
    rows = 400_000
    lines = "".join(f"{i},{i},{i % 7},text {i}\n" for i in range(rows))
    (tmp_path / "a.csv").write_text(f"a,b,c,d\n{lines}0.5,x,3,y\n")
    with open_table([tmp_path / "a.csv"]) as table:
        assert [str(kind) for kind in table.schema.types] == ["double", "string", "int64", "string"]
        assert table.first_text("b") == (rows, "x")
        found = table.read(["b", "a"])
        assert found["a"].to_numpy().sum() == rows * (rows - 1) / 2 + 0.5
        assert found["b"].to_pylist() == [*map(str, range(rows)), "x"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["1", "", "3"], [1, None, 3]),
        ([" 1", "2 ", "NA"], [1, 2, None]),
        (["1", "2.5", "nan"], [1.0, 2.5, None]),
        (["1e3", "-.5", "+2."], [1000.0, -0.5, 2.0]),
        (["-0", "0", "5"], [0, 0, 5]),
        (["007", "8", "9"], ["007", "8", "9"]),
        (["1", "2.5", "03"], ["1", "2.5", "03"]),
        (["0x10", "1", "2"], ["0x10", "1", "2"]),
        (["18446744073709551616", "1", "2"], ["18446744073709551616", "1", "2"]),
        (["18446744073709551616", "1.5", "2"], ["18446744073709551616", "1.5", "2"]),
        (["1e400", "1", "2"], ["1e400", "1", "2"]),
        (["inf", "1", "2"], ["inf", "1", "2"]),
        (['"1,234.5"', "1", "2"], ["1,234.5", "1", "2"]),
        (["1_000", "1", "2"], ["1_000", "1", "2"]),
        (["NA", "x", ""], ["NA", "x", None]),
        (["NA", "", "NA"], [None, None, None]),
        (["True", "False", ""], [True, False, None]),
        (["true", "1", "0"], ["true", "1", "0"]),
        (["cat", " cat", '"cat"'], ["cat", " cat", "cat"]),
    ],
)
def test_what_a_column_of_csv_is(written: list[str], expected: list[Any], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n" + "".join(f"{value},x\n" for value in written))
    found = read(tmp_path / "a.csv")["a"]
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a;b\n1,5;2\n-0,25;3\n", {"a": [1.5, -0.25], "b": [2, 3]}),
        ("a;b\n1.5;2\n", {"a": [1.5], "b": [2]}),
        ("a;b\n1,5;1.234\n", {"a": [1.5], "b": ["1.234"]}),  # a thousand and more
        ("a;b;c\n1,5;1.234;3.10\n", {"a": [1.5], "b": ["1.234"], "c": [3.1]}),
        ("a;b\n1,935;12.57\n", {"a": ["1,935"], "b": [12.57]}),
        ("a;b\n1,935;7\n950;8\n", {"a": ["1,935", "950"], "b": [7, 8]}),
        ("a;b\n1.935;7\n950;8\n", {"a": ["1.935", "950"], "b": [7, 8]}),
        ("a;b\n1,935;7\n0,2;8\n", {"a": [1.935, 0.2], "b": [7, 8]}),  # 0,2 tells what the comma is
        ("a;b\n1,935;7,5\n2,125;8\n", {"a": [1.935, 2.125], "b": [7.5, 8.0]}),  # and so does 7,5
        ("a;b\n1,5;2\n2.5;3\n", {"a": ["1,5", "2.5"], "b": [2, 3]}),
        ("a\tb\n1,5\t2\n", {"a": [1.5], "b": [2]}),
        ("a\tb\n1,234\t2\n", {"a": ["1,234"], "b": [2]}),  # American thousands or not: no one knows
    ],
)
def test_decimal_commas(content: str, expected: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert read(tmp_path / "a.csv") == expected


def test_a_wide_csv(tmp_path: Path) -> None:
    """As genes are stored: 2,000 columns, of which one is no number in its last row."""
    numbers = RNG.normal(size=(30, 2_000)).round(3)
    rows = [",".join(map(str, row)) for row in numbers.tolist()]
    (tmp_path / "a.csv").write_text("\n".join([",".join(f"g{i}" for i in range(2_000)), *rows, "x" + ",1" * 1_999]))
    with open_table([tmp_path / "a.csv"]) as table:
        kinds = [str(kind) for kind in table.schema.types]
        assert (kinds[0], set(kinds[1:])) == ("string", {"double"})
        assert table.read(["g1999"])["g1999"].to_pylist() == [*numbers[:, -1], 1]


def test_dates_are_times(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("t\n2024-02-29\n2024-03-01 12:00\n")
    with open_table([tmp_path / "a.csv"]) as table:
        assert table.schema.field("t").type == pa.timestamp("ns")
        assert table.read(["t"])["t"].cast(pa.int64()).to_pylist() == [1709164800 * 10**9, 1709294400 * 10**9]


WRONG: list[tuple[str, bytes, str]] = [
    ("a.csv", b"a,b\n1,2\n3,4,5\n", r"a\.csv, line 3: its values are 3, those of the heading 2"),
    ("a.csv", b'a,b\n"1\n\n",2\n3\n', r"a\.csv, line 5: its values are 1, those of the heading 2"),
    ("a.csv", b'a,b\n1,"2\n3,4\n', r"a\.csv: damaged: a quotation that is opened is not closed"),
    ("a.csv", "a,b\n1,Köln\n".encode("latin-1"), r"no UTF-8: byte 0xf6 after '.*K': save it as UTF-8"),
    ("a.csv", "a,b\n1,2\n".encode("utf-16-le"), r"holds characters 0: .*UTF-16 without the mark"),
    ("a.csv", b"", r"a\.csv: is empty"),
    ("a.csv", b"\n\n", r"a\.csv: no heading"),
    ("a.csv", b"a,b\n", r"is empty: a row for every example"),
    ("a.csv.gz", gzip.compress(b"a,b\n1,2\n")[:-5], r"a\.csv\.gz: damaged"),
    ("a.csv.xz", lzma.compress(b"a,b\n" + b"1,2\n" * 99)[:-40], r"a\.csv\.xz: damaged"),
    ("a.csv.gz", gzip.compress(as_parquet()), "Parquet packed with gzip: unpack it first"),
    ("a.jsonl", b'{"a": 1}\n{"a": 2', r"a\.jsonl, row 1: no JSON"),
    ("a.jsonl", b'{"a": 1}\n[2]\n', r"row 1: \[2\]: a table in JSON is one object a row"),
    ("a.jsonl", b'{"a": 1, "a": 2}\n', r"row 0: has more than once the name 'a'"),
    ("a.json", b'[{"a": 1}', "its array is not closed"),
    ("a.json", b'[{"a": 1}] [', "more after the end of its array"),
    ("a.json", b'{"a": {"0": 1, "1": 2}}', r"one object, .*orient='records'"),
    ("a.json", b'{"a": [1, 2], "b": [3, 4]}', r"one object, .*orient='records'"),
    ("a.parquet", as_parquet()[:-9], r"a\.parquet: damaged"),
    ("a.parquet", b"<!DOCTYPE html><html>", "a web page: download the file itself"),
    ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ("a.parquet", b"nothing", "damaged, or no Parquet file"),
    ("a.arrow", as_arrow(stream=True)[:-8], "it has no end"),
    ("a.arrow", as_arrow()[:-8], "damaged"),
    ("a.feather", b"FEA1" + bytes(60), "before 2020: .*write it as Parquet"),
    ("a.xlsx", b"PK\x05\x06" + bytes(18), "an archive: unpack it"),
    ("a.xls", b"\xd0\xcf\x11\xe0" + bytes(600), "save the sheet as CSV UTF-8"),
    ("a.pkl", b"\x80\x04N.", "a pickle, which can run any program"),
    ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(8), "HDF5: write it as Parquet or CSV"),
    ("a.sqlite", b"SQLite format 3\0" + bytes(8), "export the table as CSV"),
    ("a.tar", bytes(257) + b"ustar" + bytes(250), "unpack it"),
]


@pytest.mark.parametrize(("name", "content", "rule"), WRONG, ids=[f"{i}-{name}" for i, (name, *_) in enumerate(WRONG)])
def test_what_is_no_table_is_refused_with_advice(name: str, content: bytes, rule: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rule) as refused:
        read(tmp_path / name)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_names_of_columns_that_are_missing_or_stand_twice(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",a,b,b,lable\n0,1,2,3,4\n")
    (tmp_path / "b.csv").write_text("5.1,3.5,setosa\n4.9,3.0,setosa\n")
    with open_table([tmp_path / "a.csv"]) as table:
        assert table.read(["", "a"]).to_pydict() == {"": [0], "a": [1]}  # as pandas writes its index
        with pytest.raises(InputError, match=r"^key: 'b' is refused: .*a\.csv: has more than once the column 'b'"):
            table.require(["a", "b"], "key")
        with pytest.raises(
            InputError, match=r"no column 'label': its columns are , a, lable, b; the nearest is 'lable'"
        ):
            table.require(["label"], "key")
    with (
        open_table([tmp_path / "b.csv"]) as table,
        pytest.raises(
            InputError, match=r"no column 'label': .*its first line holds values: write a line with the names"
        ),
    ):
        table.require(["label"], "key")


def test_columns_of_json_that_are_of_no_one_type_are_refused_where_they_are_asked_for(tmp_path: Path) -> None:
    rows = [{"a": i, "b": i, "c": {"d": i}, "e": [i, i / 2], "f": 2**70} for i in range(5000)]
    rows[4999]["b"] = "x"
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with open_table([tmp_path / "a.jsonl"]) as table:
        assert table.names == ("a", "e")
        assert table.read(["e"])["e"].to_pylist() == [[i, i / 2] for i in range(5000)]
        for column, rule in (("b", "column 'b', "), ("c", "an object inside the row"), ("f", "too large")):
            with pytest.raises(InputError, match=rf"key: '{column}' is refused: .*{rule}"):
                table.require([column], "key")


def test_pictures_and_vectors_of_parquet_and_arrow(tmp_path: Path) -> None:
    blobs = [{"bytes": RNG.bytes(50), "path": f"{i}.png"} for i in range(20)]
    vectors = RNG.normal(size=(20, 4)).astype(np.float32)
    table = pa.table(
        {
            "img": blobs,
            "plain": [blob["bytes"] for blob in blobs],
            "list": pa.array(list(vectors)),
            "fixed": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 4),
            "Sepal.Length": np.arange(20),
        }
    )
    (tmp_path / "a.parquet").write_bytes(as_parquet(table))
    (tmp_path / "a.arrow").write_bytes(as_arrow(table, stream=True))
    for name in ("a.parquet", "a.arrow"):
        assert read(tmp_path / name) == table.to_pydict()
        with open_table([tmp_path / name]) as opened:
            assert opened.schema.types == table.schema.types

"""Columns of a user's table beside a list of suspects, in each form of a file."""

import csv
import io
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.search.report.suspects.test_cleaning import CSV, folders, suspects
from tosmooth.search.report.suspects.files import SCHEMA
from tosmooth.search.report.suspects.own_columns import check_columns, own_columns
from tosmooth.search.report.suspects.rendered import render
from tosmooth.trainables.config import TableSource
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

__all__ = ["folders"]
SOURCE = TableSource(train="train.csv", features=("width",), label="animal")
COMPLETE = {
    "study": "mine",
    "arm": "CE",
    "parameters": {},
    "seeds": [0],
    "rows": 4,
    "training_rows": 3,
    "validation_rows": 1,
    "folds": 2,
    "quality": None,
    "notes": [],
}


def written(format: str, folders: Folders, *names: str) -> str | bytes:
    (folders.data / "train.csv").write_text(CSV, encoding="utf-8")
    found = suspects(["cat", "dog", "cat", "dog"])
    found.about.update(COMPLETE)
    return render(found, format, 3, None, partial(own_columns, SOURCE, folders, names))


def test_a_csv_has_them_behind_the_row_as_they_are_written(folders: Folders) -> None:
    text = written("csv", folders, "id", "note", "id")
    assert isinstance(text, str)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0])[:5] == ["rank", "row", "id", "note", "place"]
    assert [(row["row"], row["id"], row["note"]) for row in rows] == [
        ("3", "010", "é"),
        ("2", "009", ""),
        ("1", "008", 'he said "hi"'),
    ]


def test_a_page_escapes_them_and_a_spreadsheet_takes_none_for_a_formula(folders: Folders) -> None:
    (folders.data / "train.csv").write_text("note,animal\n<b>x</b>,cat\n=1+1,dog\n,cat\n\n", encoding="utf-8")
    own = partial(own_columns, SOURCE, folders, ["note"])
    found = suspects(["cat", "dog", "cat"])
    found.about.update(COMPLETE)
    page, text = render(found, "html", None, None, own), render(found, "csv", None, None, own)
    assert isinstance(page, str)
    assert isinstance(text, str)
    assert '<th scope="col">note</th>' in page
    assert "<td>&lt;b&gt;x&lt;/b&gt;</td>" in page
    assert "<b>x" not in page
    assert "'=1+1" in text


def test_parquet_keeps_both_and_a_name_of_the_list_s_gets_a_mark(folders: Folders) -> None:
    content = written("parquet", folders, "width")
    assert isinstance(content, bytes)
    table = pq.read_table(pa.BufferReader(content))
    assert table.column_names == [*SCHEMA.names[:2], "width", *SCHEMA.names[2:]]
    assert table["width"].to_pylist() == ["4", "3,5", "2"]
    (folders.data / "train.csv").write_text("row,given,animal\n5,a,cat\n6,b,dog\n7,c,cat\n8,d,dog\n", encoding="utf-8")
    found = suspects(["cat", "dog", "cat", "dog"])
    both = own_columns(SOURCE, folders, ["row", "given"], found.table)
    assert both.to_pydict() == {"row_": ["8", "7", "6", "5"], "given_": ["d", "c", "b", "a"]}


def test_a_column_that_is_not_there_is_named(folders: Folders) -> None:
    (folders.data / "train.csv").write_text(CSV, encoding="utf-8")
    with pytest.raises(InputError, match=r"--column: .*train\.csv has no column 'ID'"):
        check_columns(SOURCE, folders, ["ID"])

"""Gaps in columns of features: what stands there, in training, test and new rows, beside scikit-learn's imputer."""

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer

from tests.trainables.conftest import Save
from tosmooth.trainables.config import AllBut, DataConfig, TableSource
from tosmooth.trainables.data.columns import Fitted, features_of
from tosmooth.trainables.data.own_data import own_data
from tosmooth.trainables.data.preprocessing import Preprocessing
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.inference.inputs import raw_inputs
from tosmooth.trainables.inference.reading import read_new

NAN = float("nan")


def place(row: int) -> str:
    return f"row {row}"


def imputed(table: dict[str, Any], fitted: Fitted | None = None) -> tuple[NDArray[np.float32], Fitted]:
    return features_of(pa.table(table), place, fitted, "onehot", "median")


def made(fitted: Fitted) -> Preprocessing:
    """Read again what a file of weights keeps."""
    kept = Preprocessing(classes=("a", "b"), shape=(len(fitted.names),), columns=fitted.columns)
    return Preprocessing.from_json(kept.to_json())


def test_numbers_are_as_scikit_learn_imputes_them() -> None:
    random = np.random.default_rng(0)
    values = random.normal(100, 3, (50, 3))
    values[random.random((50, 3)) < [0.2, 0.0, 0.1]] = np.nan
    new = np.array([[np.nan, np.nan, np.nan], [1.0, 2.0, 3.0]])
    theirs = SimpleImputer(strategy="median", add_indicator=True).fit(values)
    found, fitted = imputed(dict(zip("abc", values.T, strict=True)))
    assert fitted.names == ("a", "a=missing", "b", "c", "c=missing")
    order = [0, 3, 1, 2, 4]  # theirs has what says where there are gaps behind all others
    np.testing.assert_allclose(found, theirs.transform(values)[:, order], rtol=1e-6)
    tested, _ = imputed(dict(zip("abc", new.T, strict=True)), fitted)
    np.testing.assert_allclose(tested, theirs.transform(new)[:, order], rtol=1e-6)
    # An array has its columns by their places.
    np.testing.assert_array_equal(raw_inputs(new, made(fitted)).numpy(), tested)
    np.testing.assert_array_equal(raw_inputs(torch.from_numpy(new), made(fitted)).numpy(), tested)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([3, None, 5, 4], [[3, 0], [4, 1], [5, 0], [4, 0]]),
        ([True, None, True], [[1, 0], [1, 1], [1, 0]]),
        ([Decimal("0.5"), None], [[0.5, 0], [0.5, 1]]),
        ([datetime.time(0, 1), None, datetime.time(0, 3)], [[60, 0], [120, 1], [180, 0]]),
        (["7", "?", " 9", "8"], [[7, 0], [8, 1], [9, 0], [8, 0]]),
        (["7", "-", "NA", None], [[7, 0], [7, 1], [7, 1], [7, 1]]),
        (pa.array([1, None, 1]).dictionary_encode(), [[1, 0], [1, 1], [1, 0]]),
        (pa.array([1.0, NAN, None, 2.0, 4.0], pa.float32()), [[1, 0], [2, 1], [2, 1], [2, 0], [4, 0]]),
    ],
    ids=["whole", "bool", "decimal", "time", "question mark", "other marks", "dictionary", "nan"],
)
def test_a_gap_in_any_column_of_numbers_is_the_median_and_is_indicated(column: Any, expected: Any) -> None:
    found, fitted = imputed({"a": column})
    assert found.tolist() == expected
    assert fitted.names == ("a", "a=missing")
    assert fitted.gaps == (("a", sum(int(gap) for _, gap in expected)),)


def test_large_numbers_count_from_an_origin_and_a_gap_is_their_median() -> None:
    found, _ = imputed({"a": pa.array([2**53 + 1, None, 2**53 + 3, 2**53 + 5])})
    assert (found[:, 0] - found[0, 0]).tolist() == [0, 2, 2, 4]


def test_dates_count_from_their_mean_and_a_gap_is_their_median() -> None:
    days = [datetime.datetime(2024, 1, day) for day in (1, 2, 9)]
    found, _ = imputed({"when": [*days, None]})
    assert found[3].tolist() == [found[1, 0], 1]
    assert found[2, 0] - found[0, 0] == 8 * 86400


@pytest.mark.parametrize("encode", [False, True])
def test_text_without_a_value_is_no_category_and_no_unknown_one(encode: bool) -> None:
    def texts(*values: str | None) -> pa.Array:
        column = pa.array(values, pa.string())
        return column.dictionary_encode() if encode else column

    found, fitted = imputed({"a": texts("x", None, "y")})
    assert (found.tolist(), fitted.names) == ([[1, 0], [0, 0], [0, 1]], ("a=x", "a=y"))
    tested, said = imputed({"a": texts(None, "z", "x")}, fitted)
    assert (tested.tolist(), said.unseen, said.gaps) == ([[0, 0], [0, 0], [1, 0]], 1, (("a", 1),))


def test_gaps_of_new_rows_alone_are_filled_without_a_feature_more() -> None:
    _, fitted = imputed({"a": [1.0, 2.0, 6.0], "b": ["x", "y", "x"]})
    assert fitted.names == ("a", "b=x", "b=y")
    assert imputed({"a": [None, 3.0], "b": [None, "y"]}, fitted)[0].tolist() == [[2, 0, 0], [3, 0, 1]]
    # A row that lacks all of it, as one alone may: its columns have no type.
    assert imputed({"a": pa.nulls(1), "b": pa.nulls(1)}, fitted)[0].tolist() == [[2, 0, 0]]


def test_weights_of_before_have_no_gaps() -> None:
    _, fitted = features_of(pa.table({"a": [1.0, 2.0]}), place)
    kept = json.loads(made(fitted).to_json())
    for column in kept["columns"]:
        del column["fill"], column["indicated"]
    assert Preprocessing.from_json(json.dumps(kept)) == made(fitted)
    with pytest.raises(InputError, match="nan is refused"):
        raw_inputs(np.array([[NAN]]), made(fitted))


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        ([None, None], "row 0, column 'a': is empty in all rows: leave the column out"),
        (pa.array([None, None], pa.string()), "row 0, column 'a': is empty in all rows: leave the column out"),
        ([[1.0], None], r"row 1, column 'a': is empty: fill it, or leave out the row$"),
        ([[1.0], [None]], r"row 1, column 'a'\[0\]: is empty: fill it, or leave out the row$"),
        ([1.0, float("inf")], "inf is refused: a finite number"),
    ],
)
def test_what_no_median_can_stand_for_is_refused(column: Any, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        imputed({"a": column})


def test_without_it_a_gap_is_refused_with_what_would_fill_it() -> None:
    with pytest.raises(InputError, match=r"row 1, column 'a': is empty: .*or take `impute: median`$"):
        features_of(pa.table({"a": [1.0, None]}), place)


def test_a_study_s_table_says_how_many_values_are_missing(folders: Folders, save: Save) -> None:
    labels = ["x", "y"] * 30
    save(folders.data / "train.parquet", a=[*map(float, range(58)), None, None], b=[1.0] * 60, label=labels)
    save(folders.data / "test.parquet", a=[1.0] * 60, b=[*[2.0] * 59, None], label=labels)
    source = TableSource(
        train="train.parquet", test="test.parquet", features=AllBut(all_but=()), label="label", impute="median"
    )
    found = own_data(DataConfig(dataset="mine", noise="given", table=source), folders)
    assert found.remarks == (
        "2 missing values imputed: a",
        "test set: 1 missing value imputed: b",
    )
    assert found.train.inputs[-1].tolist() == [28.5, 1.0, 1.0]
    assert found.test is not None
    assert found.test.inputs[-1].tolist() == [1.0, 0.0, 1.0]


def test_only_features_are_imputed() -> None:
    with pytest.raises(InputError, match=r"dataset\.table\.impute: 'median' is refused: for features alone"):
        TableSource(train="photos", impute="median")


def test_new_rows_of_a_file_are_read_alike(tmp_path: Path) -> None:
    _, fitted = imputed({"a": [1.0, None, 3.0], "b": ["x", "y", None]})
    (tmp_path / "new.csv").write_text("a,b\n?,x\n5,\n", encoding="utf-8")
    ((_, values),) = read_new(tmp_path / "new.csv", made(fitted), "DATA").blocks
    assert values.tolist() == [[2, 1, 1, 0], [5, 0, 0, 0]]

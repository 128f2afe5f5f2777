"""Labels of any kind become classes in an order that stays, and what is no label is refused."""

import datetime
import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tosmooth.trainables.data.labels import (
    alike,
    check_labels,
    class_names,
    majority,
    named,
    numbered,
    picked,
    votes_of,
)
from tosmooth.trainables.errors import InputError


def read(values: Any, *missing: str, declared: tuple[str, ...] = ()) -> tuple[tuple[str, ...], list[int]]:
    """Classes of one column, and the number of each row's."""
    column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([pa.array(values)])
    found = named(column, "column 'y'", lambda row: f"t.csv, row {row}", missing, declared)
    names = class_names({"column 'y'": found}, None)
    return names, numbered(found, names).tolist()


@pytest.mark.parametrize(
    ("values", "names", "numbers"),
    [
        (["dog", "cat", "dog", "fox"], ("cat", "dog", "fox"), [1, 0, 1, 2]),
        ([3, 1, 3], ("1", "3"), [1, 0, 1]),
        ([10, 9, -2], ("-2", "9", "10"), [2, 1, 0]),  # by size, as text they would be -2, 10, 9
        (["10", "9", "2"], ("2", "9", "10"), [2, 1, 0]),
        ([True, False], ("false", "true"), [1, 0]),
        ([2.0, 1.0, 2.0], ("1", "2"), [1, 0, 1]),
        (pa.array([1.0, 2.0], pa.float16()), ("1", "2"), [0, 1]),
        ([decimal.Decimal("1.00"), decimal.Decimal("2.00")], ("1", "2"), [0, 1]),
        (pa.array([2**63, 1], pa.uint64()), ("1", str(2**63)), [1, 0]),
        (pa.array(["b", "a", "b"]).dictionary_encode(), ("a", "b"), [1, 0, 1]),
        (pa.array([7, 5, 7]).dictionary_encode(), ("5", "7"), [1, 0, 1]),
        (pa.array(["b", "a"], pa.large_string()), ("a", "b"), [1, 0]),
        (pa.array(["b", "a"], pa.string_view()), ("a", "b"), [1, 0]),
        (pa.array([b"b", b"a"]), ("a", "b"), [1, 0]),
        (["ä", "z", "日本"], ("z", "ä", "日本"), [1, 0, 2]),
        (["Beyoncé, live", "a.b c", "[x]"], ("Beyoncé, live", "[x]", "a.b c"), [0, 2, 1]),
        (["01", "1"], ("01", "1"), [0, 1]),  # two names: said in a remark
    ],
)
def test_values_of_any_kind_are_classes(values: Any, names: tuple[str, ...], numbers: list[int]) -> None:
    assert read(values) == (names, numbers)


def test_rows_without_a_label_have_none() -> None:
    assert read(["a", None, "b", ""]) == (("a", "b"), [0, -1, 1, -1])
    assert read([1.0, float("nan"), 2.0, None]) == (("1", "2"), [0, -1, 1, -1])
    assert read([-1, 0, 1, -1], "-1") == (("0", "1"), [-1, 0, 1, -1])
    assert read(["a", "unknown", "b"], "unknown", "?") == (("a", "b"), [0, -1, 1])
    assert read(["a", "b", "NA"])[0] == ("NA", "a", "b")  # a text is a text: Namibia is no missing value


def test_chunks_with_dictionaries_of_their_own_are_one_column() -> None:
    chunks = [pa.array(["b", "a"]).dictionary_encode(), pa.array(["c", "b"]).dictionary_encode()]
    assert read(pa.chunked_array(chunks)) == (("a", "b", "c"), [1, 0, 2, 1])


def test_classes_that_the_file_declares_keep_its_order() -> None:
    assert read([2, 0, -1, 0], declared=("dog", "cat", "ant")) == (("dog", "cat", "ant"), [2, 0, -1, 0])
    assert read(["cat", "dog"], declared=("dog", "cat", "ant")) == (("dog", "cat", "ant"), [1, 0])
    with pytest.raises(InputError, match=r"column 'y', t\.csv, row 1: 3 is refused: the file names 3 classes, 0 to 2"):
        read([0, 3], declared=("dog", "cat", "ant"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.5], r"column 'y', t\.csv, row 1: 2\.5 is refused: a label is text or a whole number"),
        ([1.0, float("inf")], r"row 1: inf is refused"),
        ([datetime.date(2020, 1, 1)], r"of type date32\[day\]: labels are text, whole numbers or booleans"),
        ([[1], [2]], "of type list<item: int64>: labels are text"),
        ([b"\xff", b"a"], "bytes that are no text"),
        (
            ["a", "a\nb"],
            r"row 1: 'a\\nb' is refused: a class is called by a text on one line, of at most 100 characters",
        ),
        (["a", "x" * 101], "of at most 100 characters"),
    ],
)
def test_what_is_no_label_is_refused(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(values)


def test_fewer_than_two_classes_are_refused() -> None:
    with pytest.raises(InputError, match=r"column 'y': only the class 'a': two classes or more"):
        read(["a", "a"])
    with pytest.raises(InputError, match=r"column 'y': no label at all: two classes or more"):
        read([None, None])


def column(values: Any) -> Any:
    return named(pa.chunked_array([pa.array(values)]), "y", str, ())


def test_all_columns_of_labels_share_the_classes() -> None:
    label, expert = column([1, 2, 1]), column([1.0, None, 3.0])
    names = class_names({"label": label, "expert": expert}, None)
    assert names == ("1", "2", "3")
    assert numbered(expert, names).tolist() == [0, -1, 2]
    with pytest.raises(
        InputError, match=r"test: its classes are 'cat', those of label are '1', '2': no class is in both"
    ):
        class_names({"label": label, "test": column(["cat"])}, None)


def test_an_order_that_is_given_holds() -> None:
    label = column(["b", "a"])
    assert class_names({"label": label}, ["b", "c", "a"]) == ("b", "c", "a")
    with pytest.raises(
        InputError, match=r"dataset\.table\.classes: does not have 'b', which the data have: .*; did you mean 'B'\?"
    ):
        class_names({"label": label}, ["a", "B"])


def test_an_identifier_is_no_label() -> None:
    check_labels({"y": column([*range(20)] * 2)})
    with pytest.raises(InputError, match=r"y: 40 classes in 40 rows, such as '0', '1', '2', '3', '4' and 35 more"):
        check_labels({"y": column([*range(40)])})


def test_few_rows_of_many_classes_are_labels_where_others_have_these_classes() -> None:
    """As of an expert who has looked at a few rows, or of annotators who share the rows."""
    known = set(map(str, range(40)))
    check_labels({"expert": column([*range(40)])}, known)
    check_labels({"a": column([*range(40)]), "b": column([*range(40)])})
    with pytest.raises(InputError, match=r"a, b: 80 classes in 80 rows"):
        check_labels({"a": column([*range(40)]), "b": column([*range(40, 80)])})


def test_an_annotator_may_know_one_class_alone() -> None:
    columns = {"a": column(["cat", None]), "b": column([None, "dog"]), "c": column(["dog", "cat"])}
    assert class_names(columns, None) == ("cat", "dog")
    with pytest.raises(InputError, match=r"d: its classes are '0', '1', those of a are 'cat': no class is in both"):
        class_names({**columns, "d": column([0, 1])}, None)


def test_names_that_are_probably_one_class() -> None:
    assert alike(("cat", "Cat", "cat ", "dog", "polar bear", "polar_bear")) == [
        ("cat", "Cat", "cat "),
        ("polar bear", "polar_bear"),
    ]
    assert alike(("1", "01", "10", "0", "00")) == [("1", "01"), ("0", "00")]
    assert alike(("a", "b")) == []


def test_votes() -> None:
    a, b, c = np.array([0, 1, -1, 2]), np.array([0, 2, -1, 1]), np.array([1, 2, -1, -1])
    votes = votes_of([a, b, c], 3)
    assert votes.tolist() == [[2, 1, 0], [0, 1, 2], [0, 0, 0], [0, 1, 1]]
    several = [majority(votes, np.random.default_rng(seed)) for seed in range(200)]
    assert {tuple(labels[:3]) for labels in several} == {(0, 2, -1)}
    assert 60 < sum(int(labels[3]) == 1 for labels in several) < 140  # a tie: by lot


def test_one_of_the_annotators_is_picked_by_lot() -> None:
    a, b = np.tile([0, 2, -1], 300), np.tile([1, -1, -1], 300)
    found = picked([a, b], np.random.default_rng(0)).reshape(-1, 3)
    assert set(found[:, 1]) == {2}
    assert set(found[:, 2]) == {-1}
    assert 110 < (found[:, 0] == 0).sum() < 190

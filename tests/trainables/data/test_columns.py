"""Features from the columns of a table: which ones, of every type, precisely; and what is refused."""

import datetime
import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tosmooth.trainables.config import AllBut
from tosmooth.trainables.data.column_numbers import LOST
from tosmooth.trainables.data.columns import Fitted, features_of
from tosmooth.trainables.data.examples import scale_of
from tosmooth.trainables.data.feature_choice import chosen_features
from tosmooth.trainables.errors import InputError

RNG = np.random.default_rng(0)
NAMES = ["__index_level_0__", "", "Unnamed: 0", "f10", "f2", "x[0]", "x[1]", "größe in m", "a.b", "pixel_1", "label"]
KEY = "dataset.table.features"
NOW = 1_760_000_000
UTC = datetime.UTC


def place(row: int) -> str:
    return f"t.parquet, row {row}"


def read(*columns: Any, fitted: Fitted | None = None, onehot: bool = False) -> tuple[NDArray[np.float32], Fitted]:
    names = ["a", "b", "c"][: len(columns)]
    return features_of(
        pa.table(dict(zip(names, columns, strict=True))), place, fitted, "onehot" if onehot else "refuse"
    )


def origins(fitted: Fitted) -> list[float]:
    return [float(origin) for origin in fitted.origins]


def refused(rule: str, *columns: Any, fitted: Fitted | None = None, onehot: bool = False) -> None:
    with pytest.raises(InputError, match=rule):
        read(*columns, fitted=fitted, onehot=onehot)


# Which columns


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["f2", "f10"], ["f2", "f10"]),
        (["f*"], ["f10", "f2"]),
        (["f2", "f*"], ["f2", "f10"]),
        (["f*", "f2", "f?"], ["f10", "f2"]),
        (["pixel_?", "größe *", "a.b"], ["pixel_1", "größe in m", "a.b"]),
        (["x[1]"], ["x[1]"]),
        (["x[*]"], ["x[0]", "x[1]"]),  # in a pattern [*] is the star itself; no column is meant by that
        (["f[0-9]"], ["f2"]),
        (["*"], NAMES[3:-1]),
        (["Unnamed: 0", "f2"], ["Unnamed: 0", "f2"]),
        ([""], [""]),
        (AllBut(all_but=("f*", "x[0]")), ["x[1]", "größe in m", "a.b", "pixel_1"]),
        (AllBut(all_but=()), NAMES[3:-1]),
        (AllBut(all_but=("label", "Unnamed: 0", "__index*", "a.b")), [n for n in NAMES[3:-1] if n != "a.b"]),
    ],
)
def test_features_are_names_and_patterns(wanted: Sequence[str] | AllBut, chosen: list[str]) -> None:
    assert chosen_features(wanted, NAMES, ["label"], KEY) == chosen


def test_exact_name_wins_over_its_being_a_pattern() -> None:
    assert chosen_features(["f*"], ["f*", "f1"], [], KEY) == ["f*"]
    assert chosen_features(AllBut(all_but=("f*",)), ["f*", "f1"], [], KEY) == ["f1"]


def test_index_of_pandas_is_known_by_its_name_alone() -> None:
    ordinary = ["index", "Unnamed: 32", "Unnamed: 0 x", "__index_level__"]
    indices = ["__index_level_12__", "Unnamed: 0.1", "Unnamed: 0.1.1"]
    assert chosen_features(["*"], [*ordinary, *indices], [], KEY) == ordinary


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        (["f2", "F1O"], r"features: 'F1O' is refused: no column has this name: did you mean 'f10'"),
        (["z*"], r"'z\*' is refused: no column has this name: the columns are 'f10, f2, x\[0\]"),
        (["f2", "f2"], r"'f2' is refused: each column once"),
        (["label"], r"'label' is refused: a column of labels is no feature: leave it out"),
        (["lab*"], r"'lab\*' is refused: it matches labels or an index alone"),
        (["Unnamed*"], r"'Unnamed\*' is refused: it matches labels or an index alone"),
        (AllBut(all_but=("pixel1",)), r"'pixel1' is refused: no column has this name: did you mean 'pixel_1'"),
        (AllBut(all_but=("*",)), r"\['\*'\] is refused: without these, labels and index no column is left"),
    ],
)
def test_wrong_choice_of_features_is_refused(wanted: Sequence[str] | AllBut, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        chosen_features(wanted, NAMES, ["label"], KEY)


def test_name_of_several_columns_is_refused() -> None:
    with pytest.raises(InputError, match=r"'f' is refused: the table has more than one column of this name"):
        chosen_features(["*"], ["f", "g", "f"], [], KEY)


# Their numbers


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, 2, 250], pa.uint8()), [1, 2, 250]),
        (pa.array([-1, 2, 3], pa.int64()), [-1, 2, 3]),
        (np.array([0.5, -2, 3], np.float16), [0.5, -2, 3]),
        (pa.array([0.1, 2, 3], pa.float32()), [0.1, 2, 3]),
        (pa.array([True, False, True]), [1, 0, 1]),
        (pa.array([Decimal("0.10"), Decimal("-2.25"), Decimal("3.00")]), [0.1, -2.25, 3]),
        (pa.array([Decimal("0.10"), Decimal("-2.25"), Decimal("3.00")], pa.decimal256(50, 20)), [0.1, -2.25, 3]),
        (pa.array([Decimal("100"), Decimal("-2500"), Decimal("0")], pa.decimal128(5, -2)), [100, -2500, 0]),
        (pa.array([7, 5, 7], pa.int16()).dictionary_encode(), [7, 5, 7]),
        (pa.array([Decimal("1.5"), Decimal("-2.0"), Decimal("1.5")]).dictionary_encode(), [1.5, -2, 1.5]),
        (pa.RunEndEncodedArray.from_arrays([2, 3], [1.5, 2.5]), [1.5, 1.5, 2.5]),
        (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, 1], pa.int8())), [1, 0, 1]),
        (pa.array([1, 2, 4], pa.time32("s")), [1, 2, 4]),
        (pa.array([1500, 2500, 4500], pa.time64("us")), [0.0015, 0.0025, 0.0045]),
        (pa.array([1500, -2500, 0], pa.duration("ms")), [1.5, -2.5, 0]),
        (pa.array([0, 1, -3], pa.date32()), [0, 86400, -3 * 86400]),
        (pa.array([0, 86400_000, -86400_000], pa.date64()), [0, 86400, -86400]),
        (pa.array([0, 1500, 60000], pa.timestamp("ms", "Europe/Berlin")), [0, 1.5, 60]),
    ],
)
def test_column_of_every_type_is_its_numbers(column: Any, expected: list[float]) -> None:
    column = pa.array(column)
    inputs, fitted = read(column)
    assert inputs.dtype == np.float32
    assert inputs.tolist() == np.array(expected, np.float32)[:, None].tolist()
    assert (fitted.names, origins(fitted), fitted.unseen) == (("a",), [0], 0)
    sliced = pa.concat_arrays([column[:1], column])[1:]  # begins inside its buffers
    assert read(pa.chunked_array([sliced[:1], sliced[:0], sliced[1:]]))[0].tolist() == inputs.tolist()


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float16()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float32(), 2),
        pa.list_view(pa.int8()),
        pa.large_list_view(pa.uint64()),
        pa.list_(pa.list_(pa.decimal128(5, 1), 1)),
        pa.list_(pa.time32("s")),
    ],
)
def test_list_is_a_feature_for_every_position(kind: pa.DataType) -> None:
    half = "halffloat" in str(kind)
    rows: list[Any] = [list(row) for row in np.array([[1, 2], [3, 4], [5, 6], [7, 9]], np.float16 if half else int)]
    rows = rows if half else [[int(number) for number in row] for row in rows]
    nested = pa.types.is_list(kind) and pa.types.is_list(kind.value_type)
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
        rows = [[[Decimal(number)] for number in row] for row in rows]
        nested = True
    column = pa.array(rows, kind)
    inputs, fitted = read(column, pa.array([0.5] * 4))
    assert inputs.tolist() == [[1, 2, 0.5], [3, 4, 0.5], [5, 6, 0.5], [7, 9, 0.5]]
    assert fitted.names == (("a[0][0]", "a[1][0]", "b") if nested else ("a[0]", "a[1]", "b"))
    assert read(pa.chunked_array([column[1:2], column[2:]]))[0].tolist() == [[3, 4], [5, 6], [7, 9]]


def test_tensors_are_lists(tmp_path: Path) -> None:
    numbers = RNG.normal(size=(5, 2, 3)).astype(np.float32)
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": pa.FixedShapeTensorArray.from_numpy_ndarray(numbers)}), path)
    inputs, fitted = features_of(pq.read_table(path), place)
    np.testing.assert_array_equal(inputs, numbers.reshape(5, 6))
    assert fitted.columns[0].shape == (6,)


def test_lists_written_as_json_are_lists(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n"[0.1, 2]","[[1], [2]]"\n"[3, -4e-2]"," [[3], [4]]"\n', encoding="utf-8")
    inputs, fitted = features_of(pa.csv.read_csv(path), place)
    assert inputs.tolist() == np.array([[0.1, 2, 1, 2], [3, -0.04, 3, 4]], np.float32).tolist()
    assert fitted.names == ("a[0]", "a[1]", "b[0][0]", "b[1][0]")
    assert read(pa.array([f"[1.5, {i}]" for i in range(33_000)]))[0][-1].tolist() == [1.5, 32_999]


def scaled(inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """As the features are trained on."""
    mean, std = scale_of(torch.from_numpy(inputs))
    return (inputs - mean.numpy()) / std.numpy()  # type: ignore[no-any-return]


def exactly_scaled(values: Sequence[Fraction]) -> NDArray[np.float64]:
    mean = sum(values, Fraction(0)) / len(values)
    beyond = [value - mean for value in values]
    scale = max(map(abs, beyond))
    unit = np.array([float(each / scale) for each in beyond])
    unit /= unit.std()
    return unit


FAR = [
    pa.array([2**53 + i for i in range(60)]),
    pa.array([2**63 + 2**62 + 3 * i for i in range(60)], pa.uint64()),
    pa.array([-(2**63) + i * i for i in range(60)]),
    pa.array([Decimal(f"0.1234567890123456789012345678{i:02}") for i in range(60)]),
    pa.array([Decimal(10**70 + i) for i in range(60)], pa.decimal256(76, 0)),
    pa.array([NOW * 10**9 + 7 * i for i in range(60)], pa.timestamp("ns")),
    pa.array([NOW * 10**3 + 7 * i for i in range(60)], pa.timestamp("ms", "UTC")),
    pa.array([NOW // 86400 + i for i in range(60)], pa.date32()),
    pa.array([86399_999_999_000 + i for i in range(60)], pa.time64("ns")),
    pa.array([10**17 + i for i in range(60)], pa.duration("ns")),
    pa.array([1 + i * 1e-6 for i in range(60)]),
    pa.array([-3e30 + 1e25 * i for i in range(60)]),
    pa.array([1e40 + 1e35 * i for i in range(60)]),  # beyond float32, but for its origin
    pa.array([2**24 + i for i in range(60)], pa.int32()),
    pa.array(np.float32(1) + np.arange(60, dtype=np.float32) * np.float32(2**-23)),
]


def fractions(column: pa.Array) -> list[Fraction]:
    """Exact values, in some unit."""
    whole = pa.types.is_temporal(column.type) and column.type != pa.date32()
    column = column.cast(pa.int64()) if whole else column.cast(pa.int32()) if pa.types.is_date(column.type) else column
    return [Fraction(value) for value in column.to_pylist()]


@pytest.mark.parametrize("column", FAR, ids=lambda column: str(column.type))
def test_spread_that_float32_would_lose_is_kept(column: pa.Array) -> None:
    expected = exactly_scaled(fractions(column))
    inputs, fitted = read(column)
    np.testing.assert_allclose(scaled(inputs)[:, 0], expected, atol=1e-3)
    again, same = read(column[5:], fitted=fitted)
    assert same == fitted
    np.testing.assert_array_equal(again, inputs[5:])
    lists = pa.FixedSizeListArray.from_arrays(pa.concat_arrays([column[:30], column[::-1][:30]]), 30)
    assert read(lists)[0].shape == (2, 30)


def test_every_position_of_a_list_has_its_own_origin() -> None:
    values = np.stack([NOW * 10**9 + np.arange(40), np.arange(40), np.full(40, 2**62)], axis=1)
    inputs, fitted = read(pa.array(values.tolist()))
    assert [origin != 0 for origin in fitted.origins] == [True, False, False]
    np.testing.assert_allclose(scaled(inputs)[:, 0], scaled(inputs)[:, 1], atol=1e-6)
    assert (inputs[:, 1] == np.arange(40)).all()
    assert (scaled(inputs)[:, 2] == 0).all()
    halves = [pa.array(values[:20].tolist()), pa.array((values[20:] + np.array([0, 0, 5])).tolist())]
    tested, _ = read(pa.chunked_array(halves), fitted=fitted)
    np.testing.assert_array_equal(tested[:, :2], inputs[:, :2])


def test_test_set_counts_from_the_origins_of_the_training_set_whatever_its_type() -> None:
    _, fitted = read(pa.array([NOW + i for i in range(9)], pa.timestamp("s")), pa.array([2**54 + i for i in range(9)]))
    times = pa.array([datetime.datetime(2025, 10, 9, 8, 53, 20, 500_000)])
    inputs, _ = read(times, pa.array([2**53 - 1]), fitted=fitted)
    first = (times.cast(pa.timestamp("us")).cast(pa.int64())[0].as_py() - NOW * 10**6) / 10**6
    assert inputs[0].tolist() == pytest.approx([first - 4, 2**53 - 1 - 2**54 - 4])
    dates, _ = read(pa.array([datetime.date(2025, 10, 9)]), pa.array([Decimal(2**54 + 1)]), fitted=fitted)
    assert dates[0].tolist() == [float(20370 * 86400 - NOW - 4), -3]
    refused(r"column 'b': of type double: floats keep 15 digits", times, pa.array([2.0**54]), fitted=fitted)


ENDS = st.sampled_from([0, 2**24, 2**53, 2**62, -(2**63), 10**18])
NEAR = st.integers(0, 40).flatmap(lambda bits: st.lists(st.integers(0, 2**bits), min_size=4, max_size=30))


@given(ENDS, NEAR)
@settings(max_examples=50, deadline=None)
def test_whole_numbers_are_scaled_as_if_exact(end: int, near: list[int]) -> None:
    values = [Fraction(end + each) for each in near]
    inputs, fitted = read(pa.array([int(value) for value in values]))
    if len(set(values)) == 1:
        assert (scaled(inputs) == 0).all()
    else:
        np.testing.assert_allclose(scaled(inputs)[:, 0], exactly_scaled(values), atol=2 * LOST)
    as_decimals, same = read(pa.array([Decimal(int(value)) for value in values], pa.decimal128(38, 0)))
    np.testing.assert_allclose(as_decimals, inputs, rtol=1e-6)
    assert origins(same) == pytest.approx(origins(fitted))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=30))
@settings(max_examples=50, deadline=None)
def test_floats_are_scaled_as_if_exact_or_refused(values: list[float]) -> None:
    try:
        inputs, _ = read(pa.array(values))
    except InputError:
        assert max(map(abs, values)) > 1e38 or np.ptp(values) < max(1e-34, 1e-11 * max(map(abs, values)))
        return
    if len(set(values)) == 1:
        assert (scaled(inputs) == 0).all()
    else:
        np.testing.assert_allclose(scaled(inputs)[:, 0], exactly_scaled([*map(Fraction, values)]), atol=2 * LOST)


def test_ordinary_numbers_are_those_of_the_table_to_the_bit() -> None:
    values = RNG.normal(5, 3, 100_000)
    inputs, fitted = read(pa.array(values), pa.array(RNG.integers(0, 9, 100_000)))
    assert inputs[:, 0].tobytes() == values.astype(np.float32).tobytes()
    assert origins(fitted) == [0, 0]


@pytest.mark.parametrize("value", [0, 0.1, 2**53 + 1, Decimal("1e20"), NOW * 10**9, 3e38])
def test_constant_column_stays_constant(value: Any) -> None:
    inputs, fitted = read(pa.array([value] * 7), pa.array([[value, value]] * 7))
    assert (scaled(inputs) == 0).all()
    assert origins(fitted) == [0, 0, 0]


# What is refused


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        (
            pa.array([*range(9), None]),
            r"^t\.parquet, row 9, column 'a': is empty: .*; or take `impute: median`$",
        ),
        (pa.nulls(3), r"row 0, column 'a': is empty"),
        (pa.DictionaryArray.from_arrays([0, 1], [1.5, None]), r"row 1, column 'a': is empty"),
        (pa.RunEndEncodedArray.from_arrays([2, 3], [1.5, None]), r"row 2, column 'a': is empty"),
        (pa.array([1, math.nan, math.inf]), r"row 1, column 'a': nan is refused: a finite number of float32"),
        (np.array([1, -math.inf, 2], np.float16), r"row 1, column 'a': -inf is refused"),
        (pa.array([1, 2, 1e300, 4.0]), r"row 2, column 'a': 1e\+300 is refused: a finite number"),
        (pa.array([1.7e308] * 3), r"row 0, column 'a': 1\.7e\+308 is refused"),
        (pa.array([Decimal(10) ** 60, Decimal(0)], pa.decimal256(76, 0)), r"row 0, column 'a': 1e\+60 is refused"),
        (1e9 + 1e-7 * np.arange(60), r"column 'a': its values, near 1\d+.*, differ by .*: numbers of float64 keep 15"),
        (np.array([1e-45, 3e-45, 9e-44]), r"'a': its values, near 3.*e-44, differ by .*: too little for float32"),
        (pa.array([{"x": 1, "y": 2}]), r"column 'a': of type struct<.*>: features are numbers: flatten it"),
        (pa.array([[{"x": 1}]]), r"of type struct<.*: flatten it"),
        (pa.array([b"x"]), r"of type binary: features are numbers$"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())), r"of type map<.*features are numbers"),
        (pa.array([["x"]]), r"of type string: features are numbers"),
        (pa.RunEndEncodedArray.from_arrays([2], [[1.5]]), r"of type run_end_encoded<.*: store it as numbers \("),
        (pa.array([[1, 2], [3, 4, 5]]), r"row 1, column 'a': a list of 3, those before of 2: all rows have one length"),
        (
            pa.array([[[1, 2], [3, 4]], [[5, 6], [7]]]),
            r"row 1, column 'a': within its list a list of 1, those before of 2",
        ),
        (pa.array([[], []], pa.list_(pa.int8())), r"row 0, column 'a': a list of 0: all rows have one length, of 1 or"),
        (pa.array([[1, 2], None]), r"row 1, column 'a': is empty"),
        (pa.array([[1, 2], [3, None]]), r"row 1, column 'a'\[1\]: is empty"),
        (pa.array([[[1, 2]], [[None, 4]]]), r"row 1, column 'a'\[0\]\[0\]: is empty"),
        (pa.array([[1, 2], [3, math.nan], [math.inf, 2]]), r"row 1, column 'a'\[1\]: nan is refused"),
        (pa.array([[1.0, 1e9], [1, 1e9 + 1e-7]]), r"column 'a'\[1\]: its values, near 1000000000"),
    ],
)
def test_wrong_column_is_named_by_place_and_rule(column: Any, rule: str) -> None:
    refused(rule, column)
    if isinstance(column, pa.Array) and not pa.types.is_nested(column.type):
        refused(rule, pa.chunked_array([column[:1], column[1:]]))


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (["[0.1 0.2]", "[0.3 0.4]"], r"row 0, column 'a': '\[0\.1 0\.2\]' is no list of numbers as JSON .*tolist\(\)"),
        (["tensor([0.1, 0.2])"] * 2, r"'tensor\(.*' is no list of numbers"),
        (["[0.1, 0.2]", "[0.3, 0.4, 1]"], r"row 1, column 'a': a list of 3, those before of 2"),
        (["[1, 2]", "[1, 3]", ""], r"row 2, column 'a': '' is no list"),
        (["[1, 2]", "[1, null]"], r"row 1, column 'a': '\[1, null\]' is no list"),
        (["[1, 2]", "[1, NaN]"], r"row 1, column 'a'\[1\]: nan is refused"),
        (["[1, 2]", '["1", "2"]'], r"row 1, column 'a': .* is no list"),
        (["[[1, 2], [3]]"], r"row 0, column 'a': .* is no list"),
        (["[]"], r"'\[\]' is no list"),
        (["[" * 100_000], r"'\[\[\[.* is no list"),
        (["[" + "9" * 10_000 + "]"], r"is no list"),
    ],
)
@pytest.mark.parametrize("onehot", [False, True])
def test_text_that_is_no_list_of_numbers_is_refused(values: list[str], rule: str, onehot: bool) -> None:
    refused(rule, pa.array(values), onehot=onehot)


@pytest.mark.parametrize("missing", ["?", " ", "", "-", "NA", "n/a", "1,234", "None"])
@pytest.mark.parametrize("onehot", [False, True])
def test_stray_text_among_numbers_is_named(missing: str, onehot: bool, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + '1\n2.5e3\n -3\n"' + missing + '"\n.5\n', encoding="utf-8")
    options = pa.csv.ConvertOptions(null_values=[], column_types={"a": pa.string()})
    table = pa.csv.read_csv(path, convert_options=options)
    what = "may be thousands" if "," in missing else "is no number, most of the column are"
    with pytest.raises(InputError, match=rf"row 3, column 'a': '.*' {what}") as error:
        features_of(table, place, None, "onehot" if onehot else "refuse")
    assert repr(missing) in str(error.value)
    assert "onehot" not in str(error.value)


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_text_is_refused_with_advice(kind: pa.DataType) -> None:
    refused(
        r"row 0, column 'b': of type \w+: features are numbers: .*`categorical: onehot`",
        [1, 2],
        pa.array(["x", "1"], kind),
    )
    refused(r"features are numbers: store them as such, or .* each is a category", pa.array(["2", "1"], kind))
    refused(r"row 1, column 'a': is empty", pa.array(["x", None], kind))


def test_damaged_and_empty_tables_are_refused() -> None:
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")]
    )
    refused(r"row 0: damaged: bring it anew \(.*UTF8", text, onehot=True)
    refused(r"columns 'a': no rows", pa.array([], pa.float64()))


def test_lists_that_share_their_numbers_take_no_room_before_they_are_refused() -> None:
    offsets, sizes = pa.array([0] * 10_000, pa.int32()), pa.array([1_000_000] * 10_000, pa.int32())
    shared = pa.ListViewArray.from_arrays(offsets, sizes, pa.array(np.zeros(1_000_000, np.int8)))
    refused(r"lists of 1000000 numbers: 40000000000 bytes in memory: at most", shared)


# Categories


def test_categories_are_features_in_sorted_order() -> None:
    colour = pa.chunked_array([["red", "blue"], ["Rot", "red"]])
    inputs, fitted = read(colour, pa.array(["10", "9", "1.5", "9"]), pa.array([True, False, True, True]), onehot=True)
    assert fitted.names == ("a=Rot", "a=blue", "a=red", "b=1.5", "b=9", "b=10", "c")
    assert inputs.tolist() == [
        [0, 0, 1, 0, 0, 1, 1],
        [0, 1, 0, 0, 1, 0, 0],
        [1, 0, 0, 1, 0, 0, 1],
        [0, 0, 1, 0, 1, 0, 1],
    ]
    assert fitted.unseen == 0
    tested, test = read(pa.array(["green", "Rot", "?"]), pa.array(["9", "9", "x"]), [0, 1, 1], fitted=fitted)
    assert tested.tolist() == [[0, 0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0, 1], [0] * 6 + [1]]
    assert test.unseen == 2
    assert test.columns == fitted.columns


@pytest.mark.parametrize("values", [pa.string(), pa.large_string(), pa.string_view()])
def test_dictionaries_of_text_are_categories(values: pa.DataType) -> None:
    one = pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int8()), pa.array(["x", "unused", "y"], values))
    two = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), pa.array(["z", "x"], values))
    inputs, fitted = read(pa.chunked_array([one, two]), onehot=True)
    assert fitted.columns[0].categories == ("x", "y", "z")
    assert inputs.tolist() == [[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]]
    empty = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1], pa.int8()), pa.array(["x", None], values))
    refused(r"row 1, column 'a': is empty", empty, onehot=True)


@pytest.mark.parametrize("codes", [["0", "1", "2", "3+"], ["1", "2", "3", "A1"], ["1", "2", "3", "other"]])
def test_codes_are_categories_though_most_are_numbers(codes: list[str]) -> None:
    assert read(pa.array(codes), onehot=True)[1].columns[0].categories == tuple(codes)


def test_column_of_too_many_categories_is_refused() -> None:
    few, many = ([f"id {i}" for i in range(n)] for n in (1000, 1001))
    assert read(pa.array(few), onehot=True)[0].sum(axis=1).tolist() == [1] * 1000
    refused(r"column 'a': 1001 categories: at most 1000: it looks like an id", pa.array(many), onehot=True)


# A test set that does not fit


@pytest.mark.parametrize(
    ("train", "test", "rule"),
    [
        ([[1, 2]], [[1, 2, 3]], r"column 'a': numbers\[3\], in the training set numbers\[2\]: the two are alike"),
        ([[1, 2]], ["[1, 2, 3]"], r"numbers\[3\], in the training set numbers\[2\]"),
        ([[1]], [1], r"column 'a': numbers, in the training set numbers\[1\]"),
        (["x"], [1], r"column 'a': numbers, in the training set categories"),
        ([1], ["x"], r"column 'a': text, in the training set numbers: the two are alike"),
        ([1, 2], [1, 2, "?"], r"column 'a': of type|is no number"),
        ([datetime.datetime(2020, 1, 1, tzinfo=UTC)], [1], r"numbers, in the training set dates and times of a zone"),
        ([datetime.date(2020, 1, 1)], [datetime.timedelta(1)], r"durations, in the training set dates and times"),
        ([1], [None], r"row 0, column 'a': is empty"),
        ([1], [math.nan], r"row 0, column 'a': nan is refused"),
        ([1], [1e39], r"row 0, column 'a': 1e\+39 is refused"),
    ],
)
def test_test_set_that_does_not_fit_is_refused(train: list[Any], test: list[Any], rule: str) -> None:
    _, fitted = read(pa.array(train), onehot=True)
    refused(rule, pa.array([str(value) for value in test] if "?" in test else test), fitted=fitted, onehot=True)


def test_test_set_has_the_columns_of_the_training_set() -> None:
    _, fitted = read([1], [2])
    refused(r"row 0: its features are 'a', those of the training set 'a, b'", [1], fitted=fitted)

"""`tosmooth init` on tables as pandas, R, Excel and Kaggle write them: what is taken, left out, asked for, refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.search.conftest import Command
from tosmooth.search.init.look import Found, look
from tosmooth.trainables.config import AllBut
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

ROWS = 90
KINDS = ["cat", "dog", "fox"] * 30


def looked(data: Path, tmp_path: Path, test: Path | None = None, label: str | None = None) -> Found:
    return look(str(data), None if test is None else str(test), label, Folders(tmp_path, tmp_path / "cache"))


def frame(**columns: Sequence[Any]) -> pd.DataFrame:
    random = np.random.default_rng(0)
    numbers = {name: random.normal(size=ROWS).round(3) for name in ("a", "b")}
    return pd.DataFrame({**numbers, **columns, "label": KINDS})


def lines(folder: Path, text: str, name: str = "train.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def said_of(found: Found, column: str) -> str:
    (line,) = [line for line in found.said if repr(column) in line]
    return line.strip()


def features(found: Found) -> Any:
    return found.table.features


def sorted_by_class() -> pd.DataFrame:
    """Rows in another order than the index, which tells the classes: people sort, split and save."""
    return frame().sort_values("label", ignore_index=True).sample(frac=1, random_state=0)


def test_an_index_of_pandas_is_no_feature_though_it_tells_the_labels(tmp_path: Path) -> None:
    mixed = sorted_by_class()
    mixed.to_parquet(tmp_path / "a.parquet")
    mixed.reset_index().rename(columns={"index": "Unnamed: 0"}).to_csv(tmp_path / "b.csv", index=False)
    mixed.reset_index().rename(columns={"index": "PassengerId"}).to_csv(tmp_path / "c.csv", index=False)
    for file, index, why in (
        ("a.parquet", "__index_level_0__", "the index that pandas wrote along"),
        ("b.csv", "Unnamed: 0", "the index that pandas wrote along"),
        ("c.csv", "PassengerId", "an identifier"),
    ):
        found = looked(tmp_path / file, tmp_path)
        assert features(found) == ("a", "b")
        assert said_of(found, index) == f"left out: column {index!r}, {why}"


def test_a_measurement_in_whole_numbers_is_no_identifier(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    found_in = frame(income=random.permutation(np.arange(1000, 1000 + 37 * ROWS, 37)).tolist())
    found_in.to_csv(tmp_path / "t.csv", index=False)
    assert features(looked(tmp_path / "t.csv", tmp_path)) == ("a", "b", "income")


def test_wide_tables_count_their_features_without_the_index(tmp_path: Path) -> None:
    wide = sorted_by_class().assign(**{f"c{i}": 0.5 * i + np.arange(ROWS) % 7 / 9 for i in range(12)})
    wide.reset_index(names="Unnamed: 0").to_csv(tmp_path / "t.csv", index=False)
    found = looked(tmp_path / "t.csv", tmp_path)
    assert features(found) == AllBut(all_but=("Unnamed: 0",))
    assert "features: 14 columns" in found.said
    assert "training set: 90 examples, 14 features;" in found.said[0]


@pytest.mark.parametrize("gap", ["NA", "?", ""])
def test_codes_with_leading_zeros_stay_names_where_some_are_missing(gap: str, tmp_path: Path) -> None:
    codes = [f"0{i}" for i in range(1, 8)] * 12 + [gap] * 6
    frame(zip=codes).to_csv(tmp_path / "t.csv", index=False)
    found = looked(tmp_path / "t.csv", tmp_path)
    names = [name for column in found.source.columns for name in column.features]
    assert names[2:9] == [f"zip=0{i}" for i in range(1, 8)]  # one feature a code


def test_thousands_are_no_fractions(tmp_path: Path) -> None:
    row = "{};{};{}\n"
    english = "price;width;label\n" + "".join(
        row.format("18,991" if i % 2 else i, f"{i}.57", k) for i, k in enumerate(KINDS)
    )
    german = "preis;groesse;label\n" + "".join(
        row.format("18.991" if i % 2 else i, i % 7, k) for i, k in enumerate(KINDS)
    )
    found = looked(lines(tmp_path, english, "en.csv"), tmp_path)
    assert features(found) == ("width",)
    assert said_of(found, "price").endswith(
        "'18,991' in row 1 may be thousands, or a fraction: write thousands without a mark"
    )
    found = looked(lines(tmp_path, german, "de.csv"), tmp_path)
    assert features(found) == ("groesse",)
    assert "'18.991' in row 1 may be thousands" in said_of(found, "preis")


def test_labels_in_floats_with_gaps_are_asked_for(tmp_path: Path) -> None:
    """Whole numbers of which some are missing are floats to pandas."""
    sick = [None if i % 9 == 0 else float(i % 2) for i in range(ROWS)]
    table = frame(sex=[i % 2 for i in range(ROWS)], ill=sick).drop(columns="label")
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="it may be sex, ill: no column is called label or target"):
        looked(tmp_path / "t.csv", tmp_path)
    table.rename(columns={"ill": "Outcome"}).to_csv(tmp_path / "pima.csv", index=False)
    assert looked(tmp_path / "pima.csv", tmp_path).table.label == "Outcome"


def test_halves_are_looked_at_like_other_floats(tmp_path: Path) -> None:
    frame().assign(h=np.arange(ROWS).astype(np.float16)).drop(columns="label").to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="it may be a, b, h"):
        looked(tmp_path / "t.parquet", tmp_path)


def test_a_coordinate_called_y_is_asked_about(tmp_path: Path) -> None:
    table = frame(x=range(ROWS), y=[i % 30 for i in range(ROWS)]).rename(columns={"label": "kind"})
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match="it may be y, kind: 'y' has more than 20 values"):
        looked(tmp_path / "t.csv", tmp_path)


def test_a_label_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    table = frame(k=[i % 2 for i in range(ROWS)], m=[i % 3 for i in range(ROWS)])
    table.assign(label=np.arange(ROWS) / 7).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError, match=r"it may be k, m: 'label' is none: .*row 1"):
        looked(tmp_path / "t.csv", tmp_path)


def test_labels_that_stand_there_twice_are_said_to(tmp_path: Path) -> None:
    twice = "a,label,label\n" + "".join(f"{i / 7},{kind},{kind}\n" for i, kind in enumerate(KINDS))
    with pytest.raises(InputError, match=r"it may be a: 'label' is none: .*more than once the column 'label'"):
        looked(lines(tmp_path, twice), tmp_path)


def test_a_first_line_of_values_is_no_heading(tmp_path: Path) -> None:
    iris = "".join(f"{5 + i / 10:.1f},{3 + i % 7 / 10:.1f},{kind}\n" for i, kind in enumerate(KINDS))
    with pytest.raises(InputError, match=r"its columns are 5\.0, 3\.0, cat: its first line holds values: write a line"):
        looked(lines(tmp_path, iris), tmp_path)
    whole = "".join(f"{i % 5 + 7},{i % 4},{kind}\n" for i, kind in enumerate(KINDS))
    found = looked(lines(tmp_path, whole, "w.csv"), tmp_path, label="cat")
    (line,) = [line for line in found.said if "first line" in line]
    assert line == "its first line is taken for names: 7, 0, cat: if it holds values, write one with names above it"


def test_names_that_count_the_columns_are_names(tmp_path: Path) -> None:
    pd.DataFrame(np.column_stack([np.random.default_rng(0).normal(size=(ROWS, 2)), np.arange(ROWS) % 3])).to_csv(
        tmp_path / "t.csv", index=False
    )
    assert not any("first line" in line for line in looked(tmp_path / "t.csv", tmp_path, label="2").said)


def test_whatever_is_left_out_is_said(tmp_path: Path) -> None:
    twice = "a,b,b,label\n" + "".join(f"{i / 7},{i},{i},{kind}\n" for i, kind in enumerate(KINDS))
    found = looked(lines(tmp_path, twice), tmp_path)
    assert "more than once the column 'b'" in said_of(found, "b")

    objects = [{"a": i / 7, "emb": [i, 1.5], "age": i, "label": kind} for i, kind in enumerate(KINDS)]
    found = looked(lines(tmp_path, "\n".join(map(json.dumps, objects)), "t.jsonl"), tmp_path)
    assert features(found) == ("emb",)
    assert said_of(found, "age") == "left out: column 'age', beside vectors"

    frame().to_csv(tmp_path / "other.csv", index=False)
    frame().rename(columns={"b": " b"}).to_csv(tmp_path / "its-test.csv", index=False)
    found = looked(tmp_path / "other.csv", tmp_path, test=tmp_path / "its-test.csv")
    assert said_of(found, "b") == "left out: column 'b', which the test set lacks"


@pytest.mark.parametrize("odd", [["u", "v"], {"k": 1}, None])
def test_a_column_of_no_use_does_not_keep_the_others_from_it(odd: Any, tmp_path: Path) -> None:
    objects = [{"a": i / 7, "odd": odd, "label": kind} for i, kind in enumerate(KINDS)]
    found = looked(lines(tmp_path, "\n".join(map(json.dumps, objects)), "t.jsonl"), tmp_path)
    assert features(found) == ("a",)
    assert said_of(found, "odd").startswith("left out: column 'odd', ")


def test_bytes_that_are_no_pictures_are_no_pictures(tmp_path: Path) -> None:
    frame(raw=[b"x"] * ROWS).to_parquet(tmp_path / "t.parquet")
    found = looked(tmp_path / "t.parquet", tmp_path)
    assert features(found) == ("a", "b")
    assert said_of(found, "raw") == "left out: column 'raw', of type binary"


def test_a_column_without_any_value_is_left_out(tmp_path: Path) -> None:
    frame(notes=[None] * ROWS).to_csv(tmp_path / "t.csv", index=False)  # as Kaggle's Wisconsin file has one
    found = looked(tmp_path / "t.csv", tmp_path)
    assert said_of(found, "notes") == "left out: column 'notes', of which 90 of 90 values are empty"


def test_a_heading_alone_is_refused(command: Command, tmp_path: Path) -> None:
    said = command("init", lines(tmp_path, "a,b,label\n"))
    assert said.code == 2
    assert "is empty: a row for every example" in said.err


def test_a_stray_word_among_numbers_is_named(tmp_path: Path) -> None:
    many, few = [*map(str, range(ROWS - 1)), "unknown"], [*(str(i % 7) for i in range(ROWS - 1)), "n.a."]
    frame(many=many, few=few).to_csv(tmp_path / "t.csv", index=False)
    found = looked(tmp_path / "t.csv", tmp_path)
    assert said_of(found, "many") == (
        "left out: column 'many', 'unknown' in row 89 is no number, most of it are: mend it"
    )
    assert said_of(found, "few") == (
        "column 'few' is taken for categories: 'n.a.' in row 89 is no number, most of it are: mend it"
    )


def test_a_test_set_without_labels_that_was_found_is_passed_over_and_one_that_was_named_is_not(
    command: Command, tmp_path: Path
) -> None:
    """Kaggle's test.csv."""
    frame().to_csv(tmp_path / "train.csv", index=False)
    frame().drop(columns="label").to_csv(tmp_path / "test.csv", index=False)
    found = looked(tmp_path / "train.csv", tmp_path)
    assert found.table.test is None
    assert f"{tmp_path}/test.csv has no column 'label', so it is no test set: --test names one" in found.said
    with pytest.raises(InputError, match="no column 'label'"):
        looked(tmp_path / "train.csv", tmp_path, test=tmp_path / "test.csv")


def test_a_test_set_in_which_text_looks_like_numbers_is_read_as_text(tmp_path: Path) -> None:
    """UCI's Car has 5more doors; a small test set need not."""
    kinds = ["True", "False", "unsure"] * 30
    train = frame(doors=["2", "3", "4", "5more", "4", "3"] * 15, sold=["True", "False", "unknown"] * 30)
    train.assign(label=kinds).to_csv(tmp_path / "train.csv", index=False)
    test = train.iloc[:60].assign(doors=["2", "3", "4"] * 20, sold=["True", "False"] * 30, label=["False", "True"] * 30)
    test.to_csv(tmp_path / "test.csv", index=False)
    found = looked(tmp_path / "train.csv", tmp_path)
    assert found.source.test is not None
    assert found.source.class_names == ("False", "True", "unsure")
    at = [name for column in found.source.columns for name in column.features].index("doors=2")
    assert found.source.test.inputs[:3, at].tolist() == [1.0, 0.0, 0.0]


def test_numbers_that_are_text_for_their_gaps_may_lack_none_in_the_test_set(tmp_path: Path) -> None:
    frame(c=["?", *(f"{i}.5" for i in range(ROWS - 1))]).to_parquet(tmp_path / "train.parquet")
    frame(c=[f"{i}.5" for i in range(ROWS)]).to_parquet(tmp_path / "test.parquet")
    found = looked(tmp_path / "train.parquet", tmp_path)
    assert found.table.impute == "median"
    assert found.source.test is not None
    assert found.source.test.inputs[:2, 2:].tolist() == [[0.5, 0.0], [1.5, 0.0]]


def test_empty_rows_at_the_end_are_left_out_with_their_gaps(tmp_path: Path) -> None:
    """Excel writes them."""
    whole = frame(colour=["red", "blue", "green"] * 30)
    text = whole.to_csv(index=False)
    lines(tmp_path, text + ",,,\n" * 20, "train.csv")
    lines(tmp_path, text + ",,,\n" * 5, "test.csv")
    found = looked(tmp_path / "train.csv", tmp_path)
    assert found.table.impute == "refuse"
    assert "20 of 110 training rows have no label and are left out" in found.said
    assert "5 of 95 test rows have no label and are left out" in found.said
    assert found.rows == len(found.source.train.inputs) == ROWS
    plain = looked(lines(tmp_path, text, "alone.csv"), tmp_path)
    assert (found.source.train.inputs == plain.source.train.inputs).all()
    gap = text.replace("\n", "\n,1.5,red,cat\n", 1)
    with_gap = looked(lines(tmp_path, gap + ",,,\n" * 20, "gap.csv"), tmp_path)
    assert with_gap.table.impute == "median"
    assert "1 missing value imputed: a" in with_gap.said
    # A row is named by its place in the file.
    bad = lines(tmp_path, text.replace("\n", "\n,,,\n", 1) + "1e300,0,red,cat\n", "bad.csv")
    with pytest.raises(InputError, match=r"row 91, column 'a': .* is refused: a finite number"):
        looked(bad, tmp_path)

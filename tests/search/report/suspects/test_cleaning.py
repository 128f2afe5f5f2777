"""`tosmooth clean` on data of every form: what is written, where, and what is never written over."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tosmooth.search.records import Cell
from tosmooth.search.report.suspects.cleaning import Changes, Written, changes_of, clean
from tosmooth.search.report.suspects.files import SCHEMA, SuspectList, read_list, write_list
from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

NAMES = ["cat", "dog"]
CELL_ABOUT: dict[str, Any] = {"noise": "given", "method": "gls"}


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    (tmp_path / "data").mkdir()
    return Folders(data=tmp_path / "data", cache=tmp_path / "cache")


def study(table: str, noise: str = "given", dataset: str = "mine") -> StudySpec:
    return read_study(f"name: mine\ndataset: {{name: {dataset}, noise: [{noise}], validation_fraction: 0.25{table}}}")


def suspects(given: list[str], noise: str = "given", likely: int | None = 2) -> SuspectList:
    """A list of all rows, the last row first; each network proposes the other class, but for the third suspect."""
    other = {"cat": "dog", "dog": "cat", "0": "1", "1": "0"}
    rows = [
        {"rank": n + 1, "row": i, "place": "", "given": given[i], "proposed": given[i] if n == 2 else other[given[i]]}
        | {"p_given": 0.1, "p_proposed": 0.9, "score": 0.1, "margin": -1.0, "likely_error": n < 2, "fold": 1}
        | {"part": "validation" if n == 1 else "train", "clean": None}
        for n, i in enumerate(reversed(range(len(given))))
    ]
    about = {**CELL_ABOUT, "noise": noise, "likely_errors": likely, "level": f"mine/{noise}"}
    return SuspectList(pa.Table.from_pylist(rows, SCHEMA), about)


def cleaned(
    spec: StudySpec, found: SuspectList, how: str, folders: Folders, output: Path | None = None, **which: Any
) -> Written:
    chosen = {"share": None, "top": None} | which
    changes: Changes = changes_of(found, how, **chosen)  # type: ignore[arg-type]
    return clean(StudyFolder(folders.data.parent / "home" / "studies" / "mine"), spec, found, changes, output, folders)


CSV = 'id;width;animal;note\n007;1.50;cat;"=1+1;"\n008;2;dog;"he said ""hi"""\n\n009;3,5;cat;\n010;4;dog;é\n'


def test_csv_keeps_its_delimiter_columns_and_texts_as_they_were_written(folders: Folders) -> None:
    (folders.data / "train.csv").write_text(CSV, encoding="utf-8")
    spec = study(", table: {train: train.csv, features: [width], label: animal}")
    done = cleaned(spec, suspects(["cat", "dog", "cat", "dog"]), "relabel", folders)
    assert done.file == folders.data / "train-relabelled.csv"
    assert (done.rows, done.changes.in_validation) == (4, 1)
    assert (folders.data / "train.csv").read_text(encoding="utf-8") == CSV
    with done.file.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file, delimiter=";")) == [
            ["id", "width", "animal", "note", "tosmooth_row", "tosmooth_done"],
            ["007", "1.50", "cat", "=1+1;", "0", "kept"],
            ["008", "2", "dog", 'he said "hi"', "1", "kept"],
            ["009", "3,5", "dog", "", "2", "relabelled from cat"],
            ["010", "4", "cat", "é", "3", "relabelled from dog"],
        ]


def test_dropped_rows_are_left_out_and_the_others_say_which_they_were(folders: Folders) -> None:
    (folders.data / "train.csv").write_text(CSV, encoding="utf-8")
    spec = study(", table: {train: train.csv, features: [width], label: animal}")
    done = cleaned(spec, suspects(["cat", "dog", "cat", "dog"]), "drop", folders, top=1)
    assert done.file.name == "train-dropped.csv"
    assert pd.read_csv(done.file, sep=";")["tosmooth_row"].tolist() == [0, 1, 2]


def test_parquet_keeps_types_and_hugging_face_s_names_of_classes(folders: Folders) -> None:
    features = {"label": {"names": NAMES, "_type": "ClassLabel"}, "x": {"dtype": "float32", "_type": "Value"}}
    table = pa.table(
        {
            "x": pa.array([1, 2, 3, 4], pa.float32()),
            "when": pa.array([1, 2, 3, 4], pa.timestamp("ms")),
            "label": pa.array([0, 1, 0, 1], pa.int8()),
        },
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    pq.write_table(table, folders.data / "train.parquet")
    spec = study(", table: {train: train.parquet, features: [x], label: label}")
    done = cleaned(spec, suspects(["cat", "dog", "cat", "dog"]), "relabel", folders)
    found = pq.read_table(done.file)
    assert done.file.name == "train-relabelled.parquet"
    assert found.schema.types[:3] == [pa.float32(), pa.timestamp("ms"), pa.int8()]
    assert found["label"].to_pylist() == [0, 1, 1, 0]
    assert found["tosmooth_done"].to_pylist() == ["kept", "kept", "relabelled from cat", "relabelled from dog"]
    described = json.loads(found.schema.metadata[b"huggingface"])["info"]["features"]
    assert described["tosmooth_row"] == {"dtype": "int64", "_type": "Value"}
    assert described["label"]["names"] == NAMES


@pytest.mark.parametrize("form", ["json", "shards"])
def test_other_tables_become_one_parquet(form: str, folders: Folders) -> None:
    rows = [{"x": i, "animal": NAMES[i % 2]} for i in range(4)]
    if form == "json":
        (folders.data / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        for part in (0, 1):
            pd.DataFrame(rows[2 * part : 2 * part + 2]).to_csv(folders.data / f"train-{part}.csv", index=False)
    name = "train.jsonl" if form == "json" else "train-*.csv"
    spec = study(f", table: {{train: '{name}', features: [x], label: animal}}")
    done = cleaned(spec, suspects(["cat", "dog", "cat", "dog"]), "drop", folders)
    home = folders.data.parent / "home" / "studies" / "mine" / "suspects"
    # Beside shards it would be one of them.
    expected = folders.data / "train-dropped.parquet" if form == "json" else home / "mine-given-gls-dropped.parquet"
    assert done.file == expected
    assert pq.read_table(done.file).to_pylist() == [
        {**row, "tosmooth_row": i, "tosmooth_done": "kept"} for i, row in enumerate(rows[:2])
    ]


def test_a_folder_of_pictures_gets_a_table_that_trains_on_its_pictures(folders: Folders) -> None:
    for i in range(8):
        path = folders.data / "pets" / NAMES[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (20 * i, 50, 100)).save(path)
    spec = study(", table: {train: pets}")
    given = load_level(spec.data_config("given"), folders)
    found = suspects(["cat"] * 4 + ["dog"] * 4)
    places = [f"{NAMES[r // 4]}/{2 * (r % 4) + r // 4}.png" for r in reversed(range(8))]
    found = SuspectList(found.table.set_column(2, "place", pa.array(places)), found.about)
    done = cleaned(spec, found, "relabel", folders)
    assert done.file == folders.data / "pets-relabelled.csv"
    rows = pd.read_csv(done.file)
    assert rows.loc[7].tolist() == ["pets/dog/7.png", "cat", 7, "relabelled from dog"]
    other = study(", table: {train: pets-relabelled.csv, image: image, label: label}")
    assert (load_level(other.data_config("given"), folders).train.inputs == given.train.inputs).all()


def test_arrays_and_data_that_come_with_it_get_a_table_of_labels_in_the_home(folders: Folders) -> None:
    np.savez(folders.data / "d.npz", x_train=np.arange(4.0)[:, None], y_train=np.array([0, 1, 0, 1]))
    spec = study(", table: {train: d.npz, features: [x], label: y}")
    done = cleaned(spec, suspects(["0", "1", "0", "1"]), "relabel", folders)
    assert done.file == folders.data / "d-relabelled.csv"
    assert done.file.read_text() == (
        "label,tosmooth_row,tosmooth_done\n0,0,kept\n1,1,kept\n1,2,relabelled from 0\n0,3,relabelled from 1\n"
    )
    drawn = study(", size: 40, test_size: 10", noise="symmetric-0.2", dataset="twonorm")
    done = cleaned(drawn, suspects(["0", "1"], noise="symmetric-0.2"), "drop", folders, top=1)
    assert done.file.parent == folders.data.parent / "home" / "studies" / "mine" / "suspects"
    assert done.file.name == "twonorm-symmetric-0.2-gls-dropped.csv"


def test_what_is_cleaned_can_be_a_level_beside_the_one_it_was_of(folders: Folders) -> None:
    rows = "".join(f"{i},{NAMES[i % 2]}\n" for i in range(40))
    (folders.data / "train.csv").write_text("x,animal\n" + rows, encoding="utf-8")
    spec = study(", table: {train: train.csv, features: [x], label: animal}")
    given = load_level(spec.data_config("given"), folders)
    done = cleaned(spec, suspects([NAMES[i % 2] for i in range(40)]), "drop", folders, share=0.25)
    assert done.rows == 30
    by = f"{{a: {{level: given, file: {done.file}}}}}"
    table = ", table: {train: train.csv, features: [x], label: animal}"
    grown = study(f"{table}, cleaned_by: {by}", noise="given, cleaned-a")
    assert grown.meaning() == spec.meaning()  # so that the study goes on
    found = load_level(grown.data_config("cleaned-a"), folders)
    assert found.train.rows.tolist() == [row for row in given.train.rows.tolist() if row < 30]
    assert found.validation.rows.tolist() == given.validation.rows.tolist()


def test_nothing_is_written_over_and_nothing_into_the_data_of_the_study(folders: Folders) -> None:
    (folders.data / "train.csv").write_text(CSV, encoding="utf-8")
    (folders.data / "shards").mkdir()
    spec = study(", table: {train: train.csv, test: 'shards/*.csv', features: [width], label: animal}")
    found = suspects(["cat", "dog", "cat", "dog"])
    with pytest.raises(InputError, match=r"train.csv: is there already: name another file with --output"):
        cleaned(spec, found, "drop", folders, folders.data / "train.csv")
    with pytest.raises(InputError, match="would be read as a part of shards"):
        cleaned(spec, found, "drop", folders, folders.data / "shards" / "new.csv")
    cleaned(spec, found, "drop", folders)
    with pytest.raises(InputError, match=r"train-dropped.csv: is there already"):
        cleaned(spec, found, "drop", folders)
    assert (folders.data / "train.csv").read_text(encoding="utf-8") == CSV


def test_the_number_of_suspects_is_cleanlab_s_unless_another_is_asked_for() -> None:
    found = suspects(["cat", "dog", "cat", "dog"])
    assert len(changes_of(found, "drop", None, None).labels) == 2
    assert len(changes_of(found, "drop", 0.75, None).labels) == 3
    # The third suspect's network agrees with its label.
    assert dict(changes_of(found, "relabel", None, 3).labels) == {3: "cat", 2: "dog"}
    with pytest.raises(InputError, match=r"--share: 1\.5 is refused: a share of the labels"):
        changes_of(found, "drop", 1.5, None)
    with pytest.raises(InputError, match="--top: 4 is refused: less than the 4 labels"):
        changes_of(found, "drop", None, 4)
    with pytest.raises(InputError, match="no label to drop: cleanlab counts none as wrong"):
        changes_of(suspects(["cat", "dog"], likely=0), "drop", None, None)


def test_a_list_is_read_back_and_one_of_two_halves_is_refused(tmp_path: Path) -> None:
    cell, found = Cell("mine/given", "gls"), suspects(["cat", "dog"])
    assert read_list(tmp_path, cell) is None
    parquet, words = write_list(tmp_path, cell, found)
    assert [parquet.name, words.name] == ["mine-given-gls-suspects.parquet", "mine-given-gls-suspects.json"]
    read = read_list(tmp_path, cell)
    assert read is not None
    assert read.table.equals(found.table)
    parquet.write_bytes(parquet.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"damaged .its digest is not that of the list.: delete both"):
        read_list(tmp_path, cell)

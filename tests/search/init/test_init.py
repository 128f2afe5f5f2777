"""`tosmooth init`: what it finds in data as people have them, and the study file that it writes."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.search.conftest import Command
from tosmooth.search.init.look import Found, look
from tosmooth.search.init.parts import parts_of
from tosmooth.search.init.propose import recipe_for, text_of
from tosmooth.search.spec.loading import load_study, read_study
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.config import AllBut
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

RNG = np.random.default_rng(0)
NAMES = np.array(["cat", "dog", "fox"])


def blobs(rows: int, noise: float = 0.0) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Features [n, 4] of three classes well apart, and labels of which a share is wrong."""
    labels = RNG.integers(0, 3, rows)
    features = np.eye(3, 4)[labels] * 6 + RNG.normal(0, 1, (rows, 4))
    wrong = RNG.random(rows) < noise
    return features, NAMES[np.where(wrong, (labels + 1) % 3, labels)]


def write_csv(file: Path, rows: int = 90, noise: float = 0.0, **more: Sequence[Any]) -> Path:
    features, labels = blobs(rows, noise)
    columns = {"id": range(rows), **{f"f {i}": features[:, i].round(3) for i in range(4)}, "label": labels, **more}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return file


def picture(file: Path, side: int = 20) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (side, side, 3)).astype(np.uint8)).save(file)


def looked(data: Path, tmp_path: Path, **given: Any) -> Found:
    return look(
        str(data), given.get("test"), given.get("label"), Folders(tmp_path, tmp_path / "cache"), given.get("ask")
    )


def written(command: Command, *arguments: object) -> tuple[StudySpec, str]:
    """The study file that `init` writes, which loads, and what was said."""
    said = command("init", *arguments)
    assert said.code == 0, said.err
    (file,) = Path().glob("*.yaml")
    return load_study(file), said.out


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a,label\n1,x\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("files", "data", "train", "test"),
    [
        (["train.csv", "test.csv"], "train.csv", "train.csv", "test.csv"),
        (["crops_train.csv", "crops_val.csv"], "crops_train.csv", "crops_train.csv", "crops_val.csv"),
        (["Train.csv", "Test.csv"], "Train.csv", "Train.csv", "Test.csv"),
        (["train.csv", "training_notes.csv"], "train.csv", "train.csv", None),
        (["crops.csv", "test.csv"], "crops.csv", "crops.csv", None),  # whose test set that is nobody knows
        (["d/train.csv", "d/test.csv"], "d", "d/train.csv", "d/test.csv"),
        (["d/train-0.csv", "d/train-1.csv", "d/test-0.csv"], "d", "d/train-*.csv", "d/test-0.csv"),
        (["d/part-0.csv", "d/part-1.csv", "d/_SUCCESS"], "d", "d", None),
        (["d/train/a.csv", "d/val/a.csv", "d/test/a.csv"], "d", "d/train", "d/test"),
        (["d/train/a.csv", "d/val/a.csv"], "d", "d/train", "d/val"),
        (["d/a-0.csv", "d/a-1.csv"], "d/a-*.csv", "d/a-*.csv", None),
    ],
)
def test_training_set_and_test_set_are_found(
    files: list[str], data: str, train: str, test: str | None, tmp_path: Path
) -> None:
    touch(tmp_path, *files)
    expected = str(tmp_path / train), None if test is None else str(tmp_path / test)
    assert parts_of(str(tmp_path / data)) == expected


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"DATA: '.*nothing' is refused: a file, a folder or a pattern"):
        parts_of(str(tmp_path / "nothing"))
    touch(tmp_path, "d/test.csv")
    with pytest.raises(InputError, match="holds a test set and no training set"):
        parts_of(str(tmp_path / "d"))


def test_a_table_becomes_a_study_that_runs_as_it_is(command: Command, tmp_path: Path) -> None:
    write_csv(tmp_path / "crops" / "train.csv", noise=0.2, colour=["red", "blue", "green"] * 30)
    write_csv(tmp_path / "crops" / "test.csv", colour=["red", "blue", "green"] * 30)
    spec, said = written(command, "crops/train.csv")
    assert spec.name == "crops"
    table = spec.dataset.table
    assert table is not None
    assert (table.label, table.categorical) == ("label", "onehot")
    assert table.features == ("f 0", "f 1", "f 2", "f 3", "colour")
    assert "3 classes: cat " in said
    assert "left out: column 'id', an identifier" in said
    assert "Next: tosmooth run crops.yaml" in said
    data = load_level(spec.data_config("given"), Folders(tmp_path / "elsewhere", tmp_path / "cache"))
    assert (data.classes, data.train.inputs.shape[1]) == (3, 7)
    text = Path("crops.yaml").read_text(encoding="utf-8")
    for key in ("dataset", "network", "training", "space", "search", "confirmation"):
        assert f"\n{key}:" in text
    assert text.startswith("# Made by `tosmooth init`")
    assert "cost: not run yet; at most about " in text


def test_a_folder_of_pictures_becomes_a_study(command: Command, tmp_path: Path) -> None:
    for part, rows in (("train", 20), ("test", 6)):
        for row in range(rows):
            picture(tmp_path / "my photos" / part / NAMES[row % 2] / f"{row}.png", 20 + row % 3)
    spec, said = written(command, "my photos")
    assert (spec.name, spec.network.name, spec.training.augment) == ("my-photos", "cnn", "crop-flip")
    assert "2 classes: cat 10, dog 10" in said
    assert "pictures of several sizes are made 32x32 (crop)" in said
    table = spec.dataset.table
    assert table is not None
    assert table.of_folder


@pytest.mark.parametrize(("side", "cropped"), [(8, False), (20, True)])
def test_tiny_pictures_are_not_cropped(side: int, cropped: bool, tmp_path: Path) -> None:
    for i in range(24):
        picture(tmp_path / "photos" / f"k{i % 2}" / f"{i}.png", side)
    text = text_of(looked(tmp_path / "photos", tmp_path), None, 8, 3)
    assert ("augment: crop-flip" in text, "crop-flip mirrors" in text) == (cropped, cropped)


def test_a_file_that_is_there_is_not_written_over(command: Command, tmp_path: Path) -> None:
    write_csv(tmp_path / "crops.csv")
    Path("crops.yaml").write_text("mine", encoding="utf-8")
    said = command("init", "crops.csv")
    assert (said.code, Path("crops.yaml").read_text(encoding="utf-8")) == (2, "mine")
    assert "--output: 'crops.yaml' is refused: a file that is not there yet, or --force to write over it" in said.err
    assert command("init", "crops.csv", "--force", "--name", "mine").code == 0
    assert load_study(Path("mine.yaml")).name == "mine"
    assert command("init", "crops.csv", "--output", "deep/er.yaml").code == 0
    assert load_study(Path("deep/er.yaml")).name == "crops"
    said = command("init", "crops.csv", "--output", "study.txt")
    assert (said.code, "a study file ends in .yaml" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("target", list("ab") * 20),
        ("Class", [True, False] * 20),
        ("noisy_label", [3, 7] * 20),
        ("species", pa.array(list("ab") * 20).dictionary_encode()),
    ],
)
def test_labels_are_found_by_name(column: str, values: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": RNG.normal(size=40), column: values}), tmp_path / "t.parquet")
    table = looked(tmp_path / "t.parquet", tmp_path).table
    assert (table.label, table.features) == (column, ("x",))


def test_labels_that_are_not_called_so_are_found_or_asked_for(tmp_path: Path) -> None:
    x, kind = RNG.normal(size=40), ["a", "b"] * 20
    pq.write_table(pa.table({"x": x, "kind": kind}), tmp_path / "one.parquet")
    assert looked(tmp_path / "one.parquet", tmp_path).table.label == "kind"
    pq.write_table(pa.table({"x": x, "kind": kind, "sort": kind[::-1]}), tmp_path / "two.parquet")
    with pytest.raises(InputError, match="--label: name the column of labels; it may be kind, sort"):
        looked(tmp_path / "two.parquet", tmp_path)
    asked: list[list[str]] = []

    def ask(question: str, choices: list[str]) -> str:
        asked.append([question, *choices])
        return "sort"

    assert looked(tmp_path / "two.parquet", tmp_path, ask=ask).table.label == "sort"
    assert asked == [["Which column has the labels?", "kind", "sort"]]
    assert looked(tmp_path / "two.parquet", tmp_path, label="kind").table.label == "kind"
    with pytest.raises(InputError, match=r"--label: .*has no column 'kin'.*'kind'"):
        looked(tmp_path / "two.parquet", tmp_path, label="kin")


def test_columns_that_are_no_features_are_left_out_and_said(tmp_path: Path) -> None:
    some = [None if i == 3 else float(i) for i in range(40)]
    columns = {
        **{f"f{i}": RNG.normal(size=40) for i in range(12)},
        "customer_id": range(40),
        "note": [f"text {i}" for i in range(40)],
        "holes": some,
        "hollow": [float(i) if i % 3 == 0 else None for i in range(40)],
        "annotator_1": [0, 1] * 20,
        "label": [0, 1] * 20,
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = looked(tmp_path / "t.parquet", tmp_path)
    assert found.table.features == AllBut(all_but=("customer_id", "note", "hollow", "annotator_1"))
    assert found.table.impute == "median"
    said = "\n".join(found.said)
    assert "column 'customer_id', an identifier" in said
    assert "column 'note', text of 40 values" in said
    assert "column 'hollow', of which 26 of 40 values are empty" in said
    assert "1 missing value imputed: holes" in said
    assert "column 'annotator_1', labels of one annotator, perhaps" in said


def test_columns_made_from_the_labels_are_left_out_or_doubted(tmp_path: Path) -> None:
    features, labels = blobs(300)
    number = (labels[:, None] == NAMES).argmax(1)
    wrong = np.arange(300) % 20 == 0
    columns = {f"f{i}": features[:, i] for i in range(4)} | {
        "label": labels,
        "label_name": [f"a {name}" for name in labels],
        "code": number * 10.0,
        "review": np.where(wrong, (number + 1) % 3, number),
        "grade": RNG.integers(0, 4, 300),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = looked(tmp_path / "t.parquet", tmp_path)
    assert found.table.features == ("f0", "f1", "f2", "f3", "review", "grade")
    said = "\n".join(found.said)
    assert "left out: column 'label_name', which tells the label: each of its 3 values has one" in said
    assert "left out: column 'code'" in said
    assert "column 'review' alone tells 95 % of the labels: is it known before they are?" in said
    assert "'grade'" not in said


def test_vectors_pictures_and_clean_labels_are_recognised(tmp_path: Path) -> None:
    labels = [0, 1] * 20
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(RNG.normal(size=120)), 3)
    pq.write_table(pa.table({"embedding": vectors, "label": labels, "expert": labels}), tmp_path / "v.parquet")
    found = looked(tmp_path / "v.parquet", tmp_path).table
    assert (found.features, found.clean_label) == (("embedding",), "expert")
    for row in range(40):
        picture(tmp_path / "img" / f"{row}.png")
    lines = [{"file_name": f"img/{row}.png", "label": labels[row], "width": 20 + row} for row in range(40)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = looked(tmp_path / "p.jsonl", tmp_path).table
    assert (found.image, found.features) == ("file_name", None)


def test_arrays_of_one_file_are_training_and_test_set(tmp_path: Path) -> None:
    pictures = RNG.integers(0, 255, (60, 18, 18)).astype(np.uint8)
    labels = np.arange(60) % 3
    file = tmp_path / "mnist.npz"
    np.savez(file, x_train=pictures[:40], y_train=labels[:40], x_test=pictures[40:], y_test=labels[40:])
    found = looked(file, tmp_path)
    assert (found.table.train, found.table.test) == (str(file), str(file))
    assert (found.table.image, found.table.label) == ("x", "y")
    assert found.source.test is not None
    assert (found.rows, len(found.source.test.labelled)) == (40, 20)


def test_what_of_the_data_is_odd_is_said(tmp_path: Path) -> None:
    features, labels = blobs(300, 0.3)
    columns = {f"f{i}": features[:, i] for i in range(4)} | {"label": labels}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    pq.write_table(pa.table(columns).slice(0, 30), tmp_path / "test.parquet")
    said = "\n".join(looked(tmp_path / "train.parquet", tmp_path).said)
    assert "100 % of the test set equals training examples" in said
    (share,) = [float(line.split()[1]) for line in said.splitlines() if line.startswith("about ")]
    assert 20 < share < 40  # 30 % are wrong


def test_classes_of_unequal_size_are_chosen_by_balanced_accuracy(tmp_path: Path) -> None:
    found = looked(write_csv(tmp_path / "rare.csv", 90, label=["no"] * 80 + ["yes"] * 10), tmp_path)
    assert read_study(text_of(found, None, 8, 3)).selection.metric == "balanced_accuracy"


def test_more_examples_are_seen_fewer_times(tmp_path: Path) -> None:
    few, many = (looked(write_csv(tmp_path / f"{n}.csv", n), tmp_path) for n in (100, 20_000))
    assert recipe_for(few).epochs > recipe_for(many).epochs
    assert recipe_for(few).validation > recipe_for(many).validation


@pytest.mark.parametrize("name", ["yes", "1e3", "a: b", "#x", "null", "[x]", "'", "ä\\", "2020-01-01", " x "])
def test_columns_of_any_name_come_through_the_file(name: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({name: RNG.normal(size=40), "label": [0, 1] * 20}), tmp_path / "odd.parquet")
    spec = read_study(text_of(looked(tmp_path / "odd.parquet", tmp_path), None, 8, 3, "not run yet; at most about 3 s"))
    assert spec.dataset.table is not None
    assert spec.dataset.table.features == (name,)

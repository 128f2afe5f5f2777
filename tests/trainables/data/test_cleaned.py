"""Levels whose training labels a table changes: which labels are trained on, which validate, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from tosmooth.trainables.config import AllBut, CleanedBy, DataConfig, TableSource, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.data.places import places_of
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

NAMES = ("cat", "dog")


def table(folders: Folders, name: str, lines: list[str]) -> None:
    folders.data.mkdir(parents=True, exist_ok=True)
    (folders.data / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def config(noise: str = "given", **changes: object) -> DataConfig:
    source = TableSource(train="train.csv", features=("x",), label="animal")
    values: dict[str, object] = {"dataset": "mine", "noise": noise, "table": source, "validation_fraction": 0.25}
    return DataConfig(**values | changes)  # type: ignore[arg-type]


def cleaned(file: str = "cleaned.csv", level: str = "given") -> DataConfig:
    return config("cleaned-x", cleaned_by=CleanedBy(level=level, file=file))


@pytest.fixture
def given(folders: Folders) -> LevelData:
    """Forty rows, cat and dog in turn."""
    table(folders, "train.csv", ["x,animal", *(f"{i},{NAMES[i % 2]}" for i in range(40))])
    return load_level(config(), folders)


def write_cleaned(folders: Folders, dropped: set[int], relabelled: set[int]) -> None:
    lines = []
    for i in set(range(40)) - dropped:
        new = NAMES[(i + 1) % 2] if i in relabelled else NAMES[i % 2]
        done = f"relabelled from {NAMES[i % 2]}" if i in relabelled else "kept"
        lines.append(f"{i},{new},{i},{done}")
    table(folders, "cleaned.csv", ["x,animal,tosmooth_row,tosmooth_done", *lines])


def test_training_rows_are_dropped_and_relabelled_and_the_validation_keeps_its_labels(
    given: LevelData, folders: Folders
) -> None:
    train, validation = given.train.rows.tolist(), given.validation.rows.tolist()
    dropped, relabelled = {train[0], validation[0]}, {train[1], validation[1]}
    write_cleaned(folders, dropped, relabelled)
    found = load_level(cleaned(), folders)
    assert found.train.rows.tolist() == train[1:]
    assert found.train.labels.tolist() == [1 - given.train.labels[1].item(), *given.train.labels[2:].tolist()]
    assert found.validation.rows.tolist() == validation
    assert found.validation.labels.tolist() == given.validation.labels.tolist()
    assert (found.train.inputs == given.train.inputs).all()  # scaled by the same rows
    assert found.digest != given.digest
    assert found.remarks == (
        f"of {len(train)} training labels 1 dropped and 1 relabelled by cleaned.csv; "
        "the noisy validation keeps its labels",
    )


def test_the_order_of_the_rows_in_the_file_says_nothing(given: LevelData, folders: Folders) -> None:
    write_cleaned(folders, set(), {int(given.train.rows[3])})
    head, *rest = (folders.data / "cleaned.csv").read_text().splitlines()
    before = load_level(cleaned(), folders)
    table(folders, "turned.csv", [head, *reversed(rest)])
    assert load_level(cleaned("turned.csv"), folders).digest == before.digest


def test_noise_is_measured_on_the_cleaned_training_labels_alone(folders: Folders) -> None:
    noisy = DataConfig(dataset="twonorm", noise="symmetric-0.3", size=200, test_size=20, validation_fraction=0.5)
    data = load_level(noisy, folders)
    assert data.train.clean is not None
    kept = zip(data.train.rows.tolist(), data.train.labels.tolist(), data.train.clean.tolist(), strict=True)
    table(folders, "right.csv", ["label,tosmooth_row,tosmooth_done", *(f"{a},{r},kept" for r, a, b in kept if a == b)])
    by = CleanedBy(level="symmetric-0.3", file="right.csv")
    found = load_level(
        DataConfig(
            dataset="twonorm", noise="cleaned-a", cleaned_by=by, size=200, test_size=20, validation_fraction=0.5
        ),
        folders,
    )
    assert data.noise_rate is not None
    assert data.noise_rate > 0.2
    assert (found.noise_rate, found.symmetric) == (0, False)
    assert len(found.validation) == 100


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["animal,tosmooth_row", "cat,0"], "has no column 'tosmooth_done'"),
        (["animal,tosmooth_row,tosmooth_done", "dog,0,kept"], "row 0 was 'dog' there and is 'cat' at the level given"),
        (["animal,tosmooth_row,tosmooth_done", "cat,40,kept"], "rows of the training set, from 0 to 39, each once"),
        (["animal,tosmooth_row,tosmooth_done", "cat,0,kept", "cat,0,kept"], "each once"),
        (["animal,tosmooth_row,tosmooth_done", "cat,0,gone"], "'gone' is refused: kept, or relabelled from NAME"),
        (["animal,tosmooth_row,tosmooth_done", "cow,0,relabelled from cat"], "'cow' is none of the classes"),
        (["animal,tosmooth_row,tosmooth_done", "cat,0,relabelled from dog"], "row 0 was 'dog' there and is 'cat'"),
    ],
)
def test_a_file_that_was_cleaned_of_other_labels_is_refused(
    lines: list[str], said: str, given: LevelData, folders: Folders
) -> None:
    table(folders, "wrong.csv", lines)
    with pytest.raises(InputError, match=said):
        load_level(cleaned("wrong.csv"), folders)


def test_what_a_level_of_cleaned_labels_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"dataset.cleaned_by.level: 'soft' is refused"):
        CleanedBy(level="soft", file="a.csv")
    with pytest.raises(InputError, match="a level of labels that is not cleaned itself"):
        CleanedBy(level="cleaned-a", file="a.csv")
    with pytest.raises(InputError, match=r"dataset.cleaned_by: None is refused"):
        config("cleaned-x")
    with pytest.raises(InputError, match="for levels cleaned-NAME, and for them alone"):
        config("given", cleaned_by=CleanedBy(level="given", file="a.csv"))
    with pytest.raises(InputError, match="transition: 'estimated' is refused: measured, or a matrix"):
        TrialConfig(data=cleaned(), method="forward", warmup=1)


def test_columns_that_cleaning_adds_are_no_features(folders: Folders, given: LevelData) -> None:
    write_cleaned(folders, set(), set())
    own = TableSource(train="cleaned.csv", features=AllBut(all_but=()), label="animal")
    found = load_level(config(table=own), folders)
    assert found.train.inputs.shape[1] == 1


def test_places_are_rows_of_the_table_and_of_shards_the_file_too(given: LevelData, folders: Folders) -> None:
    rows = given.train.rows.numpy()[:2]
    assert places_of(config(), folders, rows).rows.tolist() == rows.tolist()
    assert places_of(config(), folders, rows).texts == ["", ""]
    lines = (folders.data / "train.csv").read_text().splitlines()
    table(folders, "part-1.csv", lines[:11])
    table(folders, "part-2.csv", [lines[0], *lines[11:]])
    shards = config(table=TableSource(train="part-*.csv", features=("x",), label="animal"))
    assert places_of(shards, folders, rows * 0 + 12).texts[0] == "part-2.csv, row 2"


def test_places_of_pictures_are_their_paths(folders: Folders) -> None:
    for name, value in (("b", 200), ("a", 30)):
        for i in range(3):
            path = folders.data / "pets" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (value, 10 * i, 0)).save(path)
    pets = config(table=TableSource(train="pets"))
    assert places_of(pets, folders, np.array([4, 0])).texts == ["b/1.png", "a/0.png"]
    table(folders, "list.csv", ["file,animal", *(f"pets/{n}/{i}.png,{n}" for n in "ba" for i in range(3))])
    listed = config(table=TableSource(train="list.csv", image="file", label="animal"))
    assert places_of(listed, folders, np.array([1])).texts == ["pets/b/1.png"]

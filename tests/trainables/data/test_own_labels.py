"""Labels of a user's own table: their classes, rows that have none, and clean labels that only some rows have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.trainables.data.test_own_data import in_order, load_table
from tosmooth.trainables.config import DataConfig, OptimizerConfig, TableSource, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.trainer import Report, Trainer, train

Save = Callable[..., Path]
N = 60
X = np.random.default_rng(0).normal(size=N)
CLEAN = np.arange(N) % 3
GIVEN = np.where(np.arange(N) % 5 == 0, (CLEAN + 1) % 3, CLEAN)  # 12 of 60 are wrong
PLAIN = TableSource(train="train.parquet", features=("x",))


def load(folders: Folders, save: Save, labels: Any, **table: Any) -> LevelData:
    """Data of one feature with these labels."""
    save(folders.data / "train.parquet", x=X[: len(labels)], label=labels)
    return load_table(folders, TableSource(train="train.parquet", features=("x",), **table))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["fox", "cat", "dog"], ("cat", "dog", "fox")),
        ([1, 2, 3], ("1", "2", "3")),
        ([-1, 0, 1], ("-1", "0", "1")),  # as losses of margins have them
        ([10, 9, 200], ("9", "10", "200")),  # gaps
        ([3.0, 1.0, 2.0], ("1", "2", "3")),
        ([True, False], ("false", "true")),
        (["007", "7", "a,b"], ("007", "7", "a,b")),
    ],
)
def test_labels_of_any_kind_are_classes(
    values: list[Any], names: tuple[str, ...], folders: Folders, save: Save
) -> None:
    labels = pa.array([values[i % len(values)] for i in range(N)])
    plain, encoded = load(folders, save, labels), load(folders, save, labels.dictionary_encode())
    assert plain.class_names == encoded.class_names == names
    assert plain.digest == encoded.digest
    texts = [str(values[i % len(values)]).removesuffix(".0").lower() for i in range(N)]
    assert [names[k] for k in in_order(plain)] == texts


@pytest.mark.parametrize(
    ("empty", "table"),
    [
        (None, {}),
        ("", {}),
        ("  ", {}),
        ("unknown", {"missing": ("-1", "unknown")}),
        (-1, {"missing": ("-1", "unknown")}),
        (float("nan"), {}),
    ],
)
def test_rows_without_a_label_are_left_out_and_counted(
    empty: Any, table: dict[str, Any], folders: Folders, save: Save
) -> None:
    """The others are split as if those had never been there."""
    values = ["a", "b"] if isinstance(empty, str) else [1.0, 2.0] if isinstance(empty, float) else [1, 2]
    labels = [values[i % 2] for i in range(N)]
    some = [empty if i % 10 == 3 else label for i, label in enumerate(labels)]
    kept = np.flatnonzero(np.arange(N) % 10 != 3)
    found = load(folders, save, some, **table)
    assert found.remarks == ("6 of 60 training rows have no label and are left out",)
    assert len(found.class_names) == 2
    save(folders.data / "train.parquet", x=X[kept], label=[labels[i] for i in kept])
    without = load_table(folders, PLAIN)
    for one, other in ((found.train, without.train), (found.validation, without.validation)):
        assert one.rows.tolist() == kept[other.rows].tolist()
        assert one.labels.tolist() == other.labels.tolist()
        assert one.inputs[one.rows].equal(other.inputs[other.rows])


def test_without_any_label_there_is_nothing_to_train_on(folders: Folders, save: Save) -> None:
    with pytest.raises(InputError, match=r"column 'label': no label at all: two classes or more"):
        load(folders, save, [""] * N)
    save(folders.data / "test.parquet", x=X, label=[None] * N)
    rule = r"labels of the test set: 60 is refused: rows, and none of them has a label"
    with pytest.raises(InputError, match=rule):
        load(folders, save, GIVEN, test="test.parquet")


def declared(names: list[str]) -> dict[bytes, bytes]:
    about = {"label": {"_type": "ClassLabel", "names": names}}
    return {b"huggingface": json.dumps({"info": {"features": about}}).encode()}


def test_classes_that_a_file_declares(folders: Folders) -> None:
    """With -1 for rows without a label, as the hub has test sets, and a class that no row has."""
    folders.data.mkdir()
    labels = np.where(np.arange(N) < 4, -1, CLEAN)
    table = pa.table({"x": X, "label": labels})
    for part, rows in (("train", N), ("test", 20)):
        own = table.slice(0, rows).replace_schema_metadata(declared(["dog", "cat", "ant", "bee"]))
        pq.write_table(own, folders.data / f"{part}.parquet")
    found = load_table(folders, TableSource(train="train.parquet", test="test.parquet", features=("x",)))
    assert found.class_names == ("dog", "cat", "ant", "bee")
    assert in_order(found).tolist() == CLEAN[4:].tolist()
    assert found.remarks == (
        "4 of 60 training rows have no label and are left out",
        "4 of 20 test rows have no label and are left out",
    )
    named = pa.table({"x": X[:20], "label": [["dog", "cat", "ant"][k] for k in CLEAN[:20]]})
    pq.write_table(named, folders.data / "test.parquet")
    mixed = load_table(folders, TableSource(train="train.parquet", test="test.parquet", features=("x",)))
    assert mixed.test is not None
    assert mixed.test.labels.tolist() == CLEAN[:20].tolist()


def test_the_order_of_the_classes_may_be_given(folders: Folders, save: Save) -> None:
    labels = [["cat", "dog"][i % 2] for i in range(N)]
    found = load(folders, save, labels, classes=("dog", "ant", "cat"))
    assert found.class_names == ("dog", "ant", "cat")
    assert found.classes == 3
    assert in_order(found).tolist() == [2, 0] * 30
    with pytest.raises(InputError, match=r"classes: does not have 'cat', which the data have: .*did you mean 'Cat'"):
        load(folders, save, labels, classes=("dog", "Cat"))
    assert load(folders, save, labels, classes=("dog", "cat"), missing=("bird",)).classes == 2


def test_a_test_set_has_labels_of_its_own(folders: Folders, save: Save) -> None:
    names = np.array(["cat", "dog", "fox"])
    save(folders.data / "test.parquet", x=X[:8], species=["dog", "cat", "dog", "eel", "cat", None, "dog", "emu"])
    found = load(folders, save, names[CLEAN], test="test.parquet", test_label="species")
    assert found.class_names == ("cat", "dog", "eel", "emu", "fox")
    assert found.test is not None
    assert found.test.rows.tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert found.test.labels.tolist() == [1, 0, 1, 2, 0, 1, 3]
    assert found.remarks == (
        "1 of 8 test rows have no label and are left out",
        "28.6 % of the test set are of classes that no training row has: 'eel, emu'",
    )
    with pytest.raises(InputError, match=r"test\.parquet has no column 'label'"):
        load(folders, save, names[CLEAN], test="test.parquet")


def test_classes_that_are_probably_one_are_named(folders: Folders, save: Save) -> None:
    found = load(folders, save, [["cat", "Cat", "dog", "01", "1"][i % 5] for i in range(N)])
    assert found.remarks == (
        "the classes '01' and '1' differ in case, blanks or zeros alone: probably one class",
        "the classes 'Cat' and 'cat' differ in case, blanks or zeros alone: probably one class",
    )
    assert found.classes == 5


def test_an_identifier_is_no_label(folders: Folders, save: Save) -> None:
    with pytest.raises(InputError, match=r"column 'label': 60 classes in 60 rows, such as '0', .*an identifier"):
        load(folders, save, np.arange(N))
    save(folders.data / "test.parquet", x=X[:30], id=np.arange(30))
    with pytest.raises(InputError, match=r"the test set's 'id': 27 classes in 30 rows"):
        load(folders, save, CLEAN, test="test.parquet", test_label="id")
    assert load(folders, save, np.arange(N) % 40, classes=tuple(map(str, range(40)))).classes == 40


def test_an_expert_may_have_seen_few_rows_of_many_classes(folders: Folders, save: Save) -> None:
    """Nearly every one of them of another class: no identifier, as the training set has these classes."""
    labels = np.repeat(np.arange(50), 3)
    expert = [int(label) if i % 3 == 0 and i < 120 else None for i, label in enumerate(labels)]
    rng = np.random.default_rng(0)
    save(folders.data / "train.parquet", x=rng.normal(size=150), label=labels, expert=expert)
    save(folders.data / "test.parquet", x=rng.normal(size=50), label=np.arange(50))
    table = TableSource(train="train.parquet", test="test.parquet", features=("x",), clean_label="expert")
    found = load_table(folders, table)
    assert (found.classes, found.noise_rate, found.clean_rows, found.remarks) == (50, 0.0, 40, ())


KNOWN = np.arange(N) % 4 == 1  # 15 rows
PARTLY = TableSource(train="train.parquet", features=("x",), clean_label="expert")


@pytest.fixture
def partly(folders: Folders, save: Save) -> Folders:
    """A table with the clean labels of every fourth row."""
    save(folders.data / "train.parquet", x=X, label=GIVEN, expert=pa.array(CLEAN, mask=~KNOWN))
    return folders


def test_noise_is_measured_by_the_rows_whose_clean_label_is_known(partly: Folders) -> None:
    found = load_table(partly, PARTLY)
    assert (found.noise_rate, found.clean_rows) == ((GIVEN != CLEAN)[KNOWN].mean(), 15)
    assert found.transition is not None
    expected = [[np.mean(GIVEN[KNOWN & (i == CLEAN)] == j) for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(found.transition, expected)
    for split in (found.train, found.validation):
        rows = split.rows.numpy()
        assert split.clean is not None
        assert split.flipped is not None
        assert split.clean.tolist() == np.where(KNOWN, CLEAN, -1)[rows].tolist()
        assert split.flipped.tolist() == (KNOWN & (GIVEN != CLEAN))[rows].tolist()
    assert in_order(found).tolist() == GIVEN.tolist()
    assert found.digest == load_table(partly, PLAIN).digest  # the clean labels change nothing that is trained


def test_the_clean_level_needs_all_clean_labels(partly: Folders) -> None:
    with pytest.raises(InputError, match=r"'clean' is refused: it needs the clean label of every row, .*clean_label"):
        load_table(partly, PARTLY, noise="clean")


def test_noise_is_drawn_onto_the_given_labels_where_clean_ones_are_not_all_known(partly: Folders) -> None:
    found = load_table(partly, PARTLY, noise="symmetric-0.4")
    assert in_order(found).tolist() == in_order(load_table(partly, PLAIN, noise="symmetric-0.4")).tolist()
    noisy = in_order(found).numpy()
    assert found.noise_rate == (noisy != CLEAN)[KNOWN].mean()
    assert (found.clean_rows, found.symmetric) == (15, False)
    assert 10 < (noisy != GIVEN).sum() < 40


def test_validation_by_clean_labels_has_known_rows_alone(partly: Folders) -> None:
    found = load_table(partly, PARTLY, validate_on="clean", validation_fraction=0.2)
    rows = found.validation.rows.numpy()
    assert len(rows) == 12
    assert KNOWN[rows].all()
    assert found.validation.labels.tolist() == CLEAN[rows].tolist()
    assert found.validation.noisy_labels.tolist() == GIVEN[rows].tolist()
    assert set(found.train.rows.tolist()) == set(range(N)) - set(rows.tolist())
    assert found.train.labels.tolist() == GIVEN[found.train.rows].tolist()
    assert found.remarks == ("trials are scored by the clean labels of 12 examples",)
    assert found.noise_rate == (GIVEN != CLEAN)[KNOWN].mean()


def test_validation_by_clean_labels_takes_all_where_fewer_are_known_than_wanted(partly: Folders) -> None:
    found = load_table(partly, PARTLY, validate_on="clean", validation_fraction=0.5)
    assert found.validation.rows.tolist() == np.flatnonzero(KNOWN).tolist()
    assert len(found.train) == 45
    assert found.remarks == ("trials are scored by the clean labels of 15 examples",)


def test_validation_by_clean_labels_where_all_are_known(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", x=X, label=GIVEN, expert=CLEAN)
    noisy, clean = (load_table(folders, PARTLY, validate_on=by, validation_fraction=0.4) for by in ("noisy", "clean"))
    assert clean.validation.rows.tolist() == noisy.validation.rows.tolist()
    assert clean.validation.labels.tolist() == CLEAN[clean.validation.rows].tolist()
    assert clean.validation.noisy_labels.tolist() == noisy.validation.labels.tolist()
    assert clean.digest != noisy.digest


def test_validation_by_clean_labels_needs_some(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", x=X, label=GIVEN, expert=pa.nulls(N, pa.int64()))
    for table in (PLAIN, PARTLY):
        with pytest.raises(InputError, match=r"selection\.validate_on: 'clean' is refused: clean labels of some"):
            load_table(folders, table, validate_on="clean")
    assert load_table(folders, PARTLY).noise_rate is None


def test_no_example_of_a_validation_by_clean_labels_is_trained_on_as_a_copy(folders: Folders, save: Save) -> None:
    known = np.arange(N) < 20  # of which each stands there again, unknown
    save(folders.data / "train.parquet", x=np.arange(N) % 20.0, label=GIVEN, expert=pa.array(CLEAN, mask=~known))
    found = load_table(folders, PARTLY, validate_on="clean", validation_fraction=0.2)
    assert not np.isin(found.train.keys, found.validation.keys).any()
    assert len(found.validation) == 12
    assert len(found.train) == 60 - 3 * 12
    assert found.remarks[-1] == "24 examples are left out, as they equal some that trials are scored by"


def test_every_class_is_on_both_sides_of_the_split_where_it_can_be(folders: Folders, save: Save) -> None:
    """Also where a class has few rows, each of them several times, or with the label of another class as well."""
    rng = np.random.default_rng(0)
    for seed in range(12):
        x = np.concatenate([np.arange(200.0), [1000, 1001, 1001, 1002], [2000, 2000, 2000], [0, 1]])
        labels = np.array(["a"] * 100 + ["b"] * 100 + ["c"] * 4 + ["d"] * 3 + ["e"] * 2)
        order = rng.permutation(len(x))
        save(folders.data / "train.parquet", x=x[order], label=labels[order])
        found = load_table(folders, PLAIN, split_seed=seed)
        assert set(found.train.labels.tolist()) == {0, 1, 2, 3, 4}
        assert {0, 1, 2} <= set(found.validation.labels.tolist())
        assert abs(len(found.validation) - 21) <= 3
        assert not np.isin(found.train.keys, found.validation.keys).any()


def trained(folders: Folders, table: TableSource, **training: Any) -> tuple[Trainer, list[Report]]:
    recipe = TrainingConfig(epochs=2, batch_size=64, optimizer=OptimizerConfig(lr=0.1), **training)
    config = TrialConfig(data=DataConfig(dataset="mine", noise="given", table=table), training=recipe)
    seen: list[Report] = []
    return train(config, load_level(config.data, folders), seen.append, torch.device("cpu")), seen


def test_what_is_learnt_and_memorised_is_counted_of_the_rows_whose_clean_label_is_known(partly: Folders) -> None:
    """One batch an epoch: what the first says is what the initial weights predict."""
    run, seen = trained(partly, PARTLY)
    data = load_table(partly, PARTLY)
    initial = Trainer(run.config, data, torch.device("cpu")).network
    with torch.no_grad():
        predicted = initial(data.train.inputs[data.train.rows]).argmax(dim=1).numpy()
    rows = data.train.rows.numpy()
    right, wrong = (KNOWN & (GIVEN == CLEAN))[rows], (KNOWN & (GIVEN != CLEAN))[rows]
    assert (right.sum(), wrong.sum()) == (11, 3)
    first = seen[0].metrics
    assert first["train_accuracy_clean"] == pytest.approx(100 * (predicted == GIVEN[rows])[right].mean())
    assert first["train_accuracy_flipped"] == pytest.approx(100 * (predicted == GIVEN[rows])[wrong].mean())
    assert first["train_accuracy"] == pytest.approx(100 * (predicted == GIVEN[rows]).mean())
    unknown = trained(partly, PLAIN)[1]
    assert [report.metrics["train_accuracy_clean"] for report in unknown] == [None, None]
    assert [report.metrics["train_loss"] for report in unknown] == [report.metrics["train_loss"] for report in seen]


def test_metrics_and_weights_call_classes_by_their_names(folders: Folders, save: Save) -> None:
    names = np.array(["cat", "polar bear", "Dog-2"])
    save(folders.data / "train.parquet", x=X, label=names[GIVEN])
    save(folders.data / "test.parquet", x=X, label=names[CLEAN])
    table = TableSource(train="train.parquet", test="test.parquet", features=("x",))
    run, seen = trained(folders, table, class_weights={"polar bear": 3.0, "cat": 0.5})
    assert run.objective.class_weights is not None
    assert run.class_names == ("Dog-2", "cat", "polar bear")
    assert run.objective.class_weights.tolist() == [1.0, 0.5, 3.0]
    last = seen[-1].metrics
    own = {key for key in last if key.startswith("test_accuracy_of.")}
    assert own == {"test_accuracy_of.Dog-2", "test_accuracy_of.cat", "test_accuracy_of.polar bear"}
    assert last["test_balanced_accuracy"] == pytest.approx(sum(last[key] or 0 for key in own) / 3)
    with pytest.raises(InputError, match=r"class_weights\.bear: .*no class of this name; they are Dog-2, cat, polar"):
        trained(folders, table, class_weights={"bear": 3.0})
    save(folders.data / "test.parquet", x=X, label=np.array(["cat", "polar bear", "Dög"])[CLEAN])
    last = trained(folders, table)[1][-1].metrics
    assert {key for key in last if "_of." in key} == {f"test_accuracy_of.{k}" for k in range(4)}


def test_classes_without_a_test_set_have_no_accuracy_of_their_own(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", x=X, label=np.array(["cat", "dog", "fox"])[GIVEN])
    last = trained(folders, PLAIN)[1][-1].metrics
    assert [key for key in last if "_of." in key] == []
    assert last["test_accuracy"] is None
    assert last["val_accuracy"] is not None


def test_a_class_whose_rows_would_all_be_validated_on_is_trained_on(folders: Folders, save: Save) -> None:
    """Three rows of 400, at whatever places: of those that the draw of the version before held out, too."""
    x = np.random.default_rng(0).normal(size=400)
    save(folders.data / "train.parquet", x=x, label=np.arange(400) % 3)
    held = load_table(folders, PLAIN).validation.rows.numpy()[:3]
    labels = np.arange(400) % 3
    labels[held] = 3
    save(folders.data / "train.parquet", x=x, label=labels)
    found = load_table(folders, PLAIN)
    assert found.train.labels.bincount()[3] in (1, 2)
    assert found.validation.labels.bincount()[3] in (1, 2)
    assert len(found.validation) == 40


def test_times_are_told_apart(folders: Folders, save: Save) -> None:
    """Seconds since 1970, of which the class is the half of a minute; as numbers, and as dates and times."""
    clean = np.arange(N) % 2
    seconds = 1_760_000_000 + 20 * clean + np.random.default_rng(0).integers(0, 12, N)
    inputs = []
    for times in (seconds.astype(float), seconds, pa.array(seconds).cast(pa.timestamp("s")), pa.array(seconds * 10**9)):
        save(folders.data / "train.parquet", x=times, label=clean)
        inputs.append(load_table(folders, PLAIN).train.inputs[:, 0].numpy())
    for each in inputs:
        np.testing.assert_allclose(each, inputs[0], atol=1e-5)
        assert each[clean == 0].max() < each[clean == 1].min()


def test_oversampled_examples_are_not_validated_on(folders: Folders, save: Save) -> None:
    """Each stands there four times with its label, as after oversampling or a join."""
    rng = np.random.default_rng(5)
    rows = rng.permutation(np.repeat(np.arange(150), 4))
    save(folders.data / "train.parquet", x=rng.normal(size=150)[rows], label=rng.integers(0, 3, 150)[rows])
    found = load_table(folders, PLAIN, validation_fraction=0.25)
    assert not np.isin(found.train.keys, found.validation.keys).any()
    assert len(found.validation) == pytest.approx(150, abs=8)
    assert len(found.train) + len(found.validation) == 600


def test_vectors_of_an_encoder_are_features(folders: Folders, save: Save) -> None:
    vectors = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 6)
    digests = set()
    for column in (fixed, list(vectors), [str(each.tolist()) for each in vectors], vectors.astype(float).tolist()):
        save(folders.data / "train.parquet", x=column, label=CLEAN)
        found = load_table(folders, PLAIN)
        assert tuple(found.train.inputs.shape) == (N, 6)
        digests.add(found.digest)
    save(folders.data / "train.parquet", **{f"f{i}": vectors[:, i] for i in range(6)}, label=CLEAN)
    digests.add(load_table(folders, TableSource(train="train.parquet", features=("f*",))).digest)
    assert len(digests) == 1

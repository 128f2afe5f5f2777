"""Labels of several annotators, and soft targets: levels, rows that lack some, and training on shares of votes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from tests.trainables.data.test_own_data import in_order, load_table
from tosmooth.trainables.config import (
    DataConfig,
    NetworkConfig,
    OptimizerConfig,
    TableSource,
    TrainingConfig,
    TrialConfig,
)
from tosmooth.trainables.conversion import Name
from tosmooth.trainables.data.datasets import LevelData, find_dataset, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.methods import METHODS
from tosmooth.trainables.training.trainer import Report, Trainer, train

Save = Callable[..., Path]
N, CPU = 60, torch.device("cpu")
X = np.random.default_rng(0).normal(size=(2, N))
NAMES = np.array(["cat", "dog", "fox"])
CLEAN = np.arange(N) % 3
A = CLEAN
B = np.where(np.arange(N) % 4 == 0, (CLEAN + 1) % 3, CLEAN)
C = np.where(np.arange(N) % 6 == 0, (CLEAN + 2) % 3, CLEAN)  # rows 0, 12, ...: each says something else
LACKS_B, LACKS_ALL = np.arange(N) % 10 == 5, np.isin(np.arange(N), (7, 8))
ANNOTATORS = ("a", "expert 2", "c")
TABLE = TableSource(train="train.parquet", features=("x", "y"), annotators=ANNOTATORS)


@pytest.fixture
def voted(folders: Folders, save: Save) -> Folders:
    """Three annotators, one of whom lacks some rows; of two rows nobody says anything."""
    a, c = (pa.array(NAMES[labels], mask=LACKS_ALL) for labels in (A, C))
    b = pa.array(NAMES[B], mask=LACKS_B | LACKS_ALL)
    given = pa.array(NAMES[CLEAN], mask=np.arange(N) == 20)
    columns = {"x": X[0], "y": X[1], "a": a, "expert 2": b, "c": c, "given": given, "clean": NAMES[CLEAN]}
    save(folders.data / "train.parquet", **columns)
    return folders


def by_row(data: LevelData) -> dict[int, int]:
    """Labels of train and validation by the number of the row."""
    splits = (data.train, data.validation)
    return {row: label for s in splits for row, label in zip(s.rows.tolist(), s.labels.tolist(), strict=True)}


def test_levels_are_called_after_the_annotators() -> None:
    levels = find_dataset(DataConfig(dataset="mine", noise="majority", table=TABLE)).levels()
    own = ["given", "clean", "majority", "random-pick", "soft", "annotator-a", "annotator-expert_2", "annotator-c"]
    assert levels[:8] == own
    with pytest.raises(InputError, match=r"'annotator-b' is unknown for mine: one of annotator-"):
        find_dataset(DataConfig(dataset="mine", noise="annotator-b", table=TABLE))
    for names in (("a b", "a_b"), ("é", "è")):
        same = TableSource(train="t.parquet", features=("x",), annotators=names)
        with pytest.raises(InputError, match=r"table\.annotators: .* is refused: names that differ in letters, digits"):
            find_dataset(DataConfig(dataset="mine", noise="majority", table=same))


def test_rows_that_an_annotator_lacks_are_left_out_at_that_level_alone(voted: Folders) -> None:
    every = load_table(voted, TABLE, noise="majority")
    assert len(every.train) + len(every.validation) == N - 2
    assert every.remarks == ("2 of 60 training rows have no label and are left out",)
    for level, labels, lacks in (("a", A, LACKS_ALL), ("expert_2", B, LACKS_B | LACKS_ALL), ("c", C, LACKS_ALL)):
        one = load_table(voted, TABLE, noise=f"annotator-{level}")
        assert by_row(one) == {row: labels[row] for row in np.flatnonzero(~lacks)}
        for split, whole in ((one.train, every.train), (one.validation, every.validation)):
            assert split.rows.tolist() == [row for row in whole.rows.tolist() if not lacks[row]]
            assert split.inputs.equal(whole.inputs)  # scaled by the same rows


def test_majority_and_its_ties(voted: Folders) -> None:
    tied = np.flatnonzero((A != B) & (B != C) & (A != C) & ~LACKS_B & ~LACKS_ALL).tolist()
    assert len(tied) == 5
    drawn = []
    for seed in range(8):
        labels = by_row(load_table(voted, TABLE, noise="majority", noise_seed=seed))
        assert all(labels[row] == CLEAN[row] for row in labels if A[row] in (B[row], C[row]) and not LACKS_B[row])
        drawn.append(tuple(labels[row] for row in tied))
    assert len(set(drawn)) > 4
    assert set(np.array(drawn).ravel()) == {0, 1, 2}
    again = by_row(load_table(voted, TABLE, noise="majority", noise_seed=3))
    assert tuple(again[row] for row in tied) == drawn[3]


def test_one_of_the_annotators_by_lot(voted: Folders) -> None:
    said = {row: {A[row], B[row], C[row]} for row in range(N)}
    labels = [by_row(load_table(voted, TABLE, noise="random-pick", noise_seed=seed)) for seed in range(6)]
    assert all(each[row] in said[row] for each in labels for row in each)
    assert len({tuple(each.items()) for each in labels}) == 6
    assert {each[0] for each in labels} == {0, 1, 2}


def test_shares_of_votes_are_trained_on(voted: Folders) -> None:
    data = load_table(voted, TABLE, noise="soft")
    assert data.train.soft is not None
    assert data.validation.soft is None
    for row, label, shares in zip(data.train.rows, data.train.labels, data.train.soft, strict=True):
        votes = [k for k, lacks in ((A[row], False), (B[row], LACKS_B[row]), (C[row], False)) if not lacks]
        assert shares.tolist() == pytest.approx([votes.count(k) / len(votes) for k in range(3)])
        assert shares[label] == shares.max()
    assert by_row(data) == by_row(load_table(voted, TABLE, noise="majority"))
    assert data.digest != load_table(voted, TABLE, noise="majority").digest


def test_given_labels_beside_annotators(voted: Folders) -> None:
    """Without a `label` given are those of the majority; with one a row that lacks it still has its votes."""
    alone = load_table(voted, TABLE)
    assert alone.digest == load_table(voted, TABLE, noise="majority").digest
    both = TableSource(train="train.parquet", features=("x", "y"), annotators=ANNOTATORS, label="given")
    given = load_table(voted, both)
    assert by_row(given) == {row: CLEAN[row] for row in range(N) if row != 20}
    one = load_table(voted, both, noise="annotator-a")
    assert by_row(one) == {row: A[row] for row in np.flatnonzero(~LACKS_ALL)}
    kept = set(range(N)) - {7, 8, 20}
    assert kept & set(one.validation.rows.tolist()) == kept & set(given.validation.rows.tolist())
    assert given.remarks == ()
    noisier = by_row(load_table(voted, both, noise="symmetric-0.5"))
    assert noisier.keys() == by_row(given).keys()


def test_noise_of_each_annotator_is_measured(voted: Folders) -> None:
    table = TableSource(train="train.parquet", features=("x", "y"), annotators=ANNOTATORS, clean_label="clean")
    for level, labels, lacks in (("a", A, LACKS_ALL), ("expert_2", B, LACKS_B | LACKS_ALL), ("c", C, LACKS_ALL)):
        data = load_table(voted, table, noise=f"annotator-{level}")
        assert data.noise_rate == (labels != CLEAN)[~lacks].mean()
        assert data.clean_rows is None
    clean = load_table(voted, table, noise="clean")
    assert clean.noise_rate == 0


def test_a_level_of_which_no_row_has_a_label_is_refused(folders: Folders, save: Save) -> None:
    save(folders.data / "train.parquet", x=X[0], y=X[1], a=A, b=B, c=pa.nulls(N, pa.int64()))
    table = TableSource(train="train.parquet", features=("x", "y"), annotators=("a", "b", "c"))
    assert load_table(folders, table, noise="majority").classes == 3
    with pytest.raises(
        InputError, match=r"dataset\.noise: 'annotator-c' is refused: no example to train on has a label"
    ):
        load_table(folders, table, noise="annotator-c")


def test_crowds_of_which_each_has_seen_few_rows(folders: Folders, save: Save) -> None:
    """As such tables are: a column for each worker, most of it empty; some know one class alone."""
    workers = {f"w{i}": pa.array(NAMES[CLEAN], mask=np.arange(N) % 20 != i) for i in range(20)}
    save(folders.data / "train.parquet", x=X[0], y=X[1], **workers)
    table = TableSource(train="train.parquet", features=("x", "y"), annotators=tuple(workers))
    assert in_order(load_table(folders, table, noise="majority")).tolist() == CLEAN.tolist()
    rule = r"dataset\.noise: 'annotator-w3' is refused: no example to validate on has a label there"
    with pytest.raises(InputError, match=rule):
        load_table(folders, table, noise="annotator-w3")  # three rows, all of which are trained on


# Soft targets

SHARES = np.random.default_rng(1).dirichlet((1, 1, 1), N).astype(np.float32)
CLASSES = tuple(map(Name, NAMES.tolist()))
SOFT = TableSource(train="train.parquet", features=("x", "y"), targets=tuple(NAMES))


def put(folders: Folders, save: Save, shares: Any, **columns: Any) -> None:
    save(folders.data / "train.parquet", x=X[0], y=X[1], **dict(zip(NAMES, shares.T, strict=True)), **columns)


def test_soft_targets_as_columns_and_as_lists(folders: Folders, save: Save) -> None:
    put(folders, save, SHARES, q=list(SHARES))
    columns = load_table(folders, SOFT, noise="soft")
    assert columns.class_names == tuple(NAMES)
    assert columns.train.soft is not None
    np.testing.assert_allclose(columns.train.soft, SHARES[columns.train.rows], rtol=1e-6)
    assert in_order(columns).tolist() == SHARES.argmax(axis=1).tolist()
    assert in_order(load_table(folders, SOFT)).tolist() == SHARES.argmax(axis=1).tolist()
    lists = TableSource(train="train.parquet", features=("x", "y"), targets=("q",), classes=CLASSES)
    assert load_table(folders, lists, noise="soft").digest == columns.digest
    four = TableSource(train="train.parquet", features=("x", "y"), targets=("q",), classes=(*CLASSES, Name("owl")))
    with pytest.raises(InputError, match=r"targets: '3 values a row' is refused: a value for each of the 4 classes"):
        load_table(folders, four, noise="soft")


def test_soft_targets_are_made_shares_and_rows_without_any_are_left_out(folders: Folders, save: Save) -> None:
    votes = np.random.default_rng(0).integers(0, 4, (N, 3))
    votes[:5], votes[5:10] = 0, (7, 1, 0)
    put(folders, save, votes)
    data = load_table(folders, SOFT, noise="soft")
    none = int((votes.sum(axis=1) == 0).sum())
    assert data.remarks == (f"{none} of 60 training rows have no label and are left out",)
    assert data.train.soft is not None
    own = votes[data.train.rows]
    np.testing.assert_allclose(data.train.soft, own / own.sum(axis=1, keepdims=True), rtol=1e-6)


def test_targets_that_are_no_shares_are_refused(folders: Folders, save: Save) -> None:
    for value, rule in ((-0.5, r"row 7: -0\.5 is refused: shares"), (np.nan, "row 7, column 'dog': nan is refused")):
        shares = SHARES.copy()
        shares[7, 1] = value
        put(folders, save, shares)
        with pytest.raises(InputError, match=rf"train\.parquet, {rule}"):
            load_table(folders, SOFT, noise="soft")
    with pytest.raises(InputError, match=r"table\.targets: .* one for each of the classes, in their order: \['fox', "):
        TableSource(train="t.parquet", features=("x",), targets=("cat", "fox"), classes=(CLASSES[2], CLASSES[0]))


def test_targets_that_hardly_differ_keep_their_values(folders: Folders, save: Save) -> None:
    """Of features of so little spread the mean is taken away; shares are as they stand."""
    shares = np.full((N, 3), 1 / 3) + 1e-7 * np.random.default_rng(0).normal(size=(N, 3))
    put(folders, save, shares)
    data = load_table(folders, SOFT, noise="soft")
    assert data.train.soft is not None
    np.testing.assert_allclose(data.train.soft, 1 / 3, atol=1e-6)


def test_the_majority_of_annotators_is_theirs_beside_soft_targets_too(folders: Folders, save: Save) -> None:
    put(folders, save, np.eye(3)[(CLEAN + 1) % 3], a=NAMES[CLEAN], b=NAMES[CLEAN])
    both = TableSource(train="train.parquet", features=("x", "y"), targets=tuple(NAMES), annotators=("a", "b"))
    assert in_order(load_table(folders, both, noise="majority")).tolist() == CLEAN.tolist()
    assert in_order(load_table(folders, both, noise="soft")).tolist() == ((CLEAN + 1) % 3).tolist()


def trial(noise: str, table: TableSource = SOFT, rate: float = 0.0, **values: Any) -> TrialConfig:
    recipe = TrainingConfig(epochs=3, batch_size=16, optimizer=OptimizerConfig(lr=0.1))
    data = DataConfig(dataset="mine", noise=noise, table=table)
    return TrialConfig(data=data, training=recipe, network=NetworkConfig(width=8), rate=rate, **values)


@pytest.mark.parametrize("rate", [-1.0, 0.0, 0.3])
def test_training_on_soft_targets_is_cross_entropy_with_these_smoothed(
    rate: float, folders: Folders, save: Save
) -> None:
    put(folders, save, SHARES)
    config = trial("soft", rate=rate)
    data = load_level(config.data, folders)
    seen: list[Report] = []
    run = train(config, data, seen.append, CPU)
    assert data.train.soft is not None
    smoothed = (1 - rate) * data.train.soft + rate / 3
    network = Trainer(config, data, CPU).network  # the same initial weights
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    network.train()
    for report in seen:
        total = 0.0
        for index in torch.randperm(len(data.train), generator=generator).split(16):
            loss = functional.cross_entropy(network(data.train.inputs[data.train.rows[index]]), smoothed[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        assert report.metrics["train_loss"] == pytest.approx(total / len(data.train), rel=1e-5, abs=1e-5)
    for one, other in zip(run.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rate", [-1.0, 0.3])
def test_targets_of_one_class_train_as_its_label_does_bit_for_bit(rate: float, folders: Folders, save: Save) -> None:
    put(folders, save, np.eye(3)[CLEAN])
    runs = []
    for noise in ("soft", "given"):
        seen: list[Report] = []
        config = trial(noise, rate=rate, warmup=1)
        run = train(config, load_level(config.data, folders), seen.append, CPU)
        metrics = [{k: v for k, v in report.metrics.items() if k != "seconds"} for report in seen]
        runs.append((metrics, [parameter.tolist() for parameter in run.network.parameters()]))
    assert runs[0] == runs[1]


def test_methods_that_have_no_place_for_soft_targets_are_refused() -> None:
    able = [name for name, method in METHODS.items() if method.soft]
    assert able == ["gls", "confidence-penalty", "logit-norm", "logit-clip", "ce"]
    for name, method in METHODS.items():
        if method.soft:
            assert trial("soft", method=name).method == name
            continue
        rule = rf"method: '{name}' is refused: at the noise level soft for the methods gls, confidence-penalty, logit-"
        with pytest.raises(InputError, match=rule):
            trial("soft", method=name, warmup=0 if method.from_start else 1)


# What people really said

PEOPLE = {"annotator-random1": "17.23", "annotator-random2": "18.12", "annotator-random3": "17.64"}


@pytest.fixture(scope="module")
def people(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """CIFAR-10N's three labels of each picture in one table, with one feature in place of the picture."""
    data = tmp_path_factory.mktemp("people")
    said = torch.load(real_data / "CIFAR-10_human.pt", weights_only=False)
    columns = {f"random{i}": np.asarray(said[f"random_label{i}"]) for i in (1, 2, 3)}
    columns |= {"clean": np.asarray(said["clean_label"]), "aggre": np.asarray(said["aggre_label"])}
    pq.write_table(pa.table({"row": np.arange(50_000.0), **columns}), data / "train.parquet")
    return Folders(data, data / "cache")


def test_the_majority_of_three_people_is_nearly_as_published(people: Folders) -> None:
    """`aggre` of CIFAR-10N is their majority, and where all three differ one of them: 9.01 % are wrong.

    Of the 3,041 rows where they differ `aggre` has the first one's label in 37.9 %, and 73.0 % of them are wrong; by an
    even lot 70 % are, so that 8.83 % of all are wrong, give or take 0.05.
    """
    annotators = ("random1", "random2", "random3")
    table = TableSource(train="train.parquet", features=("row",), annotators=annotators, clean_label="clean")
    rates = {level: load_table(people, table, noise=level).noise_rate for level in (*PEOPLE, "majority", "random-pick")}
    assert {level: f"{100 * (rates[level] or 0):.2f}" for level in PEOPLE} == PEOPLE
    picked, voted = rates["random-pick"], rates["majority"]
    assert picked == pytest.approx(sum(rates[level] or 0 for level in PEOPLE) / 3, abs=0.005)
    assert voted == pytest.approx(0.0883, abs=0.0025 / 4)
    aggre = TableSource(train="train.parquet", features=("row",), label="aggre", clean_label="clean")
    published = in_order(load_table(people, aggre)).numpy()
    ours = in_order(load_table(people, table, noise="majority")).numpy()
    columns = pq.read_table(people.data / "train.parquet")
    a, b, c = (columns[name].to_numpy() for name in annotators)
    agreed = (a == b) | (b == c) | (a == c)
    assert (~agreed).sum() == 3041
    assert (ours == published)[agreed].all()
    assert (published != columns["clean"].to_numpy()).mean() == 0.0901

"""Records go to Parquet and come back as they were."""

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq

from tosmooth.search.records import ENDED, Level, Record, read_parquet, to_parquet

FULL = Record(
    study="twonorm",
    level="twonorm/symmetric-0.4",
    method="gls",
    phase="search",
    number=3,
    state="complete",
    params={"rate": -0.8, "warmup": 2, "lr_after_warmup": 1e-6},
    train_seed=17,
    curve=({"val_accuracy": 50.25, "test_accuracy": None}, {"val_accuracy": 57.125, "test_accuracy": 91.5}),
    seconds=1.5,
    attempts=2,
)
EMPTY = Record(
    study="twonorm",
    level="twonorm/symmetric-0.4",
    method="gce",
    phase="confirmation",
    number=0,
    state="failed",
    params={"rate": 0.0},
    train_seed=2**40,
    reason='out of memory: "killed", 9',
    trained_as="gls",
)


def test_records_come_back_from_parquet_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "records.parquet").write_bytes(to_parquet([FULL, EMPTY]))
    assert read_parquet(tmp_path / "records.parquet") == [FULL, EMPTY]


def test_no_records_are_written_and_read_too(tmp_path: Path) -> None:
    (tmp_path / "records.parquet").write_bytes(to_parquet([]))
    assert read_parquet(tmp_path / "records.parquet") == []


def test_the_last_epoch_has_columns_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "records.parquet").write_bytes(to_parquet([FULL, EMPTY]))
    columns = pq.read_table(tmp_path / "records.parquet").to_pydict()
    assert (columns["epochs"], columns["spared"]) == ([2, 0], [0, 0])
    assert columns["last_val_accuracy"] == [57.125, None]
    assert columns["last_test_accuracy"] == [91.5, None]


def test_the_last_value_of_a_metric_is_none_where_there_is_no_epoch_or_no_such_metric() -> None:
    assert FULL.last("val_accuracy") == 57.125
    assert FULL.last("test_ece") is None
    assert EMPTY.last("val_accuracy") is None


def test_epochs_reported_are_trained_or_spared_by_a_trunk(tmp_path: Path) -> None:
    branched = dataclasses.replace(FULL, curve=({**FULL.curve[0], "spared": 1.0}, FULL.curve[1]))
    assert (branched.epochs, branched.spared, branched.trained) == (2, 1, 1)
    assert (FULL.epochs, FULL.spared, FULL.trained) == (2, 0, 2)
    (tmp_path / "records.parquet").write_bytes(to_parquet([branched, FULL]))
    assert pq.read_table(tmp_path / "records.parquet")["spared"].to_pylist() == [1, 0]
    assert read_parquet(tmp_path / "records.parquet") == [branched, FULL]


def test_lost_attempts_and_running_trials_do_not_count_towards_the_budget() -> None:
    assert set(ENDED) == {"complete", "pruned", "diverged"}


def test_a_level_is_named_by_dataset_and_noise() -> None:
    level = Level(
        dataset="cifar10n",
        noise="worst",
        classes=10,
        train_size=45000,
        validation_size=5000,
        test_size=10000,
        noise_rate=0.40208,
        noise_rate_source="measured",
        symmetric=False,
        digest="",
    )
    assert level.name == "cifar10n/worst"

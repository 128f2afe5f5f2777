"""Trials that go wrong by themselves: out of memory, no finite loss, an error. The study goes on without them."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.test_kills import check_shown
from tests.search.tools import TINY, records_of, tosmooth
from tests.trainables.conftest import Save, picture
from tosmooth.search.records import Record
from tosmooth.search.report.results import study_rows
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.opening import open_storage

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(600)]

# In every process of Ray that trains: no more than 3 GB for its data, whatever the machine has.
LIMITED = """
import resource, sys

if any(word.endswith("default_worker.py") for word in sys.orig_argv):
    resource.setrlimit(resource.RLIMIT_DATA, (3 * 2**30, 3 * 2**30))
"""


def study(folder: Path, *changes: str) -> tuple[Path, list[str]]:
    """The file of the small study, with its `--set`s: a grid of cross-entropy and label smoothing, tried twice each."""
    file = folder / "tiny.yaml"
    file.write_text(TINY, encoding="utf-8")
    grid = ("search={sampler: grid}", "trial_attempts=2", *changes)
    return file, [part for change in grid for part in ("--set", change)]


def failed_of(home: Path) -> list[Record]:
    return [record for record in records_of(home) if record.state == "failed"]


def rows_of(home: Path) -> list[Any]:
    folder = Home(home).existing("tiny")
    return study_rows(folder.spec(), folder.levels(), records_of(home))


def optuna_states(home: Path) -> Counter[str]:
    """How Optuna's trials ended, those of the confirmation among them."""
    storage = open_storage(None, Home(home).existing("tiny").journal)
    return Counter(t.state.name for s in storage.get_all_studies() for t in storage.get_all_trials(s._study_id))


def check_failed_twice_each(home: Path, failed: int, reason: str) -> None:
    """So many trials failed, in two attempts each, for this reason; all others ended; storage and MLflow say so."""
    found = failed_of(home)
    assert len(found) == failed
    assert {record.attempts for record in found} == {2}
    assert all(record.reason.startswith(reason) for record in found), found[0].reason
    others = [record for record in records_of(home) if record.state != "failed"]
    assert {(record.state, record.attempts) for record in others} == {("complete", 1)}
    assert optuna_states(home) == {"FAIL": failed, "COMPLETE": len(others)}
    check_shown(home)


def test_trials_that_cannot_have_their_memory_fail_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(LIMITED)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    # A layer of 32768 x 32768 weights takes 4 GB. It is asked for in one piece, and never touched.
    space = "space={rate: {values: [0, 0.1]}, warmup: {values: [0]}, network.width: {values: [8, 32768]}}"
    file, sets = study(tmp_path, "dataset.noise=[clean]", "network={name: mlp, width: 8, depth: 2}", space)
    done = tosmooth("run", file, "--home", "home", *sets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    home = tmp_path / "home"
    check_failed_twice_each(home, 2, "out of memory: RuntimeError: ")
    assert {record.params["network.width"] for record in failed_of(home)} == {32768}
    (row,) = rows_of(home)
    assert (row.trials, row.failed, row.diverged) == (2, 2, 0)


def test_workers_that_are_killed_for_memory_end_the_study_with_that_reason_until_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, sets = study(tmp_path, "dataset.noise=[clean]", "search={trials: 2}")
    home = tmp_path / "home"
    with monkeypatch.context() as low:
        low.setenv("RAY_memory_usage_threshold", "0.001")  # of the machine's: Ray takes it for full
        low.setenv("RAY_memory_monitor_refresh_ms", "100")
        done = tosmooth("run", file, "--home", "home", *sets, cwd=tmp_path)
    reason = "out of memory: Ray ended its worker process, since its machine was low on memory"
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.endswith(f"error: twonorm/clean/gls: 4 trials failed, the last with: {reason}\n")
    check_shown(home)
    assert {(r.state, r.reason, r.attempts) for r in records_of(home)} == {("failed", reason, 2)}
    done = tosmooth("run", file, "--home", "home", *sets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check_failed_twice_each(home, 4, reason)
    (row,) = rows_of(home)
    assert (row.trials, row.failed) == (2, 4)


def test_trials_without_a_finite_loss_are_results(tmp_path: Path) -> None:
    space = "space={rate: {values: [0, 0.1]}, warmup: {values: [0]}, training.optimizer.lr: {values: [0.05, 1e18]}}"
    file, sets = study(tmp_path, "dataset.noise=[clean]", "training.optimizer={name: sgd, lr: 0.05}", space)
    done = tosmooth("run", file, "--home", "home", *sets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    home = tmp_path / "home"
    records = records_of(home)
    diverged = [record for record in records if record.state == "diverged"]
    assert [record.params["training.optimizer.lr"] for record in diverged] == [1e18] * 2
    assert {(record.attempts, record.epochs) for record in diverged} == {(1, 1)}  # not tried again, nor trained on
    assert all(record.reason.startswith(("train_loss is ", "val_loss is ")) for record in diverged)
    assert {record.state for record in records if record not in diverged} == {"complete"}
    assert optuna_states(home) == {"COMPLETE": len(records)}
    check_shown(home)
    (row,) = rows_of(home)
    assert (row.trials, row.failed, row.diverged) == (4, 0, 2)


def test_trials_that_raise_fail_with_the_error_and_the_others_go_on(tmp_path: Path, save: Save) -> None:
    # A recipe that the images refuse, as a trial finds out that has them: less than half of the padding is left.
    pixels = np.random.default_rng(0).integers(0, 256, (80, 16, 16, 3), dtype=np.uint8)
    images, labels = [picture(each) for each in pixels], [i % 2 for i in range(80)]
    save(tmp_path / "train.parquet", image=images, label=labels)
    save(tmp_path / "test.parquet", image=images[:20], label=labels[:20])
    table = "table: {train: train.parquet, test: test.parquet, image: image}"
    space = "space={rate: {values: [0, 0.1]}, warmup: {values: [0]}, training.crop_padding: {values: [2, 16]}}"
    file, sets = study(
        tmp_path,
        f"dataset={{name: mine, noise: [given], {table}, validation_fraction: 0.5}}",
        "network={name: cnn, width: 2}",
        "training={epochs: 2, batch_size: 20, augment: crop-flip, crop_padding: 2}",
        space,
    )
    done = tosmooth("run", file, "--home", "home", "--data-dir", tmp_path, *sets, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    home = tmp_path / "home"
    check_failed_twice_each(home, 2, "InputError: training.crop_padding: 16 is refused: less than the images'")
    assert {record.params["training.crop_padding"] for record in failed_of(home)} == {16}
    (row,) = rows_of(home)
    assert (row.trials, row.failed) == (2, 2)

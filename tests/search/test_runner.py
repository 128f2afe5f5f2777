"""Studies end to end, through real Ray, Optuna and MLflow: run, run again, stopped, killed, taken up."""

import csv
import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ray
from mlflow import MlflowClient
from rich.console import Console
from safetensors import safe_open

from search.cluster import cluster
from search.home import Home, StudyFolder
from search.lines import LineWriter
from search.pruning import OptunaPruning
from search.records import ENDED
from search.results import study_rows
from search.runner import Options, run
from search.store import Store, open_storage
from search.tracking.store import database
from tests.search.conftest import Finished
from tests.search.tools import (
    left_after,
    mlflow_runs,
    numbers,
    records_of,
    run_here,
    start,
    table_of,
    tiny,
    tosmooth,
    wait_for_lines,
)
from trainables.config import InputError, TrialConfig

COLUMNS = (  # in this order: others read the files
    "dataset, noise, method, noise_rate, noise_rate_source, noise_rate_estimate, best_rate, rate_low, rate_high, "
    "best_warmup, best_parameters, val_accuracy, test_accuracy, test_accuracy_std, seeds, ce_test_accuracy, "
    "ls_test_accuracy, "
    "gain_over_ce, gain_low, gain_high, p_beats_ce, p_beats_ls, best_epoch_test_accuracy, oracle_rate, "
    "oracle_test_accuracy, theory_rate, trials, pruned, diverged, failed, epochs, epochs_spared, hours, note"
)


def folder_of(home: Path) -> StudyFolder:
    return Home(home).existing("tiny")


def copy_of(finished: Finished, folder: Path) -> Path:
    return Path(shutil.copytree(finished.home, folder / "home"))


def test_a_study_ends_with_the_table_of_all_its_cells(finished: Finished) -> None:
    with (folder_of(finished.home).path / "best_rates.csv").open(encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert ", ".join(reader.fieldnames or ()) == COLUMNS
    assert [(row["dataset"], row["noise"], row["method"]) for row in rows] == [
        ("twonorm", "clean", "gls"),
        ("twonorm", "symmetric-0.4", "gls"),
    ]
    for row in rows:
        assert (row["trials"], row["failed"], row["seeds"]) == ("4", "0", "2")
        # 4 trials, and 2 seeds of the best rate and what else of CE and LS there is, at 3 epochs.
        assert int(row["epochs"]) + int(row["epochs_spared"]) in (24, 30)
        assert 40 < float(row["ce_test_accuracy"]) <= 100
        assert float(row["gain_over_ce"]) == pytest.approx(float(row["test_accuracy"]) - float(row["ce_test_accuracy"]))
    assert float(rows[1]["noise_rate"]) == pytest.approx(0.4, abs=0.05)
    assert rows[0]["noise_rate_source"] == "measured"


def test_the_command_prints_the_table_and_nothing_of_the_libraries(finished: Finished) -> None:
    out, err = finished.process.stdout, finished.process.stderr
    assert "best smoothing rate, twonorm" in out
    assert "symmetric-0.4" in out
    # Plain lines where there is no terminal: where it stands, and at the end what lies where.
    lines = err.splitlines()
    assert lines[0].startswith("trials 0/8, confirmation 0/12, time left: not known yet; best so far: clean -")
    assert re.match(r"trials 8/8, confirmation \d+/12, .*; best so far: clean [+-]\d\S* \(\d+\.\d\d %\)", lines[-2])
    assert lines[-1] == "Table, trials, plots: home/studies/tiny; MLflow: tosmooth ui --home home"
    assert all(line.startswith("trials ") for line in lines[:-1]), err


def test_budget_and_confirmation_are_exact(finished: Finished) -> None:
    records = records_of(finished.home)
    counted = Counter((r.level, r.phase) for r in records if r.state in ENDED)
    for noise in ("clean", "symmetric-0.4"):
        assert counted[f"twonorm/{noise}", "search"] == 4
        assert counted[f"twonorm/{noise}", "confirmation"] in (4, 6)  # 4 where a baseline is the best
    assert {record.attempts for record in records} == {1}
    assert all(record.epochs == 3 for record in records if record.state == "complete")
    assert all(m["test_accuracy"] is not None for record in records for m in record.curve)


def test_the_home_holds_what_it_should_and_no_leftovers(finished: Finished) -> None:
    folder = folder_of(finished.home).path
    assert {file.name for file in folder.iterdir()} == {
        "best_rates.csv",
        "driver.lock",
        "history.jsonl",
        "journal.last.log",
        "journal.log",
        "levels.json",
        "plots",
        "study.yaml",
        "trials.parquet",
        "weights",
    }
    assert {file.name for file in finished.home.iterdir()} == {".setup.lock", "artifacts", "mlflow.db", "studies"}
    assert str(finished.home) not in (folder / "study.yaml").read_text() + (folder / "levels.json").read_text()


def test_weights_of_the_first_seed_lie_there_with_their_configuration(finished: Finished) -> None:
    folder = folder_of(finished.home)
    first = folder.spec().confirmation_seeds()[0]
    runs = [r for r in records_of(finished.home) if r.phase == "confirmation" and r.train_seed == first]
    assert {folder.weights(record.key).name for record in runs} == {f.name for f in (folder.path / "weights").iterdir()}
    for record in runs:
        with safe_open(folder.weights(record.key), "pt") as weights:
            config = TrialConfig.from_dict(json.loads(weights.metadata()["trial"]))
            assert weights.keys()
        assert (config.rate, config.warmup, config.train_seed) == (*record.params.values(), first)


def test_mlflow_shows_cells_trials_epochs_and_files(finished: Finished) -> None:
    client = MlflowClient(database(finished.home))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    parents = {run.info.run_id: run for run in runs if run.data.tags["kind"] == "cell"}
    children = {run.data.tags["identity"]: run for run in runs if run.data.tags["kind"] == "trial"}
    assert len(parents) == 2
    assert {run.info.status for run in runs} == {"FINISHED"}
    records = records_of(finished.home)
    assert len(children) == len(records)
    for record in records:
        run = children[f"tiny/{record.level}/gls/{record.phase}/{record.number}"]
        assert parents[run.data.tags["mlflow.parentRunId"]].data.tags["level"] == record.level
        assert (run.data.tags["state"], run.data.tags["seed"]) == (record.state, str(record.train_seed))
        assert run.data.params["rate"] == str(record.params["rate"])
        points = client.get_metric_history(run.info.run_id, "val_accuracy")
        assert [(p.step, p.value) for p in points] == [(i, m["val_accuracy"]) for i, m in enumerate(record.curve, 1)]
    for run in parents.values():
        folder = finished.home / "artifacts" / re.sub("^mlflow-artifacts:/*", "", run.info.artifact_uri)
        assert {"best_rates.csv", "trials.parquet", "twonorm-rate-over-noise.png"} <= {f.name for f in folder.iterdir()}


def test_run_again_trains_nothing_and_gives_the_same_table(finished: Finished, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)  # moved, too
    before = (folder_of(home).history.read_bytes(), folder_of(home).journal.read_bytes())
    rows = run_here(tiny(), home)
    assert (folder_of(home).history.read_bytes(), folder_of(home).journal.read_bytes()) == before
    assert [row.noise for row in rows] == ["clean", "symmetric-0.4"]
    assert (folder_of(home).path / "best_rates.csv").read_bytes() == (
        folder_of(finished.home).path / "best_rates.csv"
    ).read_bytes()


def test_the_same_seed_gives_the_same_proposals_and_numbers_and_more_trials_go_on(
    finished: Finished, tmp_path: Path
) -> None:
    run_here(tiny(), tmp_path / "twice")
    assert numbers(records_of(tmp_path / "twice")) == numbers(records_of(finished.home))
    assert table_of(tmp_path / "twice") == table_of(finished.home)
    rows = run_here(tiny("search.trials=5"), tmp_path / "twice")
    assert [row.trials for row in rows] == [5, 5]
    before = numbers(records_of(finished.home))
    assert [trial for trial in numbers(records_of(tmp_path / "twice")) if trial in before] == before


def test_tune_forgets_the_trials_that_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []

    class Watched(OptunaPruning):
        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            super().on_trial_add(tune_controller, trial)
            held = {*tune_controller.get_trials(), *tune_controller._stopped_trials, *tune_controller._trials_to_cache}
            kept.append(len(held))

    monkeypatch.setattr("search.runner.OptunaPruning", Watched)
    rows = run_here(tiny(), tmp_path)
    assert [row.trials for row in rows] == [4, 4]
    assert len(kept) > 16  # the searches and their confirmation
    assert max(kept) <= 2  # the one that is added, and one that is only just ending


@pytest.mark.parametrize(
    ("change", "shown"),
    [("seed=1", "seed: 0 -> 1"), ("training.epochs=4", "training.epochs: 3 -> 4")],
    ids=["seed", "epochs"],
)
def test_another_meaning_under_the_same_name_is_refused(
    change: str, shown: str, finished: Finished, tmp_path: Path
) -> None:
    home = copy_of(finished, tmp_path)
    before = numbers(records_of(home))
    with pytest.raises(InputError) as caught:
        run_here(tiny(change), home)
    assert shown in str(caught.value)
    assert "--name tiny-2" in str(caught.value)
    assert numbers(records_of(home)) == before


def test_changed_data_under_the_same_name_is_refused(finished: Finished, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    levels = folder_of(home).levels()
    other = dataclasses.replace(levels["twonorm/clean"], digest="0" * 16)
    folder_of(home).keep(tiny(), levels | {other.name: other})
    with pytest.raises(InputError, match="twonorm/clean: the data changed since study 'tiny' was first run"):
        run_here(tiny(), home)


def test_a_study_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.size: 5000 is refused: there are 1198 examples"):
        run_here(tiny("dataset={name: digits, levels: [clean], size: 5000}"), tmp_path / "home")
    assert not (tmp_path / "home" / "studies").exists()


def test_an_address_where_no_cluster_answers_is_refused(tmp_path: Path) -> None:
    options = Options(Home(tmp_path), address="127.0.0.1:9")
    with pytest.raises(InputError, match=r"--address: '127\.0\.0\.1:9' is refused: no Ray cluster answers there"):
        run(tiny(), options, Console(quiet=True))


def test_a_ray_that_cannot_be_started_here_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("no file descriptors\nare left. Traceback: ...")

    monkeypatch.setattr(ray, "init", fail)
    says = r"^Ray cannot be started here: no file descriptors are left\.$"
    with pytest.raises(InputError, match=says), cluster(None, Console(quiet=True)):
        pass


@pytest.mark.parametrize("name", ["journal.log", "history.jsonl"])
def test_a_disk_that_is_full_before_or_while_trials_run_is_one_message(
    name: str, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copy_of(finished, tmp_path)
    append = LineWriter.append

    def full(writer: LineWriter, values: Any) -> None:
        if writer._path.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(writer._path))
        append(writer, values)

    monkeypatch.setattr(LineWriter, "append", full)
    says = rf"{name}: no room on the disk; make room and run the study again: it goes on"
    with pytest.raises(InputError, match=says):
        run_here(tiny("search.trials=5"), home)
    monkeypatch.undo()
    assert numbers(records_of(home))[:4] == numbers(records_of(finished.home))[:4]


def test_a_database_with_another_home_s_study_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    url, yours = f"sqlite:///{tmp_path}/optuna.db", Home(tmp_path / "yours")
    store = Store(tiny(), open_storage(url, tmp_path / "none"), owner="mine")
    store.propose(tiny().cells()[0])
    with pytest.raises(InputError, match="is another home's"):
        run(tiny(), Options(yours, storage=url), Console(quiet=True))
    assert yours.studies() == []


def test_a_second_run_at_the_same_time_is_refused_saying_where_the_first_is(finished: Finished, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    with folder_of(home).locked():
        second = tosmooth("run", finished.file, "--home", "home", cwd=tmp_path)
        status = tosmooth("status", "tiny", "--home", "home", cwd=tmp_path)
    here = f"process {os.getpid()} on {socket.gethostname()} since 20"
    assert second.returncode == 2
    assert second.stderr.startswith(f"error: study 'tiny' is running already, by {here}")
    assert f"running: {here}" in " ".join(status.stdout.split())
    assert "not running" in tosmooth("status", "tiny", "--home", "home", cwd=tmp_path).stdout


def test_ctrl_c_and_sigterm_end_cleanly_and_the_next_run_goes_on(finished: Finished, tmp_path: Path) -> None:
    home, command = tmp_path / "home", ("run", finished.file, "--home", "home")
    for number, epochs in ((signal.SIGINT, 5), (signal.SIGTERM, 30)):
        process = start(*command, cwd=tmp_path)
        wait_for_lines(home, epochs, process)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: to all in the foreground
        else:
            process.send_signal(number)
        before = time.monotonic()
        out, err = process.communicate(timeout=60)
        assert time.monotonic() - before < 20
        assert (process.returncode, out) == (130, "")
        *progress, last = err.splitlines()
        assert all(line.startswith("trials ") for line in progress), err
        assert last == f"Stopped. What ended is kept; go on with: tosmooth run {finished.file} --home home"
        assert left_after(20, process) == []
        assert not (home / "studies" / "tiny" / "tune").exists()
        states = Counter(record.state for record in records_of(home))
        assert states["running"] <= 1
        assert 1 <= states["complete"] < 14
        assert "RUNNING" not in {run.info.status for run in mlflow_runs(home)}
    assert tosmooth(*command, cwd=tmp_path).returncode == 0
    assert numbers(records_of(home)) == numbers(records_of(finished.home))
    assert table_of(home) == table_of(finished.home)
    assert {run.info.status for run in mlflow_runs(home)} == {"FINISHED"}


@pytest.mark.slow
def test_trials_run_side_by_side_in_as_many_processes_as_there_are_slots(tmp_path: Path) -> None:
    """Tune gives up an actor that is still starting when another's trial ends: see `search.trial`."""
    spec = tiny("resources.concurrent=2", "search.trials=20", "training.epochs=30", "dataset.validation_fraction=0.1")
    if (os.cpu_count() or 1) < 2:
        pytest.skip("One core runs one trial at a time.")
    run_here(spec, tmp_path / "home")
    records = [record for record in records_of(tmp_path / "home") if record.curve]
    spans = [(r.curve[0]["time"] or 0.0, r.curve[-1]["time"] or 0.0) for r in records]
    # Which trials ran at the same time, not how fast: a busy machine slows both.
    beside = [sum(start < end_ and start_ < end for start_, end_ in spans) > 1 for start, end in spans]
    assert sum(beside) > len(spans) / 2


def test_the_table_can_be_made_again_from_the_home_alone(finished: Finished) -> None:
    folder = folder_of(finished.home)
    rows = study_rows(folder.spec(), folder.levels(), records_of(finished.home))
    written = table_of(finished.home)
    assert [row.noise for row in rows] == [row["noise"] for row in written]
    assert [dataclasses.asdict(row)["note"] for row in rows] == [row["note"] for row in written]

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
from unittest import mock

import pytest
import ray
from mlflow import MlflowClient
from rich.console import Console
from safetensors import safe_open

from tests.search.conftest import Command, Finished
from tests.search.tools import (
    TINY,
    apart,
    left_after,
    lines_of,
    mlflow_runs,
    numbers,
    records_of,
    run_apart,
    run_here,
    start,
    table_of,
    tiny,
    tosmooth,
    wait_for_lines,
)
from tosmooth.search.preflight.limits import usable_cores
from tosmooth.search.records import ENDED
from tosmooth.search.report.results import study_rows
from tosmooth.search.run.options import Options
from tosmooth.search.run.ray_cluster import cluster
from tosmooth.search.run.runner import run
from tosmooth.search.run.scheduler import PruningScheduler
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.jsonl import LineWriter
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.storage.trial_store import Store
from tosmooth.search.tracking.store import database
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.errors import InputError

pytestmark = pytest.mark.ray

COLUMNS = (  # in this order: others read the files
    "dataset, noise, method, noise_rate, noise_rate_source, noise_rate_estimate, best_rate, rate_low, rate_high, "
    "best_warmup, best_parameters, val_accuracy, test_accuracy, test_accuracy_std, seeds, ce_test_accuracy, "
    "ls_test_accuracy, ce_val_accuracy, ls_val_accuracy, "
    "test_balanced_accuracy, test_macro_f1, metric, score, score_std, ce_score, ls_score, "
    "gain_over_ce, gain_low, gain_high, verdict, p_beats_ce, p_beats_ls, "
    "runner_up_rate, runner_up_behind, p_runner_up, expected_loss, mean_abs_logit, "
    "best_epoch_test_accuracy, oracle_rate, "
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
        gain = float(row["test_accuracy"]) - float(row["ce_test_accuracy"])
        assert float(row["gain_over_ce"] or 0) == pytest.approx(gain, abs=1e-5)  # "": cross-entropy is the best
    assert float(rows[1]["noise_rate"]) == pytest.approx(0.4, abs=0.05)
    assert rows[0]["noise_rate_source"] == "measured"


@pytest.mark.slow
def test_study_of_which_nothing_completes_says_why_and_ends_with_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    changes = ("dataset.noise=[clean]", "training.optimizer.lr=1e9", "resources.concurrent=2")
    options = [part for change in changes for part in ("--set", change)]
    done = tosmooth("run", "tiny.yaml", *options, "--home", "home", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    said = " ".join(done.stdout.split())
    assert "no trial completed: all 4 diverged (" in said
    assert " at epoch 1): try a lower training.optimizer.lr, or rates nearer to 0: clean" in said
    assert "noisy val." not in said  # the numbers of CE and LS are of the test set


def test_the_command_prints_the_table_and_nothing_of_the_libraries(finished: Finished) -> None:
    out, err = finished.process.stdout, finished.process.stderr
    assert "best smoothing rate, twonorm" in out
    assert "symmetric-0.4" in out
    # Plain lines where there is no terminal: what is being done, where it stands, and at the end what lies where.
    stages = ["Reading the study ...", "Loading Ray and MLflow ...", "Reading and measuring the data ..."]
    stages += ["Starting Ray ...", "Writing the table, the plots and the report ...", "Bringing MLflow up to date ..."]
    assert [line for line in err.splitlines() if line.endswith(" ...")] == stages
    lines = [line for line in err.splitlines() if not line.endswith(" ...")]
    assert lines[0].startswith("trials 0/8, confirmation 0/12, time left: not known yet; best so far: clean -")
    assert re.match(r"trials 8/8, confirmation \d+/12, .*; best so far: clean [+-]\d\S* \(\d+\.\d\d %\)", lines[-2])
    assert lines[-1] == "Table, trials, plots, report: home/studies/tiny; MLflow: tosmooth ui tiny --home home"
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
        "journal.log",
        "levels.json",
        "machines.json",
        "plots",
        "report.html",
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
    parents = {run.info.run_id: run for run in runs if run.data.tags["tosmooth.kind"] == "cell"}
    children = {run.data.tags["tosmooth.identity"]: run for run in runs if run.data.tags["tosmooth.kind"] == "trial"}
    assert len(parents) == 2
    assert {run.info.status for run in runs} == {"FINISHED"}
    records = records_of(finished.home)
    assert len(children) == len(records)
    for record in records:
        run = children[f"tiny/{record.level}/gls/{record.phase}/{record.number}"]
        assert parents[run.data.tags["mlflow.parentRunId"]].data.tags["tosmooth.level"] == record.level
        assert (run.data.tags["tosmooth.state"], run.data.tags["tosmooth.seed"]) == (
            record.state,
            str(record.train_seed),
        )
        assert run.data.params["rate"] == str(record.params["rate"])
        points = client.get_metric_history(run.info.run_id, "val_accuracy")
        assert [(p.step, p.value) for p in points] == [(i, m["val_accuracy"]) for i, m in enumerate(record.curve, 1)]
    rows = {row["noise"]: row for row in table_of(finished.home)}
    for run in parents.values():
        row = rows[run.data.tags["tosmooth.noise"]]
        for name in ("best_rate", "test_accuracy", "ce_test_accuracy", "trials"):
            assert run.data.metrics[name] == pytest.approx(float(row[name]), abs=0.005)
        times = [m["time"] or 0.0 for r in records if r.level == run.data.tags["tosmooth.level"] for m in r.curve]
        assert run.info.end_time == round(1000 * max(times))
        assert run.info.start_time < 1000 * min(times)
        folder = finished.home / "artifacts" / re.sub("^mlflow-artifacts:/*", "", run.info.artifact_uri)
        assert {"best_rates.csv", "trials.parquet", "twonorm-rate-over-noise.png"} <= {f.name for f in folder.iterdir()}


def test_run_again_trains_nothing_and_gives_the_same_table(finished: Finished, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)  # moved, too
    before = (folder_of(home).history.read_bytes(), folder_of(home).journal.read_bytes())
    rows = run_apart(tiny(), home)
    assert (folder_of(home).history.read_bytes(), folder_of(home).journal.read_bytes()) == before
    assert [row.noise for row in rows] == ["clean", "symmetric-0.4"]
    assert (folder_of(home).path / "best_rates.csv").read_bytes() == (
        folder_of(finished.home).path / "best_rates.csv"
    ).read_bytes()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_proposals_and_numbers_and_more_trials_go_on(
    finished: Finished, tmp_path: Path
) -> None:
    run_apart(tiny(), tmp_path / "twice")
    assert numbers(records_of(tmp_path / "twice")) == numbers(records_of(finished.home))
    assert table_of(tmp_path / "twice") == table_of(finished.home)
    rows = run_apart(tiny("search.trials=5"), tmp_path / "twice")
    assert [row.trials for row in rows] == [5, 5]
    before = numbers(records_of(finished.home))
    assert [trial for trial in numbers(records_of(tmp_path / "twice")) if trial in before] == before


@pytest.mark.slow
def test_a_home_that_was_searched_with_successive_halving_is_exported_and_goes_on_with_the_median(
    finished: Finished, tmp_path: Path, command: Command
) -> None:
    home = copy_of(finished, tmp_path)
    file = folder_of(home).spec_file
    old = "pruner: successive-halving, pruner_min_epochs: 1, pruner_grace: 2, reduction_factor: 4"
    file.write_text(file.read_text(encoding="utf-8").replace("pruner: none", old), encoding="utf-8")
    said = command("export", "tiny", "--home", home, "--format", "csv")
    assert (said.code, said.out) == (0, (folder_of(home).path / "best_rates.csv").read_text(encoding="utf-8"))
    before = numbers(records_of(home))
    rows = run_apart(tiny("search.trials=5", "search.pruner=median"), home)
    assert [row.trials for row in rows] == [5, 5]
    assert [trial for trial in numbers(records_of(home)) if trial in before] == before
    assert "successive-halving" not in file.read_text(encoding="utf-8")


def held_by_tune(home: Path) -> list[int]:
    """How many trials Tune holds whenever one is added to a study."""
    kept: list[int] = []

    class Watched(PruningScheduler):
        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            super().on_trial_add(tune_controller, trial)
            held = {*tune_controller.get_trials(), *tune_controller._stopped_trials, *tune_controller._trials_to_cache}
            kept.append(len(held))

    with mock.patch("tosmooth.search.run.runner.PruningScheduler", Watched):
        rows = run_here(tiny(), home)
    assert [row.trials for row in rows] == [4, 4]
    return kept


@pytest.mark.slow
def test_tune_forgets_the_trials_that_ended(tmp_path: Path) -> None:
    kept = apart(held_by_tune, tmp_path)
    assert len(kept) > 16  # the searches and their confirmation
    assert max(kept) <= 2  # the one that is added, and one that is only just ending


@pytest.mark.slow
@pytest.mark.faults
def test_a_journal_that_lost_its_end_is_named_and_the_study_ends_with_the_same_table(
    finished: Finished, tmp_path: Path
) -> None:
    home = copy_of(finished, tmp_path)
    journal = folder_of(home).journal
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    journal.with_name("journal.last.log").write_bytes(b"of a home of before: no one reads it")
    done = tosmooth("run", finished.file, "--home", "home", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"Optuna's storage lacks trial twonorm/\S+/\d+ and \d+ more: what the study still asks for is trained again",
        " ".join(done.stderr.split()),
    )
    assert numbers(records_of(home)) == numbers(records_of(finished.home))
    assert table_of(home) == table_of(finished.home)


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
        run_here(tiny("dataset={name: digits, noise: [clean], size: 5000}"), tmp_path / "home")
    assert not (tmp_path / "home" / "studies").exists()


def test_an_address_where_no_cluster_answers_is_refused(tmp_path: Path) -> None:
    options = Options(Home(tmp_path), address="127.0.0.1:9")
    with pytest.raises(InputError, match=r"--address: '127\.0\.0\.1:9' is refused: no Ray cluster answers there"):
        run(tiny(), options, Console(quiet=True))


def test_a_ray_that_cannot_be_started_here_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("no file descriptors\nare left. Traceback: ...")

    monkeypatch.setattr(ray, "init", fail)
    says = r"^Ray cannot be started here: no file descriptors are left; the same command goes on"
    with pytest.raises(InputError, match=says), cluster(None, Console(quiet=True)):
        pass


def on_a_disk_that_fails(name: str, number: int, home: Path) -> str:
    """What a study says that cannot write to the file of that name, once it wants five trials."""
    append = LineWriter.append

    def full(writer: LineWriter, values: Any) -> None:
        if writer._path.name == name:
            raise OSError(number, os.strerror(number), str(writer._path))
        append(writer, values)

    with mock.patch.object(LineWriter, "append", full), pytest.raises(InputError) as caught:
        run_here(tiny("search.trials=5"), home)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("journal.log", errno.ENOSPC, "no room on the disk; make room"),
        ("history.jsonl", errno.ENOSPC, "no room on the disk; make room"),
        ("history.jsonl", errno.EROFS, "Read-only file system; name a folder you may write to, or have it mounted so"),
        ("journal.log", errno.EIO, r"the disk fails \(Input/output error\); have it seen to"),
    ],
)
def test_a_disk_that_takes_no_more_before_or_while_trials_run_is_one_message(
    name: str, number: int, words: str, finished: Finished, tmp_path: Path
) -> None:
    home = copy_of(finished, tmp_path)
    says = apart(on_a_disk_that_fails, name, number, home)
    assert re.search(rf"{name}: {words} and run the study again: it goes on", says)
    assert numbers(records_of(home))[:4] == numbers(records_of(finished.home))[:4]


def test_a_database_with_another_home_s_study_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    url, yours = f"sqlite:///{tmp_path}/optuna.db", Home(tmp_path / "yours")
    store = Store(tiny(), open_storage(url, tmp_path / "none"), owner="mine")
    store.add(tiny().cells()[0], "search", {"rate": 0.0, "warmup": 0}, 1)
    with pytest.raises(InputError, match="is another home's"):
        run(tiny(), Options(yours, storage=url), Console(quiet=True))
    assert not yours.root.exists()


def test_a_database_without_the_trials_of_a_study_that_was_run_is_refused(finished: Finished, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    folder_of(home).journal.unlink()
    url = f"sqlite:///{tmp_path}/another.db"
    with pytest.raises(
        InputError, match="storage: this database has no trial of study 'tiny', run before: name the one"
    ):
        run(tiny(), Options(Home(home), storage=url), Console(quiet=True))
    assert open_storage(url, tmp_path / "none").get_all_studies() == []
    assert lines_of(home) == lines_of(finished.home)


@pytest.mark.slow
def test_a_second_run_at_the_same_time_is_refused_saying_where_the_first_is(finished: Finished, tmp_path: Path) -> None:
    home = copy_of(finished, tmp_path)
    with folder_of(home).locked():
        second = tosmooth("run", finished.file, "--home", "home", cwd=tmp_path)
        status = tosmooth("status", "tiny", "--home", "home", cwd=tmp_path)
    here = f"process {os.getpid()} on {socket.gethostname()} since 20"
    assert second.returncode == 2
    assert f"\nerror: study 'tiny' is running already, by {here}" in second.stderr
    assert f"running: {here}" in " ".join(status.stdout.split())
    assert "twonorm, finished" in tosmooth("status", "tiny", "--home", "home", cwd=tmp_path).stdout


@pytest.mark.slow
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
        assert all(line.startswith("trials ") or line.endswith(" ...") for line in progress), err
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
    """Tune gives up an actor that is still starting when another's trial ends: see `search.run.trainable`."""
    spec = tiny("resources.concurrent=2", "search.trials=20", "training.epochs=30", "dataset.validation_fraction=0.1")
    if usable_cores() < 2:
        pytest.skip("One core runs one trial at a time.")
    run_apart(spec, tmp_path / "home")
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

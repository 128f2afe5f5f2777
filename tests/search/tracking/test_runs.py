"""The runs in MLflow say what the records do, once and completely. Real MLflow on SQLite."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import ROOT
from tests.search.tracking.tools import (
    LEVEL,
    LEVELS,
    SOON,
    START,
    THREE_POINTS,
    client,
    dataset,
    points,
    runs,
    track,
    tracker,
    trial,
)
from tosmooth.search.tracking.runs import Runs


def test_a_trial_is_a_child_run_with_parameters_metrics_dataset_and_tags(home: Path) -> None:
    assert track(home, trial(7, reason="epoch 3: loss 1e9", state="diverged")) == 0
    run, cell = runs(client(home))[7], runs(client(home), "cell")[0]
    tags = {name: text for name, text in run.data.tags.items() if name != "mlflow.source.git.commit"}
    assert tags == {
        "mlflow.parentRunId": cell.info.run_id,
        "mlflow.runName": "r -0.8 w 1",
        "mlflow.runColor": "#0072B2",  # of the first level
        "tosmooth.identity": "tiny/twonorm/symmetric-0.4/gls/search/7",
        "tosmooth.kind": "trial",
        "tosmooth.study": "tiny",
        "tosmooth.level": "twonorm/symmetric-0.4",
        "tosmooth.method": "gls",
        "tosmooth.phase": "search",
        "tosmooth.seed": "107",
        "tosmooth.state": "diverged",
        "tosmooth.epochs": "3",
        "tosmooth.epochs_spared": "0",
        "tosmooth.attempts": "1",
        "tosmooth.reason": "epoch 3: loss 1e9",
    }
    assert run.data.params == {"training.epochs": "3", "rate": "-0.8", "warmup": "1"}
    assert run.data.metrics == {"train_loss": 1 / 3, "val_accuracy": 53.0, "seconds": 1.0}  # None is not logged
    assert points(client(home), run) == THREE_POINTS
    data = dataset(run)
    assert (data.name, data.digest) == ("twonorm/symmetric-0.4", "0123456789abcdef" * 2 + "0123")
    assert '"train": 5000, "validation": 20000, "test": 10000' in (data.profile or "")
    # It began one epoch, of one second, before the first report, and ended with the last.
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, 1_700_000_003_000)


def test_a_cell_is_a_parent_run_of_one_experiment(home: Path) -> None:
    track(home, trial(1), trial(2))
    cell = runs(client(home), "cell")[0]
    assert {name: text for name, text in cell.data.tags.items() if name != "mlflow.source.git.commit"} == {
        "mlflow.runName": "symmetric-0.4",
        "mlflow.runColor": "#0072B2",
        "tosmooth.identity": "tiny/twonorm/symmetric-0.4/gls",
        "tosmooth.kind": "cell",
        "tosmooth.study": "tiny",
        "tosmooth.level": "twonorm/symmetric-0.4",
        "tosmooth.method": "gls",
    }
    # As long as its trials: the first began a second before its report, the last ended with it.
    assert (cell.info.start_time, cell.info.end_time) == (1_700_000_000_000, 1_700_000_003_000)
    experiment = client(home).get_experiment_by_name("tiny")
    assert experiment is not None
    assert experiment.tags["mlflow.note.content"] == "Does it work?"


def test_the_commit_is_that_of_the_checkout(home: Path) -> None:
    track(home, trial(1))
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    expected = head.stdout.strip() if head.returncode == 0 and (ROOT / ".git").exists() else None
    assert runs(client(home))[1].data.tags.get("mlflow.source.git.commit") == expected


@pytest.mark.parametrize(
    ("state", "status"),
    [("complete", "FINISHED"), ("pruned", "FINISHED"), ("diverged", "FINISHED"), ("failed", "FAILED")],
)
def test_an_ended_trial_has_a_final_status(home: Path, state: str, status: str) -> None:
    track(home, trial(1, state=state))
    assert runs(client(home))[1].info.status == status


def test_runs_left_running_by_a_killed_driver_are_found_and_ended(home: Path) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tosmooth.search.tracking.runs import Runs
from tests.search.tracking.tools import LEVELS, trial
view = Runs(Path({str(home)!r}), None, "tiny", "", LEVELS, {{}})
view.open()
view.write(trial(1, "running", 2))
view.write(trial(2, "running", 0))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = runs(client(home))
    assert {run.info.status for run in before.values()} == {"RUNNING"}
    track(home, trial(1))  # of trial 2 nothing is known any more
    after = runs(client(home))
    assert after[1].info.run_id == before[1].info.run_id
    assert [after[n].info.status for n in (1, 2)] == ["FINISHED", "KILLED"]
    assert points(client(home), after[1]) == THREE_POINTS


def test_to_log_twice_gives_the_same_points(home: Path) -> None:
    view = Runs(home, None, "tiny", "", LEVELS, {})
    view.open()
    view.write(trial(1, "running"))
    run_id = runs(client(home))[1].info.run_id
    again = Runs(home, None, "tiny", "", LEVELS, {})
    again.open()
    again.write(trial(1))  # not known how much of it is there: all of it is logged once more
    assert runs(client(home))[1].info.run_id == run_id
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


def test_what_is_up_to_date_costs_no_call(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    track(home, trial(1), trial(2, "failed", 0))
    monkeypatch.setattr(MlflowClient, "log_batch", lambda *_, **__: pytest.fail("nothing was new"))
    monkeypatch.setattr(MlflowClient, "create_run", lambda *_, **__: pytest.fail("nothing was new"))
    monkeypatch.setattr(MlflowClient, "set_terminated", lambda *_, **__: pytest.fail("nothing was new"))
    assert track(home, trial(1), trial(2, "failed", 0)) == 0


def test_a_lost_attempt_leaves_no_points_behind(home: Path) -> None:
    track(home, trial(1, "running", 3, start=START - 500), finished=False)
    track(home, trial(1, epochs=2, attempts=2))  # run anew from its first epoch, and pruned earlier
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS[:2]


def test_a_lost_attempt_is_replaced_within_a_session_too(home: Path) -> None:
    view = Runs(home, None, "tiny", "", LEVELS, {})
    view.open()
    view.write(trial(1, "running", 3, start=START - 500))
    view.write(trial(1, "running", 1, attempts=2))
    view.write(trial(1, attempts=2))
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


def test_a_run_made_twice_is_left_once(home: Path) -> None:
    track(home, trial(1))
    run = runs(client(home))[1]
    tags = {name: text for name, text in run.data.tags.items() if name != "mlflow.runName"}
    # What a request leaves that timed out here and was carried out there all the same.
    client(home).create_run(run.info.experiment_id, tags=tags, start_time=run.info.start_time + 1)
    track(home, trial(1))
    assert runs(client(home))[1].info.run_id == run.info.run_id  # `runs` fails where there are two


def test_runs_deleted_by_hand_are_made_anew(home: Path) -> None:
    track(home, trial(1), trial(2))
    client(home).delete_run(runs(client(home))[1].info.run_id)
    assert track(home, trial(1), trial(2)) == 0
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


def test_an_experiment_deleted_by_hand_comes_back(home: Path) -> None:
    track(home, trial(1))
    experiment = client(home).get_experiment_by_name("tiny")
    assert experiment is not None
    client(home).delete_experiment(experiment.experiment_id)
    assert track(home, trial(1)) == 0
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


def test_long_trials_exceed_no_limit_of_a_call(home: Path) -> None:
    fixed = {f"setting.{i}": i for i in range(250)}  # a call takes 100 parameters
    session = tracker(home, fixed=fixed)
    session.update(trial(1, epochs=500))  # 1,500 points; a call takes 1,000
    assert session.close(SOON) == 0
    run = runs(client(home))[1]
    assert len(run.data.params) == 252
    for metric in ("train_loss", "val_accuracy", "seconds"):
        assert [step for step, _, _ in points(client(home), run, metric)] == list(range(1, 501))


def test_more_runs_than_a_page_holds_are_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [trial(number, epochs=1) for number in range(12)]
    track(home, *records)
    search = MlflowClient.search_runs
    monkeypatch.setattr(  # pages of 5 instead of 1,000
        MlflowClient, "search_runs", lambda self, ids, **options: search(self, ids, **options | {"max_results": 5})
    )
    assert track(home, *records) == 0
    monkeypatch.undo()
    assert sorted(runs(client(home))) == list(range(12))


def test_an_epoch_that_was_lost_is_left_out(home: Path) -> None:
    full = trial(1)
    track(home, trial(1, curve=(full.curve[0], {}, full.curve[2])))
    assert points(client(home), runs(client(home))[1]) == [THREE_POINTS[0], THREE_POINTS[2]]


def test_files_lie_with_their_cell_under_the_home(home: Path, tmp_path: Path) -> None:
    session = tracker(home)
    for content in ("first", "second"):
        (tmp_path / "table.csv").write_text(content)
        session.artifacts(LEVEL.name, "gls", [tmp_path / "table.csv"])
    assert session.close(SOON) == 0
    cell = runs(client(home), "cell")[0]
    assert cell.info.artifact_uri == f"mlflow-artifacts:/tiny/{cell.info.run_id}/artifacts"
    (folder,) = (home / "artifacts").glob("tiny/*/artifacts")
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"table.csv": "second"}

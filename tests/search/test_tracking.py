"""MLflow shows what the record says: once, completely, and also after an outage, a kill or a move of the home.

Everything here is real MLflow, on SQLite or behind a server of its own.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from search.records import Level, Record
from search.tracking import Tracker, delete_experiment, ui_command
from search.tracking.runs import RefusedError, Runs
from search.tracking.store import connect, database
from search.tracking.tracker import reason
from trainables.config import InputError

ROOT = Path(__file__).resolve().parents[2]
LEVEL = Level(
    dataset="twonorm",
    noise="symmetric-0.4",
    classes=2,
    train_size=5000,
    validation_size=20000,
    test_size=10000,
    noise_rate=0.4,
    noise_rate_source="measured",
    symmetric=True,
    digest="0123456789abcdef" * 4,
)
LEVELS = {LEVEL.name: LEVEL}
START = 1_700_000_000.0  # unix seconds at which every trial of these tests begins
SOON = 60.0  # seconds that a tracker may take to close; far more than it needs


def trial(number: int, state: Any = "complete", epochs: int = 3, start: float = START, **changes: Any) -> Record:
    """A trial that reported once a second."""
    curve = tuple(
        {"train_loss": 1 / epoch, "val_accuracy": 50.0 + epoch, "test_ece": None, "seconds": 1.0, "time": start + epoch}
        for epoch in range(1, epochs + 1)
    )
    values: dict[str, Any] = {
        "study": "tiny",
        "level": LEVEL.name,
        "method": "gls",
        "phase": "search",
        "number": number,
        "state": state,
        "params": {"rate": -0.8, "warmup": 1},
        "train_seed": 100 + number,
        "curve": curve,
    }
    return Record(**values | changes)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow as it is when new; to copy one is quicker than to make one."""
    home = tmp_path_factory.mktemp("empty")
    connect(home, None)
    return home / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home, with nothing but an empty database. Nothing may be written beside it."""
    folder, elsewhere = tmp_path / "my home", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    shutil.copy(empty_database, folder)
    monkeypatch.chdir(elsewhere)
    yield folder
    assert list(elsewhere.iterdir()) == [], "something was written into the working directory"


def tracker(home: Path, uri: str | None = None, fixed: dict[str, Any] | None = None) -> Tracker:
    return Tracker(home, uri, "tiny", "Does it work?", LEVELS, fixed or {"training.epochs": 3}, interval=0.05)


def track(home: Path, *records: Record, uri: str | None = None, finished: bool = True) -> int:
    """Show these trials, as one session of a driver would."""
    session = tracker(home, uri)
    session.catch_up(records)
    return session.close(SOON, finished)


def client(home: Path) -> MlflowClient:
    return MlflowClient(database(home))


def runs(client: MlflowClient, kind: str = "trial", experiment: str = "tiny") -> dict[int, Run]:
    """The runs of one kind by trial number; `{0: run}` for the cell. Fails where there are two of one identity."""
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    all_of_kind = [r for r in client.search_runs([found.experiment_id]) if r.data.tags["kind"] == kind]
    by_number = {int(r.data.tags["identity"].split("/")[-1]) if kind == "trial" else 0: r for r in all_of_kind}
    assert len(by_number) == len(all_of_kind)
    return by_number


def points(client: MlflowClient, run: Run, metric: str = "train_loss") -> list[tuple[int, int, float]]:
    """Step, time in ms and value of every point."""
    return [(p.step, p.timestamp, p.value) for p in client.get_metric_history(run.info.run_id, metric)]


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


THREE_POINTS = [
    (1, 1_700_000_001_000, 1.0),
    (2, 1_700_000_002_000, 0.5),
    (3, 1_700_000_003_000, 1 / 3),
]


def test_a_trial_is_a_child_run_with_parameters_metrics_dataset_and_tags(home: Path) -> None:
    assert track(home, trial(7, reason="epoch 3: loss 1e9", state="diverged")) == 0
    run, cell = runs(client(home))[7], runs(client(home), "cell")[0]
    tags = {name: text for name, text in run.data.tags.items() if name != "mlflow.source.git.commit"}
    assert tags == {
        "mlflow.parentRunId": cell.info.run_id,
        "mlflow.runName": "twonorm/symmetric-0.4 gls search 7",
        "identity": "tiny/twonorm/symmetric-0.4/gls/search/7",
        "kind": "trial",
        "study": "tiny",
        "level": "twonorm/symmetric-0.4",
        "method": "gls",
        "phase": "search",
        "seed": "107",
        "state": "diverged",
        "epochs": "3",
        "attempts": "1",
        "reason": "epoch 3: loss 1e9",
    }
    assert run.data.params == {"training.epochs": "3", "rate": "-0.8", "warmup": "1"}
    assert run.data.metrics == {"train_loss": 1 / 3, "val_accuracy": 53.0, "seconds": 1.0}  # None is not logged
    assert points(client(home), run) == THREE_POINTS
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("twonorm/symmetric-0.4", "0123456789abcdef" * 2 + "0123")
    assert '"train": 5000, "validation": 20000, "test": 10000' in data.dataset.profile
    # It began one epoch, of one second, before the first report, and ended with the last.
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, 1_700_000_003_000)


def test_a_cell_is_a_parent_run_of_one_experiment(home: Path) -> None:
    track(home, trial(1), trial(2))
    cell = runs(client(home), "cell")[0]
    assert {name: cell.data.tags[name] for name in ("kind", "study", "level", "method", "identity")} == {
        "kind": "cell",
        "study": "tiny",
        "level": "twonorm/symmetric-0.4",
        "method": "gls",
        "identity": "tiny/twonorm/symmetric-0.4/gls",
    }
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


def test_a_trial_is_shown_while_it_runs(home: Path) -> None:
    session = tracker(home)
    for epochs in (1, 2, 3):
        session.update(trial(1, "running", epochs))
        wait_for(lambda epochs=epochs: 1 in (found := _trials(home)) and len(points(client(home), found[1])) == epochs)
        assert _trials(home)[1].info.status == "RUNNING"
    session.update(trial(1))
    assert session.close(SOON) == 0
    assert runs(client(home))[1].info.status == "FINISHED"
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


def _trials(home: Path) -> dict[int, Run]:
    return runs(client(home)) if client(home).get_experiment_by_name("tiny") else {}


def test_a_finished_study_leaves_its_cells_finished(home: Path) -> None:
    track(home, trial(1), finished=True)
    assert runs(client(home), "cell")[0].info.status == "FINISHED"


def test_an_interrupted_study_leaves_no_run_running_and_goes_on_in_the_same_runs(home: Path) -> None:
    track(home, trial(1), trial(2, "running", 2), finished=False)
    before = runs(client(home))
    assert [before[n].info.status for n in (1, 2)] == ["FINISHED", "KILLED"]
    assert runs(client(home), "cell")[0].info.status == "KILLED"
    track(home, trial(1), trial(2))
    after = runs(client(home))
    assert {n: run.info.run_id for n, run in after.items()} == {n: run.info.run_id for n, run in before.items()}
    assert [after[n].info.status for n in (1, 2)] == ["FINISHED", "FINISHED"]
    assert runs(client(home), "cell")[0].info.status == "FINISHED"


def test_runs_left_running_by_a_killed_driver_are_found_and_ended(home: Path) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from search.test_tracking import LEVELS, Runs, trial
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


def test_what_mlflow_refuses_does_not_keep_it_from_the_rest(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    refused = trial(1, params={"no parameter may be called so: \n": 1})
    assert track(home, refused, trial(2), trial(3)) == 1
    found = runs(client(home))
    assert [found[n].info.status for n in (2, 3)] == ["FINISHED", "FINISHED"]
    assert runs(client(home), "cell")[0].info.status == "FINISHED"
    assert [record.levelname for record in caplog.records if record.name.startswith("search")] == ["WARNING"]
    view = Runs(home, None, "tiny", "", LEVELS, {})
    view.open()
    with pytest.raises(RefusedError, match="Invalid value"):
        view.write(refused)


def test_a_file_that_is_gone_does_not_keep_it_from_the_rest(home: Path, tmp_path: Path) -> None:
    session = tracker(home)
    session.artifacts(LEVEL.name, "gls", [tmp_path / "missing.png"])
    session.update(trial(1))
    assert session.close(SOON) == 1
    assert runs(client(home))[1].info.status == "FINISHED"


def test_nothing_in_the_database_names_the_place_of_the_home(home: Path) -> None:
    (home / "mlflow.db").unlink()  # a new one, not the copy that the other tests use
    connect(home, None)
    track(home, trial(1))
    assert str(home.parent).encode() not in (home / "mlflow.db").read_bytes()


def test_a_deleted_study_frees_its_room_and_its_name(home: Path, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_bytes(b"x" * 10_000)
    session = tracker(home)
    session.catch_up(trial(number, epochs=50) for number in range(30))
    session.artifacts(LEVEL.name, "gls", [tmp_path / "plot.png"])
    session.close(SOON)
    size = (home / "mlflow.db").stat().st_size
    delete_experiment(home, None, "tiny")
    assert client(home).get_experiment_by_name("tiny") is None
    assert (home / "mlflow.db").stat().st_size < size - 300_000  # 30 trials of 150 points of 80 bytes and more
    assert list((home / "artifacts").iterdir()) == []
    assert track(home, trial(1)) == 0
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


def test_to_delete_one_study_leaves_the_others_alone(home: Path) -> None:
    track(home, trial(1))
    other = Tracker(home, None, "other", "", LEVELS)
    other.update(trial(1, study="other"))
    other.close(SOON)
    delete_experiment(home, None, "other")
    delete_experiment(home, None, "no such study")
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


def test_to_delete_from_an_empty_home_makes_no_database(tmp_path: Path) -> None:
    delete_experiment(tmp_path, None, "tiny")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_told_once_and_nobody_waits(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    begin = time.monotonic()
    session = tracker(home, uri=f"http://user:hunter2@127.0.0.1:{free_port()}")
    for number in range(100):
        session.update(trial(number))
    assert time.monotonic() - begin < 0.5
    wait_for(lambda: bool(caplog.records))
    begin = time.monotonic()
    assert session.close(2.5) == 100  # time for a second and a third try
    assert time.monotonic() - begin < 4
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("search")]
    assert len(warnings) == 1
    assert "Connection refused" in warnings[0] or "Max retries" in warnings[0]
    assert "hunter2" not in caplog.text


def test_an_outage_is_made_good(home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    log_batch = MlflowClient.log_batch
    away = [True]

    def sometimes(self: MlflowClient, *arguments: Any, **options: Any) -> Any:
        if away[0]:
            raise ConnectionError("the server is away")
        return log_batch(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "log_batch", sometimes)
    caplog.set_level(logging.WARNING, "search")
    session = tracker(home)
    session.catch_up([trial(1), trial(2)])
    wait_for(lambda: len(caplog.records) == 1)
    session.update(trial(3))
    away[0] = False
    wait_for(lambda: len(caplog.records) == 2)
    assert [record.getMessage() for record in caplog.records] == [
        "MLflow lacks what is new, and gets it later; training goes on (the server is away)",
        "MLflow is back and has everything",
    ]
    assert session.close(SOON) == 0
    found = runs(client(home))
    assert [points(client(home), found[n]) for n in (1, 2, 3)] == [THREE_POINTS] * 3


def test_a_reason_is_one_line_without_credentials() -> None:
    assert reason(ValueError("cannot reach postgresql://me:s3cr/et@db:5432/mlflow\nTraceback")) == (
        "cannot reach postgresql://db:5432/mlflow"
    )
    assert reason(ValueError("GET https://host/api?token=s3cret failed")) == "GET https://host/api failed"
    assert reason(TimeoutError()) == "TimeoutError"


def test_the_ui_listens_on_this_machine_alone_and_its_command_line_holds_no_password(tmp_path: Path) -> None:
    command, environment = ui_command(tmp_path, "postgresql://me:hunter2@db/mlflow", port=5001)
    assert command[1:] == [
        *("-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "5001", "--workers", "1"),
        *("--serve-artifacts", "--artifacts-destination", (tmp_path / "artifacts").as_uri()),
    ]
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:hunter2@db/mlflow"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_server_needs_no_ui_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="http://host:5000.*open this address"):
        ui_command(tmp_path, "http://host:5000")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`tosmooth ui`'s server over a home."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command, self._environment = ui_command(home, port=self.port)
        self._folder = home.parent / "server"  # it is started elsewhere, and may write nothing there
        self._folder.mkdir()
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            env=os.environ | self._environment,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # with its workers it is one group, to be killed as one
        )
        wait_for(self._answers, 90)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the server did not start"
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=1):  # noqa: S310
            return True
        return False

    def close(self) -> None:
        self.kill()
        assert list(self._folder.iterdir()) == [], "the server wrote into its working directory"


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[tuple[Path, Server]]:
    """A home with a study, moved to another place, and a server over it there."""
    folder = tmp_path_factory.mktemp("moved")
    first = folder / "first home"
    first.mkdir()
    shutil.copy(empty_database, first)
    (folder / "table.csv").write_text("dataset,noise\n")
    (folder / "plot.png").write_bytes(b"\x89PNG")
    session = tracker(first)
    session.update(trial(1))
    session.artifacts(LEVEL.name, "gls", [folder / "table.csv", folder / "plot.png"])
    assert session.close(SOON) == 0
    second = first.rename(folder / "second home")
    server = Server(second)
    yield second, server
    server.close()


def test_a_moved_home_shows_everything_through_a_server(moved: tuple[Path, Server], tmp_path: Path) -> None:
    remote = MlflowClient(moved[1].url)
    run, cell = runs(remote)[1], runs(remote, "cell")[0]
    assert points(remote, run) == THREE_POINTS
    assert run.data.params["rate"] == "-0.8"
    assert run.inputs.dataset_inputs[0].dataset.name == LEVEL.name
    assert sorted(file.path for file in remote.list_artifacts(cell.info.run_id)) == ["plot.png", "table.csv"]
    assert Path(remote.download_artifacts(cell.info.run_id, "plot.png", str(tmp_path))).read_bytes() == b"\x89PNG"
    assert Path(remote.download_artifacts(cell.info.run_id, "table.csv", str(tmp_path))).read_text() == (
        "dataset,noise\n"
    )


def test_a_moved_home_goes_on_where_it_was(moved: tuple[Path, Server]) -> None:
    assert track(moved[0], trial(1), trial(2)) == 0  # on the database, while the server reads it
    remote = MlflowClient(moved[1].url)
    assert [points(remote, runs(remote)[n]) for n in (1, 2)] == [THREE_POINTS, THREE_POINTS]


def test_a_server_shared_by_two_homes_keeps_their_studies_apart(
    moved: tuple[Path, Server], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text("theirs")
    session = tracker(home, uri=moved[1].url)
    session.update(trial(1, epochs=1))
    session.artifacts(LEVEL.name, "gls", [tmp_path / "table.csv"])
    assert session.close(SOON) == 0
    remote = MlflowClient(moved[1].url)
    name = f"tiny-{(home / 'id').read_text()[:8]}"
    assert len(points(remote, runs(remote)[1])) == 3
    assert len(points(remote, runs(remote, experiment=name)[1])) == 1
    cell = runs(remote, "cell", experiment=name)[0]
    assert Path(remote.download_artifacts(cell.info.run_id, "table.csv", str(tmp_path))).read_text() == "theirs"
    delete_experiment(home, moved[1].url, "tiny")
    assert remote.get_experiment_by_name(name) is None
    assert len(points(remote, runs(remote)[1])) == 3


def test_a_server_killed_and_started_again_lacks_nothing(moved: tuple[Path, Server], home: Path) -> None:
    server = moved[1]
    session = Tracker(home, server.url, "outage", "", LEVELS, interval=0.05)
    remote = MlflowClient(server.url)
    records = [trial(number, study="outage") for number in range(12)]
    session.update(trial(12, "running", 2, study="outage"))
    session.catch_up(records[:6])
    wait_for(lambda: remote.get_experiment_by_name("outage") is not None)
    server.kill()  # somewhere in the middle
    session.catch_up(records[6:])
    session.update(trial(12, study="outage"))
    server.start()
    assert session.close(SOON) == 0
    found = runs(remote, experiment="outage")
    assert sorted(found) == list(range(13))
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert all(points(remote, run) == THREE_POINTS for run in found.values())

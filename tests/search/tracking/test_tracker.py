"""MLflow is fed without anyone waiting for it, and lacks nothing after an outage. Real MLflow on SQLite."""

import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.search.tracking.tools import (
    LEVEL,
    LEVELS,
    SOON,
    THREE_POINTS,
    client,
    free_port,
    points,
    runs,
    track,
    tracker,
    trial,
    wait_for,
)
from tosmooth.search.records import Record
from tosmooth.search.tracking.runs import RefusedError, Runs
from tosmooth.search.tracking.store import reason


def test_a_trial_is_shown_while_it_runs(home: Path) -> None:
    def logged() -> int:
        run = runs(client(home)).get(1) if client(home).get_experiment_by_name("tiny") else None
        assert run is None or run.info.status == "RUNNING"
        return len(points(client(home), run)) if run else 0

    session = tracker(home)
    session.update(trial(1, "running", 1))
    wait_for(lambda: logged() == 1)
    session.update(trial(1, "running", 2))
    wait_for(lambda: logged() == 2)
    session.update(trial(1))
    assert session.close(SOON) == 0
    assert runs(client(home))[1].info.status == "FINISHED"
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS


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


def test_what_mlflow_refuses_does_not_keep_it_from_the_rest(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    refused = trial(1, params={"a name that MLflow refuses?": 1})
    assert track(home, refused, trial(2), trial(3)) == 1
    found = runs(client(home))
    assert [found[n].info.status for n in (2, 3)] == ["FINISHED", "FINISHED"]
    assert runs(client(home), "cell")[0].info.status == "FINISHED"
    assert [record.levelname for record in caplog.records if record.name.startswith("tosmooth.search")] == ["WARNING"]
    view = Runs(home, None, "tiny", "", LEVELS, {})
    view.open()
    with pytest.raises(RefusedError, match="Invalid value"):
        view.write(refused)


def test_what_mlflow_refuses_is_no_outage(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tosmooth.search")
    session = tracker(home)
    session.update(trial(1, params={"a name that MLflow refuses?": 1}))
    wait_for(lambda: len(caplog.records) == 1)
    session.update(trial(1, params={"a name that MLflow refuses?": 1}, epochs=2))  # is refused as well: told once
    session.update(trial(2))
    wait_for(lambda: runs(client(home)).keys() == {1, 2} and runs(client(home))[2].info.status == "FINISHED")
    session.update(trial(1))  # and now it is not
    assert session.close(SOON) == 0
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS
    (record,) = caplog.records
    assert record.getMessage().startswith("MLflow refuses tiny/")
    assert "everything else goes on (Invalid value" in record.getMessage()


def test_a_run_that_someone_deleted_during_the_study_is_made_again(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    track(home, trial(2))  # an experiment to look into
    session = tracker(home)
    session.update(trial(1, "running", epochs=2))
    wait_for(lambda: 1 in runs(client(home)) and len(points(client(home), runs(client(home))[1])) == 2)
    client(home).delete_run(runs(client(home))[1].info.run_id)
    session.update(trial(1))
    assert session.close(SOON) == 0
    assert points(client(home), runs(client(home))[1]) == THREE_POINTS
    assert not [record for record in caplog.records if record.name.startswith("tosmooth.search")]


def test_a_file_that_is_gone_does_not_keep_it_from_the_rest(home: Path, tmp_path: Path) -> None:
    session = tracker(home)
    session.artifacts(LEVEL.name, "gls", [tmp_path / "missing.png"])
    session.update(trial(1))
    assert session.close(SOON) == 1
    assert runs(client(home))[1].info.status == "FINISHED"


def test_a_server_that_is_away_is_told_once_and_nobody_waits(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    begin = time.monotonic()
    session = tracker(home, uri=f"http://user:hunter2@127.0.0.1:{free_port()}")
    for number in range(100):
        session.update(trial(number))
    assert time.monotonic() - begin < 0.5
    wait_for(lambda: bool(caplog.records))
    begin = time.monotonic()
    assert session.close(2.5) == 100  # time for a second and a third try
    assert time.monotonic() - begin < 4
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("tosmooth.search")]
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
    caplog.set_level(logging.WARNING, "tosmooth.search")
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


def test_a_server_that_hangs_does_not_keep_a_study_from_its_end(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        session = tracker(home, uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        session.update(trial(1))
        begin = time.monotonic()
        assert session.close(0.5, finished=False) == 1
        assert time.monotonic() - begin < 1.5
    assert session.lacking(1).startswith("MLflow lacks 1 records (it took nothing for 0.5 s); run the command again")


def test_what_mlflow_lacks_is_said_with_the_cause(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = tracker(home, uri=f"http://127.0.0.1:{free_port()}")
    session.update(trial(1))
    assert session.close(1.0) == 1
    assert "Connection refused" in session.lacking(1)

    def refuse(self: Runs, record: Record, since: int | None) -> None:
        raise RefusedError("Param value too long")

    monkeypatch.setattr(Runs, "write", refuse)
    session = tracker(home)
    session.update(trial(1))
    assert session.close(SOON) == 1
    assert "(it refuses tiny/twonorm/symmetric-0.4/gls/search/1: Param value too long);" in session.lacking(1)


def write_slowly(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have MLflow take so long for each trial."""
    write = Runs.write

    def slow(self: Runs, record: Record, since: int | None) -> None:
        time.sleep(seconds)
        write(self, record, since)

    monkeypatch.setattr(Runs, "write", slow)


def test_a_trial_without_an_epoch_began_when_it_was_told_of(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_slowly(monkeypatch, 1)
    session = tracker(home)
    before = time.time()
    session.update(trial(1, "running", 0))
    told = time.time()
    assert session.close(SOON) == 0
    assert 1000 * before - 1 <= runs(client(home))[1].info.start_time <= 1000 * told + 1


def test_a_slow_server_is_waited_for_as_long_as_it_takes_something(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_slowly(monkeypatch, 0.3)
    session = tracker(home)
    session.catch_up(trial(number) for number in range(12))
    assert session.close(3.0) == 0  # three seconds at a time, and not in all
    assert {run.info.status for run in runs(client(home)).values()} == {"FINISHED"}


def test_what_is_stopped_is_told_at_once_and_waited_for_no_longer_than_that(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        session = tracker(home, uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        session.update(trial(1))
        with pytest.raises(KeyboardInterrupt), session.stopping(1.0):
            raise KeyboardInterrupt
        time.sleep(1.0)  # for which Ray comes to its end
        begin = time.monotonic()
        assert session.close(60.0, finished=False) == 1
        assert time.monotonic() - begin < 1


@pytest.mark.parametrize("late", [False, True])
def test_a_request_that_was_given_up_but_carried_out_leaves_one_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    create_run = MlflowClient.create_run
    given_up: list[tuple[Any, ...]] = []

    def timed_out_once(self: MlflowClient, *arguments: Any, **options: Any) -> Any:
        if options["tags"]["tosmooth.kind"] == "trial" and not given_up:
            given_up.append((self, arguments, options))
            if not late:
                create_run(self, *arguments, **options)
            raise TimeoutError("no answer")
        return create_run(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_run", timed_out_once)
    session = tracker(home)
    session.update(trial(1))
    if late:  # carried out when the tracker has long made another
        wait_for(lambda: bool(given_up) and not session._pending)
        client_then, arguments, options = given_up[0]
        create_run(client_then, *arguments, **options | {"start_time": options["start_time"] - 1})
    assert session.close(SOON) == 0
    run = runs(client(home))[1]  # fails where there are two
    assert run.info.status == "FINISHED"
    assert points(client(home), run) == THREE_POINTS


def test_a_reason_is_one_line_without_credentials() -> None:
    assert reason(ValueError("cannot reach postgresql://me:s3cr/et@db:5432/mlflow\nTraceback")) == (
        "cannot reach postgresql://db:5432/mlflow"
    )
    assert reason(ValueError("GET https://host/api?token=s3cret failed")) == "GET https://host/api failed"
    assert reason(ValueError("http://me:hun@ter2@host is away")) == "http://host is away"
    assert reason(ValueError("postgresql://me:pa?ss@host/db is away")) == "postgresql://host/db is away"
    assert reason(TimeoutError()) == "TimeoutError"
    flushed = "(raised as a result of Query-invoked autoflush)\n(sqlite3) attempt to write a readonly database"
    assert reason(RuntimeError(flushed)) == "its database cannot be written to by this user"

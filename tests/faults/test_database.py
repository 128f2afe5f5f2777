"""Optuna's record in a database that goes away and comes back: a real PostgreSQL server, and answers that got lost."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, get_storage
from optuna.trial import TrialState, create_trial
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.faults.servers import PASSWORD, postgres
from tests.search.tools import TINY, numbers, records_of, run_apart, start, table_of, tiny, wait_for_lines
from tests.tools import wait_for
from tosmooth.search.storage import retrying_database as patience
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.reading import read_records
from tosmooth.search.storage.retrying_database import RetryingStorage, is_away, patiently
from tosmooth.trainables.errors import InputError

AWAY = OperationalError("SELECT 1", {}, Exception("server closed the connection unexpectedly"))


@pytest.fixture
def storage(tmp_path: Path) -> RetryingStorage:
    return RetryingStorage(f"sqlite:///{tmp_path / 'trials.db'}")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.01)


def lose_the_answer(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Let the first call of a method do its work and then fail, as where a server stops before it answers."""
    call, asked = getattr(RDBStorage, name), []

    def lossy(self: RDBStorage, *args: Any, **kwargs: Any) -> Any:
        found = call(self, *args, **kwargs)
        asked.append(name)
        if len(asked) == 1:
            raise StorageInternalError("lost") from AWAY
        return found

    monkeypatch.setattr(RDBStorage, name, lossy)
    return asked


def test_calls_are_made_again_until_the_database_is_back(caplog: pytest.LogCaptureFixture) -> None:
    wrapped = StorageInternalError("wrapped")
    wrapped.__cause__ = AWAY
    errors: list[Exception] = [AWAY, wrapped]

    def call() -> int:
        if errors:
            raise errors.pop(0)
        return 7

    assert patiently(call) == 7
    assert caplog.messages == ["The database does not answer; waiting for it", "The database is back"]


def test_patience_ends_with_one_clear_error() -> None:
    def call() -> None:
        raise AWAY

    with pytest.raises(InputError, match=r"^storage: the database does not answer; what ended is kept"):
        patiently(call, patience=0.05)


def test_what_the_database_refuses_is_not_asked_again() -> None:
    asked = []

    def call() -> None:
        asked.append(1)
        raise IntegrityError("INSERT", {}, Exception("duplicate"))

    with pytest.raises(IntegrityError):
        patiently(call)
    assert asked == [1]


class DriverError(Exception):
    """What a driver says, with the SQLSTATE of the server's answer."""

    def __init__(self, words: str, sqlstate: str | None) -> None:
        super().__init__(words)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (DriverError("connection refused", None), True),  # no server has said that
        (DriverError("connection failure", "08006"), True),
        (DriverError("terminating connection due to administrator command", "57P01"), True),
        (DriverError("the database system is starting up", "57P03"), True),
        (DriverError("cannot execute INSERT in a read-only transaction", "25006"), True),  # a standby
        (DriverError("deadlock detected", "40P01"), True),
        (DriverError("permission denied for table trials", "42501"), False),
        (DriverError("canceling statement due to user request", "57014"), False),
        (DriverError("could not extend file", "53100"), False),
        (DriverError("password authentication failed", "28P01"), False),
        (sqlite3.OperationalError("database is locked"), True),
        (sqlite3.OperationalError("database table is locked: trials"), True),
        (sqlite3.OperationalError("database or disk is full"), False),
        (sqlite3.OperationalError("attempt to write a readonly database"), False),
        (sqlite3.OperationalError("no such table: trials"), False),
    ],
)
def test_database_is_waited_for_where_it_is_away_and_not_where_it_refuses(error: Exception, away: bool) -> None:
    wrapped = StorageInternalError("wrapped")
    wrapped.__cause__ = OperationalError("SELECT 1", {}, error)
    assert is_away(wrapped) == away


def test_database_whose_disk_is_full_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = r"^storage: the database has no room \(.*full.*\); make room and run the study again: it goes on$"
    monkeypatch.setattr(patience, "PATIENCE", 0.0)
    with pytest.raises(InputError, match=says):
        patiently(
            lambda: fail(OperationalError("INSERT", {}, DriverError("disk full\nHINT: Check free disk space", "53100")))
        )
    # A real one, whose file may not grow.
    storage = RetryingStorage(f"sqlite:///{tmp_path / 'trials.db'}")
    study = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "a")
    pages = storage.scoped_session().execute(text("PRAGMA page_count")).scalar()
    event.listen(storage.engine, "checkout", lambda it, *_: it.execute(f"PRAGMA max_page_count = {pages}"))
    with pytest.raises(InputError, match=says):
        grow(storage, study)


def grow(storage: RetryingStorage, study: int) -> None:
    """By several pages."""
    for i in range(20):
        storage.set_study_user_attr(study, f"large{i}", "x" * 2000)


def fail(error: Exception) -> None:
    raise error


def test_database_that_cannot_be_written_to_is_not_waited_for(storage: RetryingStorage, tmp_path: Path) -> None:
    study = storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "a")
    event.listen(storage.engine, "checkout", lambda it, *_: it.execute("PRAGMA query_only = 1"))
    with pytest.raises(InputError, match=r"^storage: the database cannot be written to \(attempt to write a readonly "):
        storage.set_study_user_attr(study, "some", 1)
    with storage.engine.connect() as connection:
        connection.execute(text("PRAGMA query_only = 0"))


def answers(storage: RetryingStorage) -> dict[str, Callable[[], Any]]:
    """Each of the calls that may be made twice, on a study with a trial that runs."""
    study = storage.get_study_id_from_name("a")
    trial = storage.get_trial_id_from_study_id_trial_number(study, 0)
    rate = optuna.distributions.FloatDistribution(-1, 1)
    return {
        "set_study_user_attr": lambda: storage.set_study_user_attr(study, "some", 1),
        "set_study_system_attr": lambda: storage.set_study_system_attr(study, "some", 1),
        "get_study_id_from_name": lambda: storage.get_study_id_from_name("a"),
        "get_study_name_from_id": lambda: storage.get_study_name_from_id(study),
        "get_study_directions": lambda: storage.get_study_directions(study),
        "get_study_user_attrs": lambda: storage.get_study_user_attrs(study),
        "get_study_system_attrs": lambda: storage.get_study_system_attrs(study),
        "get_all_studies": lambda: [found.study_name for found in storage.get_all_studies()],
        "set_trial_intermediate_value": lambda: storage.set_trial_intermediate_value(trial, 1, 0.5),
        "set_trial_user_attr": lambda: storage.set_trial_user_attr(trial, "some", 1),
        "set_trial_system_attr": lambda: storage.set_trial_system_attr(trial, "some", 1),
        "get_trial_id_from_study_id_trial_number": lambda: storage.get_trial_id_from_study_id_trial_number(study, 0),
        "get_trial": lambda: storage.get_trial(trial),
        "get_all_trials": lambda: storage.get_all_trials(study),
        "_get_trials": lambda: storage._get_trials(study, None, set(), -1),
        "_set_trial_param": lambda: storage._set_trial_param(trial, "rate", 0.5, rate, None),
        "_get_best_trial_id": lambda: storage.get_best_trial(study).number,
        "delete_study": lambda: storage.delete_study(study),
    }


@pytest.mark.parametrize("name", [*patience.CALLS, "delete_study"])
def test_whatever_is_asked_again_ends_as_if_it_was_asked_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for lost in (False, True):
        storage = RetryingStorage(f"sqlite:///{tmp_path / str(lost)}.db")
        study = optuna.create_study(storage=storage, study_name="a")
        study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={"train_seed": 1}))
        study.add_trial(create_trial(value=0.5))
        call = answers(storage)[name]
        with monkeypatch.context() as patch:
            asked = lose_the_answer(patch, name) if lost else []
            answer = call()
        assert len(asked) in ((0,) if not lost else (1, 2))  # once, where the second would find nothing to do
        left = [(each.state, each.params, each.user_attrs, each.intermediate_values) for each in trials_of(storage)]
        ends.append((str(answer).replace("True.db", "False.db"), left))
    assert re.sub(DATES, "", str(ends[0])) == re.sub(DATES, "", str(ends[1]))


DATES = r"datetime\.datetime\([^)]*\)"


def trials_of(storage: RDBStorage) -> list[optuna.trial.FrozenTrial]:
    """Of all studies that are left."""
    return [trial for study in storage.get_all_studies() for trial in storage.get_all_trials(study._study_id)]


def test_study_that_never_was_is_not_deleted(storage: RetryingStorage) -> None:
    with pytest.raises(KeyError):
        storage.delete_study(7)


def test_trial_whose_answer_was_lost_is_there_once(storage: RetryingStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(storage=get_storage(storage), study_name="a")
    asked = lose_the_answer(monkeypatch, "_create_new_trial")
    for seed in (1, 2):
        study.add_trial(
            create_trial(state=TrialState.RUNNING, user_attrs={"params": {"rate": 0.1}, "train_seed": seed})
        )
    assert [trial.user_attrs["train_seed"] for trial in study.get_trials()] == [1, 2]
    assert len(asked) == 2  # the lost one was found, not made again


def test_end_whose_answer_was_lost_stands(storage: RetryingStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(storage=get_storage(storage), study_name="a")
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={"train_seed": 1}))
    lose_the_answer(monkeypatch, "set_trial_state_values")
    study.tell(0, 0.5)
    assert [(trial.state, trial.value) for trial in study.get_trials()] == [(TrialState.COMPLETE, 0.5)]


def test_study_whose_answer_was_lost_is_there_once(storage: RetryingStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_the_answer(monkeypatch, "create_new_study")
    study = optuna.create_study(storage=get_storage(storage), study_name="a")
    assert [found.study_name for found in storage.get_all_studies()] == ["a"]
    assert study.study_name == "a"
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(storage=get_storage(storage), study_name="a")


def test_every_call_that_reaches_the_database_is_patient() -> None:
    own = {*patience.CALLS, "create_new_study", "delete_study", "_create_new_trial", "set_trial_state_values"}
    assert all(getattr(RetryingStorage, name) is not getattr(RDBStorage, name) for name in own)
    # What else Optuna's cache calls of its backend would fail while the database is away.
    source = Path(str(optuna.storages._cached_storage.__file__)).read_text(encoding="utf-8")
    called = set(re.findall(r"self\._backend\.(\w+)\(", source))
    unused = {"set_trial_param", "_check_and_set_param_distribution", "get_best_trial", "get_heartbeat_interval"}
    unused |= {"record_heartbeat", "_get_stale_trial_ids", "get_heartbeat_stale_trial_callback", "remove_session"}
    assert called - unused <= own


@pytest.mark.slow
@pytest.mark.faults
def test_study_goes_on_where_postgresql_was_restarted(tmp_path: Path) -> None:
    with postgres() as server:
        file = tmp_path / "tiny.yaml"
        file.write_text(TINY, encoding="utf-8")
        process = start("run", file, "--home", "home", "--storage", server.url, cwd=tmp_path)
        history = tmp_path / "home" / "studies" / "tiny" / "history.jsonl"
        for lines in (3, 20, 40):  # in the search, and in the confirmation
            wait_for(f"{lines} epochs", lambda: history.exists() and history.read_bytes().count(b"\n") >= lines)  # noqa: B023
            server.stop()
            server.start()
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert "The database does not answer; waiting for it" in err
        assert "The database is back" in err
        assert PASSWORD not in out + err
        folder = Home(tmp_path / "home").existing("tiny")
        found = read_records(folder, folder.spec(), server.url)
    run_apart(tiny(), tmp_path / "undisturbed")
    assert numbers(found) == numbers(records_of(tmp_path / "undisturbed"))
    assert {record.attempts for record in found} == {1}
    assert table_of(tmp_path / "home") == table_of(tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.long
def test_study_waits_for_a_server_that_is_read_only_after_a_failover(tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg")
    with postgres() as server, psycopg.connect(server.url, autocommit=True) as own:

        def turn(read_only: bool) -> None:
            """As a primary that becomes a standby, or the reverse: all connections are dropped."""
            own.execute("SET default_transaction_read_only = off")
            own.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if read_only else 'off'}")
            own.execute("SELECT pg_reload_conf()")
            own.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

        file = tmp_path / "tiny.yaml"
        file.write_text(TINY, encoding="utf-8")
        process = start("run", file, "--home", "home", "--storage", server.url, cwd=tmp_path)
        wait_for_lines(tmp_path / "home", 5, process)
        turn(read_only=True)
        assert process.stderr is not None
        begun = []
        for line in process.stderr:  # on a busy machine the study comes to the database only after a while
            begun.append(line)
            if "The database is read-only; waiting for it" in line:
                break
        else:
            pytest.fail(f"it did not wait: {''.join(begun)}")
        turn(read_only=False)
        _, rest = process.communicate(timeout=300)
        err = "".join(begun) + rest
        assert process.returncode == 0, err
        assert "Traceback" not in err
        folder = Home(tmp_path / "home").existing("tiny")
        found = read_records(folder, folder.spec(), server.url)
    run_apart(tiny(), tmp_path / "undisturbed")
    assert numbers(found) == numbers(records_of(tmp_path / "undisturbed"))

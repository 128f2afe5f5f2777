"""Optuna's record in a database that goes away and comes back: a real PostgreSQL server, and answers that got lost."""

import re
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage, get_storage
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import IntegrityError, OperationalError

from search import patience
from search.home import Home
from search.patience import PatientStorage, patiently
from search.results import read_records
from tests.faults.servers import PASSWORD, postgres, wait_for
from tests.search.tools import TINY, numbers, records_of, run_here, start, table_of, tiny
from trainables.config import InputError

AWAY = OperationalError("SELECT 1", {}, Exception("server closed the connection unexpectedly"))


@pytest.fixture
def storage(tmp_path: Path) -> PatientStorage:
    return PatientStorage(f"sqlite:///{tmp_path / 'trials.db'}")


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


def test_trial_whose_answer_was_lost_is_there_once(storage: PatientStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(storage=get_storage(storage), study_name="a")
    asked = lose_the_answer(monkeypatch, "_create_new_trial")
    for seed in (1, 2):
        study.add_trial(
            create_trial(state=TrialState.RUNNING, user_attrs={"params": {"rate": 0.1}, "train_seed": seed})
        )
    assert [trial.user_attrs["train_seed"] for trial in study.get_trials()] == [1, 2]
    assert len(asked) == 2  # the lost one was found, not made again


def test_end_whose_answer_was_lost_stands(storage: PatientStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(storage=get_storage(storage), study_name="a")
    study.add_trial(create_trial(state=TrialState.RUNNING, user_attrs={"train_seed": 1}))
    lose_the_answer(monkeypatch, "set_trial_state_values")
    study.tell(0, 0.5)
    assert [(trial.state, trial.value) for trial in study.get_trials()] == [(TrialState.COMPLETE, 0.5)]


def test_study_whose_answer_was_lost_is_there_once(storage: PatientStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_the_answer(monkeypatch, "create_new_study")
    study = optuna.create_study(storage=get_storage(storage), study_name="a")
    assert [found.study_name for found in storage.get_all_studies()] == ["a"]
    assert study.study_name == "a"
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        optuna.create_study(storage=get_storage(storage), study_name="a")


def test_every_call_that_reaches_the_database_is_patient() -> None:
    own = {*patience.CALLS, "create_new_study", "_create_new_trial", "set_trial_state_values"}
    assert all(getattr(PatientStorage, name) is not getattr(RDBStorage, name) for name in own)
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
    run_here(tiny(), tmp_path / "undisturbed")
    assert numbers(found) == numbers(records_of(tmp_path / "undisturbed"))
    assert {record.attempts for record in found} == {1}
    assert table_of(tmp_path / "home") == table_of(tmp_path / "undisturbed")

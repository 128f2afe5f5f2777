"""A database for Optuna that may go away for a while: the study waits for it and goes on."""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from trainables.config import InputError

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE = 3600.0  # seconds for which a database may be away
LONGEST_WAIT = 10.0  # seconds between two tries
CALLS = (  # all that reach the database and may be called twice; the other four have methods of their own
    "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "get_all_studies", "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr",
    "get_trial_id_from_study_id_trial_number", "get_trial", "get_all_trials", "_get_trials",
    "_set_trial_param", "_get_best_trial_id",
)  # fmt: skip


class PatientStorage(RDBStorage):
    """Optuna's storage in a database, every call of which is made again while the database is away.

    An answer may be lost after the database has done what was asked. So what must not be done twice is looked for
    before it is asked again: no other process writes to the study. Raises `InputError` after an hour.
    """

    def __init__(self, url: str) -> None:
        # A connection is tried before it is used: those from before a restart are of no use.
        super().__init__(url, engine_kwargs={"pool_pre_ping": True})

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        asked = False

        def create() -> int:
            nonlocal asked
            try:
                again, asked = asked, True
                return super(PatientStorage, self).create_new_study(directions, study_name)
            except DuplicatedStudyError:
                if again and study_name is not None:
                    return self.get_study_id_from_name(study_name)
                raise

        return patiently(create)

    def delete_study(self, study_id: int) -> None:
        asked = False

        def delete() -> None:
            nonlocal asked
            try:
                again, asked = asked, True
                super(PatientStorage, self).delete_study(study_id)
            except KeyError:  # there is no such study
                if not again:
                    raise

        patiently(delete)

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        asked = False

        def create() -> FrozenTrial:
            nonlocal asked
            there = self._running(study_id, template_trial) if asked and template_trial is not None else None
            asked = True
            return there or super(PatientStorage, self)._create_new_trial(study_id, template_trial)

        return patiently(create)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        asked = False

        def end() -> bool:
            nonlocal asked
            try:
                again, asked = asked, True
                return super(PatientStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if again and self.get_trial(trial_id).state == state:
                    return True
                raise

        return patiently(end)

    def _running(self, study_id: int, template: FrozenTrial) -> FrozenTrial | None:
        """The trial that was made of a template: no other that runs has its parameters and training seed."""
        trials = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        return next((trial for trial in trials if trial.user_attrs == template.user_attrs), None)


def _patient(name: str) -> Callable[..., Any]:
    def patient(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return patiently(lambda: getattr(super(PatientStorage, self), name)(*args, **kwargs))

    return patient


for _name in CALLS:
    setattr(PatientStorage, _name, _patient(_name))


def patiently(call: Callable[[], T], patience: float | None = None) -> T:
    """What `call` returns, once the database is there. `patience`: seconds; None: an hour."""
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    wait = 0.0
    while True:
        try:
            found = call()
        except (StorageInternalError, DBAPIError) as error:
            if (full := out_of_room(error)) is not None:
                raise InputError(
                    f"storage: the database has no room ({full}); make room and run the study again: it goes on"
                ) from error
            if not is_away(error):
                raise
            if time.monotonic() >= deadline:
                raise InputError(
                    "storage: the database does not answer; what ended is kept, run the study again when it does"
                ) from None
            if not wait:
                log.warning("The database does not answer; waiting for it")
            wait = min(2 * wait or 0.5, LONGEST_WAIT)
            time.sleep(min(wait, max(0.0, deadline - time.monotonic())))
            continue
        if wait:
            log.warning("The database is back")
        return found


def is_away(error: BaseException) -> bool:
    """Whether an error says that the database cannot be reached, and not that it refuses what was asked."""
    found = _of_database(error)
    if found is None:
        return False
    if isinstance(found.orig, sqlite3.Error):  # a file, which is never away: at most another process has it
        return any(word in str(found.orig) for word in ("locked", "busy"))
    state = _state(found)
    unanswered = not state and isinstance(found, OperationalError | InterfaceError)  # whatever a server says has one
    return found.connection_invalidated or unanswered or state.startswith(("08", "57P"))


def out_of_room(error: BaseException) -> str | None:
    """What the database says where its disk is full, or its memory; `None` for any other error."""
    found = _of_database(error)
    if found is None:
        return None
    words = str(found.orig).partition("\n")[0]
    full = "is full" in words if isinstance(found.orig, sqlite3.Error) else _state(found).startswith("53")
    return words if full else None


def _of_database(error: BaseException | None) -> DBAPIError | None:
    """The database's own error, which Optuna may have put its own around."""
    while error is not None and not isinstance(error, DBAPIError):
        error = error.__cause__
    return error


def _state(error: DBAPIError) -> str:
    """SQLSTATE, as drivers call it, "" where there is none."""
    return str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or "")

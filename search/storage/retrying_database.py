"""Optuna's storage in a database that may go away for a while: the study waits for it and goes on."""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tosmooth.trainables.errors import InputError

log = logging.getLogger(__name__)
T = TypeVar("T")

ENGINE = {"pool_pre_ping": True}  # a connection is tried before it is used: those from before a restart are of no use
READ_ONLY = "25006"  # what a server says that is a standby, or is not yet the primary again
PATIENCE = 3600.0  # seconds for which a database may be away
LONGEST_WAIT = 10.0  # seconds between two tries
CALLS = (  # all that reach the database and may be called twice; the other four have methods of their own
    "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs", "get_study_system_attrs",
    "get_all_studies", "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_system_attr",
    "get_trial_id_from_study_id_trial_number", "get_trial", "get_all_trials", "_get_trials",
    "_set_trial_param", "_get_best_trial_id",
)  # fmt: skip


class RetryingStorage(RDBStorage):
    """Optuna's storage in a database, which repeats every call while the database is away.

    An answer may be lost after the database has done what was asked. So a call that must not be done twice first looks
    for what it did, before it is repeated: no other process writes to the study. Raises `InputError` after an hour.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, engine_kwargs=ENGINE)
        let_go_of_standbys(self)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        asked = False

        def create() -> int:
            nonlocal asked
            try:
                again, asked = asked, True
                return super(RetryingStorage, self).create_new_study(directions, study_name)
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
                super(RetryingStorage, self).delete_study(study_id)
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
            return there or super(RetryingStorage, self)._create_new_trial(study_id, template_trial)

        return patiently(create)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        asked = False

        def end() -> bool:
            nonlocal asked
            try:
                again, asked = asked, True
                return super(RetryingStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if again and self.get_trial(trial_id).state == state:
                    return True
                raise

        return patiently(end)

    def _running(self, study_id: int, template: FrozenTrial) -> FrozenTrial | None:
        """Find the trial that was made from a template: no other running one has its parameters and training seed."""
        trials = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        return next((trial for trial in trials if trial.user_attrs == template.user_attrs), None)


def let_go_of_standbys(storage: RDBStorage) -> None:
    """Have a connection closed by which a server turns out to be read-only: after a failover another one may write."""

    def close(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if isinstance(error, DBAPIError) and _state(error) == READ_ONLY:
            context.is_disconnect = True

    event.listen(storage.engine, "handle_error", close)


def _patient(name: str) -> Callable[..., Any]:
    def patient(self: RetryingStorage, *args: Any, **kwargs: Any) -> Any:
        return patiently(lambda: getattr(super(RetryingStorage, self), name)(*args, **kwargs))

    return patient


for _name in CALLS:
    setattr(RetryingStorage, _name, _patient(_name))


def patiently(call: Callable[[], T], patience: float | None = None) -> T:
    """Return what `call` returns, once the database is there. `patience`: seconds; None: an hour."""
    deadline = time.monotonic() + (PATIENCE if patience is None else patience)
    wait, said = 0.0, ""
    while True:
        try:
            found = call()
        except (StorageInternalError, DBAPIError) as error:
            if (full := out_of_room(error)) is not None:
                raise InputError(
                    f"storage: the database has no room ({full}); make room and run the study again: it goes on"
                ) from error
            if (why := refusal(error)) is not None:
                raise InputError(f"storage: the database cannot be written to ({why})") from error
            if not is_away(error):
                raise
            what = "is read-only" if _state(_of_database(error)) == READ_ONLY else "does not answer"
            if time.monotonic() >= deadline:
                raise InputError(
                    f"storage: the database {what}; what ended is kept, run the study again when that is over"
                ) from None
            if what != said:
                log.warning("The database %s; waiting for it", what)
            said = what
            wait = min(2 * wait or 0.5, LONGEST_WAIT)
            time.sleep(min(wait, max(0.0, deadline - time.monotonic())))
            continue
        if wait:
            log.warning("The database is back")
        return found


def is_away(error: BaseException) -> bool:
    """True if an error says that the database cannot do now what was asked, and not that it refuses it.

    It cannot be reached, gave the transaction up (class 40), or is read-only for a while.
    """
    found = _of_database(error)
    if found is None:
        return False
    if isinstance(found.orig, sqlite3.Error):  # a file, which is never away: at most another process has it
        return any(word in str(found.orig) for word in ("locked", "busy"))
    state = _state(found)
    unanswered = not state and isinstance(found, OperationalError | InterfaceError)  # whatever a server says has one
    return found.connection_invalidated or unanswered or state.startswith(("08", "40", "57P", READ_ONLY))


def out_of_room(error: BaseException) -> str | None:
    """Message of a database whose disk is full, or its memory; `None` for any other error."""
    found = _of_database(error)
    if found is None:
        return None
    words = str(found.orig).partition("\n")[0]
    full = "is full" in words if isinstance(found.orig, sqlite3.Error) else _state(found).startswith("53")
    return words if full else None


def refusal(error: BaseException) -> str | None:
    """Message of a database that this user, or anyone, may not write to; `None` for any other error."""
    found = _of_database(error)
    if found is None:
        return None
    words = str(found.orig).partition("\n")[0]
    refused = "readonly" in words if isinstance(found.orig, sqlite3.Error) else _state(found) == "42501"
    return words if refused else None


def _of_database(error: BaseException | None) -> DBAPIError | None:
    """Find the database's own error, which Optuna may have wrapped in its own."""
    while error is not None and not isinstance(error, DBAPIError):
        error = error.__cause__
    return error


def _state(error: DBAPIError | None) -> str:
    """Code SQLSTATE of an error, under the name that its driver uses; "" if there is none."""
    said = None if error is None else error.orig
    return str(getattr(said, "sqlstate", None) or getattr(said, "pgcode", None) or "")

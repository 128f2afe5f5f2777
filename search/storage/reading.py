"""Read the records of a study from its storage and history."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import optuna

from tosmooth.search.records import Level, Record
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.agreement import absent
from tosmooth.search.storage.history import History
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.storage.trial_store import Store
from tosmooth.trainables.errors import InputError


def read_records(folder: StudyFolder, spec: StudySpec, storage: str | None) -> list[Record]:
    """Read every trial of a study as its storage and history have it now. Writes nothing.

    Raises `InputError` where one lacks what the other has, or the levels were measured on other data.
    """
    folder.check_storage(storage)
    history = History(folder.history)
    reported = history.read()  # before the storage is: a trial is there before it reports
    levels: dict[str, Level] = {}
    with suppress(InputError):  # who needs them says what they lack
        levels = folder.levels()
    with _as_before():
        store = Store(spec, open_storage(storage, folder.journal), levels=levels)
        records = store.records(history.read)
    if lost := store.absent(reported):
        advice = "bring it back from a copy; `tosmooth run` trains again what the study still asks for"
        raise InputError(f"study {spec.name!r}: {absent(lost)}; {advice}")
    return records


@contextmanager
def _as_before() -> Iterator[None]:
    """Leave Optuna as talkative as it was: it may be the user's, whose process only reads a study."""
    verbosity = optuna.logging.get_verbosity()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)

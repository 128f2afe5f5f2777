"""Remove a study: its folder, its Optuna studies, its MLflow experiment, its trunks."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.home_id import home_id
from tosmooth.search.storage.lease import lease
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.storage.trial_store import Store
from tosmooth.search.tracking import check_database, delete_experiment
from tosmooth.trainables.checkpointing.layout import CHECKPOINT, NETWORK, TRUNK, remove_states
from tosmooth.trainables.errors import InputError


def size(folder: Path) -> str:
    """Disk space that a folder takes, in words."""
    return _words(_bytes(folder))


def delete_study(home: Home, folder: StudyFolder, tracking_uri: str | None, storage: str | None) -> str:
    """Delete a study that is not running and return the space this freed, in words.

    Raises `InputError`, and deletes nothing, where its record lies elsewhere than in `storage` or is another home's.
    Killed at any moment it leaves the study as it was, or one that is none any more, which the next call removes.
    """
    before = _bytes(home.root)
    if tracking_uri is None:
        check_database(home.root)
    with folder.locked():
        if folder.spec_file.exists():
            _store(home, folder, folder.spec(), storage)  # what may be refused, before anything is gone
            delete_experiment(home.root, tracking_uri, folder.path.name)  # the next run would show it all again
            folder.spec_file.replace(folder.deleted_spec_file)
        elif storage is not None and folder.history.exists() and not folder.deleted_spec_file.exists():
            rule = "bring it back from a copy, or leave --storage out: its trials then stay in the database"
            raise InputError(f"{folder.spec_file}: missing; it says which trials of the database are its own: {rule}")
        if folder.deleted_spec_file.exists():  # else it is what a kill left of a deletion by an earlier version
            _delete_elsewhere(home, folder, storage)
        kept = (folder.journal, folder.lock, folder.deleted_spec_file)
        for path in set(folder.path.iterdir()) - set(kept):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        folder.journal.unlink(missing_ok=True)  # after the history: it says that the record is in no database
    for path in (folder.lock, folder.deleted_spec_file):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # another command has just asked for the lock of a study that is none any more
        folder.path.rmdir()
    return _words(max(0, before - _bytes(home.root)))


def _store(home: Home, folder: StudyFolder, spec: StudySpec, storage: str | None) -> Store | None:
    """Trials of a study in a database; None where they lie in its folder. Raises `InputError` as `delete_study`."""
    folder.check_storage(storage)
    owner = home_id(home.root)
    return None if storage is None else Store(spec, open_storage(storage, folder.journal), owner, agrees=False)


def _delete_elsewhere(home: Home, folder: StudyFolder, storage: str | None) -> None:
    """Remove a study's trials from its database, and what its trials shared from the folder that it names."""
    spec = read_study(folder.deleted_spec_file.read_text(encoding="utf-8"), kept=True)
    store = _store(home, folder, spec, storage)
    if store is not None and storage is not None and (names := store.names()):
        with lease(storage, names[0]):
            store.delete()
    remove_states(folder.trunks(spec), TRUNK, CHECKPOINT, NETWORK)


def _bytes(folder: Path) -> int:
    found = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):  # other studies of the home may be running
                found += Path(place, file).lstat().st_size
    return found


def _words(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"

"""Remove a study: its folder, its Optuna studies, its MLflow experiment, its trunks."""

import shutil
from pathlib import Path

from search.home import Home, StudyFolder
from search.store import Store, open_storage
from search.tracking import check_database, delete_experiment, home_id
from trainables.places import CHECKPOINT, NETWORK, TRUNK, remove_states


def size(folder: Path) -> str:
    """The space that a folder takes, in words."""
    return _words(_bytes(folder))


def delete_study(home: Home, folder: StudyFolder, tracking_uri: str | None, storage: str | None) -> str:
    """Delete a study that is not running and return the space this freed, in words.

    Raises `InputError`, and deletes nothing, where its record lies elsewhere than in `storage` or is another home's.
    """
    before = _bytes(home.root)
    if tracking_uri is None:
        check_database(home.root)
    with folder.locked():
        spec = folder.spec()
        folder.check_storage(storage)
        store = None if storage is None else Store(spec, open_storage(storage, folder.journal), home_id(home.root))
        delete_experiment(home.root, tracking_uri, spec.name)
        if store is not None:
            store.delete()
        remove_states(folder.trunks(spec), TRUNK, CHECKPOINT, NETWORK)
    shutil.rmtree(folder.path)
    return _words(before - _bytes(home.root))


def _bytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def _words(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"

"""Open Optuna's storage: the database at an address, or the journal file of a study."""

import warnings
from pathlib import Path

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, get_storage

from tosmooth.search.preflight.reachability import check_storage
from tosmooth.search.storage.journal import Journal
from tosmooth.search.storage.retrying_database import RetryingStorage
from tosmooth.trainables.errors import InputError


def open_storage(url: str | None, journal: Path) -> BaseStorage:
    """Open the database at `url`, or the journal file. The caller holds the study's lock if it is going to write."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Journal storage and a sampler's options are marked experimental; users cannot act on that.
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    if url is None:
        try:
            return JournalStorage(Journal(journal))
        except (AssertionError, KeyError) as error:  # lines that are whole, and that this Optuna does not know
            raise InputError(f"{journal}: of a newer version of Optuna than this one; upgrade it") from error
    check_storage(url)
    try:
        return get_storage(RetryingStorage(url))  # with its cache of trials that ended, one for all cells
    except ImportError:
        raise InputError(
            "storage: the driver of this database is missing: pip install 'tosmooth[postgresql]', say"
        ) from None
    except Exception as error:  # SQLAlchemy and drivers raise dozens of types; none may print the password
        raise InputError(
            f"storage: the database cannot be opened ({type(error).__name__}); check the address"
        ) from None

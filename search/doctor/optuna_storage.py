"""Check that Optuna's storage can be reached and fits the Optuna installed here. Nothing is written to it."""

from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, inspect, make_url

from tosmooth.search.preflight.checks import Check, some
from tosmooth.search.preflight.reachability import unreachable
from tosmooth.search.report.cost import counted
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.journal import Journal
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.redact import masked

NAME = "Optuna's storage"
TIMEOUT = 5  # seconds until a connection is given up
REACH = "start the database, or check the address and the password of --storage"


def probe_storage(home: Home, study: StudyFolder | None, url: str | None) -> Check:
    """Look at the database, or at the journals of the study (None: of all studies of the home)."""
    try:
        if study is not None:
            study.check_storage(url)
        if url is None:
            return _journals(home.studies() if study is None else [study])
        if (why := unreachable(url)) is not None:
            return Check(NAME, "failed", f"{masked(url)}: {why}", REACH)
        return _database(url)
    except InputError as error:
        return Check(NAME, "failed", str(error), "correct it")
    except ImportError:
        advice = "pip install 'tosmooth[postgresql]', say"
        return Check(NAME, "failed", "the driver of this database is missing", advice)
    except Exception as error:  # SQLAlchemy and drivers raise dozens of types; none may print the password
        return Check(
            NAME, "failed", f"{masked(url or '')}: cannot be opened ({type(error.__cause__ or error).__name__})", REACH
        )


def _journals(studies: list[StudyFolder]) -> Check:
    """Check that every line of every journal has its checksum, and that none is missing."""
    words, wrong = f"Optuna {optuna.__version__}", []
    there = [study.journal for study in studies if study.journal.exists()]
    for journal in there:
        try:
            for _ in Journal(journal).read_logs(0):
                pass
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        return Check(NAME, "failed", some(wrong), "do as it says")
    if not there:
        return Check(NAME, "ok", f"{words}: a journal file in the home, made when a study is first run")
    return Check(NAME, "ok", f"{words}: {counted(len(there), 'journal file')} in the home, whole")


def _database(url: str) -> Check:
    backend, file = url.partition(":")[0].partition("+")[0], make_url(url).database
    if backend == "sqlite" and file and not Path(file).exists():  # to connect would make it
        return Check(NAME, "ok", f"Optuna {optuna.__version__}: the first study makes {file}")
    limits: dict[str, Any] = (
        {"connect_args": {"connect_timeout": TIMEOUT}} if backend in ("postgresql", "mysql", "mariadb") else {}
    )
    engine = create_engine(url, **limits)
    try:
        with engine.connect() as connection:
            empty = not inspect(connection).has_table("version_info")
    finally:
        engine.dispose()
    if empty:
        return Check(NAME, "ok", f"Optuna {optuna.__version__}: {masked(url)} is empty; the first study sets it up")
    return _schema(url, limits)


def _schema(url: str, limits: dict[str, Any]) -> Check:
    """Check that the tables have the schema version of the Optuna installed here."""
    storage = RDBStorage(url, engine_kwargs=limits, skip_compatibility_check=True, skip_table_creation=True)
    try:
        schema, ours = storage.get_current_version(), storage.get_head_version()
        if schema == ours:
            words = f"Optuna {optuna.__version__}: {masked(url)}: its schema is {schema}, as this Optuna's"
            return Check(NAME, "ok", words)
        old = schema in storage.get_all_versions()
        advice = "upgrade it: optuna storage upgrade --storage URL" if old else "install the Optuna that made it"
        return Check(NAME, "failed", f"{masked(url)}: its schema is {schema}; this Optuna's is {ours}", advice)
    finally:
        storage.remove_session()
        storage.engine.dispose()

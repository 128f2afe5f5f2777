"""Place where MLflow keeps what it is given: the home's own database, or another tracking URI."""

import logging
import re
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from tosmooth.search.storage.home_id import home_id, setting_up
from tosmooth.search.tracking import former
from tosmooth.search.tracking.client import PatientClient
from tosmooth.trainables.errors import LINE, InputError, require
from tosmooth.trainables.files.atomic_write import replacing
from tosmooth.trainables.redact import masked

# Every failure reaches us as an exception and is told in one line; MLflow would print a traceback besides.
logging.getLogger("mlflow").setLevel(logging.CRITICAL)

HOME_TAG = "tosmooth.home"  # of an experiment on a shared server: the id of the home it belongs to
ARTIFACTS = "mlflow-artifacts"  # the scheme that a server resolves below its --artifacts-destination
LOCKED = "database is locked"  # as SQLite says it
READ_ONLY = "attempt to write a readonly database"  # likewise
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def database(home: Path) -> str:
    """The URI of the home's own database."""
    return _sqlite(home.resolve() / "mlflow.db")


def _sqlite(file: Path) -> str:
    """The URI of a SQLite database, whatever is in its path.

    With the driver's name, too: of `sqlite:///PATH` MLflow makes the folder PATH is in, and reads PATH as it stands.
    """
    return URL.create("sqlite+pysqlite", database=file.as_posix()).render_as_string(hide_password=False)


def is_database(uri: str | None) -> bool:
    """True if a tracking URI (`None`: the home's own) is a database, with no server to take artifacts."""
    return uri is None or uri.split(":")[0].split("+")[0] in DATABASES


def connect(home: Path, uri: str | None) -> PatientClient:
    """A client for `uri`, or for the home's own database. A new one is set up first, in 1 to 2 s."""
    if uri is None:
        _make_database(home.resolve() / "mlflow.db")
        uri = database(home)
        # MLflow keeps its connections by the path, also to a file that was deleted and made anew since.
        if (engine := SqlAlchemyStore._engine_map.get(uri)) is not None:
            engine.dispose()
        # Sets up MLflow's "Default" experiment; a bare client would note the working directory as its place.
        SqlAlchemyStore(uri, f"{ARTIFACTS}:/")
    return PatientClient(uri)


def check_uri(uri: str) -> None:
    """Raise `InputError` where MLflow could never be reached at this address. Calls no one: a server may be away."""
    if is_database(uri):
        try:
            file = make_url(uri).database if uri.startswith("sqlite") else None
        except ArgumentError:
            rule = "no address of a database, such as sqlite:///PATH"
            raise InputError(f"--tracking-uri: {masked(uri)!r} is {rule}") from None
        rule = 'its folder is not there; in an address a "%" is written %25, a "?" %3F'
        require(file is None or "%" not in uri or Path(file).parent.is_dir(), "--tracking-uri", uri, rule)
        return
    try:
        MlflowClient(uri)
        parts = urlsplit(uri)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)  # MLflow has more, such as databricks
    except (MlflowException, ValueError):
        known = False
    if not known:
        rule = f"MLflow's is the address of a server (http, https) or of a database ({', '.join(DATABASES)})"
        raise InputError(f"--tracking-uri: {masked(uri)!r} is refused: {rule}")


def _make_database(file: Path) -> None:
    """Set up the home's database where there is none: whole or not at all.

    MLflow makes its tables one after another; killed between two of them, or on a full disk, it could never go on.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with setting_up(file.parent):
        if file.exists():  # another study of this home was faster
            return
        _remove_partial(file)  # what a kill left
        try:
            with replacing(file, alone=True) as partial:
                SqlAlchemyStore(_sqlite(partial), f"{ARTIFACTS}:/").engine.dispose()
        finally:
            _remove_partial(file)


def _remove_partial(file: Path) -> None:
    """Remove what was to become the database, with SQLite's journals beside it."""
    for left in file.parent.glob(f".{file.name}.partial*"):
        left.unlink(missing_ok=True)


def find_experiment(client: MlflowClient, home: Path, uri: str | None, study: str) -> tuple[Experiment | None, str]:
    """Find this home's experiment for a study, if there is one, and its name.

    A shared server may hold another home's study of the same name: then ours has the home's id after its name.
    """
    found = client.get_experiment_by_name(study)
    if uri is None or found is None or found.tags.get(HOME_TAG) == home_id(home):
        return found, study
    name = f"{study}-{home_id(home)[:8]}"
    return client.get_experiment_by_name(name), name


def shown(home: Path, uri: str | None, study: str) -> set[str] | None:
    """Identities of the runs that MLflow has of a study. `None`: another MLflow than the home's was not yet told of it.

    Nothing is made.
    """
    if uri is None and not (home / "mlflow.db").exists():
        return set()
    client = PatientClient(uri or database(home))
    found, _ = find_experiment(client, home, uri, study)
    if found is None:
        return set() if uri is None else None
    names: set[str] = set()
    token = None
    while token != "":
        page = client.search_runs([found.experiment_id], max_results=1000, page_token=token)
        names |= {name for run in page if (name := former.identity_of(run.data.tags, study)) is not None}
        token = page.token or ""
    return names


def delete_experiment(home: Path, uri: str | None, study: str) -> None:
    """Delete a study's experiment, so that the study can be run again under its name. Nothing, where there is none.

    In a database its runs are gone for good, and so are its artifacts under the home. A server only lets us rename it
    and put it into the trash, which its owner empties (`mlflow gc`).
    """
    if uri is None and not (home / "mlflow.db").exists():
        return
    try:
        _delete_experiment(home, uri, study)
    except Exception as error:  # MLflow and drivers raise dozens of types, and print the address with its password
        place = str(home / "mlflow.db") if uri is None else "--tracking-uri"
        raise InputError(f"{place}: MLflow does not delete study {study!r}: {reason(error)}") from None


def _delete_experiment(home: Path, uri: str | None, study: str) -> None:
    client = connect(home, uri)
    found, name = find_experiment(client, home, uri, study)
    if found is None:
        return
    if found.lifecycle_stage != LifecycleStage.DELETED:
        client.rename_experiment(found.experiment_id, f"{name} deleted {time.time():.0f}")
        client.delete_experiment(found.experiment_id)
    if not is_database(uri):
        return
    # What `mlflow gc` calls; that itself stops at artifacts of this scheme, and empties other experiments' trash too.
    store = SqlAlchemyStore(uri or database(home), f"{ARTIFACTS}:/")
    while runs := store.search_runs([found.experiment_id], "", ViewType.ALL, max_results=1000):
        for run in runs:
            store._hard_delete_run(run.info.run_id)
    store._hard_delete_experiment(found.experiment_id)
    if urlsplit(found.artifact_location).scheme == ARTIFACTS:
        shutil.rmtree(home / "artifacts" / urlsplit(found.artifact_location).path.lstrip("/"), ignore_errors=True)
    if uri is None:  # SQLite gives room back only when asked, and when no one else is reading
        with closing(sqlite3.connect(home / "mlflow.db")) as connection, suppress(sqlite3.OperationalError):
            connection.execute("VACUUM")


def reason(error: Exception) -> str:
    """Say what went wrong, on one line, without credentials (a URI may hold a password, or a token after "?")."""
    words = str(error) or type(error).__name__
    if LOCKED in words:
        return "another process has locked its database; it is written to again once that one lets go"
    if READ_ONLY in words:
        return "its database cannot be written to by this user"
    line = words.splitlines()[0]
    # The password first, since it may hold a "?"; each address by itself, for what stands behind it.
    return re.sub(r"\?\S+", "", re.sub(r"//\S*@", "//", line))[:LINE]

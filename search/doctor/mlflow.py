"""Check that MLflow can be reached and takes what a study would bring, and tell its version."""

import os
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy import create_engine, inspect, make_url

from tosmooth.search.preflight.checks import Check
from tosmooth.search.preflight.machine import nearest
from tosmooth.search.preflight.reachability import unreachable
from tosmooth.search.storage.reading import read_records
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.tracking.damage import check_database
from tosmooth.search.tracking.run import identity
from tosmooth.search.tracking.store import ARTIFACTS, check_uri, connect, database, is_database, reason, shown
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.redact import masked

NAME = "MLflow"
SCRATCH = "tosmooth-doctor"  # the experiment of a server that is written to
LIMIT, TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT", "5"  # seconds for each answer
REACH = "start it, or check --tracking-uri; a study goes on without it, and brings it up to date later"
WRITE = "give this user the right to make experiments (MLFLOW_TRACKING_USERNAME and _PASSWORD hold name and password)"
STORE = "check the server's --artifacts-destination, or the rights to the place where it keeps artifacts"


def probe(home: Path, uri: str | None) -> Check:
    """Look at MLflow. Nothing is written to a database; a server gets an experiment and a file, which are then deleted.

    MLflow only moves a deleted experiment to its trash. So one, `tosmooth-doctor`, stays there and is used again.
    """
    try:
        if uri is None:
            return _own(home.absolute())
        check_uri(uri)
        if (why := unreachable(uri)) is not None:
            return Check(NAME, "failed", f"{masked(uri)}: {why}", REACH)
        with _impatient():
            return _database(uri) if is_database(uri) else _server(uri)
    except InputError as error:
        return Check(NAME, "failed", str(error), "correct it")
    except Exception as error:  # MLflow and drivers raise dozens of types, and print the address with its password
        return Check(NAME, "failed", f"{masked(uri or '')}: {reason(error)}", REACH)


def probe_study(home: Path, uri: str | None, study: StudyFolder, storage: str | None) -> Check:
    """Look at MLflow as `probe` does, and for every trial of a study that ended. Not while the study runs."""
    found = probe(home, uri)
    if found.state == "failed" or not study.spec_file.exists() or study.driver() is not None:
        return found
    try:
        trials = [trial for trial in read_records(study, study.spec(), storage) if trial.state != "running"]
        there = shown(home, uri, study.path.name)
    except Exception:  # of the storage, which has a check of its own, and as in `probe`
        return found
    lacking = 0 if there is None else len({identity(trial) for trial in trials} - there)
    if not lacking:
        return found
    words = f"{found.found}, but lacks {lacking} of the {len(trials)} trials of {study.path.name!r} that ended"
    return Check(NAME, "failed", words, "run the study again: it brings them, or says why MLflow does not take them")


def _own(home: Path) -> Check:
    """Check the home's database; one that is not there is made by the first study, and tried beside it."""
    check_database(home)
    file, words = home / "mlflow.db", f"MLflow {mlflow.__version__}"
    try:
        if not file.exists():
            _try_database(home)
            return Check(NAME, "ok", f"{words}: the first study makes a database in the home")
        with closing(sqlite3.connect(file, timeout=2, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM alembic_version WHERE 0")  # nothing, and refused where nothing is written
            connection.execute("ROLLBACK")
        SqlAlchemyStore(database(home), f"{ARTIFACTS}:/").engine.dispose()  # which refuses another version's
    except sqlite3.Error as error:
        return Check(NAME, "failed", f"{file}: cannot be written: {error}", "let the user that runs it write there")
    except Exception as error:
        return Check(NAME, "failed", f"{file}: {reason(error)}", "correct that, or name another folder with --home")
    return Check(NAME, "ok", f"{words}: {file} is whole and can be written to")


def _try_database(home: Path) -> None:
    """Make a database below a path like the home's, and remove it. Nothing where no one may write: that is told."""
    above = nearest(home)
    if os.access(above, os.W_OK):
        with tempfile.TemporaryDirectory(prefix=".tosmooth-doctor-", dir=above) as scratch:
            connect(Path(scratch) / home.relative_to(above), None)


def _database(uri: str) -> Check:
    """Check a database that studies write to themselves. An empty one is left for the first study to set up."""
    words, file = f"MLflow {mlflow.__version__}: {masked(uri)}", make_url(uri).database
    if uri.startswith("sqlite") and file and not Path(file).exists():  # to connect would make it
        return Check(NAME, "ok", f"{words} is made by the first study")
    engine = create_engine(uri, pool_timeout=float(TIMEOUT))
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("experiments"):
                return Check(NAME, "ok", f"{words} is empty; the first study sets it up")
    finally:
        engine.dispose()
    SqlAlchemyStore(uri, f"{ARTIFACTS}:/")  # which refuses another version's
    return Check(NAME, "ok", f"{words}, of this MLflow's version")


@contextmanager
def _impatient() -> Iterator[None]:
    """Shorten the time limit of MLflow's client within the context: the client reads it at each call."""
    before = os.environ.get(LIMIT)
    os.environ[LIMIT] = TIMEOUT
    try:
        yield
    finally:
        if before is None:
            del os.environ[LIMIT]
        else:
            os.environ[LIMIT] = before


def _server(uri: str) -> Check:
    answer = http_request(get_default_host_creds(uri), "/version", "GET", max_retries=0, raise_on_status=False)
    if answer.status_code in (401, 403):
        rule = "name and password are in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        return Check(NAME, "failed", f"{masked(uri)}: the server refuses us ({answer.status_code})", rule)
    version = answer.text.strip()
    if answer.status_code != 200 or not version[:1].isdigit():
        words = f"{masked(uri)}: what answers is no MLflow server ({answer.status_code})"
        return Check(NAME, "failed", words, "check --tracking-uri: the address of the server itself, without a page")
    words = f"MLflow {version} at {masked(uri)}"
    client = MlflowClient(uri)
    try:
        experiment = _scratch(client)
        client.set_experiment_tag(experiment, "written", "yes")
    except Exception as error:
        return Check(NAME, "failed", f"{words}: cannot be written to: {reason(error)}", WRITE)
    try:
        _write_artifact(client.get_experiment(experiment).artifact_location, uri)
    except Exception as error:
        return Check(NAME, "failed", f"{words}: takes no artifacts: {reason(error)}", STORE)
    finally:
        with suppress(Exception):
            client.delete_experiment(experiment)
    if version.split(".")[:2] != mlflow.__version__.split(".")[:2]:
        advice = "MLflow advises the same version for both"
        return Check(NAME, "warning", f"{words} can be written to; here is {mlflow.__version__}", advice)
    return Check(NAME, "ok", f"{words} can be written to")


def _scratch(client: MlflowClient) -> str:
    """Return the id of the experiment to try with: made, or taken out of the trash if it lies there."""
    found = client.get_experiment_by_name(SCRATCH)
    if found is None:
        return str(client.create_experiment(SCRATCH))
    if found.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _write_artifact(location: str, uri: str) -> None:
    """Bring a file to where artifacts are kept, and delete it there."""
    store = get_artifact_repository(location, tracking_uri=uri)
    name = f"check-{uuid.uuid4().hex}.txt"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_text("tosmooth doctor", encoding="utf-8")
        store.log_artifact(str(file))
    with suppress(Exception):  # a bucket's rules may forbid to delete: a study has no need of it
        store.delete_artifacts(name)

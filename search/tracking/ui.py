"""MLflow's pages in a browser: the server that shows them, and their addresses."""

import ipaddress
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tosmooth.search.tracking.client import PatientClient
from tosmooth.search.tracking.store import check_uri, database, find_experiment, is_database, reason
from tosmooth.search.tracking.views import ROWS, link
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.redact import masked

# MLflow opens with its pages for language models unless the address says otherwise.
EXPERIMENTS = "#/experiments?workflowType=machine_learning"


def study_page(home: Path, uri: str | None, study: str) -> str:
    """Part of an address behind the server's: the table of a study, in its experiment.

    Raises `InputError` where MLflow has none, or does not answer.
    """
    try:
        found, _ = find_experiment(PatientClient(uri or database(home)), home, uri, study)
    except Exception as error:  # MLflow and drivers raise dozens of types, and print the address with its password
        place = str(home / "mlflow.db") if uri is None else "--tracking-uri"
        raise InputError(f"{place}: MLflow does not answer: {reason(error)}") from None
    if found is None:
        rule = "MLflow has no experiment of this study: `tosmooth run` brings it there, with the same --tracking-uri"
        raise InputError(f"study {study!r}: {rule}")
    return link(found.experiment_id, ROWS)


def is_loopback(host: str) -> bool:
    """True if what listens there is reached from this machine alone."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def server_page(uri: str) -> str | None:
    """Page to open in a browser where MLflow is a server, without user, password and query; `None` for a database.

    Raises `InputError` as `check_uri` does.
    """
    check_uri(uri)
    if urlsplit(uri).scheme not in ("http", "https"):
        return None
    return masked(uri).replace("***@", "").removesuffix("?***")


def ui_command(
    home: Path, uri: str | None = None, host: str = "127.0.0.1", port: int = 5000
) -> tuple[list[str], dict[str, str]]:
    """The command that shows MLflow's UI, and what its environment needs besides ours.

    The database is named in the environment: its URI may hold a password, and a command line is public.
    """
    rule = "a server has its own UI: open this address in a browser"
    require(is_database(uri), "--tracking-uri", masked(uri or ""), rule)
    destination = (home.resolve() / "artifacts").as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": uri or database(home),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # for judging language models; starts processes of its own
        "PYTHONSAFEPATH": "1",  # no modules from wherever the user is, here and in what MLflow starts
        "UVICORN_APP_DIR": sysconfig.get_path("purelib"),  # what it puts before all others; otherwise where the user is
    }
    return [*command, "--serve-artifacts", "--artifacts-destination", destination], environment

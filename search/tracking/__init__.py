"""MLflow as a view of the record. The only package that imports mlflow."""

import os

# Read when mlflow is imported, or called.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # the tracker tries again, and looks before it does
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")  # seconds

from search.tracking.damage import check_database
from search.tracking.store import check_uri, delete_experiment, home_id, is_loopback, server_page, ui_command
from search.tracking.tracker import Tracker

__all__ = [
    "Tracker",
    "check_database",
    "check_uri",
    "delete_experiment",
    "home_id",
    "is_loopback",
    "server_page",
    "ui_command",
]

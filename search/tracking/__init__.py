"""MLflow as a view of the record: fed from it, and brought up to date. Imports `columns` and `records`; of all
packages only this one and `doctor` import mlflow.
"""

import os

# Read when mlflow is imported, or called.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # the tracker tries again, and looks before it does
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")  # seconds


from tosmooth.search.tracking.damage import check_database
from tosmooth.search.tracking.store import check_uri, delete_experiment
from tosmooth.search.tracking.tracker import Tracker
from tosmooth.search.tracking.ui import EXPERIMENTS, is_loopback, server_page, study_page, ui_command
from tosmooth.search.tracking.winner import Winner

__all__ = [
    "EXPERIMENTS",
    "Tracker",
    "Winner",
    "check_database",
    "check_uri",
    "delete_experiment",
    "is_loopback",
    "server_page",
    "study_page",
    "ui_command",
]

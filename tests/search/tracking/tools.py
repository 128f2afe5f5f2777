"""A small study to show in MLflow, and what to read it back with."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, Run

from tests.search.builders import level, record
from tosmooth.search.records import Record
from tosmooth.search.tracking import Tracker
from tosmooth.search.tracking.store import database

LEVEL = level(train_size=5000, validation_size=20000, test_size=10000, digest="0123456789abcdef" * 4)
LEVELS = {LEVEL.name: LEVEL}
START = 1_700_000_000.0  # unix seconds at which every trial of these tests begins
SOON = 60.0  # seconds that a tracker may take to close; far more than it needs


THREE_POINTS = [
    (1, 1_700_000_001_000, 1.0),
    (2, 1_700_000_002_000, 0.5),
    (3, 1_700_000_003_000, 1 / 3),
]


def trial(number: int, state: Any = "complete", epochs: int = 3, start: float = START, **changes: Any) -> Record:
    """A trial that reported once a second."""
    curve = tuple(
        {"train_loss": 1 / epoch, "val_accuracy": 50.0 + epoch, "test_ece": None, "seconds": 1.0, "time": start + epoch}
        for epoch in range(1, epochs + 1)
    )
    return record(number, -0.8, 1, **{"state": state, "train_seed": 100 + number, "curve": curve} | changes)


def tracker(home: Path, uri: str | None = None, fixed: dict[str, Any] | None = None) -> Tracker:
    return Tracker(home, uri, "tiny", "Does it work?", LEVELS, fixed or {"training.epochs": 3}, interval=0.05)


def track(home: Path, *records: Record, uri: str | None = None, finished: bool = True) -> int:
    """Show these trials, as one session of a driver would."""
    session = tracker(home, uri)
    session.catch_up(records)
    return session.close(SOON, finished)


def client(home: Path) -> MlflowClient:
    return MlflowClient(database(home))


def runs(client: MlflowClient, kind: str = "trial", experiment: str = "tiny") -> dict[int, Run]:
    """The runs of one kind by trial number; `{0: run}` for the cell. Fails where there are two of one identity."""
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    all_of_kind = [r for r in client.search_runs([found.experiment_id]) if r.data.tags.get("tosmooth.kind") == kind]
    by_number = {int(r.data.tags["tosmooth.identity"].split("/")[-1]) if kind == "trial" else 0: r for r in all_of_kind}
    assert len(by_number) == len(all_of_kind)
    return by_number


def points(client: MlflowClient, run: Run, metric: str = "train_loss") -> list[tuple[int, int, float]]:
    """Step, time in ms and value of every point."""
    return [(p.step, p.timestamp, p.value) for p in client.get_metric_history(run.info.run_id, metric)]


def dataset(run: Run) -> Dataset:
    """The one dataset that is an input of a run."""
    assert run.inputs is not None
    (found,) = run.inputs.dataset_inputs
    return found.dataset


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Run of a trial: what MLflow is told of it, and what is known to be there."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Dataset, Run

from tosmooth.search.columns import TRIAL
from tosmooth.search.records import Level, Metrics, Record, State

MOST_NAMED = 100  # classes

AT_END = ("epochs", "epochs_spared", "attempts")  # columns of the trials that are tags of a run that ended
STATUS: dict[State, str] = {
    "running": "RUNNING",
    "complete": "FINISHED",
    "pruned": "FINISHED",
    "diverged": "FINISHED",
    "failed": "FAILED",
}


@dataclass(slots=True)
class KnownRun:
    """Run in MLflow, as far as it is known."""

    run_id: str
    artifact_uri: str
    status: str
    start: int  # ms
    tags: dict[str, str]
    params: set[str]
    has_inputs: bool
    metric: str | None  # name of any metric it has
    times: tuple[int, ...] | None  # of the epochs logged, in ms; None: by an earlier session, not known

    def shows(self, record: Record, times: tuple[int, ...]) -> bool:
        """True if the run says all that the record does, which reported at `times`."""
        same = self.status == STATUS[record.state] and state_tags(record).items() <= self.tags.items()
        # The status of an ended trial is set last, so it vouches for the epochs of one that an earlier session wrote.
        return same and (self.times == times if self.times is not None else record.state != "running")


def identity(record: Record) -> str:
    """The tag by which the run of a trial is found."""
    return f"{record.study}/{record.level}/{record.method}/{record.phase}/{record.number}"


def dataset(level: Level) -> Dataset:
    """A noise level as MLflow's idea of a dataset."""
    profile = {
        "train": level.train_size,
        "validation": level.validation_size,
        "test": level.test_size,
        "classes": level.classes,
        "noise_rate": level.noise_rate,
        **({"class_names": level.class_names[:MOST_NAMED]} if level.class_names else {}),
    }
    return Dataset(
        name=level.name,
        digest=level.digest[:36],  # as much as MLflow takes
        source_type="tosmooth",
        source=json.dumps({"dataset": level.dataset, "noise": level.noise}),
        profile=json.dumps(profile),
    )


def git_commit() -> dict[str, str]:
    """The tag with the commit of this code; empty where it is not run from a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():  # installed: a repository further up is someone else's
        return {}
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        return {
            "mlflow.source.git.commit": subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
        }
    except (OSError, subprocess.CalledProcessError):  # no git, no commit yet, or another's checkout
        return {}


def known(run: Run, times: tuple[int, ...] | None = None) -> KnownRun:
    """Take down what MLflow says of a run; `times` where they are known."""
    metric = next(iter(run.data.metrics), None)
    return KnownRun(
        run_id=run.info.run_id,
        artifact_uri=run.info.artifact_uri,
        status=run.info.status,
        start=run.info.start_time or 0,
        tags=dict(run.data.tags),
        params=set(run.data.params),
        has_inputs=bool(run.inputs and run.inputs.dataset_inputs),
        metric=metric,
        times=() if metric is None else times,
    )


def state_tags(record: Record) -> dict[str, str]:
    """The tags that change while a trial runs."""
    tags = {"state": str(record.state)}
    if record.state != "running":
        tags |= {name: str(TRIAL[name].read(record)) for name in AT_END}
    if record.reason:
        tags["reason"] = record.reason[:5000]
    return tags


def milliseconds(metrics: Metrics) -> int:
    """Time at which an epoch was reported, as MLflow counts it; 0 for an epoch that was lost."""
    return round(1000 * (metrics.get("time") or 0))

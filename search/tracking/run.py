"""Run of a trial: what MLflow is told of it, and what is known to be there."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from math import copysign
from pathlib import Path

from mlflow.entities import Dataset, Run

from tosmooth.search.columns import TRIAL
from tosmooth.search.records import Level, Metrics, Record, State
from tosmooth.search.tracking.former import renewed

MOST_NAMED = 100  # classes
BOUND = 10.0  # nats beyond which a loss is drawn at it: one that runs away to 1e28 makes a chart of nothing else
# Of runs, by level. Okabe and Ito's palette, told apart with any colour vision.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#AA4499", "#56B4E9", "#D55E00", "#F0E442", "#222222")

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
    end: int | None
    tags: dict[str, str]
    params: set[str]
    has_inputs: bool
    metric: str | None  # name of any metric it has
    former: dict[str, str]  # tags of an earlier version that it has
    times: tuple[int, ...] | None  # of the epochs logged, in ms; None: by an earlier session, not known

    def shows(self, record: Record, tags: dict[str, str], times: tuple[int, ...]) -> bool:
        """True if the run says all that the record does, which has these tags and reported at `times`."""
        same = not self.former and self.status == STATUS[record.state] and tags.items() <= self.tags.items()
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


def colour_of(level: str, levels: Iterable[str]) -> dict[str, str]:
    """The tag with the colour that runs of a level have in lists and charts."""
    colours = dict(zip(levels, cycle(COLOURS), strict=False))
    return {"mlflow.runColor": colours[level]} if level in colours else {}


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


def known(run: Run, times: tuple[int, ...] | None = None, former: Mapping[str, str] | None = None) -> KnownRun:
    """Take down what MLflow says of a run; `times` where they are known."""
    metric = next(iter(run.data.metrics), None)
    return KnownRun(
        run_id=run.info.run_id,
        artifact_uri=run.info.artifact_uri,
        status=run.info.status,
        start=run.info.start_time or 0,
        end=run.info.end_time,
        tags={**run.data.tags, **renewed(former or {})},
        params=set(run.data.params),
        has_inputs=bool(run.inputs and run.inputs.dataset_inputs),
        metric=metric,
        former=dict(former or {}),
        times=() if metric is None else times,
    )


def state_tags(record: Record, bound: float | None) -> dict[str, str]:
    """The tags that change while a trial runs."""
    tags = {"tosmooth.state": str(record.state)}
    if record.state != "running":
        tags |= {f"tosmooth.{name}": str(TRIAL[name].read(record)) for name in AT_END}
    if record.reason:
        tags["tosmooth.reason"] = record.reason[:5000]
    if away := ", ".join(runaway(record, bound)):
        tags["tosmooth.clipped"] = (
            f"drawn at {bound:g} or -{bound:g} from where they run away; at the last epoch: {away}"
        )
    return tags


def drawn(metric: str, value: float, bound: float | None) -> float:
    """Value as MLflow's charts have it: a loss that has run away is drawn at the bound; `None`: at any value."""
    return copysign(bound, value) if bound is not None and _is_away(metric, value, bound) else value


def runaway(record: Record, bound: float | None) -> Iterator[str]:
    """Yield the losses that are not drawn as they are, each with its last value."""
    if bound is None or not record.curve:
        return
    for name in (name for name in record.curve[-1] if name.endswith("loss")):
        values = [value for metrics in record.curve if (value := metrics.get(name)) is not None]
        if any(_is_away(name, value, bound) for value in values):
            yield f"{name} {values[-1]:.3g}" if record.last(name) is not None else f"{name} not finite"


def _is_away(metric: str, value: float, bound: float) -> bool:
    return metric.endswith("loss") and abs(value) > bound


def milliseconds(metrics: Metrics) -> int:
    """Time at which an epoch was reported, as MLflow counts it; 0 for an epoch that was lost."""
    return round(1000 * (metrics.get("time") or 0))

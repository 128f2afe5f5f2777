"""Our platform as the benchmarks run it: `search.run.runner.run`, all of `tosmooth run`, and a note of each end."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from shares import noted

from tosmooth.search.records import ENDED, Record, TrialKey
from tosmooth.search.run import runner
from tosmooth.search.run.options import Options
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.trial_store import Job, Store
from tosmooth.search.tracking.runs import Runs


@dataclass(frozen=True, slots=True)
class Ends:
    """When trials ended, in unix seconds."""

    told: dict[TrialKey, float] = field(default_factory=dict)  # Optuna and history have it
    shown: dict[TrialKey, float] = field(default_factory=dict)  # MLflow has all of it; written by a thread of its own

    epochs: dict[TrialKey, int] = field(default_factory=dict)  # how far they came

    def complete(self) -> float:
        """When the last trial was written everywhere."""
        if self.told.keys() != self.shown.keys():
            raise RuntimeError(f"MLflow shows {len(self.shown)} of {len(self.told)} trials that ended")
        return max(*self.told.values(), *self.shown.values())


def run(spec: StudySpec, home: Path, data: Path | None = None) -> Ends:
    """Run the study to its end."""
    ends = Ends()

    def told(_: Store, job: Job, *__: Any) -> None:
        ends.told.setdefault(job.key, time.time())

    def shown(_: Runs, record: Record, *__: Any) -> None:
        if record.state in ENDED:
            ends.shown.setdefault(record.key, time.time())
            ends.epochs[record.key] = record.epochs

    with ExitStack() as stack:
        console = Console(file=stack.enter_context((home.parent / "console.txt").open("w")))
        stack.enter_context(noted(Store, "end", told))
        stack.enter_context(noted(Runs, "write", shown))
        runner.run(spec, Options(Home(home), data=data), console)
    return ends

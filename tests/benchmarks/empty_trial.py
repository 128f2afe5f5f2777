"""Our Trainable with nothing to train; workers import this."""

import os
from pathlib import Path
from typing import Any

from usual_trials import REPORTS, empty_metrics

from tosmooth.search.run.trainable import TuneTrial

# Workers of a study have nothing of the driver's folders on their path; what the user sets there reaches them.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]).rstrip(":")


class EmptyTrial(TuneTrial):
    """A trial that only reports, `REPORTS` times."""

    def setup(self, config: dict[str, Any], code: bytes | None = None) -> None:
        super().setup(config)
        self.epoch = 0

    def _epoch(self) -> dict[str, Any]:
        self.epoch += 1
        done = self.epoch == REPORTS
        return {
            "epoch": self.epoch,
            "metrics": list(empty_metrics(self.settings["trial"]["rate"], self.epoch).items()),
            "state": "complete" if done else "running",
            "reason": "",
            "done": done,
        }

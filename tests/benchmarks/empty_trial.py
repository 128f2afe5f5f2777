"""Our Trainable with nothing to train; workers import this."""

from typing import Any

from usual_trials import REPORTS, empty_metrics

from search.trial import TuneTrial


class EmptyTrial(TuneTrial):
    """A trial that only reports, `REPORTS` times."""

    def setup(self, config: dict[str, Any]) -> None:
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

"""Pages of a study and its cells: what is to be read in MLflow is brought up to date, and nothing else is touched."""

import math
import time
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from tosmooth.search.records import Cell
from tosmooth.search.tracking.client import PatientClient, is_refusal
from tosmooth.search.tracking.page import NOTE, CellPage, StudyPage, note, picture
from tosmooth.search.tracking.views import ROWS, TRIALS, link, views

KIND, TRAINING = "mlflow.experimentKind", "custom_model_development"  # an experiment that opens with its runs
COMMAND = "tosmooth.command"  # tag of an experiment
LONGEST, FORMERLY = 20_000, 5_000  # letters of a description: of an experiment's today; that any server takes


class Pages:
    """Pages of one study in its experiment, `made` at a time in ms. `question`: all that it said in former versions."""

    def __init__(
        self, client: PatientClient, experiment_id: str, made: int, question: str, fixed: Mapping[str, Any]
    ) -> None:
        self._client, self._experiment_id, self._made = client, experiment_id, made
        self._question, self._fixed = question, fixed
        self._written: dict[Cell, CellPage] = {}

    def write(self, page: StudyPage, runs: Mapping[Cell, str]) -> None:
        """Write the page of the study, and those of its cells that have runs (`runs`: their ids)."""
        for cell, own in page.cells.items():
            if cell in runs and self._written.get(cell) != own:
                self._write_cell(own, runs[cell])
                self._written[cell] = own
        self._write_study(page, next(iter(runs.values()), None))

    def _write_study(self, page: StudyPage, run_id: str | None) -> None:
        before = self._client.get_experiment(self._experiment_id).tags
        tags = {} if KIND in before else {KIND: TRAINING}
        if page.command and before.get(COMMAND) != page.command:
            tags[COMMAND] = page.command
        tags |= views(page, before, self._made)
        for name, text in tags.items():
            self._client.set_experiment_tag(self._experiment_id, name, text)
        words = self._words(page, run_id, (before | tags).get(COMMAND, ""))
        own = before.get(NOTE, "")
        self._describe(words, "" if own == self._question else own)

    def _words(self, page: StudyPage, run_id: str | None, command: str) -> str:
        """The description, in Markdown."""
        shown = {"Best rates": ROWS, "Trials": TRIALS}
        links = " · ".join(f"[{name}]({link(self._experiment_id, key)})" for name, key in shown.items())
        pictures = [] if run_id is None else [picture(name, run_id) for name in page.pictures]
        made = [f"Made by\n```\n{command}\n```"] if command else []
        return "\n\n".join([page.question, f"Views: {links}", page.words, *made, *pictures])

    def _describe(self, words: str, before: str) -> None:
        for most in (LONGEST, FORMERLY):
            text = note(words, before, most)
            if text == before:
                return
            try:
                self._client.set_experiment_tag(self._experiment_id, NOTE, text)
            except Exception as error:
                if most == FORMERLY or not is_refusal(error):
                    raise
            else:
                return

    def _write_cell(self, page: CellPage, run_id: str) -> None:
        """Write what of a row the run lacks or has otherwise. A number that is no longer known is NaN there."""
        before = self._client.get_run(run_id).data
        words = "\n\n".join([page.words, *(picture(name, run_id) for name in page.pictures)])
        tags = {**page.tags, NOTE: note(words, before.tags.get(NOTE, ""), FORMERLY)}
        now = round(1000 * time.time())
        metrics = [
            # All at one step: the newest is what counts, and the charts of MLflow compare cells by bars.
            Metric(name, math.nan if value is None else value, now, 0)
            for name, value in page.metrics.items()
            if not _same(before.metrics.get(name), value)
        ]
        params = [Param(name, str(value)) for name, value in self._fixed.items() if name not in before.params]
        changed = [RunTag(name, text) for name, text in tags.items() if before.tags.get(name, "") != text]
        self._client.log_all(run_id, metrics, params, changed)


def _same(before: float | None, value: float | None) -> bool:
    """True if a metric is there as it should be; `None`, and NaN where it once was known: unknown."""
    known = None if before is None or math.isnan(before) else before
    return known == value

"""What a study would run, as facts and as text."""

import dataclasses
import io

from rich.console import Console

from search.describe import description, show
from tests.search.tools import level, tiny

LEVELS = {found.name: found for found in (level("clean"), level("symmetric-0.4"))}


def test_facts_count_runs_and_epochs_at_most() -> None:
    facts = description(tiny("selection.finalists=2", "selection.seeds=3"), LEVELS)
    # 4 trials; 2 finalists and 2 baselines on 3 seeds; 2 cells of 3 epochs.
    assert (facts["trials_per_cell"], facts["confirmation_runs_per_cell"]) == (4, 12)
    assert facts["epochs_at_most"] == 2 * (4 + 12) * 3


def test_parameters_are_told_in_words() -> None:
    changes = ("space.lr_factor={low: 0.01, high: 1, scale: log}", "space.warmup={low: 0, high: 2, step: 2}")
    space = description(tiny(*changes, "space.training.batch_size.values=[25, 50]"), LEVELS)["space"]
    assert space == {
        "rate": "-2 to 0.8 (symlog)",
        "warmup": "0 to 2 (linear, step 2)",
        "lr_factor": "0.01 to 1 (log)",
        "training.batch_size": "one of 25, 50",
    }


def test_an_unknown_noise_rate_is_called_unknown_and_brackets_are_no_markup() -> None:
    unknown = dataclasses.replace(LEVELS["twonorm/clean"], noise_rate=None)
    console = Console(file=io.StringIO(), width=100, markup=False)  # as the command has it
    show(description(tiny("question='Is [bold] kept?'"), {unknown.name: unknown}), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "Is [bold] kept?" in text
    assert "unknown" in text

"""What a study would run, as facts and as text."""

import dataclasses
import io
from typing import Any

from rich.console import Console

from tests.search.builders import level
from tests.search.tools import tiny
from tosmooth.search.report.describe import description, show
from tosmooth.search.report.progress import Progress
from tosmooth.search.spec.loading import read_study

LEVELS = {found.name: found for found in (level("clean"), level("symmetric-0.4"))}


def test_facts_count_runs_and_epochs_at_most() -> None:
    facts = description(tiny("confirmation.finalists=2", "confirmation.seeds=3"), LEVELS)
    # 4 trials; 2 finalists and 2 baselines on 3 seeds; 2 cells of 3 epochs.
    assert (facts["trials_per_cell"], facts["confirmation_runs"]) == (4, 24)
    assert facts["epochs_at_most"] == 2 * (4 + 12) * 3


def test_baselines_are_confirmed_once_for_all_methods_of_a_level() -> None:
    facts = description(tiny("method=[gls, gce, mae]", "confirmation.seeds=2"), LEVELS)
    assert (facts["methods"], facts["cells"]) == (["gls", "gce", "mae"], 6)
    # At most two finalists of each cell, CE and LS of each level.
    assert facts["confirmation_runs"] == 2 * (2 * 6 + 2 * 2)
    assert "gls, gce, mae" in text_of(facts)


def test_seeds_of_the_confirmation_are_told_with_both_ends_under_auto() -> None:
    facts = description(tiny("confirmation={seeds: auto}"), LEVELS)
    assert facts["confirmation_seeds"] == "3 to 20"
    assert facts["confirmation_runs"] == 160  # at most 2 finalists and 2 baselines on at most 20, in 2 cells
    told = text_of(facts)
    assert "in all at most 160 confirmation runs on 3 to 20 seeds: at most 504 epochs" in told  # 2 x (4 + 80) x 3
    assert "in all at most 16 confirmation runs on 2 seeds" in text_of(description(tiny(), LEVELS))


OWN = """
name: mine
dataset: {name: twonorm, noise: [clean]}
trainable: "my_code:train"
space: {arguments.depth: {low: 1, high: 4}}
search: {trials: 2}
confirmation: {seeds: 1}
training: {epochs: 4}
"""


def test_own_code_that_knows_no_rate_is_compared_with_nothing() -> None:
    spec = read_study(OWN)
    told = text_of(description(spec, {"twonorm/clean": level("clean")}))
    assert "1 cell of 2 trials (" in told
    assert "in all at most 2 confirmation runs on 1 seed: at most 16 epochs" in told  # two finalists
    assert told.startswith("mine\n")
    console = Console(file=io.StringIO(), width=120)
    with Progress(spec, [], console):
        assert "trials 0/2, confirmation 0/1," in str(console.file.getvalue())  # type: ignore[attr-defined]
    with_rate = OWN.replace("space: {", "space: {rate: {low: -2, high: 0.5}, ")
    assert "at most 4 confirmation runs" in text_of(
        description(read_study(with_rate), {"twonorm/clean": level("clean")})
    )


def test_parameters_are_told_in_words() -> None:
    changes = ("space.lr_after_warmup={low: 0.01, high: 1, scale: log}", "space.warmup={low: 0, high: 2, step: 2}")
    space = description(tiny(*changes, "space.training.batch_size.values=[25, 50]"), LEVELS)["space"]
    assert space == {
        "rate": "-2 to 0.8 (symlog)",
        "warmup": "0 to 2 (linear, step 2)",
        "lr_after_warmup": "0.01 to 1 (log)",
        "training.batch_size": "one of 25, 50",
    }


def text_of(facts: dict[str, Any], width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(facts, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_whether_trunks_are_shared_and_where_is_told() -> None:
    facts = description(tiny(), LEVELS)
    assert facts["trunks"] == {"share": True, "folder": None, "keep": False, "max_gb": 20.0}
    assert "trials of one level and seed share their warm-up" in text_of(facts)
    assert "never more than 20 GB in the home, removed at the end" in text_of(facts)
    named = description(tiny("trunks={folder: 's3://bucket/a', keep: true, max_gb: 0.5}"), LEVELS)
    assert "never more than 0.5 GB in s3://bucket/a, kept" in text_of(named)
    assert "every trial trains its own warm-up" in text_of(description(tiny("trunks.share=false"), LEVELS))


def test_levels_are_named_whole_on_a_narrow_terminal() -> None:
    text = text_of(description(tiny(), LEVELS), 50)
    assert "twonorm/symmetric-0.4\n  classes" in "\n".join(line.rstrip() for line in text.splitlines())
    assert "…" not in text


def test_an_unknown_noise_rate_is_called_unknown_and_brackets_are_no_markup() -> None:
    unknown = dataclasses.replace(LEVELS["twonorm/clean"], noise_rate=None)
    console = Console(file=io.StringIO(), width=100, markup=False)  # as the command has it
    show(description(tiny("question='Is [bold] kept?'"), {unknown.name: unknown}), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "Is [bold] kept?" in text
    assert "unknown" in text

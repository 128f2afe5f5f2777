"""Trains given parameters on many seeds with a study's recipe; nothing is searched."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tosmooth.search.records import Cell
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.checkpointing.layout import lengths
from tosmooth.trainables.files.folders import Folders

AT_ONCE = 10  # seeds of a task


def accuracies(
    spec: StudySpec, cell: Cell, choices: Sequence[dict[str, Any]], seeds: range, data: Path, jobs: int
) -> list[tuple[float, ...]]:
    """Clean-test accuracy at the last epoch, in percent: an entry a seed, in it one of each choice."""
    folders = Folders(data.absolute(), (data.parent / "cache").absolute())
    parts = [seeds[i : i + AT_ONCE] for i in range(0, len(seeds), AT_ONCE)]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        tasks = [pool.submit(_train, spec, cell, list(choices), part, folders) for part in parts]
        return [pair for task in tasks for pair in task.result()]


def _train(
    spec: StudySpec, cell: Cell, choices: list[dict[str, Any]], seeds: range, folders: Folders
) -> list[tuple[float, ...]]:
    from tosmooth.trainables.checkpointing.trunks import Trunks
    from tosmooth.trainables.data.datasets import load_level  # torch belongs into the processes that train
    from tosmooth.trainables.training.process import prepare
    from tosmooth.trainables.training.trainer import train

    prepare(1)
    data = load_level(spec.data_config(cell.noise), folders)
    chance = 100 / data.classes
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        trunks = Trunks(scratch, lengths([params["warmup"] for params in choices]))
        for seed in seeds:
            runs = [
                train(spec.trial_config(cell, params, seed), data, lambda report: None, trunks=trunks)
                for params in choices
            ]
            values = [chance if run.diverged else run.curve[-1]["test_accuracy"] or 0.0 for run in runs]
            found.append(tuple(values))
    return found

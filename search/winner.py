"""The winning configuration of a level: a study file that trains it again, and its trained weights."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from search.choice import chosen
from search.home import StudyFolder
from search.loading import to_yaml
from search.parameters import Params
from search.records import Record
from search.results import of_cell
from search.selection import confirmed
from search.study import Cell, StudySpec
from search.study_file import dump, parse_mapping
from search.tables import write
from trainables.config import InputError
from trainables.weights import read_trial


def write_winner(
    folder: StudyFolder, spec: StudySpec, records: Sequence[Record], level: str, output: Path
) -> list[Path]:
    """Write `NAME-LEVEL.yaml` and `.safetensors` for each method of a level into `output`; returns the files.

    The weights are those of the confirmation's first seed: none was preferred for its test accuracy. Raises
    `InputError` for an unknown level, or where nothing is confirmed yet.
    """
    cells = [cell for cell in spec.cells() if level in (cell.level, cell.noise)]
    if not cells:
        raise InputError(f"--level: {level!r} is unknown: one of {', '.join(spec.dataset.levels)}")
    files = []
    for cell in cells:
        found = of_cell(cell, records)
        params = chosen(spec.of(cell.method), found)
        run = confirmed(found, params).get(spec.confirmation_seeds()[0])
        if params is None or run is None:
            raise InputError(f"--level: {level!r}: its best rate is not confirmed yet; run the study to its end first")
        if run.state == "diverged":
            raise InputError(f"--level: {level!r}: its best rate diverged on the first fresh seed: {run.reason}")
        stem = "-".join([spec.name, cell.noise, *([cell.method] if len(spec.method) > 1 else [])])
        study, copy = output / f"{stem}.yaml", output / f"{stem}.safetensors"
        write(_alone(spec, cell, params, stem), study)
        _check_weights(folder.weights(run.key), study)
        shutil.copyfile(folder.weights(run.key), copy)
        files += [study, copy]
    return files


def _check_weights(weights: Path, study: Path) -> None:
    """Raise `InputError` where the weights of a winner are gone or damaged."""
    try:
        read_trial(weights)
    except (OSError, ValueError) as error:
        advice = f"bring it back from a copy, or train it again: tosmooth run {study}, which is written"
        raise InputError(f"{weights}: missing or damaged ({error}): {advice}") from error


def _alone(spec: StudySpec, cell: Cell, params: Params, name: str) -> str:
    """The study of one cell whose space is one point: it trains these parameters again, beside the baselines."""
    values = parse_mapping(to_yaml(spec), spec.name)
    values |= {"name": name.lower().replace(".", "_")[:64], "method": cell.method, "search": {"sampler": "grid"}}
    values["question"] = f"How good is the configuration that study {spec.name} chose for {cell.level}?"
    values["dataset"]["levels"] = [cell.noise]
    values["space"] = {key: {"values": [value]} for key, value in params.items()}
    return dump(values)

"""The winning configuration of a level: a study file that trains it again, and its trained weights."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tosmooth.search.records import Cell, Record, of_cell
from tosmooth.search.report.recipe import recipe
from tosmooth.search.report.saved_weights import check_weights, warn_of_running_away
from tosmooth.search.selection.choice import chosen
from tosmooth.search.selection.comparison import borrowed, confirmed
from tosmooth.search.spec.loading import to_yaml
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.spec.yaml_file import dump, parse_mapping
from tosmooth.search.storage.code import code_beside
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.checkpointing.weights import read_weights
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.atomic_write import replacing, write
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.methods import METHODS
from tosmooth.trainables.user_code import use

log = logging.getLogger(__name__)


def write_winner(
    folder: StudyFolder,
    spec: StudySpec,
    records: Sequence[Record],
    level: str,
    output: Path,
    folders: Callable[[], Folders],
    method: str | None = None,
) -> list[Path]:
    """Write `NAME-LEVEL.yaml` and `.safetensors` for each method of a level into `output`; returns the files.

    `method`: for this one alone. `folders`: tells those of the data, where weights lack what is needed to use
    them.

    The weights are those of the confirmation's first seed: none was preferred for its test accuracy. Raises
    `InputError` for an unknown level, or where nothing is confirmed yet.
    """
    cells = [cell for cell in spec.cells() if level in (cell.level, cell.noise) and method in (None, cell.method)]
    if not cells:
        raise InputError(f"--level: {level!r} is unknown: one of {', '.join(spec.dataset.noise)}")
    files, refused = [], []
    for cell in cells:
        try:
            params, run = confirmed_winner(spec, cell, records)
        except InputError as error:  # of several methods the others are given all the same
            refused.append(error)
            continue
        stem = "-".join([spec.name, cell.noise, *([cell.method] if len(spec.method) > 1 else [])])
        study, copy = output / f"{stem}.yaml", output / f"{stem}.safetensors"
        write(_alone(spec, cell, params, stem), study)
        if (code := folder.code()) is not None:
            write(code.archive, code_beside(study))
        if spec.trainable is not None:  # it kept no network of ours
            files += [study, *([] if code is None else [code_beside(study)])]
            continue
        advice = f"bring it back from a copy, or train it again: tosmooth run {study}, which is written"
        check_weights(folder.weights(run.key), spec, run, advice)
        warn_of_running_away(copy, run)
        try:
            write_whole(folder.weights(run.key), spec, folders, folder, copy)
        except InputError as error:
            log.warning("%s: tosmooth.load_weights cannot use it on raw inputs: %s", copy, error)
            with replacing(copy) as partial:
                shutil.copyfile(folder.weights(run.key), partial)
        files += [study, copy, *([] if code is None else [code_beside(study)])]
    if not files:
        raise refused[0]
    for refusal in refused:
        log.warning("%s", refusal)
    return files


def write_whole(
    weights: Path, spec: StudySpec, folders: Callable[[], Folders], folder: StudyFolder, copy: Path
) -> None:
    """Write a file of weights that is enough by itself. Raises `InputError` where it cannot be completed."""
    if read_weights(weights).whole:
        with replacing(copy) as partial:
            shutil.copyfile(weights, partial)
        return
    from tosmooth.trainables.inference import completed  # noqa: PLC0415 - torch, which few weights need

    found = folders()
    if (code := folder.code()) is not None:
        use(code, found.cache)
    completed(weights, copy, found, spec.network.weights)


def winner_recipes(spec: StudySpec, records: Sequence[Record], level: str, method: str | None = None) -> Iterator[str]:
    """Yield lines of PyTorch that train with what was chosen at a level, of each method that is confirmed."""
    for cell in spec.cells():
        if level in (cell.level, cell.noise) and method in (None, cell.method):
            try:
                yield recipe(spec, cell, confirmed_winner(spec, cell, records)[0])
            except InputError:  # said where the files are written
                continue


def confirmed_winner(spec: StudySpec, cell: Cell, records: Sequence[Record]) -> tuple[Params, Record]:
    """Chosen hyperparameters of a cell, and their confirmation run of the first seed."""
    found = [*borrowed(*cell, records), *of_cell(cell, records)]
    params = chosen(MethodSpec.of(spec, cell.method), found)
    run = confirmed(found, params, cell.method).get(spec.confirmation_seeds()[0])
    level = f"--level: {cell.noise!r}" + (f", {cell.method}" if len(spec.method) > 1 else "")
    if params is None or run is None:
        raise InputError(f"{level}: its best rate is not confirmed yet; run the study to its end first")
    if run.state == "diverged":
        raise InputError(f"{level}: its best rate diverged on the first fresh seed: {run.reason}")
    return params, run


def _alone(spec: StudySpec, cell: Cell, params: Params, name: str) -> str:
    """The study of one cell whose space is one point: it trains these parameters again, beside the baselines."""
    values = parse_mapping(to_yaml(spec), spec.name)
    values |= {"name": name.lower().replace(".", "_")[:64], "method": cell.method}
    if not METHODS[cell.method].needs_transition:
        values.pop("transition", None)
    del values["cost"]  # which is that of the whole study
    values["search"] = {"sampler": "grid", "epoch": spec.search.epoch, "readout": spec.search.readout}
    values["question"] = f"How good is the configuration that study {spec.name} chose for {cell.level}?"
    values["dataset"]["noise"] = [cell.noise]
    values["space"] = {key: {"values": [value]} for key, value in params.items()}
    return dump(values)

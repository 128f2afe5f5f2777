"""The networks of a study's winners, ready for raw examples."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tosmooth.search.records import Cell, Record, of_cell
from tosmooth.search.report.saved_weights import check_weights, warn_of_running_away
from tosmooth.search.selection.choice import chosen
from tosmooth.search.selection.comparison import borrowed, confirmed
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.checkpointing.weights import read_weights
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.inference import Predictor, completed, load_weights
from tosmooth.trainables.user_code import use

ADVICE = "bring it back from a copy, or run the study anew under another name"


def cell_of(spec: StudySpec, level: str | None, method: str | None) -> Cell:
    """Cell of a level and a method; both may be left out where there is one of them. Raises `InputError`."""
    cells = [cell for cell in spec.cells() if level in (None, cell.level, cell.noise) and method in (None, cell.method)]
    known = {"--level": (level, [cell.noise for cell in spec.cells()]), "--method": (method, list(spec.method))}
    for key, (value, names) in known.items():
        names = list(dict.fromkeys(names))
        require(value is not None or len(names) == 1, key, value, f"one of {', '.join(names)}")
        require(bool(cells) or value in (None, *names), key, value, f"one of {', '.join(names)}")
    return cells[0]


def winner_networks(
    folder: StudyFolder, spec: StudySpec, records: Sequence[Record], cell: Cell, folders: Callable[[], Folders]
) -> list[Predictor]:
    """Load the networks of a cell's chosen parameters that were kept, in the order of the fresh seeds.

    `folders`: tells those of the data, where weights lack what is needed to use them. Raises `InputError` where there
    is none; warns of those whose probabilities are useless.
    """
    where = f"--level: {cell.noise!r}" + (f", {cell.method}" if len(spec.method) > 1 else "")
    rule = "networks of this study are your own code's, which keeps what it makes"
    require(spec.trainable is None, "study", spec.name, rule)
    found = [*borrowed(*cell, records), *of_cell(cell, records)]
    params = chosen(MethodSpec.of(spec, cell.method), found)
    ended = confirmed(found, params, cell.method)
    runs = [run for seed in spec.confirmation_seeds() if (run := ended.get(seed)) is not None]
    if not runs:
        raise InputError(f"{where}: its best rate is not confirmed yet; run the study to its end first")
    whole = [run for run in runs if run.state == "complete"]
    if not whole:
        raise InputError(f"{where}: its best rate diverged on every fresh seed: {runs[0].reason}")
    first = ended.get(spec.confirmation_seeds()[0])
    if spec.confirmation.keep_weights == "first" and first is not None and first.state == "diverged":
        advice = "confirmation.keep_weights: all keeps those of the others, in a study under another name"
        raise InputError(f"{where}: the first fresh seed, whose network is kept, diverged: {first.reason}; {advice}")
    kept = [run for run in whole if folder.weights(run.key).exists()] or whole[:1]
    if (code := folder.code()) is not None:
        use(code)
    networks = []
    for run in kept:
        check_weights(folder.weights(run.key), spec, run, ADVICE)
        warn_of_running_away(f"{spec.name}, {cell.noise}, seed {run.train_seed}", run)
        networks.append(_loaded(folder.weights(run.key), spec, folders))
    return networks


def _loaded(path: Path, spec: StudySpec, folders: Callable[[], Folders]) -> Predictor:
    if read_weights(path).whole:
        return load_weights(path)
    with tempfile.TemporaryDirectory(prefix="tosmooth-") as place:
        whole = Path(place) / path.name
        completed(path, whole, folders(), spec.network.weights)
        return load_weights(whole)

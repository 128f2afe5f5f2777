"""What MLflow shows of a study: its tracker, and the pages that its rows fill."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from tosmooth.search.columns import short
from tosmooth.search.records import Cell, Level, Record
from tosmooth.search.report.answer import advice, answer
from tosmooth.search.report.escaping import markdown
from tosmooth.search.report.results import prefix_of, study_rows
from tosmooth.search.report.row import COLUMNS, Row
from tosmooth.search.report.tables import short_columns
from tosmooth.search.report.terminal import markdown_table, notes
from tosmooth.search.report.winner import confirmed_winner, write_whole
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.tracking import Tracker, Winner
from tosmooth.search.tracking.names import Names
from tosmooth.search.tracking.page import CellPage, StudyPage
from tosmooth.search.tracking.run import BOUND
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

LONGEST_TEXT = 5000  # letters of a tag
FIRST = ("noise_rate", "best_rate", "gain_over_ce", "gain_low", "gain_high")  # columns of the view: seen in any window
GAP = "&emsp;"  # MLflow's tables have none
HOW_TO_READ = f"""**How to read it.** The best rate was chosen by the validation, in brackets its 95 % interval.
 Accuracies are means over fresh training seeds on the clean test set (without one: on the validation);
 CE is cross-entropy, LS label smoothing (r = 0.1). The gain is the difference to cross-entropy in points, paired over
 the seeds. Theory is the rate that undoes symmetric noise. Below, each row is a run with these numbers as metrics (NaN:
 no longer known), and its trials are runs below it: `tosmooth.phase` tells search from fresh seeds, and where a loss
 is beyond {BOUND:g} nats it is drawn there, and `tosmooth.clipped` has the last value.""".replace("\n", "")


def open_tracker(
    home: Path, uri: str | None, spec: StudySpec, levels: Mapping[str, Level], folder: StudyFolder, command: str = ""
) -> Tracker:
    """Open the tracker of a study. `command`: that runs it, where it is one."""

    def summary(records: list[Record]) -> StudyPage:
        return study_page(spec, study_rows(spec, levels, records), pictures(folder), command)

    return Tracker(
        home,
        uri,
        spec.name,
        spec.question,
        levels,
        fixed_settings(spec),
        names=Names(spec.method, spec.confirmation_seeds()),
        bound=BOUND if spec.trainable is None else None,  # the losses of other code have a unit of their own
        summary=summary,
    )


def winner_models(
    folder: StudyFolder, spec: StudySpec, records: Sequence[Record], folders: Callable[[], Folders]
) -> Iterator[Winner]:
    """Yield the network of each cell's winner, that of the first fresh seed, as a model; of cells that have one."""
    for cell in spec.cells() if spec.trainable is None else ():
        try:
            params, run = confirmed_winner(spec, cell, records)
        except InputError:  # it is not confirmed, or diverged
            continue
        if (weights := folder.weights(run.key)).exists():
            code = None if spec.code is None else folder.code_file
            yield Winner(spec.name, cell, weights, code, params, partial(write_whole, weights, spec, folders, folder))


def pictures(folder: StudyFolder) -> list[Path]:
    """Pictures of a study, as far as they are drawn: those of what was found before those of the analysis."""
    return [file for place in (folder.plots, folder.path / "analysis") for file in sorted(place.glob("*.png"))]


def study_page(spec: StudySpec, rows: Sequence[Row], files: Sequence[Path], command: str) -> StudyPage:
    """Make the pages of a study and its cells, of its rows in the order of the cells."""
    cells = spec.cells()
    own, about_all = _shared_out([file.name for file in files if file.suffix == ".png"], cells)
    usual = [name for name in ("rate", "warmup") if name in spec.space]
    numbers = [name for name in short_columns(rows) if _is_number(name) and not name.endswith("std")]
    return StudyPage(
        question=spec.question,
        words=_words(rows),
        command=command,
        cells={cell: _cell_page(row, own.get(cell, [])) for cell, row in zip(cells, rows, strict=True)},
        columns=[*(name for name in FIRST if name in numbers), *(name for name in numbers if name not in FIRST)],
        parameters=[*usual, *(name for name in spec.space if name not in usual)],
        score=spec.score.validation,
        pictures=about_all,
    )


def _shared_out(names: Sequence[str], cells: Sequence[Cell]) -> tuple[dict[Cell, list[str]], list[str]]:
    """Share files out: those of each cell, and those about the study."""
    owners = {prefix_of(cell): cell for cell in cells}
    own: dict[Cell, list[str]] = {}
    about_all = []
    for name in names:  # a study may have a thousand cells: none is compared with all of them
        begins = (name[: i + 1] for i, letter in enumerate(name) if letter == "-")
        found = [owners[begin] for begin in begins if begin in owners]
        for cell in found:
            own.setdefault(cell, []).append(name)
        about_all += [] if found else [name]
    return own, about_all


def _words(rows: Sequence[Row]) -> str:
    answers = "\n".join(f"- {markdown(answer(row))}" for row in rows)
    told = "\n".join(f"- {markdown(note)}" for note in notes(rows))
    return "\n\n".join(filter(None, [answers, markdown_table(rows, GAP), told, HOW_TO_READ]))


def _cell_page(row: Row, own: Sequence[str]) -> CellPage:
    texts = {name: getattr(row, name) for name in COLUMNS if not _is_number(name)}
    return CellPage(
        words="\n".join([f"**{markdown(answer(row))}**\n", *(f"- {markdown(note)}" for note in _notes(row))]),
        metrics={name: _number(name, getattr(row, name)) for name in COLUMNS if _is_number(name)},
        tags={f"tosmooth.{name}": text[:LONGEST_TEXT] for name, text in {**texts, "answer": advice(row)}.items()},
        pictures=own,
    )


def _notes(row: Row) -> list[str]:
    rate = "" if row.noise_rate is None else f"share of wrong labels: {short(row.noise_rate)} ({row.noise_rate_source})"
    return [*filter(None, [rate, *row.note.split("; ")])]


def _is_number(column: str) -> bool:
    return COLUMNS[column].kind is not str


def _number(column: str, value: float | None) -> float | None:
    """Round a number of a row to be read, which MLflow does not; `None` where it is unknown, or infinite."""
    if value is None or not math.isfinite(value):
        return None
    return float(value if COLUMNS[column].exact else COLUMNS[column].text(value))


def fixed_settings(spec: StudySpec) -> dict[str, object]:
    """Settings that all trials share, to be shown as their parameters."""
    training, optimizer, network = spec.training, spec.training.optimizer, spec.network
    backbone = {"network.mode": network.mode, "network.weights": network.weights} if network.has_backbone else {}
    if spec.trainable is not None:
        return {
            "trainable": spec.trainable,
            "training.epochs": training.epochs,
            "seed": spec.seed,
            **({} if spec.code is None else {"code": spec.code}),
            **{
                f"arguments.{name}": value
                for name, value in spec.arguments.items()
                if f"arguments.{name}" not in spec.space
            },
        }
    return {
        "network": network.name,
        **backbone,
        "training.epochs": training.epochs,
        "training.batch_size": training.batch_size,
        "training.recipe": training.recipe,
        "training.optimizer": optimizer.name,
        "training.optimizer.lr": optimizer.lr,
        "training.schedule": training.schedule.name,
        "seed": spec.seed,
        **({} if spec.code is None else {"code": spec.code}),
    }

"""An analysis in the study's folder, and in MLflow."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from search.analysis.cells import CellAnalysis
from search.analysis.plots import save_plots
from search.analysis.tables import to_csv, to_json
from search.records import Level
from search.results import shown_with
from search.study import Cell, StudySpec
from search.tables import write
from search.tracking import Tracker
from trainables.analysis.analyse import Options

PATIENCE = 60.0  # seconds for which MLflow is waited for


def write_analysis(folder: Path, spec: StudySpec, options: Options, found: Sequence[CellAnalysis]) -> list[Path]:
    """Write `analysis.csv`, `analysis.json` and the pictures into `folder`; returns the files."""
    files = [folder / "analysis.csv", folder / "analysis.json"]
    write(to_csv(found), files[0])
    write(to_json(spec, options, found), files[1])
    return [*files, *save_plots(folder, found)]


def publish(
    home: Path,
    tracking_uri: str | None,
    spec: StudySpec,
    levels: Mapping[str, Level],
    cells: Sequence[Cell],
    files: Sequence[Path],
    finished: bool,
) -> int:
    """Show the files with the runs of their cells in MLflow. Returns how much could not be written.

    `finished`: the study is, and its cells are left as such.
    """
    tracker = Tracker(home, tracking_uri, spec.name, spec.question, levels)
    for cell in cells:
        tracker.artifacts(cell.level, cell.method, shown_with(cell, spec.cells(), files))
    return tracker.close(PATIENCE, finished)

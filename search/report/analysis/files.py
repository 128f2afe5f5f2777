"""An analysis in the study's folder, and in MLflow."""

from collections.abc import Sequence
from pathlib import Path

from tosmooth.search.report.analysis.cells import CellAnalysis
from tosmooth.search.report.analysis.plots import save_plots
from tosmooth.search.report.analysis.tables import to_csv, to_json
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.analysis.analyse import Options
from tosmooth.trainables.files.atomic_write import write


def write_analysis(folder: Path, spec: StudySpec, options: Options, found: Sequence[CellAnalysis]) -> list[Path]:
    """Write `analysis.csv`, `analysis.json` and the pictures into `folder`; returns the files."""
    files = [folder / "analysis.csv", folder / "analysis.json"]
    write(to_csv(found), files[0])
    write(to_json(spec, options, found), files[1])
    return [*files, *save_plots(folder, found)]

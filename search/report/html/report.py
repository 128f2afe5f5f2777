"""The report of one study or of several, as HTML, and as a file of a study's folder."""

from collections.abc import Sequence
from pathlib import Path

from tosmooth.search.report.html.content import study_part
from tosmooth.search.report.html.figures import Numbers
from tosmooth.search.report.html.javascript import begun
from tosmooth.search.report.html.page import page
from tosmooth.search.report.results import StudyResults
from tosmooth.trainables.files.atomic_write import write


def report(studies: Sequence[StudyResults], title: str | None = None) -> str:
    """Make the page of these studies; its `title` is the question of the only one, unless another is given."""
    begun()
    numbers = Numbers()
    parts = [study_part(study, numbers) for study in studies]
    question = (parts[0].question or parts[0].name) if len(parts) == 1 else f"{len(parts)} studies"
    return page(title or question, parts)


def write_report(study: StudyResults) -> Path:
    """Write the report of a study into its folder; returns the file."""
    write(report([study]), study.folder.report_file)
    return study.folder.report_file

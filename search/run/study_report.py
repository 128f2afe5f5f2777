"""Report of a study that ended. One that cannot be made is a warning: the study is done all the same."""

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from tosmooth.search.records import Level, Record
from tosmooth.search.report.results import StudyResults
from tosmooth.search.report.row import Row
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder

log = logging.getLogger(__name__)
HTML = "tosmooth.search.report.html"


def begin_report() -> None:
    """Begin what takes longest of it, beside what else is done."""
    try:
        import_module(f"{HTML}.javascript").begun()
    except Exception as error:
        log.debug("the report's JavaScript: %s", error)  # `write_report` says it


def write_report(
    folder: StudyFolder, spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record], rows: Sequence[Row]
) -> list[Path]:
    """Write the report into the study's folder; returns its file, none where it could not be made.

    Its libraries are loaded here and not before: they would hold up the start of a study.
    """
    try:
        found = StudyResults(folder, spec, dict(levels), list(records), list(rows))
        return [import_module(f"{HTML}.report").write_report(found)]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of V8 is no `Exception`
        again = f"`tosmooth report {spec.name}` makes it"
        log.warning("the report could not be made (%s: %s); %s", type(error).__name__, error, again)
        return []

"""Completion of a study, told from its records alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tosmooth.search.records import ENDED, Cell, Level, Record
from tosmooth.search.report.progress import Completion
from tosmooth.search.selection.comparison import borrowed
from tosmooth.search.selection.stopping import savings
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.suggest.confirmation import next_run


def completion(spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record]) -> Completion:
    """Find out what is done of a study: its search, and the confirmation runs that it needs.

    A baseline that is the choice needs no runs of its own, and `seeds: auto` is content with fewer.
    """
    if any(record.state == "running" for record in records) or not _searched(spec, records):
        return Completion()
    failed = {record.key for record in records if record.state == "failed"}
    views = MethodSpec.each(spec)
    whole = set()
    by_level = defaultdict[str, list[Record]](list)  # a study may have a thousand cells
    for record in records:
        by_level[record.level].append(record)
    for cell in spec.cells():
        own = [record for record in by_level[cell.level] if record.method == cell.method]
        own += borrowed(*cell, by_level[cell.level])
        if next_run(views[cell.method], levels[cell.level], own, failed) is None:
            whole.add(cell)
    return Completion(frozenset(whole), len(whole) == len(spec.cells()))


def _searched(spec: StudySpec, records: Sequence[Record]) -> bool:
    """True if each cell had its trials of the search, or fewer by `stop_when`, or what failed of a grid is given up."""
    over = ENDED if spec.search.sampler != "grid" else (*ENDED, "failed")
    saved = {saving.cell: saving.trials for saving in savings(spec, records)}
    ended = dict.fromkeys(spec.cells(), 0)
    for record in records:
        if record.phase == "search" and record.state in over:
            ended[Cell(record.level, record.method)] += 1
    return all(spec.budget - saved.get(cell, 0) <= number for cell, number in ended.items())

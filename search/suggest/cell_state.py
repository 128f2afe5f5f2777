"""Trials of one cell's search as the driver knows them, counted as they change."""

from tosmooth.search.records import ENDED, Record, Score
from tosmooth.search.surrogate.training_subset import TrainingSubset


class CellState:
    """Records of a cell, and the counts that each new trial asks for: thousands are not gone through for them."""

    def __init__(self, score: Score) -> None:
        self.records: dict[int, Record] = {}  # by number
        self.running: dict[int, Record] = {}  # of these
        self.started = 0  # those that did not fail
        self.ended = 0  # as complete, pruned or diverged
        self.subset = TrainingSubset(score)
        self.version = 0  # of all but the curves of those that run: grows whenever one starts or ends

    def keep(self, record: Record) -> None:
        """Take in a trial as it stands now."""
        before = self.records.get(record.number)
        self.records[record.number] = record
        if before is None or before.state != record.state:
            self.version += 1
            self.started += (record.state != "failed") - (before is not None and before.state != "failed")
            if record.state in ENDED:
                self.ended += 1
                self.subset.add(record)
        if record.state == "running":
            self.running[record.number] = record
        else:
            self.running.pop(record.number, None)

"""The trials of one cell's search as the driver knows them, counted as they change."""

from search.records import ENDED, Record, Rule
from search.telling import Telling


class Searched:
    """What is asked of a cell for each new trial stands ready: thousands of records are not gone through for it."""

    def __init__(self, rule: Rule) -> None:
        """`rule`: whose accuracy scores a trial."""
        self.records: dict[int, Record] = {}  # by number
        self.running: dict[int, Record] = {}  # of these
        self.started = 0  # those that did not fail
        self.ended = 0  # as complete, pruned or diverged
        self.telling = Telling(rule)
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
                self.telling.add(record)
        if record.state == "running":
            self.running[record.number] = record
        else:
            self.running.pop(record.number, None)

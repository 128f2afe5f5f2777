"""Trials of a study as its driver knows them, each held once: as its latest record."""

from collections import Counter

from tosmooth.search.records import Cell, Record, TrialKey
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.suggest.cell_state import CellState


class StudyState:
    """Records of all cells and both phases, with counts kept up to date: each new trial asks for them."""

    def __init__(self, spec: StudySpec) -> None:
        self.searches = {cell: CellState(spec.score) for cell in spec.cells()}
        self._confirmations: dict[Cell, dict[int, Record]] = {cell: {} for cell in self.searches}  # by number
        self._ended: Counter[str] = Counter()  # by level

    def keep(self, record: Record) -> None:
        """Take in a trial as it stands now."""
        cell = Cell(record.level, record.method)
        if record.phase == "search":
            self.searches[cell].keep(record)
        else:
            self._confirmations[cell][record.number] = record
        self._ended[record.level] += record.state != "running"

    def __getitem__(self, key: TrialKey) -> Record:
        """Return the trial with this key."""
        cell = Cell(key.level, key.method)
        trials = self.searches[cell].records if key.phase == "search" else self._confirmations[cell]
        return trials[key.number]

    def search(self, cell: Cell) -> list[Record]:
        """Trials of a cell's search."""
        return list(self.searches[cell].records.values())

    def confirmation(self, cell: Cell) -> list[Record]:
        """Runs of a cell's confirmation; none of a cell that the study does not have."""
        return list(self._confirmations.get(cell, {}).values())

    def started(self) -> dict[Cell, int]:
        """Search trials of each cell that did not fail."""
        return {cell: search.started for cell, search in self.searches.items()}

    def searching(self) -> set[Cell]:
        """Cells of which a search trial is running, or waits to be tried again."""
        return {cell for cell, search in self.searches.items() if search.running}

    def ended(self, level: str) -> int:
        """Number that grows with every trial of a level that ends."""
        return self._ended[level]

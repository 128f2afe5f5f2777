"""The labels of a cell that are probably wrong, for the report, where `tosmooth suspects` has listed them."""

from dataclasses import dataclass
from pathlib import Path

from tosmooth.search.records import Cell
from tosmooth.search.report.html.page_tables import PageTable
from tosmooth.search.report.suspects.files import KEPT, read_list, read_pictures
from tosmooth.search.report.suspects.rendered import heads, lines, summary


@dataclass(frozen=True, slots=True)
class Suspect:
    """Row of the list."""

    rank: int
    row: int
    place: str
    given: str
    proposed: str
    p_given: float
    p_proposed: float
    clean: str | None
    picture: str  # as the text of a PNG; "" for none


@dataclass(frozen=True, slots=True)
class SuspectsPart:
    """First suspects of a cell, and how good the list is."""

    name: str
    words: list[str]
    rows: list[Suspect]
    measures: PageTable
    total: int

    @property
    def illustrated(self) -> bool:
        return any(row.picture for row in self.rows)

    @property
    def placed(self) -> bool:
        return any(row.place for row in self.rows)

    @property
    def known(self) -> bool:
        return any(row.clean is not None for row in self.rows)


def suspects_part(study: Path, cell: Cell, name: str, illustrated: bool) -> SuspectsPart | None:
    """Read the first suspects of a cell; `None` where there is no list. Raises `InputError` where it is damaged."""
    found = read_list(study, cell)
    if found is None:
        return None
    pictures = read_pictures(study, cell) if illustrated else {}
    columns = ("rank", "row", "place", "given", "proposed", "p_given", "p_proposed", "clean")
    first = found.table.slice(0, KEPT).select(columns).to_pylist()
    rows = [Suspect(**row, picture=pictures.get(row["row"], "")) for row in first]
    measures = [(line[0], line[1:]) for line in lines(found.about)]
    return SuspectsPart(
        name, list(summary(found.about)), rows, PageTable(heads(found.about)[1:], measures), len(found.table)
    )

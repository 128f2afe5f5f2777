"""What MLflow shows of a study beside its trials: words and numbers, made above this package from the table's rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tosmooth.search.records import Cell

NOTE = "mlflow.note.content"  # the tag of an experiment or run that is its description, in Markdown
# Not first in the text: MLflow's list of experiments shows that as it stands.
YOURS = "<!-- tosmooth writes what is above this line anew; what you write below it is kept. -->"
CUT = "\n\n(MLflow takes no more text; `tosmooth show` has all of it.)"


@dataclass(frozen=True, slots=True)
class CellPage:
    """What the run of a cell shows: a row of the table."""

    words: str  # Markdown
    metrics: Mapping[str, float | None]  # None: unknown
    tags: Mapping[str, str]
    pictures: Sequence[str]  # artifacts of the run, by name


@dataclass(frozen=True, slots=True)
class StudyPage:
    """What the experiment of a study shows."""

    question: str
    words: str  # Markdown
    command: str  # that made it; "": not known
    cells: Mapping[Cell, CellPage]
    columns: Sequence[str]  # metrics of a cell that a table has room for
    parameters: Sequence[str]  # that were searched, the first first
    score: str  # metric by which trials are compared
    pictures: Sequence[str]  # artifacts of each cell's run that are about the whole study, by name


def note(words: str, before: str, most: int) -> str:
    """Put words into a description, of at most so many letters: what its reader wrote himself below a line stays."""
    own = before.partition(YOURS)[2] if YOURS in before else f"\n\n{before}" if before else ""
    ending = f"\n\n{YOURS}{own}"
    if len(words) + len(ending) > most:
        words = words[: max(0, most - len(ending) - len(CUT))].rpartition("\n")[0] + CUT
    return words + ending


def picture(name: str, run_id: str) -> str:
    """Markdown that shows an artifact of a run in MLflow's UI, wherever its server is."""
    return f"![{name}](get-artifact?path={quote(name)}&run_uuid={run_id})"

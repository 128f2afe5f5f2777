"""Files of a study's suspects, in `suspects/` of its folder: written whole or not at all, Parquet before JSON.

`DATASET-NOISE-METHOD-suspects.parquet`, such as `twonorm-symmetric-0.4-gls-suspects.parquet`: a row for each example of
the level's training set and noisy validation, from the label that is most likely wrong on.

| column | type | what it says |
|---|---|---|
| `rank` | int64 | from 1: the most suspicious first |
| `row` | int64 | row in the training set as the user has it (all shards as one table), from 0, below the heading |
| `place` | string | path of its picture, relative as the data name it; of several shards file and row; else empty |
| `given` | string | label, by the class's name; its number where classes have no names |
| `proposed` | string | most probable class; the given one where the network agrees with the label |
| `p_given`, `p_proposed` | double | their probabilities by networks that saw neither the example nor an equal one |
| `score` | double | cleanlab's normalised margin in [0, 1], low for a wrong label |
| `margin` | double | log odds of the given label against the best other, in units of their median in its fold |
| `likely_error` | bool | among the first N, N being as many as cleanlab counts wrong |
| `part` | string | `train`, or `validation`: its labels score the study's trials |
| `fold` | int64 | from 1: of which network's training it was left out |
| `clean` | string | right label, null where it is not known |

`DATASET-NOISE-METHOD-suspects.json`: an object with

| key | what it says |
|---|---|
| `study`, `level`, `dataset`, `noise`, `method` | whose list it is; level: `twonorm/symmetric-0.4` |
| `arm`, `parameters` | `chosen`, `CE` or `LS` (where a baseline was chosen), and the hyperparameters of the networks |
| `digest`, `list_digest` | of the level's data (`levels.json`), and the SHA-256 of the Parquet file |
| `rows`, `training_rows`, `validation_rows` | examples that were judged |
| `likely_errors` | number of labels that cleanlab counts wrong; null where it cannot say |
| `folds`, `seeds` | number of folds, and training seeds whose predictions the list averages |
| `agreement` | share of the labels, in [0, 1], that the networks agree with |
| `runaway` | true where the loss ran away: logits are scaled to fit the labels, the order is by the margin |
| `tied` | share of the rows, in [0, 1], whose score another row has, too |
| `notes` | what a reader must know, a text each |
| `quality` | null where no clean label is known, else `known_rows`, `wrong_rows`, `list`, `arms` |

`quality.list` has the measures of `trainables.suspects.quality.Quality` for the list itself. `quality.arms` is a list
of `{arm, parameters, seeds, measures}`; of each seed the list that it alone would make is judged. `measures` maps a
measure to `{mean, low, high, minus_ce, minus_ce_low, minus_ce_high}`, the ends of 95 % intervals over the seeds (null
for fewer than three).

`DATASET-NOISE-METHOD-suspects-pictures.json`, where the data are pictures: those of the first rows, by their rows, as
the text of a small PNG each.

`folds/` has what each network said, so that a list is not trained twice.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tosmooth.search.records import Cell
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.atomic_write import write

FORMATS = ("csv", "parquet", "html")  # of a list for readers
ON_PAGE = 100  # rows of a page, unless another number is asked for
KEPT = 12  # pictures that are kept beside a list, for the study's report
SCHEMA = pa.schema(
    [
        ("rank", pa.int64()),
        ("row", pa.int64()),
        ("place", pa.string()),
        ("given", pa.string()),
        ("proposed", pa.string()),
        ("p_given", pa.float64()),
        ("p_proposed", pa.float64()),
        ("score", pa.float64()),
        ("margin", pa.float64()),
        ("likely_error", pa.bool_()),
        ("part", pa.string()),
        ("fold", pa.int64()),
        ("clean", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class SuspectList:
    """Suspects of one cell: the list, and what is said of it, as the two files have them."""

    table: pa.Table
    about: dict[str, Any]


def folder_of(study: Path) -> Path:
    """Folder of the suspects in the folder of a study."""
    return study / "suspects"


def stem_of(cell: Cell) -> str:
    """Beginning of the names of a cell's files."""
    return f"{cell.level.replace('/', '-')}-{cell.method}-suspects"


def write_list(study: Path, cell: Cell, found: SuspectList) -> list[Path]:
    """Write list and numbers into the study's folder; returns the files."""
    files = [folder_of(study) / f"{stem_of(cell)}.{kind}" for kind in ("parquet", "json")]
    content = to_parquet(found.table)
    write(content, files[0])
    about = {**found.about, "list_digest": hashlib.sha256(content).hexdigest()}
    write(json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n", files[1])
    return files


def write_pictures(study: Path, cell: Cell, pictures: Mapping[int, str]) -> None:
    """Keep pictures beside a list, by their rows; what was kept of an earlier list goes."""
    file = _pictures(study, cell)
    if pictures:
        write(json.dumps(pictures), file)
    else:
        file.unlink(missing_ok=True)


def read_pictures(study: Path, cell: Cell) -> dict[int, str]:
    """Read the pictures beside a list, by their rows; none where there are none, or the file is damaged."""
    try:
        found = json.loads(_pictures(study, cell).read_text(encoding="utf-8"))
        return {int(row): text for row, text in found.items() if text.startswith("data:image/png;base64,")}
    except (OSError, ValueError, AttributeError):
        return {}


def _pictures(study: Path, cell: Cell) -> Path:
    return folder_of(study) / f"{stem_of(cell)}-pictures.json"


def to_parquet(table: pa.Table) -> bytes:
    """Write a table as a Parquet file with checksums."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, write_page_checksum=True)
    return buffer.getvalue()


def read_list(study: Path, cell: Cell) -> SuspectList | None:
    """Read the suspects of a cell; `None` where there are none yet.

    Raises `InputError` where a file is damaged, or the two are not of one list.
    """
    data, words = (folder_of(study) / f"{stem_of(cell)}.{kind}" for kind in ("parquet", "json"))
    if not (data.exists() and words.exists()):
        return None
    try:
        about, content = json.loads(words.read_text(encoding="utf-8")), data.read_bytes()
        if hashlib.sha256(content).hexdigest() != about["list_digest"]:
            raise ValueError("its digest is not that of the list")
        return SuspectList(pq.read_table(io.BytesIO(content), schema=SCHEMA), about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        rule = "delete both and make them anew with `tosmooth suspects`; what was trained is kept"
        raise InputError(f"{words}, and the list beside it: damaged ({error}): {rule}") from error

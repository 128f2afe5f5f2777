"""New examples in files, without labels: tables of rows or of pictures, folders of pictures, single pictures."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from tosmooth.trainables.data.encoded_pictures import column_of, holds_pictures
from tosmooth.trainables.data.picture_folder import ENDINGS, pictures_below
from tosmooth.trainables.data.pictures import Dropped, Pixels, decoded_pictures
from tosmooth.trainables.data.preprocessing import Preprocessing
from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.table import Table, open_table
from tosmooth.trainables.errors import InputError, shown
from tosmooth.trainables.inference.inputs import by_position, check_size, ignored, rows_of

BLOCK = 2**24  # bytes of pictures that are predicted at once
LEAST = 64  # pictures, however large they are

Block = tuple[list[Any], Tensor]  # names of the examples, or their rows; and what `raw_inputs` gives


@dataclass(slots=True)
class NewExamples:
    """Examples that are read as they are asked for."""

    kind: str  # what names an example: "file", or "row"
    blocks: Iterator[Block]
    remarks: list[str] = field(default_factory=list)  # complete when all blocks were read


def read_new(place: Path, made: Preprocessing, key: str) -> NewExamples:
    """Open new examples for a network: a table in any form that a study reads, a folder of pictures, or a picture.

    `key`: of the option that names them, for messages. Raises `InputError`, now or while blocks are read, for what is
    missing, damaged, or not as the training set was.
    """
    if not place.exists() and not any(character in str(place) for character in "*?["):
        raise InputError(f"{key}: {str(place)!r}: there is no such file or folder")
    if made.of_pictures and place.is_file() and place.suffix.lower() in ENDINGS:
        return _of_files(place.parent, [place.name], made)
    if made.of_pictures and place.is_dir() and not _is_table(place):
        return _of_files(place, pictures_below(place, key), made)
    found = NewExamples("row", iter(()))
    found.blocks = (_pictures if made.of_pictures else _rows)(place, made, key, found.remarks)
    return found


def _is_table(folder: Path) -> bool:
    """True for a folder that holds a table: shards, or a list of pictures."""
    names = {path.name.lower() for path in folder.iterdir()}
    endings = {Path(name).suffix for name in names}
    return bool(names & {"metadata.csv", "metadata.jsonl", "metadata.parquet"}) or bool(
        endings & {".parquet", ".arrow"}
    )


def _of_files(root: Path, paths: list[str], made: Preprocessing) -> NewExamples:
    found = NewExamples("file", iter(()))
    pictures = decoded_pictures(((root / path, str(root / path)) for path in paths), made.rule)
    found.blocks = _gathered(_one_each(pictures), paths, lambda row: str(root / paths[row]), made, found.remarks)
    return found


def _one_each(pictures: Iterator[Pixels | Dropped]) -> Iterator[Pixels | Dropped]:
    return (each if isinstance(each, Dropped) else each[None] for each in pictures)


def _pictures(place: Path, made: Preprocessing, key: str, remarks: list[str]) -> Iterator[Block]:
    """Pictures of a table's column, in blocks."""
    with open_table(files_of(str(place.absolute()), Path(), key), "test") as table:
        name = _picture_column(table, made, key)
        remarks += ignored([other for other in table.names if other != name])
        table = table.require([name], key)
        yield from _gathered(
            column_of(table, name, made.rule, made.black_and_white), range(table.rows), table.place, made, remarks
        )


def _picture_column(table: Table, made: Preprocessing, key: str) -> str:
    """Column of the pictures: the one that the study names, else the only one that can hold them."""
    if made.image in table.names or table.names == ("0",):  # the latter: an array without a name
        return made.image if made.image in table.names else "0"
    holding = [name for name in table.names if holds_pictures(table.schema.field(name).type)]
    if made.image is None and len(holding) == 1:
        return holding[0]
    wanted = "a column of pictures" if made.image is None else f"the column {made.image!r}"
    raise InputError(f"{key}: {table.files[0]} has not {wanted}: its columns are {shown(', '.join(table.names))}")


def _gathered(
    pictures: Iterator[Pixels | Dropped],
    names: Sequence[Any],
    place: Callable[[int], str],
    made: Preprocessing,
    remarks: list[str],
) -> Iterator[Block]:
    """Put pictures, some at a time, into blocks with their names; those that cannot be read are said and left out."""
    row = 0
    kept: list[Pixels] = []
    held: list[Any] = []
    most = max(LEAST, BLOCK // math.prod(made.shape))
    for pixels in pictures:
        if isinstance(pixels, Dropped):
            remarks.append(f"left out: {pixels.reason}")
            row += 1
            continue
        check_size(pixels, made, place(row))
        kept.append(pixels)
        held += names[row : row + len(pixels)]
        row += len(pixels)
        if len(held) >= most:
            yield held, torch.from_numpy(np.concatenate(kept))
            kept, held = [], []
    if kept:
        yield held, torch.from_numpy(np.concatenate(kept))


def _rows(place: Path, made: Preprocessing, key: str, remarks: list[str]) -> Iterator[Block]:
    """All rows of a table of features, as one block."""
    names = [column.name for column in made.columns]
    with open_table(files_of(str(place.absolute()), Path(), key), "test") as table:
        if not set(names) & set(table.names) and (columns := _without_names(table, made)):
            read = table.require(columns, key).read(columns)
            matrix = np.column_stack([_matrix(read.column(name)) for name in columns])
            values = by_position(torch.from_numpy(matrix), made, str(place))
        else:
            remarks += ignored([name for name in table.names if name not in names])
            table.as_text([column.name for column in made.columns if column.kind == "categories"])
            table = table.require(names, key)
            found, said = rows_of(table.read(names), table.place, made)
            values, remarks[len(remarks) :] = torch.from_numpy(found), said
    yield list(range(len(values))), values


def _without_names(table: Table, made: Preprocessing) -> list[str]:
    """Columns of a matrix or of vectors of as many numbers as there are features; empty where there are no such."""
    width, names = sum(len(column.values) for column in made.columns), list(table.names)
    if names == [str(i) for i in range(width)]:
        return names
    vectors = [field.name for field in table.schema if pa.types.is_fixed_size_list(field.type)]
    alone = len(names) == 1 and vectors == names and table.schema.field(0).type.list_size == width
    return names if alone else []


def _matrix(column: pa.ChunkedArray) -> NDArray[Any]:
    """Numbers of a column [N, w]."""
    chunk = column.combine_chunks()
    rows = len(chunk)
    return np.asarray(chunk.flatten() if pa.types.is_fixed_size_list(chunk.type) else chunk).reshape(rows, -1)

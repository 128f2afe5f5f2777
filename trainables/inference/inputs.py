"""Raw examples of any form as one tensor: features float32 [N, D] before they are standardised, pictures uint8."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from tosmooth.trainables.data.column_numbers import Place
from tosmooth.trainables.data.columns import features_of
from tosmooth.trainables.data.pictures import Pixels, blocks_of_array
from tosmooth.trainables.data.preprocessing import Preprocessing
from tosmooth.trainables.data.tables.in_memory import array_of, table_of
from tosmooth.trainables.errors import InputError, require, shown

KEY = "inputs"


def raw_inputs(inputs: Any, made: Preprocessing) -> Tensor:
    """Make features, float32 [N, D], or pictures, uint8 [N, H, W, 3], of raw examples in memory.

    What is a tensor stays on its device. Raises `InputError` for what is not as the training set was.
    """
    if made.of_pictures:
        if isinstance(inputs, Tensor) and inputs.dtype == torch.uint8 and tuple(inputs.shape[1:]) == made.shape:
            return inputs
        array = array_of(inputs, KEY)
        return torch.from_numpy(np.concatenate(list(fitting_blocks(array, made, KEY))))
    if isinstance(inputs, Tensor):
        return by_position(inputs, made)
    if hasattr(inputs, "columns") or hasattr(inputs, "column_names"):
        values, _ = rows_of(table_of(inputs, KEY), lambda row: f"{KEY}, row {row}", made)
        return torch.from_numpy(values)
    array = array_of(inputs, KEY)
    if array.dtype.kind in "biuf":
        return by_position(torch.from_numpy(np.ascontiguousarray(array)), made)
    table = table_of(array, KEY)  # of texts and numbers: its columns have no names
    names = [column.name for column in made.columns]
    require(table.num_columns == len(names), KEY, f"{table.num_columns} columns", f"{len(names)}: {_listed(names)}")
    values, _ = rows_of(table.rename_columns(names), lambda row: f"{KEY}, row {row}", made)
    return torch.from_numpy(values)


def rows_of(
    table: pa.Table, place: Place, made: Preprocessing, where: str = KEY
) -> tuple[NDArray[np.float32], list[str]]:
    """Make features [N, D] of a table's columns, found by their names; also says what was passed over.

    `place` names a row, `where` the table, in messages. Raises `InputError` for columns that are missing, and for what
    is wrong with one, as the data layer does.
    """
    names = [column.name for column in made.columns]
    if lacks := [name for name in names if name not in table.column_names]:
        rule = f"the network was trained on {_listed(names)}; here are {_listed(table.column_names)}"
        raise InputError(f"{where}: has no column {_listed(lacks)}: {rule}")
    values, found = features_of(table.select(names), place, made.fitted)
    remarks = ignored([name for name in table.column_names if name not in names])
    if found.unseen:
        remarks.append(f"{found.unseen} rows have a category that the training set lacks: it counts as none")
    return values, remarks


def ignored(columns: Sequence[str]) -> list[str]:
    """Say which columns are passed over; nothing where there are none."""
    return [f"columns that the network does not know are ignored: {_listed(columns)}"] if columns else []


def fitting_blocks(array: NDArray[Any], made: Preprocessing, where: str) -> Iterator[Pixels]:
    """Make pictures of an array, in blocks of uint8 [n, H, W, 3], of the size of the training pictures."""
    for block in blocks_of_array(array, where, made.rule, made.black_and_white):
        check_size(block, made, where)
        yield block


def check_size(pictures: Pixels, made: Preprocessing, where: str) -> None:
    """Raise `InputError` where pictures [n, H, W, 3] have not the size of the training pictures."""
    (height, width), (high, wide) = pictures.shape[1:3], made.shape[:2]
    rule = f"the network was trained on pictures of {wide}x{high} as they were: bring them to that size"
    require((height, width) == (high, wide), where, f"{width}x{height} pixels", rule)


def by_position(values: Tensor, made: Preprocessing, where: str = KEY) -> Tensor:
    """Features of numbers [N, D], in the order of the training set's. Raises `InputError`, beginning with `where`."""
    names = [name for column in made.columns for name in column.values]
    width = len(names)
    fits = values.ndim == 2 and values.shape[1] == width
    require(fits, where, list(values.shape), f"[N, {width}], a number for each feature: {_listed(names)}")
    for column in made.columns:
        plain = column.kind == "numbers" and not (column.fine and values.is_floating_point())
        rule = f"a table with named columns: numbers do not tell {column.kind} as {column.name!r} has them"
        require(plain, where, f"{str(values.dtype).removeprefix('torch.')} {list(values.shape)}", rule)
    origins = [float(origin) for column in made.columns for origin in column.origins[: len(column.values)]]
    if any(origins):
        values = values.double() - torch.tensor(origins, dtype=torch.float64, device=values.device)
    values = values.float()
    if any(column.fill is not None for column in made.columns):
        values, names = _imputed(values, made), list(made.fitted.names)
    if not torch.compiler.is_compiling() and not bool((finite := values.isfinite()).all()):
        row, column = (~finite).nonzero()[0].tolist()
        what = f"{where}, row {row}, feature {names[column]!r}: {values[row, column].item()} is refused"
        raise InputError(f"{what}: a finite number of float32; mend it, or leave out the row")
    return values


def _imputed(values: Tensor, made: Preprocessing) -> Tensor:
    """Features of values [N, D] in which a gap is NaN (`data.imputation`)."""
    parts, start = [], 0
    for column in made.columns:
        block = values[:, start : start + len(column.values)]
        start += len(column.values)
        gaps = block.isnan()
        parts.append(block if column.fill is None else block.masked_fill(gaps, column.fill))
        if column.indicated:
            parts.append(gaps.to(block.dtype))
    return torch.cat(parts, 1)


def _listed(names: Sequence[str]) -> str:
    return shown(", ".join(names)).strip("'")

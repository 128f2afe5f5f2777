"""Arrays, tensors and tables of libraries, as Arrow's tables."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tosmooth.trainables.errors import InputError, first_line, require, shown

INPUT = "input"  # column of what has no names: vectors, or pictures
BLOCK = 2**26  # numbers of pictures that are converted at once


def table_of(X: Any, key: str) -> pa.Table:
    """Make a table of inputs: columns as they are, or the column `INPUT` of vectors or pictures.

    X is [N, D] (features: numbers, or a table of pandas, polars or Arrow with named columns) or [N, H, W],
    [N, H, W, C] or [N, C, H, W] (pictures). Raises `InputError`, naming `key`, for anything else.
    """
    if hasattr(X, "to_arrow") and not isinstance(X, pa.Table):  # polars
        X = X.to_arrow()
    if isinstance(X, pa.Table):
        table = X
    elif hasattr(X, "columns") and hasattr(X, "to_dict"):  # pandas
        table = _of_pandas(X, key)
    else:
        table = _of_array(array_of(X, key), key)
    require(table.num_rows > 0, key, 0, "rows")
    require(table.num_columns > 0, key, 0, "columns")
    return table


def _of_pandas(frame: Any, key: str) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame.rename(columns=str), preserve_index=False).replace_schema_metadata()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"{key}: is refused: a table whose columns each hold one kind: {first_line(error)}") from None


def _of_array(array: NDArray[Any], key: str) -> pa.Table:
    if array.dtype == object or array.dtype.kind in "USOMm":
        require(array.ndim == 2, key, f"{array.dtype} {list(array.shape)}", "numbers; or columns [N, D]")
        return pa.table({f"x{i}": _labels_or_numbers(array[:, i], f"{key}[:, {i}]") for i in range(array.shape[1])})
    require(array.dtype.kind in "biuf", key, str(array.dtype), "real numbers")
    require(array.ndim in (2, 3, 4), key, list(array.shape), "[N, D] features, or pictures [N, H, W] or [N, H, W, C]")
    require(array.size > 0, key, list(array.shape), "not empty")
    if array.ndim == 2:
        array = array.astype(np.float32 if array.dtype.kind == "f" and array.dtype.itemsize < 4 else array.dtype)
        array = array.astype(np.uint8) if array.dtype == bool else array
        values = pa.array(np.ascontiguousarray(array).reshape(-1))
        return pa.table({INPUT: pa.FixedSizeListArray.from_arrays(values, array.shape[1])})
    array = array.astype(np.uint8) * 255 if array.dtype == bool else array
    array = array.astype(np.float32) if array.dtype.kind == "f" else array
    step = max(1, BLOCK // int(np.prod(array.shape[1:])))
    blocks = (np.ascontiguousarray(array[start : start + step]) for start in range(0, len(array), step))
    return pa.table({INPUT: pa.chunked_array([pa.FixedShapeTensorArray.from_numpy_ndarray(each) for each in blocks])})


def _labels_or_numbers(column: NDArray[Any], key: str) -> pa.Array:
    try:
        return pa.array(column.tolist(), from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{key}: is refused: values of one kind: {first_line(error)}") from None


def array_of(values: Any, key: str) -> NDArray[Any]:
    """Make an array of what is one, a tensor of torch's, or nested lists. Raises `InputError` where that is none."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = values.detach().cpu()
        values = values.float().numpy() if str(values.dtype) == "torch.bfloat16" else values.numpy()
    if hasattr(values, "toarray"):
        raise InputError(f"{key}: {type(values).__name__} is refused: a dense array; {key}.toarray() is one")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{key}: is refused: an array, whose rows are of one length: {first_line(error)}") from None
    require(array.ndim >= 1, key, shown(values), "an array")
    return array

"""Arrays, tensors and tables of a user's, written as the files that a study reads."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tosmooth.trainables.config import AllBut, TableSource
from tosmooth.trainables.conversion import Name
from tosmooth.trainables.data.imputation import without_gaps
from tosmooth.trainables.data.tables.in_memory import INPUT, array_of, table_of
from tosmooth.trainables.data.text_columns import is_text
from tosmooth.trainables.errors import InputError, first_line, require

FOLDER = "arrays"  # in the home
LABEL, CLEAN, ANNOTATOR = "label", "clean_label", "annotator_"
TRAIN, TEST = "train.parquet", "test.parquet"


@dataclass(frozen=True, slots=True)
class Written:
    """Data that were written: the folder, named by a digest of what it holds, and how a study reads them."""

    folder: Path
    table: TableSource

    @property
    def digest(self) -> str:
        """Digest of the files."""
        return self.folder.name


def written(
    home: Path,
    X: Any,
    y: Any,
    X_test: Any = None,
    y_test: Any = None,
    annotators: Any = None,
    clean: Any = None,
    missing: Sequence[Any] = (),
) -> Written:
    """Write a training set and a test set into the home, each as a file of Parquet; the same data are there once.

    X is [N, D] (features: numbers, or a table of pandas or Arrow with named columns) or [N, H, W], [N, H, W, C] or
    [N, C, H, W] (pictures); y, `clean` and each of `annotators` have N labels, where NaN, None and those in `missing`
    are none. Where features have gaps (NaN, None), the table says `impute: median`, and a matrix is D columns. Raises
    `InputError` for what does not fit together.
    """
    require((X_test is None) == (y_test is None), "X_test, y_test", "one of them", "both, or neither")
    require(y is not None or annotators is not None, "y", None, "labels of the training set, or annotators")
    inputs, tested = table_of(X, "X"), None if X_test is None else table_of(X_test, "X_test")
    if tested is not None:
        alike = tested.column_names == inputs.column_names
        alike = alike and all(map(_alike, tested.schema.types, inputs.schema.types))
        require(alike, "X_test", _columns(tested), f"as X: {_columns(inputs)}")
    if gaps := _has_gaps(inputs) or (tested is not None and _has_gaps(tested)):
        inputs, tested = _without_vectors(inputs), None if tested is None else _without_vectors(tested)
    labels = _labels_of(inputs.num_rows, y, annotators, clean)
    columns = tuple(name for name in labels if name.startswith(ANNOTATOR))
    parts = {TRAIN: _joined(inputs, labels)}
    if tested is not None:
        parts[TEST] = _joined(tested, {LABEL: _labels(y_test, tested.num_rows, "y_test")})
    pictures = inputs.column_names == [INPUT] and isinstance(inputs.schema.field(0).type, pa.FixedShapeTensorType)
    text = any(is_text(kind) for kind in inputs.schema.types)
    table = TableSource(
        train=TRAIN,
        test=TEST if TEST in parts else None,
        image=INPUT if pictures else None,
        features=None if pictures else AllBut(all_but=()),
        label=LABEL if LABEL in labels else None,
        clean_label=CLEAN if CLEAN in labels else None,
        test_label=LABEL if TEST in parts else None,
        annotators=columns,
        missing=tuple(Name(str(each)) for each in missing),
        categorical="onehot" if text else "refuse",
        impute="median" if gaps else "refuse",
    )
    return Written(_kept(home / FOLDER, parts), table)


def _kept(root: Path, parts: Mapping[str, pa.Table]) -> Path:
    """Write the parts into a folder that has their digest for a name, unless it is there."""
    root.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    partial = Path(tempfile.mkdtemp(prefix=".", dir=root))
    try:
        for name, table in parts.items():
            pq.write_table(table, partial / name)
            digest.update(f"{name} ".encode())
            with (partial / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        folder = root / digest.hexdigest()[:16]
        if not folder.exists():
            partial.chmod(0o755)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _alike(one: pa.DataType, other: pa.DataType) -> bool:
    """True for two columns of one type, and for numbers: pandas makes whole ones floats where a value is missing."""
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    return bool(one == other or all(any(is_kind(kind) for is_kind in numbers) for kind in (one, other)))


def _has_gaps(features: pa.Table) -> bool:
    """True if a row lacks a value in one of the columns, or in a vector of numbers."""
    columns = [_flat(column) if _of_vectors(column.type) else column for column in features.columns]
    return any(without_gaps(column)[1].any() for column in columns)


def _of_vectors(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)


def _without_vectors(features: pa.Table) -> pa.Table:
    """Table in which vectors [N, D] are D columns x0, x1, ..., in each of which gaps can be filled."""
    if features.column_names != [INPUT] or not _of_vectors(kind := features.schema.field(0).type):
        return features
    values = np.asarray(_flat(features.column(0))).reshape(-1, kind.list_size)
    return pa.table({f"x{i}": values[:, i] for i in range(kind.list_size)})


def _joined(inputs: pa.Table, labels: Mapping[str, pa.Array]) -> pa.Table:
    for name, column in labels.items():
        require(name not in inputs.column_names, "X", name, "a column called so holds labels: name it otherwise")
        inputs = inputs.append_column(name, column)
    return inputs


def _labels_of(rows: int, y: Any, annotators: Any, clean: Any) -> dict[str, pa.Array]:
    """Columns of labels of the training set by their names."""
    found = {} if y is None else {LABEL: _labels(y, rows, "y")}
    if clean is not None:
        found[CLEAN] = _labels(clean, rows, "clean")
    if annotators is not None:
        columns = _annotators(annotators)
        require(len(columns) >= 2, "annotators", list(columns), "two or more; the labels of one are `y`")
        for name, values in columns.items():
            found[f"{ANNOTATOR}{name}"] = _labels(values, rows, f"annotators[{name}]")
    return found


def _annotators(annotators: Any) -> dict[str, Any]:
    """Labels of each annotator by a name, from a mapping, a table, or columns of a matrix [N, A]."""
    if hasattr(annotators, "columns") and hasattr(annotators, "to_dict"):  # pandas
        return {str(name): annotators[name] for name in annotators.columns}
    if isinstance(annotators, pa.Table):
        annotators = {name: annotators[name] for name in annotators.column_names}
    if isinstance(annotators, Mapping):
        return {str(name): values for name, values in annotators.items()}
    matrix = array_of(annotators, "annotators")
    require(matrix.ndim == 2, "annotators", list(matrix.shape), "a matrix [N, annotators], or labels by names")
    return {str(i): matrix[:, i] for i in range(matrix.shape[1])}


def _labels(values: Any, rows: int, key: str) -> pa.Array:
    """Column of labels: texts, whole numbers or truth values; NaN and None are none."""
    if isinstance(values, pa.ChunkedArray | pa.Array):
        column = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    else:
        try:
            column = pa.array(_series(values, key), from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{key}: is refused: labels of one kind, one for each row: {first_line(error)}") from None
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type):
        numbers = column.drop_null().to_numpy(zero_copy_only=False)
        odd = numbers[numbers != np.floor(numbers)]
        require(len(odd) == 0, key, odd[:1].tolist(), "labels are classes: texts, whole numbers or truth values")
        column = column.cast(pa.int64())
    require(len(column) == rows, key, f"{len(column)} labels", f"one for each of the {rows} rows")
    return column


def _series(values: Any, key: str) -> Any:
    if hasattr(values, "array") and hasattr(values, "index"):  # pandas
        return values
    # As objects: NumPy would make texts of numbers that stand beside texts.
    array = np.array(values, dtype=object) if isinstance(values, list | tuple) else array_of(values, key)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    rule = "one label for each row [N]; those of several annotators are `annotators`"
    require(array.ndim == 1, key, list(array.shape), rule)
    return array.tolist() if array.dtype == object else array


def _columns(table: pa.Table) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in zip(table.column_names, table.schema.types, strict=True))

"""NumPy's .npz and .npy: arrays as columns, row by row along their first dimension, without a copy where it can be."""

import functools
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from tosmooth.trainables.data.tables.memory import check_columns, check_memory, sound
from tosmooth.trainables.data.tables.parts import MANY
from tosmooth.trainables.errors import InputError, first_line

Array = NDArray[Any]
NUMBERS = "biuf"  # kinds of types: truth, whole numbers, floats
PICKLES = "holds pickles, which can run any program where they are read: save numbers or texts"
TIMES = ("s", "ms", "us", "ns")  # units that Arrow has


@dataclass(frozen=True, slots=True)
class About:
    """What the header of an array says."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Arrays:
    """Arrays by name as a part of a table. `what` is the part of the data they are wanted for, "train" or "test"."""

    def __init__(self, path: Path, about: Mapping[str, About], load: Callable[[str], Array], what: str = "") -> None:
        self.path, self._load = path, load
        self.metadata: dict[bytes, bytes] = {}
        self.faults: dict[str, str] = {}
        self.kinds: dict[str, pa.DataType] = {}
        self._long = _short_names(about, what) | {name: name for name in about}
        self._own = [name for name, long in self._long.items() if name != long] or list(about)
        self._rows = {name: about[long].shape[0] if about[long].shape else 0 for name, long in self._long.items()}
        for name, long in self._long.items():
            try:
                self.kinds[name] = _kind(about[long])
            except (pa.ArrowException, InputError) as error:
                self.faults[name] = f"{path}, array {name!r}: of shape {list(about[long].shape)} and type "
                self.faults[name] += f"{about[long].dtype}: {first_line(error)}"
        self.names = [*about, *(name for name in self._long if name not in about)]

    def rows_of(self, columns: Sequence[str]) -> int:
        """Count the rows of these arrays. Raises `InputError` where they differ."""
        rows = {name: self._rows[name] for name in columns or self._own if name not in self.faults}
        if len(set(rows.values())) > 1:
            counts = ", ".join(f"{name} {n}" for name, n in rows.items())
            raise InputError(f"{self.path}: its arrays have different numbers of rows: {counts}")
        return next(iter(rows.values()), 0)

    def read(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read whole columns."""
        yield from self.batches(columns, MANY)

    def batches(self, columns: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        """Read some rows at a time."""
        with _sound(self.path):
            arrays = [self._load(self._long[name]) for name in columns]
            for start in range(0, self.rows_of(columns), most):
                yield pa.record_batch([_column(array[start : start + most]) for array in arrays], list(columns))


def _kind(about: About) -> pa.DataType:
    """Type of the column that an array of this kind will be."""
    if about.dtype.hasobject:
        raise InputError(PICKLES)
    if not about.shape:
        raise InputError("one value: an array has a row for every example")
    return _column(np.empty((0, *about.shape[1:]), about.dtype)).type


def _short_names(names: Mapping[str, About], what: str) -> dict[str, str]:
    """Each name that says `what` its array is for, by the same name without that: x_train or train_x is x."""
    if what not in ("train", "test"):
        return {}
    bare = {name: re.sub(rf"^{what}[_.-]|[_.-]{what}$", "", name, count=1, flags=re.IGNORECASE) for name in names}
    times = Counter(bare.values())  # where both are there, or x itself, it is not clear which is meant
    return {short: name for name, short in bare.items() if times[short] == 1 and short not in names}


def _column(array: Array) -> pa.Array:
    """An array of n rows as a column: numbers, vectors (fixed-size lists) or tensors."""
    if array.dtype.kind in NUMBERS and array.dtype.itemsize > 8:
        raise InputError("at most 64 bits a number")
    if array.dtype.kind not in NUMBERS:
        return _texts_or_times(array)
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    if array.ndim == 2 and array.shape[1] == 1:  # labels, as Keras has them
        array = array[:, 0]
    if array.ndim == 1:
        return pa.array(array)
    if 0 in array.shape[1:]:
        raise InputError("a row without values")
    size = int(np.prod(array.shape[1:]))
    if array.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), size)
    if array.dtype == np.bool_:  # of which Arrow has no tensors
        array = array.view(np.uint8)
    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(array.dtype), array.shape[1:])
    return pa.ExtensionArray.from_storage(kind, pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), size))


def _texts_or_times(array: Array) -> pa.Array:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "USM":
        raise InputError("no numbers")
    if array.dtype.kind == "M" and np.datetime_data(array.dtype)[0] not in TIMES:
        array = array.astype("M8[s]")
    found = pa.array(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))
    return found.cast(pa.string()) if array.dtype.kind == "S" else found


def npz(path: Path, what: str) -> Arrays:
    """Open an .npz. Its arrays are read when they are asked for."""
    about: dict[str, About] = {}
    with _sound(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        check_columns(path, len(members))
        check_memory(path, sum(member.file_size for member in members), "unpacked")
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in about:
                raise InputError(f"{path}: has more than once the array {name!r}")
            with archive.open(member) as file:
                about[name] = _header(file, member.file_size, f"{path}, array {name!r}")

    @functools.cache
    def load(name: str) -> Array:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            array: Array = npy.read_array(file, allow_pickle=False)
            return array

    with _sound(path):
        return Arrays(path, about, load, what)


def columns_of(path: Path) -> Arrays:
    """Open an .npy alone: the columns of a matrix by their number, the fields of a structured array by their name."""
    array = _mapped(path)
    if array.dtype.names is not None:
        columns = {str(name): array[name] for name in array.dtype.names}
    elif array.ndim == 2:
        check_columns(path, array.shape[1])
        columns = {str(i): array[:, i] for i in range(array.shape[1])}
    else:
        columns = {"0": array}
    return _of_arrays(path, columns)


def arrays_of(files: Mapping[str, Path]) -> Arrays:
    """Open files of one array each, by the name of their column."""
    return _of_arrays(next(iter(files.values())), {name: _mapped(path) for name, path in files.items()})


def _of_arrays(path: Path, arrays: Mapping[str, Array]) -> Arrays:
    about = {name: About(array.shape, array.dtype) for name, array in arrays.items()}
    with _sound(path):
        return Arrays(path, about, arrays.__getitem__)


def _mapped(path: Path) -> Array:
    with _sound(path):
        with path.open("rb") as file:
            about = _header(file, path.stat().st_size, str(path))
        if about.dtype.hasobject:
            raise InputError(f"{path}: {PICKLES}")
        if not about.shape or 0 in about.shape:
            raise InputError(f"{path}: of shape {list(about.shape)}: an array has a row for every example")
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    try:
        with sound(path, "NumPy"):
            yield
    except InputError:
        raise
    except Exception as error:  # the parser of NumPy's headers and zipfile raise anything on damaged bytes
        raise InputError(f"{path}: damaged, or no NumPy file: bring it anew ({first_line(error)})") from error


def _header(file: IO[bytes], size: int, where: str) -> About:
    """What an array says of itself. Raises `InputError` where that is not what there is, before it is read."""
    version = npy.read_magic(file)
    # The third has names in UTF-8; what matters here is the same.
    shape, _, kind = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    claimed = kind.itemsize
    for length in shape:
        claimed *= length
    wrong = claimed != size - file.tell() and not kind.hasobject
    if min(shape, default=0) < 0 or wrong:
        raise InputError(
            f"{where}: damaged: {list(shape)} of {kind} are {claimed} bytes, there are {size - file.tell()}"
        )
    return About(shape, kind)

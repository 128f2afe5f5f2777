"""Pictures of a user's own data, from a table or a folder, decoded into the cache."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from tosmooth.trainables.config import TableSource
from tosmooth.trainables.data.columns import numbers_of
from tosmooth.trainables.data.examples import Examples
from tosmooth.trainables.data.images import DECODED, Chunk, Given, cache_bytes, check_room, decoded
from tosmooth.trainables.data.picture_folder import PictureFolder
from tosmooth.trainables.data.pictures import (
    DEFAULT_SIZE,
    Dropped,
    Encoded,
    PictureRule,
    Pixels,
    blocks_of_array,
    decoded_pictures,
    sizes_of,
)
from tosmooth.trainables.data.tables.memory import EXPANSION
from tosmooth.trainables.data.tables.table import Table
from tosmooth.trainables.errors import InputError, shown
from tosmooth.trainables.files.digests import state_of, unchanged
from tosmooth.trainables.files.folders import Folders

SEVERAL = "pictures of several sizes"  # so begins the remark that they were made one size
KEY = "dataset.table.image"
ROWS = 4  # of a table that are read at once, at most: few, as metadata may lie about what a picture takes
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# As JPEG, PNG, GIF, ... begin in it. It has no dots; paths of pictures have.
BASE64 = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "Qk0", "SUkq", "TU0A")
SHOWN = 200  # characters of what is no picture


def of_folder(folder: PictureFolder, wanted: TableSource, cache: Path) -> Examples:
    """Decode the pictures of a folder."""

    def encoded() -> Iterator[tuple[Encoded, str]]:
        return ((folder.root / path, folder.place(row)) for row, path in enumerate(folder.paths))

    return _kept("pictures", [], folder.state(), partial(_chunks, encoded, len(folder.paths), None), wanted, cache)


def of_table(table: Table, what: str, wanted: TableSource, folders: Folders) -> Examples:
    """Decode the pictures in a table's column `wanted.image`: encoded ones, arrays, or paths of files.

    `what`: "train" or "test", as the table was opened: an .npz holds both.
    Paths are relative to the folder of the table or, if the first is not there, to the data folder.
    """
    name = str(wanted.image)
    kind, where = table.schema.field(name).type, f"{table.files[0]}, column {name!r}"
    state: list[object] = [what, name, *(digests := table.digests(folders.cache))]
    files = list(zip(table.files, digests, strict=True))
    if _of_arrays(kind):
        return _kept("table", files, state, partial(_array_chunks, table, name, where), wanted, folders.cache)
    _check_encoded(kind, where)
    roots = _Roots([table.files[0].parent, folders.data], wanted.follow_links)
    if not _is_binary(kind):
        found = (source for source, _ in _encoded(table, name, roots))
        state.append([state_of(source) if isinstance(source, Path) else [] for source in found])
    encoded = partial(_encoded, table, name, roots)
    packed = sum(path.stat().st_size for path in table.files) if _is_binary(kind) or pa.types.is_struct(kind) else None
    return _kept("table", files, state, partial(_chunks, encoded, table.rows, packed), wanted, folders.cache)


def column_of(table: Table, name: str, rule: PictureRule, black_and_white: bool) -> Iterator[Pixels | Dropped]:
    """Decode the pictures in a table's column, some at a time, and keep none: uint8 [n, H, W, 3] each.

    As `of_table`; paths are relative to the folder of the table. `black_and_white`: in arrays 1 may mean white.
    """
    kind, where = table.schema.field(name).type, f"{table.files[0]}, column {name!r}"
    if _of_arrays(kind):
        yield from blocks_of_array(_array(table, name), where, rule, black_and_white)
        return
    _check_encoded(kind, where)
    for pixels in decoded_pictures(_encoded(table, name, _Roots([table.files[0].parent], follow_links=False)), rule):
        yield pixels if isinstance(pixels, Dropped) else pixels[None]


def holds_pictures(kind: pa.DataType) -> bool:
    """True for a type that holds pictures and nothing else: encoded ones, or arrays of two dimensions or more."""
    tensors = isinstance(kind, pa.FixedShapeTensorType) and len(kind.shape) >= 2
    return tensors or _is_binary(kind) or (pa.types.is_struct(kind) and _of_encoded(kind))


def _kept(
    name: str,
    files: Sequence[tuple[Path, str]],
    state: Sequence[object],
    chunks: Callable[[PictureRule, Path], Iterator[Given]],
    wanted: TableSource,
    cache: Path,
) -> Examples:
    """The pictures that `chunks` makes, kept in the cache; `files` have these digests while they are read."""
    rule = PictureRule(wanted.picture_size, wanted.fit, wanted.on_bad)

    def made() -> Iterator[Given]:
        for path, digest in files:
            unchanged(path, digest)
        yield from chunks(rule, cache)

    return decoded(cache, name, [list(state), asdict(rule)], made)


def _chunks(
    encoded: Callable[[], Iterator[tuple[Encoded, str]]], rows: int, packed: int | None, rule: PictureRule, cache: Path
) -> Iterator[Given]:
    """Decode pictures. `packed`: bytes of the files that hold them, which may be a few that stand for any number."""
    if rule.size is None:
        sizes = sizes_of(encoded(), most=2)  # of several it does not matter which
        if len(sizes) > 1:
            rule = replace(rule, size=DEFAULT_SIZE)
            to = "x".join(map(str, reversed(DEFAULT_SIZE)))
            yield f"{SEVERAL} are made {to} ({rule.fit}): dataset.table.size sets another size"
        height, width = rule.size or next(iter(sizes), (0, 0))
    else:
        height, width = rule.size
    size = 3 * rows * height * width
    if packed is not None and size > max(DECODED, EXPANSION * packed):
        raise InputError(
            f"{KEY}: {rows} pictures of {width}x{height} pixels: {size} bytes in memory of {packed} in files"
        )
    check_room(cache, cache_bytes(rows, height, width))
    for pixels in decoded_pictures(encoded(), rule):
        yield pixels if isinstance(pixels, Dropped) else (pixels[None], {})


def _array_chunks(table: Table, name: str, where: str, rule: PictureRule, cache: Path) -> Iterator[Chunk]:
    array = _array(table, name)
    for i, block in enumerate(blocks_of_array(array, where, rule)):
        if i == 0:
            check_room(cache, cache_bytes(len(array), *block.shape[1:3]))
        yield block, {}


def _array(table: Table, name: str) -> NDArray[Any]:
    """Pictures of a column of arrays [N, ...]."""
    column = table.read([name]).column(0)
    if isinstance(column.type, pa.FixedShapeTensorType):
        array = column.combine_chunks()
        found: NDArray[Any] = (
            array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
        ).to_numpy_ndarray()
        return found
    values, fitted = numbers_of(table.read([name]), table.place)
    return values.reshape(len(values), *fitted.columns[0].shape)


def _check_encoded(kind: pa.DataType, where: str) -> None:
    if not _of_encoded(kind):
        rule = "pictures are binary, a struct with binary `bytes`, arrays, or paths of files"
        raise InputError(f"{where}: of type {kind}: {rule}")


def _of_arrays(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists or isinstance(kind, pa.FixedShapeTensorType))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _of_encoded(kind: pa.DataType) -> bool:
    """True if values are bytes, texts, or structs of bytes and a path as Hugging Face has them."""
    if pa.types.is_struct(kind):
        held = kind.field("bytes").type if kind.get_field_index("bytes") >= 0 else None
        return held is not None and (_is_binary(held) or pa.types.is_null(held))  # null: all are files
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return _is_binary(kind) or bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _encoded(table: Table, name: str, roots: "_Roots") -> Iterator[tuple[Encoded, str]]:
    """Pictures of a column and the place of each; copies, for while one waits to be decoded its batch may go."""
    row = 0
    for batch in table.batches([name], ROWS):
        for value in batch.column(0):
            place = table.place(row)
            yield _one(value, roots, place), place
            row += 1


def _one(value: pa.Scalar, roots: "_Roots", place: str) -> Encoded:
    if isinstance(value, pa.StructScalar):
        encoded, path = value["bytes"], value["path"].as_py() if "path" in value else None
        return encoded.as_py() if encoded.is_valid or not path else roots.file(path, place)
    if isinstance(value, pa.DictionaryScalar):
        value = value.value
    if not value.is_valid:
        return None
    if isinstance(value, pa.BinaryScalar | pa.LargeBinaryScalar) and _is_binary(value.type):
        return value.as_py()
    text = value.as_py()
    if text.startswith("data:image/") or (text.startswith(BASE64) and "." not in text):
        try:
            in_lines = text.partition("base64,")[2] or text
            return base64.b64decode("".join(in_lines.split()), validate=True)
        except binascii.Error:
            return text.encode()[:SHOWN]  # no picture, which is said where it is decoded
    return roots.file(text, place)


@dataclass
class _Roots:
    """Folders that paths of pictures are relative to: the first in which the first path of a table is."""

    folders: list[Path]
    follow_links: bool
    allowed: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        self.allowed = tuple(self.folders)

    def file(self, text: str, place: str) -> Path | None:
        """Path of a picture. Raises `InputError` for an address, and for a path that leads out of its folder."""
        if not text.strip():
            return None
        if ADDRESS.match(text):
            raise InputError(
                f"{place}: {shown(text)} is refused: an address; pictures are files: bring them here first"
            )
        if "\0" in text:
            return self.folders[0] / text  # which cannot be read
        for folder in self.folders:
            for path in dict.fromkeys((folder / text, folder / PureWindowsPath(text).as_posix())):
                if path.is_file():
                    self.folders = [folder]
                    self._check(path, text, place)
                    return path
        self._check(self.folders[0] / text, text, place)
        return self.folders[0] / text

    def _check(self, path: Path, text: str, place: str) -> None:
        """Refuse a path out of the folders of table and data: a table from elsewhere might name any file here."""
        real = path.resolve()
        if not self.follow_links and not any(real.is_relative_to(folder.resolve()) for folder in self.allowed):
            rule = f"it leads out of {self.allowed[0]}; dataset.table.follow_links: true follows it"
            raise InputError(f"{place}: {shown(text)} is refused: {rule}")

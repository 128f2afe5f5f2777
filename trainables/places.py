"""Where trunks and checkpoints lie, a folder on any file system of pyarrow, and which are kept: without torch."""

import contextlib
import functools
import logging
import posixpath
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
from pyarrow import fs

from trainables.config import InputError
from trainables.errors import first_line
from trainables.masking import masked

log = logging.getLogger(__name__)

RULE = "an absolute path, or a URI of pyarrow's file systems, that can be written to"
KINDS = "s3://, gs://, hdfs://, file://"
# Below their place, or being written. The folder may be a user's: nothing else is ever touched.
TRUNK = re.compile(r"[0-9a-f]{32}/[0-9]+\.trunk(\.[0-9a-f]{32}\.partial)?")
CHECKPOINT = re.compile(r"[0-9a-f]{32}\.checkpoint(\.[0-9a-f]{32}\.partial)?")
NETWORK = re.compile(r"[0-9a-f]{32}\.network(\.[0-9a-f]{32}\.partial)?")  # on its way to the driver
MOST = 8  # lengths of a trunk that are kept: each is a file of the network and its optimizer, 170 MB for a ResNet-34
TROUBLE = (OSError, pa.ArrowException, InputError)  # of a file system that is full, away or not ours


def lengths(warmups: Iterable[float]) -> frozenset[int]:
    """The trunks worth keeping, in epochs, from the warm-ups that a space allows; a warm-up of 0 epochs has none.

    Of more than 8 warm-ups, 8 spread evenly over them, the longest among them: a trial whose warm-up lies between two
    begins at the shorter one.
    """
    found = sorted({int(warmup) for warmup in warmups if warmup > 0})
    kept = min(MOST, len(found))
    return frozenset(found[i * len(found) // kept - 1] for i in range(1, kept + 1))


@functools.lru_cache(maxsize=8)  # a client of an object store asks it for its region first
def open_place(place: str, key: str = "trunks.folder") -> tuple[fs.FileSystem, str]:
    """The file system of an absolute path or a URI, and the folder in it.

    Raises `InputError`, which names `key`, for what is neither.
    """
    try:
        files, folder = fs.FileSystem.from_uri(place)
    except (*TROUBLE, ValueError) as error:
        raise InputError(_refusal(place, key, error)) from error
    return files, folder


def join(place: str, name: str) -> str:
    """The folder `name` below a path or URI; what follows the "?" of a URI stays at its end."""
    if "://" not in place:
        return posixpath.join(place, name)
    parts = urlsplit(place)
    return urlunsplit(parts._replace(path=posixpath.join(parts.path, name)))


def check_place(place: str, key: str = "trunks.folder") -> None:
    """Write a file there, move it as trunks are moved, and delete it. Raises `InputError` where this fails."""
    files, folder = open_place(place, key)
    name = posixpath.join(folder, f"{uuid.uuid4().hex}.check")
    try:
        files.create_dir(folder)
        with files.open_output_stream(f"{name}.partial") as file:
            file.write(b"tosmooth")
        files.move(f"{name}.partial", name)
        files.delete_file(name)
    except TROUBLE as error:
        raise InputError(_refusal(place, key, error)) from error


def upload(path: Path, place: str) -> None:
    """Copy a file to a path or URI, whole or not at all. Raises one of `TROUBLE`."""
    files, name = open_place(place)
    partial = f"{name}.{uuid.uuid4().hex}.partial"
    files.create_dir(posixpath.dirname(name))
    try:
        fs.copy_files(str(path), partial, source_filesystem=fs.LocalFileSystem(), destination_filesystem=files)
        files.move(partial, name)
    except BaseException:
        remove_file(files, partial)
        raise


def take(place: str, path: Path) -> None:
    """Move the file at a path or URI to `path`, whole or not at all. Raises one of `TROUBLE`."""
    files, name = open_place(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        fs.copy_files(name, str(partial), source_filesystem=files, destination_filesystem=fs.LocalFileSystem())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    remove_file(files, name)


def trunk_files(files: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    """The files of trunks below a folder, none where there is no such folder."""
    return [each for each in _all_files(files, folder) if TRUNK.fullmatch(_below(folder, each.path))]


def remove_states(place: str, *kinds: re.Pattern[str]) -> None:
    """Delete the files of these kinds at a place (`TRUNK`, `CHECKPOINT`), and its folder where nothing is left in it.

    What goes wrong is logged.
    """
    try:
        files, folder = open_place(place)
        found = _all_files(files, folder)
        own = [each.path for each in found if any(kind.fullmatch(_below(folder, each.path)) for kind in kinds)]
        if len(own) == len(found) and files.get_file_info(folder).type == fs.FileType.Directory:
            files.delete_dir(folder)
            return
        for path in own:
            files.delete_file(path)
    except TROUBLE as error:
        log.warning("files are left behind, delete them yourself: %s", _refusal(place, "trunks.folder", error))


def remove_file(files: fs.FileSystem, name: str) -> None:
    """Delete a file, unless another trial was faster."""
    with contextlib.suppress(*TROUBLE):
        files.delete_file(name)


def _all_files(files: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    found = files.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    return [each for each in found if each.type == fs.FileType.File]


def _below(folder: str, path: str) -> str:
    return path.removeprefix(folder).lstrip("/")


def _refusal(place: str, key: str, error: Exception) -> str:
    line = first_line(error).replace(place, masked(place))
    return f"{key}: {masked(place)!r} is refused: {RULE} ({KINDS}): {line}"

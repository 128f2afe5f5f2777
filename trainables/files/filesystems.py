"""Folders on any file system of pyarrow, where trunks, checkpoints and data may lie: without torch."""

import contextlib
import functools
import logging
import posixpath
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
from pyarrow import fs

from tosmooth.trainables.errors import InputError, first_line
from tosmooth.trainables.files.atomic_write import replacing
from tosmooth.trainables.redact import masked

log = logging.getLogger(__name__)

RULE = "an absolute path, or a URI of pyarrow's file systems, that can be written to"
KINDS = "s3://, gs://, hdfs://, hf://, file://"
GOOGLE, PATIENCE = ("gs", "gcs"), "retry_limit_seconds=60"  # by itself a quarter of an hour, also without credentials
TROUBLE = (OSError, pa.ArrowException, InputError)  # of a file system that is full, away or not ours


@functools.lru_cache(maxsize=8)  # a client of an object store asks it for its region first
def open_place(place: str, key: str = "trunks.folder") -> tuple[fs.FileSystem, str]:
    """Open the file system of an absolute path or a URI, and return it with the folder in it.

    Raises `InputError`, which names `key`, for what is neither, and where a package is missing for it.
    """
    try:
        files, folder = fs.FileSystem.from_uri(_bounded(place))
    except ImportError as error:  # of hf://, the one kind that pyarrow has not built in
        install = "install what reads it, on every node: pip install huggingface_hub"
        raise InputError(f"{key}: {masked(place)!r} is refused: {install} ({first_line(error)})") from error
    except (*TROUBLE, ValueError) as error:
        raise InputError(refusal(place, key, error)) from error
    return files, folder


def _bounded(place: str) -> str:
    """Return a URI that says for how long a store is asked again; a path as it is."""
    parts = urlsplit(place) if "://" in place else None
    if parts is None or parts.scheme not in GOOGLE or "retry_limit_seconds" in parts.query:
        return place
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, PATIENCE)))))


def join(place: str, name: str) -> str:
    """Join the folder `name` to a path or URI; what follows the "?" of a URI stays at its end."""
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
        with appearing(files, name) as partial, files.open_output_stream(partial) as file:
            file.write(b"tosmooth")
        files.delete_file(name)
    except TROUBLE as error:
        raise InputError(refusal(place, key, error)) from error


@contextlib.contextmanager
def appearing(files: fs.FileSystem, name: str) -> Iterator[str]:
    """Yield a name beside `name` for what will be moved there at the end, unless an error comes before.

    As `atomic_write.replacing` on any file system: no reader sees half a file.
    """
    partial = f"{name}.{uuid.uuid4().hex}.partial"  # of its own: another trial, of any machine, may write the same
    try:
        yield partial
        files.move(partial, name)
    except BaseException:
        remove_file(files, partial)
        raise


def upload(path: Path, place: str) -> None:
    """Copy a file to a path or URI, whole or not at all. Raises one of `TROUBLE`."""
    files, name = open_place(place)
    files.create_dir(posixpath.dirname(name))
    with appearing(files, name) as partial:
        fs.copy_files(str(path), partial, source_filesystem=fs.LocalFileSystem(), destination_filesystem=files)


def take(place: str, path: Path) -> None:
    """Move the file at a path or URI to `path`, whole or not at all. Raises one of `TROUBLE`."""
    files, name = open_place(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, alone=True) as partial:
        fs.copy_files(name, str(partial), source_filesystem=files, destination_filesystem=fs.LocalFileSystem())
    remove_file(files, name)


def remove_file(files: fs.FileSystem, name: str) -> None:
    """Delete a file, unless another trial was faster."""
    with contextlib.suppress(*TROUBLE):
        files.delete_file(name)


def refusal(place: str, key: str, error: Exception) -> str:
    line = first_line(error).replace(place, masked(place))
    return f"{key}: {masked(place)!r} is refused: {RULE} ({KINDS}): {line}"

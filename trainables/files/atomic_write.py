"""Atomic writes to the disks of this machine: a file is there whole or not at all.

On other file systems `filesystems.appearing` does the same.
"""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tosmooth.trainables.errors import InputError


@contextmanager
def replacing(path: Path, alone: bool = False) -> Iterator[Path]:
    """Yield a name beside `path` for what will take its place at the end, unless an error comes before.

    The folder must be there. `alone`: no other process writes this file at the time, as under a lock; then the name is
    always the same, so that what a kill left of a large file is written over.
    """
    partial = path.with_name(f".{path.name}.partial" if alone else f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())  # so that a power cut cannot leave a whole name on half a file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write(content: str | bytes, path: Path) -> None:
    """Write a file whole or not at all: a reader never sees half of it. Folders are made as needed.

    A link is followed. A device or a pipe is written to: it stays what it is.

    Raises `InputError` where it cannot be written, and `OSError` on a read-only file system: no other file of the
    folder could be written either, so the command asks for another folder.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if _is_stream(path):
            with path.open("ab") as file:
                file.write(data)
            return
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_bytes(data)
    except RuntimeError as error:  # of `resolve`, before Python 3.13
        raise InputError(f"{path}: cannot be written ({error}); name a file you may write") from error
    except OSError as error:
        if error.errno == errno.EROFS:
            raise OSError(error.errno, error.strerror, str(path)) from error  # not the name it has while it is written
        raise InputError(f"{path}: cannot be written ({error.strerror}); name a file you may write") from error


def _is_stream(path: Path) -> bool:
    """True for a device or a pipe, and for what a process has open, such as /dev/stdout, whatever that is."""
    opened = str(path) in ("/dev/stdout", "/dev/stderr") or str(path).startswith(("/dev/fd/", "/proc/self/fd/"))
    return path.exists() and (opened or not (path.is_file() or path.is_dir()))

"""Remote data on any file system of pyarrow (s3://, gs://, hdfs://): each node copies what it reads, once."""

import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pyarrow import fs

from tosmooth.trainables.errors import InputError, first_line
from tosmooth.trainables.files.atomic_write import replacing
from tosmooth.trainables.files.filesystems import TROUBLE, open_place
from tosmooth.trainables.files.locks import held
from tosmooth.trainables.redact import masked

KEY = "--data-dir"


def bring(place: str, into: Path, names: Sequence[str], optional: bool = False) -> None:
    """Copy the files, or folders of files, `names` of a place into the local folder `into`, if they are not there.

    The first process of a node copies, under a lock; the others wait for it. A file appears in one step, with the size
    and the time of change of the one it was copied from: where these differ it is copied anew. Raises `InputError`,
    with the place, where one is missing that is not `optional`, or cannot be read.
    """
    files, folder = open_place(place, KEY)
    into.parent.mkdir(parents=True, exist_ok=True)
    with held(into.with_name(f"{into.name}.lock")):
        for name in names:
            try:
                found = list(_below(files, posixpath.join(folder, name)))
                for info in found:
                    _copy(files, info, into / _relative(info.path, folder, place))
            except TROUBLE as error:
                if isinstance(error, InputError):
                    raise
                line = first_line(error).replace(place, masked(place))
                raise InputError(f"{masked(place)}/{name}: cannot be copied to {into} ({line})") from error
            if not found and not optional:
                raise InputError(f"{masked(place)}/{name}: there is no such file: names are relative to {KEY}")


def _below(files: fs.FileSystem, path: str) -> Iterator[fs.FileInfo]:
    """Find the file, or all files of the folder; none where there is neither."""
    info = files.get_file_info(path)
    if info.type == fs.FileType.File:
        yield info
    elif info.type == fs.FileType.Directory:
        found = files.get_file_info(fs.FileSelector(path, recursive=True))
        yield from (each for each in found if each.type == fs.FileType.File)


def _relative(path: str, folder: str, place: str) -> PurePosixPath:
    """Return the path below `folder`. Raises `InputError` for one that leads out of it: object names are any text."""
    relative = PurePosixPath(posixpath.relpath(path, folder))
    if relative.is_absolute() or ".." in PurePosixPath(path).parts:
        raise InputError(f"{masked(place)}: holds the name {path!r}, which leads out of it: rename it")
    return relative


def _copy(files: fs.FileSystem, info: fs.FileInfo, target: Path) -> None:
    if _same(info, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, alone=True) as partial:  # the lock is held
        fs.copy_files(info.path, str(partial), source_filesystem=files, destination_filesystem=fs.LocalFileSystem())
        if info.mtime_ns is not None:
            os.utime(partial, ns=(info.mtime_ns, info.mtime_ns))


def _same(info: fs.FileInfo, target: Path) -> bool:
    try:
        stat = target.stat()
    except OSError:
        return False
    return stat.st_size == info.size and info.mtime_ns in (None, stat.st_mtime_ns)

"""Look at what one machine has for a study: versions, folders that can be written, data files, room on its disks.

The driver looks at itself, and `search.preflight.nodes` has every node of a cluster do the same.
"""

import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from tosmooth.search.preflight.limits import usable_cores
from tosmooth.trainables.files import filesystems as places
from tosmooth.trainables.redact import masked

PACKAGES = ("ray", "torch", "optuna", "tosmooth")
CODE = ("search", "trainables")  # tosmooth's packages: two checkouts of one version may differ
TEMPORARY = "temporary folder"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Folders and files to look at on a machine."""

    shared: dict[str, str]  # what every machine must see the same of: name -> absolute path or URI
    cache: str  # each machine may have its own
    files: tuple[str, ...] = ()  # of data
    mark: str | None = None  # name of a file that the driver put into each shared place


@dataclass(frozen=True, slots=True)
class Machine:
    """Findings about one machine."""

    versions: dict[str, str]
    refused: dict[str, str]  # folders that cannot be used: name -> why
    free: dict[str, tuple[str, int]]  # name -> folder, bytes
    data: dict[str, str]  # files of data: path -> size in bytes, or what is wrong
    cores: int  # that a process started there may use


def look(wanted: Wanted) -> Machine:
    """Look at this machine. Files that are written to try its folders are removed again."""
    refused = {name: _shared_refusal(name, place, wanted.mark) for name, place in wanted.shared.items()}
    refused["cache-dir"] = _own_refusal(Path(wanted.cache))
    folders = {"cache-dir": wanted.cache, TEMPORARY: tempfile.gettempdir()}
    folders |= {name: place for name, place in wanted.shared.items() if "://" not in place}
    return Machine(
        versions=versions(),
        refused={name: why for name, why in refused.items() if why},
        free={name: (folder, free) for name, folder in folders.items() if (free := _free(folder)) is not None},
        data={file: _size(Path(file)) for file in wanted.files},
        cores=usable_cores(),
    )


def versions() -> dict[str, str]:
    """Read the installed versions of Python and of the packages that a trial uses, without importing any."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found | {"tosmooth": f"{found['tosmooth']} (code {_code()})"}


@functools.cache
def _code() -> str:
    """Digest of tosmooth's modules as they lie on this machine."""
    digest, root = hashlib.blake2b(digest_size=4), Path(__file__).resolve().parents[2]
    for file in sorted(file for package in CODE for file in (root / package).rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


@contextmanager
def marked(shared: dict[str, str], mark: str) -> Iterator[None]:
    """Put a small file into each shared place for as long as the context lasts, so that the nodes can look for it.

    A missing place is made, and removed again. One that cannot be written is left out: `look` says why.
    """
    written: list[tuple[fs.FileSystem, str, str, list[Path]]] = []
    try:
        for name, place in shared.items():
            with suppress(*places.TROUBLE):
                files, folder = places.open_place(place, name)
                made = [] if "://" in place else missing(Path(place))
                written.append((files, folder, f"{folder}/{mark}", made))
                files.create_dir(folder)
                with files.open_output_stream(f"{folder}/{mark}") as file:
                    file.write(b"tosmooth doctor")
        yield
    finally:
        for files, _, name, made in written:
            places.remove_file(files, name)
            remove_empty(made)


def missing(folder: Path) -> list[Path]:
    """Folders that do not exist among this one and those above it, the lowest first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Remove folders that were made, the lowest first, except those into which something was put meanwhile."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _shared_refusal(name: str, place: str, mark: str | None) -> str:
    """Reason why a place that all machines share cannot be used; "" if it can."""
    try:
        files, folder = places.open_place(place, name)
        if mark is not None and files.get_file_info(f"{folder}/{mark}").type != fs.FileType.File:
            return f"{masked(place)} is not the driver's folder: what the driver writes there is not seen"
        made = [] if "://" in place else missing(Path(place))
        try:
            places.check_place(place, name)
        finally:
            remove_empty(made)
    except places.TROUBLE as error:
        return str(error).removeprefix(f"{name}: ")
    return ""


def _own_refusal(folder: Path) -> str:
    """Reason why a folder of this machine cannot be written; "" if it can. A missing one counts as one to be made."""
    above = nearest(folder)
    try:
        if folder.exists() and not folder.is_dir():
            return f"{folder} is no folder"
        with tempfile.TemporaryFile(dir=above) as file:
            file.write(b"tosmooth doctor")
    except OSError as error:
        return f"{above}: {error.strerror or error}"
    return ""


def _free(folder: str) -> int | None:
    """Free bytes on a folder's disk; `None` on a file system that has no size, such as /proc."""
    usage = shutil.disk_usage(nearest(Path(folder)))
    return usage.free if usage.total else None


def _size(file: Path) -> str:
    """Size of a file in words, or why it cannot be read.

    The content is not looked at: a trial whose data differ from the driver's fails with both digests.
    """
    try:
        with file.open("rb") as opened:
            return f"{os.fstat(opened.fileno()).st_size} bytes"
    except OSError as error:
        return f"cannot be read ({error.strerror})"

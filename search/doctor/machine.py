"""What one machine has for a study: versions, folders that can be written, files of data, room on its disks.

The driver looks at itself, and `search.doctor.nodes` has the same done on every node of a cluster.
"""

import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from trainables import places
from trainables.config import InputError
from trainables.digests import remembered_sha256
from trainables.masking import masked

PACKAGES = ("ray", "torch", "optuna", "tosmooth")
CODE = ("search", "trainables")  # tosmooth's packages: two checkouts of one version may differ
TEMPORARY = "temporary folder"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be looked at."""

    shared: dict[str, str]  # what every machine must see the same of: name -> absolute path or URI
    cache: str  # each machine may have its own
    files: tuple[str, ...] = ()  # of data
    mark: str | None = None  # name of a file that the driver put into each shared place


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found."""

    host: str
    versions: dict[str, str]
    refused: dict[str, str]  # folders that cannot be used: name -> why
    free: dict[str, tuple[str, int]]  # name -> folder, bytes
    digests: dict[str, str]  # of files of data: path -> SHA-256, or what is wrong


def look(wanted: Wanted) -> Machine:
    """Look at this machine. What is written to try it is gone afterwards."""
    refused = {name: _shared_refusal(name, place, wanted.mark) for name, place in wanted.shared.items()}
    refused["cache-dir"] = _own_refusal(Path(wanted.cache))
    folders = {"cache-dir": wanted.cache, TEMPORARY: tempfile.gettempdir()}
    folders |= {name: place for name, place in wanted.shared.items() if "://" not in place}
    return Machine(
        host=socket.gethostname(),
        versions=versions(),
        refused={name: why for name, why in refused.items() if why},
        free={name: (folder, free) for name, folder in folders.items() if (free := _free(folder)) is not None},
        digests={file: _digest(Path(file), Path(wanted.cache)) for file in wanted.files},
    )


def versions() -> dict[str, str]:
    """Of Python and of what takes part in a trial, as installed here; nothing is imported for it."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found | {"tosmooth": f"{found['tosmooth']} (code {_code()})"}


@functools.cache
def _code() -> str:
    """A digest of tosmooth's modules as they lie here."""
    digest, root = hashlib.blake2b(digest_size=4), Path(__file__).resolve().parents[2]
    for file in sorted(file for package in CODE for file in (root / package).rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


@contextmanager
def marked(shared: dict[str, str], mark: str) -> Iterator[None]:
    """A small file in each shared place, for the nodes to see, as long as the context lasts.

    A place that was not there is made, and taken away again. One that cannot be written is left out: `look` says why.
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
    """The folder and those above it that are not there, the lowest first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def remove_empty(folders: list[Path]) -> None:
    """Take away folders that were made, the lowest first, as far as nothing was put there meanwhile."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _shared_refusal(name: str, place: str, mark: str | None) -> str:
    """Why a place cannot be used that all machines share; "" where it can."""
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
    """Why a folder of this machine cannot be written; "" where it can. One that is not there would be made."""
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
    """Bytes; `None` on a file system that has no size, such as /proc."""
    usage = shutil.disk_usage(nearest(Path(folder)))
    return usage.free if usage.total else None


def _digest(file: Path, cache: Path) -> str:
    try:
        if not os.access(nearest(cache), os.W_OK):
            cache = Path(tempfile.gettempdir()) / "tosmooth"
        return remembered_sha256(file, cache)
    except (OSError, InputError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return f"cannot be read ({reason})"

"""Digests of files; SHA-256s are remembered, so that a large file is read once and not at every start."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Literal

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.atomic_write import replacing

Algorithm = Literal["sha256", "md5"]  # MD5: what CIFAR was published with


def file_digest(path: Path, algorithm: Algorithm = "sha256") -> str:
    """Digest of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def remembered_sha256(path: Path, cache: Path) -> str:
    """SHA-256 of a file, in hex: from `cache`/digests.json while size and time of change are what they were."""
    path = path.resolve()
    stat = path.stat()
    book = cache / "digests.json"
    known = _read(book)
    match known.get(str(path)):
        case [stat.st_size, stat.st_mtime_ns, str(digest)]:
            return digest
    digest = file_digest(path)
    # Read again: hashing took a while. What two processes write at the same moment is at worst hashed once more.
    _write(book, {**_read(book), str(path): [stat.st_size, stat.st_mtime_ns, digest]})
    return digest


def unchanged(path: Path, digest: str) -> Path:
    """Check that the file has the digest that is remembered, and return its path.

    To be asked before a file is read that will be known by this digest: a flipped bit leaves size and time as they
    are. Raises `InputError` for another digest.
    """
    if (found := file_digest(path)) != digest:
        raise InputError(f"{path}: damaged (SHA-256 {digest} -> {found}): bring it anew")
    return path


def _read(book: Path) -> dict[str, object]:
    with suppress(OSError, ValueError):  # none yet, or damaged: made anew
        known = json.loads(book.read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return known
    return {}


def _write(book: Path, known: dict[str, object]) -> None:
    book.parent.mkdir(parents=True, exist_ok=True)
    with replacing(book) as partial:
        partial.write_text(json.dumps(known), encoding="utf-8")


def state_of(path: Path) -> list[object]:
    """Path of a file, its size and time of change: while they are the same, so is the file. Of none, the path alone."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return [str(path.absolute())]
    return [str(path.absolute()), stat.st_size, stat.st_mtime_ns]

"""SHA-256 of files, remembered so that a large file is read once and not at every start."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from trainables.config import InputError


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5(path: Path) -> str:
    """The MD5 of a file, in hex: what CIFAR was published with."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def remembered_sha256(path: Path, cache: Path) -> str:
    """The same from `cache`/digests.json, as long as size and time of change are what they were when it was read."""
    path = path.resolve()
    stat = path.stat()
    book = cache / "digests.json"
    known = _read(book)
    match known.get(str(path)):
        case [stat.st_size, stat.st_mtime_ns, str(digest)]:
            return digest
    digest = sha256(path)
    # Read again: hashing took a while. What two processes write at the same moment is at worst hashed once more.
    _write(book, {**_read(book), str(path): [stat.st_size, stat.st_mtime_ns, digest]})
    return digest


def unchanged(path: Path, digest: str) -> Path:
    """The path, where the file still has the digest that is remembered: a flipped bit leaves size and time as they are.

    To be asked before a file is read that will be known by this digest. Raises `InputError` for another one.
    """
    if (found := sha256(path)) != digest:
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
    with NamedTemporaryFile("w", dir=book.parent, prefix="digests-", delete=False, encoding="utf-8") as part:
        json.dump(known, part)
    Path(part.name).replace(book)

"""Small text files that are read back: the digest of what follows stands at their start, and damage is noticed.

It stands first since a file is torn at its end. One without a digest is taken as it is: a user's own file may be put in
the place of a damaged one, and homes of before have none.
"""

import hashlib
import re
from pathlib import Path

from search.tables import write

HEAD = re.compile(rb'(?:# digest |\{\n  "digest": ")([0-9a-f]{16})(?:",)?\n')


def write_sealed(text: str, path: Path) -> None:
    """Write YAML, plain text, or JSON of an object with an indent of 2, which stays such; whole or not at all."""
    opening, body = ('{\n  "digest": "%s",\n', text[2:]) if text.startswith("{\n") else ("# digest %s\n", text)
    write(opening % _digest(body.encode()) + body, path)


def read_sealed(path: Path) -> str:
    """The text of such a file, digest included. Raises `ValueError` where that does not fit."""
    content = path.read_bytes()
    head = HEAD.match(content)
    if head is not None and head[1].decode() != _digest(content[head.end() :]):
        raise ValueError("its digest does not fit")
    return content.decode("utf-8")


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=8).hexdigest()

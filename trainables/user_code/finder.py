"""Finder of the modules of a study's code, which `sys.meta_path` has while it is in use."""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from tosmooth.trainables.user_code.archive import UserCode


class Finder:
    """Finder of the modules of one study's code, in the place where it was unpacked, before any other of their name."""

    def __init__(self, code: UserCode, folder: Path) -> None:
        self.digest, self.names, self.folder = code.digest, code.names, folder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module by its first name; those inside packages are found by the package, as always."""
        return PathFinder.find_spec(name, [str(self.folder)]) if path is None and name in self.names else None


def active_digest() -> str | None:
    """Digest, in hex, of the code that is in use; `None` where none is."""
    finder = active_finder()
    return None if finder is None else finder.digest


def active_finder() -> Finder | None:
    """Return the finder of the code that is in use; `None` where none is."""
    return next((finder for finder in sys.meta_path if isinstance(finder, Finder)), None)

"""Modules that are installed: where they lie, and a digest of their files. None of them is imported."""

import hashlib
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path, PurePath

from tosmooth.trainables.files.digests import file_digest
from tosmooth.trainables.user_code.finder import Finder, active_finder


def find_installed(module: str, beside: Path | None) -> ModuleSpec | None:
    """Find the module, or the package around it, by which an installed `module` is known; `None` where there is none.

    That is the first on the way to it that is no mere folder. What lies in the folder `beside`, or where the user is,
    is not installed, though `sys.path` may have these folders.
    """
    names = module.split(".")
    spec = _first(names[0], beside)
    root = None
    for depth in range(1, len(names) + 1):
        if spec is None:
            return None
        if root is None and spec.origin is not None:
            root = spec
        if depth < len(names):
            inside = spec.submodule_search_locations
            spec = None if inside is None else PathFinder.find_spec(".".join(names[: depth + 1]), list(inside))
    return root


def digest_of(spec: ModuleSpec) -> str:
    """Digest, in hex, of the Python files of a module or package, and of the sizes of its compiled ones."""
    digest = hashlib.sha256()
    for root in spec.submodule_search_locations or ():
        for folder, inner, names in os.walk(root):
            inner[:] = sorted(name for name in inner if name != "__pycache__")
            for name in sorted(names):
                path = Path(folder, name)
                if path.suffix in (".py", ".so", ".pyd") and path.is_file():
                    known = file_digest(path) if path.suffix == ".py" else str(path.stat().st_size)
                    digest.update(f"{path.relative_to(root).as_posix()} {known}\n".encode())
    if spec.submodule_search_locations is None and spec.origin is not None and Path(spec.origin).is_file():
        digest.update(file_digest(Path(spec.origin)).encode())
    return digest.hexdigest()


def _first(name: str, beside: Path | None) -> ModuleSpec | None:
    """Find a module by its first name, as importing it would."""
    active = active_finder()
    unpacked = None if active is None else active.folder  # on the path while that code is in use
    here = {os.path.realpath(folder) for folder in (Path.cwd(), beside, unpacked) if folder is not None}
    folders = [folder for folder in sys.path if os.path.realpath(folder or ".") not in here]
    for finder in sys.meta_path:
        if isinstance(finder, Finder) or not hasattr(finder, "find_spec"):
            continue
        spec = PathFinder.find_spec(name, folders) if finder is PathFinder else finder.find_spec(name, None)
        if spec is not None and not _inside(spec, here):
            return spec
    return None


def _inside(spec: ModuleSpec, folders: set[str]) -> bool:
    """True for a module that lies in one of the folders: installed from there, to be changed there."""
    place = spec.origin if spec.origin is not None else next(iter(spec.submodule_search_locations or ()), None)
    return place is not None and any(_below(os.path.realpath(place), folder) for folder in folders)


def _below(place: str, folder: str) -> bool:
    """True if `place` is a module or package directly in a folder: an environment deep inside it is none of these."""
    path = PurePath(place)
    return str(path.parent) == folder or (path.name == "__init__.py" and str(path.parent.parent) == folder)

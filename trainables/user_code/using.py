"""Make collected code importable in this process: its modules, and nothing else that lies beside a study."""

import atexit
import importlib
import shutil
import sys
import tempfile
from pathlib import Path

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.atomic_write import write
from tosmooth.trainables.user_code.archive import UserCode
from tosmooth.trainables.user_code.finder import Finder, active_finder
from tosmooth.trainables.user_code.installed import digest_of, find_installed


def use(code: UserCode, cache: Path | None = None) -> None:
    """Make the modules of `code` importable here, in place of those of any code that was used before.

    They are unpacked into a folder of `cache` under their digest, or into one that this process removes at its end.
    Raises `InputError` where an installed package that they name is not the one that was collected.
    """
    active = active_finder()
    if active is not None and active.digest == code.digest:
        return
    _check_installed(code)
    folder = _unpacked(code, cache)
    if active is not None:
        sys.meta_path.remove(active)
        sys.path[:] = [place for place in sys.path if place != str(active.folder)]
    _forget(code.names | (set() if active is None else active.names))
    sys.meta_path.insert(0, Finder(code, folder))
    if code.sources:
        sys.path.append(str(folder))  # for processes that the user's code starts: they are given this list
    importlib.invalidate_caches()


def _check_installed(code: UserCode) -> None:
    for name, digest in code.installed.items():
        spec = find_installed(name, None)
        if spec is None or digest_of(spec) != digest:
            what = "is not installed here" if spec is None else f"is another version here, at {spec.origin}"
            raise InputError(f"code: {name} {what}: install what the study was begun with")


def _unpacked(code: UserCode, cache: Path | None) -> Path:
    """Folder with the sources; a file that was changed there is made anew."""
    if cache is None:
        folder = Path(tempfile.mkdtemp(prefix="tosmooth-code-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    else:
        folder = cache / "code" / code.digest[:32]
    for path, content in code.sources.items():
        file = folder / path
        if not file.is_file() or file.read_bytes() != content:
            write(content, file)
    return folder


def _forget(names: set[str]) -> None:
    """Have modules of these first names imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]

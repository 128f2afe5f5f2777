"""Files of the user's code with their digests, as one archive."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Self

from tosmooth.trainables.errors import InputError

LARGEST = 10_000_000  # bytes of all sources: more is no code, and would travel with every study
FACTS = "installed.json"  # entry of the archive that is no source: digests of what is installed
INSTALLED = " (installed)"  # so end the names of packages that do not travel
_DATE = (1980, 1, 1, 0, 0, 0)  # the same files make the same archive


@dataclass(frozen=True, slots=True)
class UserCode:
    """Sources that a study's references reach beside its file, and digests of the installed packages that they name."""

    sources: Mapping[str, bytes] = field(repr=False)  # path below the folder of the study file, with "/" -> its bytes
    installed: Mapping[str, str] = field(default_factory=dict)  # module's first name -> digest of its files
    notes: tuple[str, ...] = field(default=(), compare=False)  # what a reader must know of how they were found

    @property
    def files(self) -> dict[str, str]:
        """Digest, in hex, of each source by its path, and of each installed package by "NAME (installed)"."""
        found = {path: hashlib.sha256(content).hexdigest() for path, content in sorted(self.sources.items())}
        return found | {f"{name}{INSTALLED}": digest for name, digest in sorted(self.installed.items())}

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all of it."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()

    @property
    def names(self) -> set[str]:
        """First names of the modules that the sources make: no other module is imported from them."""
        return {path.partition("/")[0].removesuffix(".py") for path in self.sources}

    @property
    def archive(self) -> bytes:
        """All of it as a zip file, the same bytes for the same code; `from_archive` takes them back."""
        entries = {FACTS: json.dumps(dict(self.installed), sort_keys=True).encode(), **self.sources}
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in sorted(entries.items()):
                archive.writestr(zipfile.ZipInfo(path, _DATE), content, zipfile.ZIP_DEFLATED)
        return file.getvalue()

    @classmethod
    def from_archive(cls, archive: bytes, where: str) -> Self:
        """Read what `archive` gave; execute nothing. Raises `InputError`, with `where` it lies, for a damaged one."""
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as opened:
                if sum(entry.file_size for entry in opened.infolist()) > 2 * LARGEST:
                    raise ValueError("it is too large")
                entries = {entry.filename: opened.read(entry) for entry in opened.infolist()}
            installed = json.loads(entries.pop(FACTS))
            if not (isinstance(installed, dict) and all(isinstance(each, str) for each in installed.values())):
                raise ValueError(f"{FACTS} holds no digests")
            for path in entries:
                check_path(path)
        except (zipfile.BadZipFile, ValueError, KeyError, NotImplementedError, RuntimeError, EOFError) as error:
            rule = "an archive of a study's code, as a home keeps it: bring it back from a copy"
            raise InputError(f"{where}: damaged ({error}): {rule}") from error
        return cls(entries, installed)


def check_path(path: str) -> None:
    """Raise `ValueError` for what is no path of a source that stays below a folder."""
    parts = PurePosixPath(path).parts
    if not path.endswith(".py") or "/".join(parts) != path or ".." in parts or path.startswith("/") or "\\" in path:
        raise ValueError(f"{path!r} is no path of a module")


def differences(before: UserCode | None, after: UserCode | None) -> list[str]:
    """List in words how the code `after` differs from that `before`, a line each; empty where both are the same."""
    then, now = ({} if code is None else code.files for code in (before, after))
    both = then.keys() & now.keys()
    found = {
        "changed": [path for path in now if path in both and then[path] != now[path]],
        "added": [path for path in now if path not in both],
        "gone": [path for path in then if path not in both],
    }
    return [f"code {how}: {', '.join(paths)}" for how, paths in found.items() if paths]

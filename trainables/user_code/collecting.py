"""Collect the code that a study's references reach. Executes none of it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tosmooth.trainables.errors import InputError, require, shown
from tosmooth.trainables.user_code.archive import LARGEST, UserCode
from tosmooth.trainables.user_code.installed import digest_of, find_installed
from tosmooth.trainables.user_code.references import check_reference, split_reference
from tosmooth.trainables.user_code.sources import Folder, Module, imported

OURS = "tosmooth"


def collect(references: Mapping[str, str], folder: Path | None) -> UserCode:
    """Collect the code of `references` (key -> reference), from modules beside a study file in `folder` or installed.

    Of a module beside the file all files are taken that it reaches by imports there; a name that is installed means
    what is installed. Raises `InputError` for a module that is not found, or whose name two modules have; for a file
    that is no Python, or cannot be read; and for more than `LARGEST` bytes.
    """
    collector = _Collector(None if folder is None else Folder(folder))
    for key, text in references.items():
        check_reference(text, key)
        collector.refer(key, text)
    return UserCode(collector.sources, collector.installed, tuple(collector.notes))


@dataclass
class _Collector:
    """What was found so far."""

    beside: Folder | None
    sources: dict[str, bytes] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    _elsewhere: dict[str, str | None] = field(default_factory=dict)  # first name -> where it is installed

    def refer(self, key: str, text: str) -> None:
        """Take what a reference names."""
        module, _ = split_reference(text)
        top = module.partition(".")[0]
        here = None if self.beside is None else self.beside.find(module)
        if here is not None and here.files:
            other = self._installed_at(top)
            rule = f"{top} is also {other}: give yours another name"
            require(other is None, key, text, rule)
            try:
                self._take(here)
            except InputError as error:
                raise InputError(f"{key} {shown(text)}: {error}") from error
            return
        root = None if self.beside is None else self.beside.root
        found = find_installed(module, root)
        where = "installed" if root is None else f"in {root}, nor installed"
        require(found is not None, key, text, f"there is no module {module} {where}")
        if found is not None:
            self.installed[found.name] = digest_of(found)

    def _take(self, module: Module) -> None:
        """Take the files of a module beside the study, and of all that they import there."""
        waiting = [module]
        while waiting:
            for name, file in waiting.pop().files.items():
                path = f"{name.replace('.', '/')}.py"
                if path in self.sources:
                    continue
                content = self.sources[path] = self._read(file, path)
                for wanted in imported(content, name, path):
                    waiting += self._reached(wanted, path)

    def _reached(self, wanted: str, by: str) -> list[Module]:
        """Find modules beside the study that an import may mean."""
        assert self.beside is not None  # noqa: S101 - an import was read there
        every = wanted.endswith(".*")
        wanted = wanted.removesuffix(".*")
        top = wanted.partition(".")[0]
        found = None if top == OURS else self.beside.longest(wanted)
        if found is None:
            return []
        other = "Python's own" if top in sys.stdlib_module_names else self._installed_at(top)
        if other is not None:
            if found.files:
                self.notes[f"{by} imports {top}: that is {other}, not the module of that name beside it"] = None
            return []
        inside = self.beside.inside(found) if every and found.path == wanted else []
        return [found, *(each for each in map(self.beside.find, inside) if each is not None)]

    def _installed_at(self, top: str) -> str | None:
        """Say in words where a first name is installed; `None` where it is not, or only as a mere folder."""
        if top not in self._elsewhere:
            assert self.beside is not None  # noqa: S101 - asked of what lies there
            spec = find_installed(top, self.beside.root)
            self._elsewhere[top] = None if spec is None else f"installed, at {spec.origin}"
        return self._elsewhere[top]

    def _read(self, file: Path, path: str) -> bytes:
        try:
            with file.open("rb") as opened:
                content = opened.read(LARGEST + 1)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); name files you may read") from error
        total = len(content) + sum(map(len, self.sources.values()))
        if total > LARGEST:
            rule = f"more than {LARGEST / 1e6:g} MB of code: what a study reaches by imports travels with it"
            raise InputError(f"{path}: is refused: {rule}")
        return content

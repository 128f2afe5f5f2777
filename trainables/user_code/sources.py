"""Sources beside a study file: which files a module is made of, and which modules a file imports. Executes nothing."""

import ast
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tosmooth.trainables.errors import InputError

INIT = "__init__"


@dataclass(frozen=True, slots=True)
class Module:
    """Module as it lies in a folder."""

    files: dict[str, Path]  # of its packages and its own, by module's path, outermost first; none of mere folders
    path: str  # of the module, as importing names it
    folder: Path | None  # in which its submodules lie; None: it has none


@dataclass(frozen=True, slots=True)
class Folder:
    """Folder in which modules lie, as `sys.path` has folders."""

    root: Path
    _listings: dict[Path, dict[str, Path]] = field(default_factory=dict, repr=False)

    def find(self, module: str) -> Module | None:
        """Find a module; `None` where there is none in this folder."""
        files: dict[str, Path] = {}
        folder: Path | None = self.root
        names = module.split(".")
        for depth, name in enumerate(names, 1):
            if folder is None:
                return None
            there, path = self._listing(folder), ".".join(names[:depth])
            inner = there.get(name)
            inner = inner if inner is not None and inner.is_dir() else None
            init = None if inner is None else self._listing(inner).get(f"{INIT}.py")
            plain = there.get(f"{name}.py")
            if init is not None and init.is_file():
                files[f"{path}.{INIT}"], folder = init, inner
            elif plain is not None and plain.is_file():
                files[path], folder = plain, None
            elif inner is not None:
                folder = inner
            else:
                return None
        return Module(files, module, folder)

    def longest(self, module: str) -> Module | None:
        """Find the longest beginning of a module's path that is a module here."""
        names = module.split(".")
        found = (self.find(".".join(names[:depth])) for depth in range(len(names), 0, -1))
        return next((each for each in found if each is not None), None)

    def inside(self, module: Module) -> list[str]:
        """List the modules that lie directly in a package."""
        if module.folder is None:
            return []
        names = [name.removesuffix(".py") for name in self._listing(module.folder)]
        return [f"{module.path}.{name}" for name in sorted(names) if name.isidentifier() and name != INIT]

    def _listing(self, folder: Path) -> dict[str, Path]:
        """Entries of a folder by their names in the form in which Python compares them; links are followed."""
        if folder not in self._listings:
            try:
                names = sorted(path.name for path in folder.iterdir())
            except OSError:
                names = []
            # Not by asking for the name: file systems that know no case would find Models.py for models.
            self._listings[folder] = {unicodedata.normalize("NFKC", name): folder / name for name in names}
        return self._listings[folder]


def imported(content: bytes, module: str, shown: str) -> Iterator[str]:
    """Yield the paths of modules that a source may import, wherever in it that stands, with "PATH.*" for all inside.

    `module`: path of the source's module, that of a package with ".__init__" behind it. Names that are made while the
    code runs are not seen; `import_module("name")` is. Raises `InputError`, with `shown` for its name, for no Python.
    """
    package = module.split(".")[:-1]
    for node in ast.walk(_parsed(content, shown)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=base, names=names, level=level):
                if (start := _absolute(base or "", level, package)) is not None:
                    yield start
                    yield from (f"{start}.{alias.name}" for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                level = len(name) - len(name.lstrip("."))
                if (start := _absolute(name[level:], level, package)) is not None:
                    yield start


def _absolute(base: str, level: int, package: list[str]) -> str | None:
    """Path of what is imported from `level` packages up; `None` for what lies outside of all packages."""
    if level > len(package):
        return None
    parts = [*(package[: len(package) - level + 1] if level else []), *([base] if base else [])]
    return ".".join(parts) or None


def _parsed(content: bytes, shown: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python says them again when it runs the file
            return ast.parse(content, shown)
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        raise InputError(f"{shown}{line}: is no Python: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes; expressions that are nested too deeply
        raise InputError(f"{shown}: is no Python: {error}") from error

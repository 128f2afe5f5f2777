"""A machine that has a checkout and the few libraries that training needs, and nothing installed."""

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

THERE = ("torch", "torchvision", "pyarrow", "scikit-learn", "numpy")
PACKAGE = ("tosmooth", "trainables", "search", "studies")  # folders of the repository

NOT_FOUND = """
import sys
from importlib.machinery import PathFinder


class Bare(PathFinder):
    # None in sys.modules would be taken for the module by compiled code, such as pyarrow's

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in MISSING else super().find_spec(name, path, target)


sys.meta_path[:] = [Bare if each is PathFinder else each for each in sys.meta_path]
"""


def missing() -> list[str]:
    """The modules that such a machine lacks: all that is installed here for anything else."""
    there = _closure(THERE)
    return [
        module
        for module, distributions in metadata.packages_distributions().items()
        if module.isidentifier() and not there & {canonicalize_name(name) for name in distributions}
    ]


def bare_machine(folder: Path, *folders: str) -> tuple[Path, dict[str, str]]:
    """Make such a machine's checkout in `folder`: the package, and other `folders` of the repository.

    Also what its environment has: with that, Python finds no other module than those of `THERE`, nor do its children.
    """
    checkout, site = folder / "checkout", folder / "site"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists() and (name.split("/")[0] in PACKAGE or name.startswith(folders)):
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name, follow_symlinks=False)
    site.mkdir()
    (site / "sitecustomize.py").write_text(f"MISSING = frozenset({missing()})\n{NOT_FOUND}", encoding="utf-8")
    return checkout, {"PYTHONPATH": str(site)}


def _closure(names: tuple[str, ...]) -> set[str]:
    """The distributions that these need, themselves included, as they are installed here."""
    found: set[str] = set()
    left = [*names]
    while left:
        name = canonicalize_name(left.pop())
        if name in found:
            continue
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # another platform's
            continue
        found.add(name)
        wanted = [Requirement(line) for line in needed]
        left += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found

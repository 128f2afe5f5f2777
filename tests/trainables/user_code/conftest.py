"""Code of a user's beside a study; what a test imports of it is forgotten."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tosmooth.trainables.user_code.finder import Finder

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files, by their paths with "/", into a folder of the user's and return it."""

    def make(files: dict[str, str | bytes], folder: str = "mine") -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return make


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Leave this process without any user's code."""
    path = list(sys.path)
    yield
    forget()
    sys.path[:] = path


def forget() -> None:
    """Have this process know no user's code."""
    unpacked = [str(finder.folder) for finder in sys.meta_path if isinstance(finder, Finder)]
    sys.path[:] = [place for place in sys.path if place not in unpacked]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]

"""Pictures in a folder that holds a folder for each class, as torchvision's `ImageFolder` reads them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from PIL import Image

from tosmooth.trainables.data.pictures import FORMATS
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.digests import state_of

ENDINGS = frozenset(ending for ending, name in Image.registered_extensions().items() if name in FORMATS)
PARTS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev"})
JUNK = frozenset({"thumbs.db", "desktop.ini"})  # that systems leave in folders
SHOWN = 3


@dataclass(frozen=True, slots=True)
class PictureFolder:
    """Pictures of a folder in the order of their paths, and the class of each: the folder that it lies in."""

    root: Path
    paths: tuple[str, ...]  # relative to the root
    classes: tuple[str, ...]  # of each picture
    remarks: tuple[str, ...]  # what was passed over

    def place(self, row: int) -> str:
        """Path of a picture, for messages."""
        return str(self.root / self.paths[row])

    def state(self) -> list[object]:
        """Paths, sizes and times of change of all files: while they are the same, so are the pictures."""
        return [state_of(self.root / path) for path in self.paths]


def picture_folder(root: Path, key: str, follow_links: bool = False) -> PictureFolder:
    """List the pictures below `root`/CLASS, at any depth; hidden files and those of other kinds are passed over.

    key: of the study, for messages. follow_links: links may lead out of `root`; otherwise that is refused.
    Raises `InputError` where there is no such folder, one that may not be read, no class with a picture, or where its
    folders are parts of a data set and no classes.
    """
    try:
        return _listed(root, key, follow_links)
    except OSError as error:
        raise InputError(f"{key}: {error.filename or root}: cannot be read ({error.strerror or error})") from error


def _listed(root: Path, key: str, follow_links: bool) -> PictureFolder:
    if root.is_file():
        raise InputError(f"{key}: {root}: is a file: give dataset.table.image or dataset.table.features")
    if not root.is_dir():
        raise InputError(f"{key}: {root}: there is no such folder")
    folders = sorted(each.name for each in os.scandir(root) if each.is_dir() and not each.name.startswith("."))
    if folders and {name.lower() for name in folders} <= PARTS:
        parts = " and ".join(folders := sorted(folders, key=lambda name: not name.lower().startswith("train")))
        raise InputError(
            f"{key}: {root}: holds {parts}, and no folder a class: name one of these, {root.name}/{folders[0]}"
        )
    pictures: list[tuple[str, str]] = []
    passed = [name for name in _files(root) if not _hidden(name)]  # in no folder of a class
    empty = []
    for name in folders:
        files = sorted(_below(root, name, key, follow_links))
        own = [path for path in files if Path(path).suffix.lower() in ENDINGS]
        pictures += [(path, name) for path in own]
        passed += [path for path in files if Path(path).suffix.lower() not in ENDINGS]
        empty += [] if own else [name]
    if not pictures:
        raise InputError(f"{key}: {root}: holds no picture in a folder of its class, such as {root.name}/cat/1.png")
    remarks = []
    if passed:
        shown = ", ".join(passed[:SHOWN])
        remarks.append(f"{len(passed)} files in {root.name} are no pictures in a folder of a class, such as {shown}")
    if empty:
        remarks.append(f"folders in {root.name} without a picture, which are no classes: {', '.join(empty[:SHOWN])}")
    return PictureFolder(root, tuple(p for p, _ in pictures), tuple(c for _, c in pictures), tuple(remarks))


def pictures_below(root: Path, key: str) -> list[str]:
    """List the pictures in a folder, at any depth, by their paths relative to it; hidden and other files are left out.

    Raises `InputError` where there is none, or a link leads out of the folder.
    """
    try:
        found = sorted(path for path in _below(root, "", key, False) if Path(path).suffix.lower() in ENDINGS)
    except OSError as error:
        raise InputError(f"{key}: {error.filename or root}: cannot be read ({error.strerror or error})") from error
    if not found:
        raise InputError(f"{key}: {root}: holds no picture: files that end in .png, .jpg, ...")
    return found


def holds_classes(root: Path) -> bool:
    """True if a folder of `root` holds a picture."""
    folders = [each for each in root.iterdir() if each.is_dir() and not each.name.startswith(".")]
    files = (name for folder in folders for _, _, names in os.walk(folder) for name in names)
    return any(Path(name).suffix.lower() in ENDINGS for name in files if not _hidden(name))


def _below(root: Path, name: str, key: str, follow_links: bool) -> Iterator[str]:
    """Paths, relative to the root, of the files in one of its folders that are not hidden."""
    seen = set()  # folders: of links that lead in a circle
    _check_link(root / name, root, key, follow_links)
    for folder, inner, files in os.walk(root / name, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(each for each in inner if not each.startswith("."))
        for each in (*inner, *files):
            _check_link(Path(folder, each), root, key, follow_links)
        yield from (os.path.relpath(Path(folder, each), root) for each in files if not _hidden(each))


def _refuse(error: OSError) -> NoReturn:
    raise error


def _check_link(path: Path, root: Path, key: str, follow_links: bool) -> None:
    if path.is_symlink() and not follow_links and not path.resolve().is_relative_to(root.resolve()):
        rule = "a link that leads out of the folder: dataset.table.follow_links: true follows it"
        raise InputError(f"{key}: {path}: {rule}")


def _files(root: Path) -> list[str]:
    return sorted(each.name for each in os.scandir(root) if each.is_file())


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK

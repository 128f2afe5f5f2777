"""Training set and test set of what a user names: a file, a folder of shards or pictures, a pattern."""

import re
from collections.abc import Iterable
from pathlib import Path

from tosmooth.trainables.config import TABULAR
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.errors import InputError, require

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation", "dev", "eval")  # the first that is there
WORD = re.compile(rf"(?<![A-Za-z])({'|'.join((*TRAIN, *TEST))})(?![A-Za-z])", re.IGNORECASE)


def parts_of(data: str) -> tuple[str, str | None]:
    """Find the training set and, where there is one beside it, the test set; as a study file names them.

    Raises `InputError` where nothing is there, or a folder has only a test set.
    """
    path = Path(data).absolute()
    if path.is_dir():
        return _of_folder(path)
    if any(letter in data for letter in "*?["):
        return str(path), None
    require(path.exists(), "DATA", data, "a file, a folder or a pattern that is there")
    if path.suffix == ".npz" and _has_test(path):
        return str(path), str(path)
    return str(path), _beside(path)


def _of_folder(folder: Path) -> tuple[str, str | None]:
    """Parts of a folder: a folder or files for each, or all of it."""
    inner = {each.name.lower(): each for each in sorted(folder.iterdir()) if each.is_dir()}
    trained = next((inner[name] for name in TRAIN if name in inner), None)
    if trained is not None:
        tested = next((inner[name] for name in TEST if name in inner), None)
        return str(trained), None if tested is None else str(tested)
    files = [each for each in sorted(folder.iterdir()) if each.is_file() and each.suffix.lower() in TABULAR]
    train, test = _named(files, TRAIN), next((found for name in TEST if (found := _named(files, [name]))), [])
    if train:
        return _together(folder, train), _together(folder, test) if test else None
    if test or any(name in inner for name in TEST):
        raise InputError(
            f"DATA: {folder} holds a test set and no training set: name the training set, and it by --test"
        )
    if not files and "data" in inner:  # as a repository of the Hugging Face hub
        return _of_folder(inner["data"])
    return str(folder), None


def _named(files: Iterable[Path], names: Iterable[str]) -> list[Path]:
    """Files whose names say one of these words: train-00000.parquet, my_train.csv."""
    return [path for path in files if any(word.lower() in names for word in WORD.findall(path.name))]


def _together(folder: Path, files: list[Path]) -> str:
    """One name for files: that of a single one, else the pattern that has them all."""
    if len(files) == 1:
        return str(files[0])
    names = [path.name for path in files]
    start = next((i for i, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), 0)
    return str(folder / f"{names[0][:start]}*{files[0].suffix}")


def _beside(path: Path) -> str | None:
    """Test set beside a training set whose name says that it is one."""
    for word in TEST:
        for name in (word, word.capitalize(), word.upper()):
            other = path.with_name(WORD.sub(name, path.name))
            if other != path and other.is_file():
                return str(other)
    return None


def of_one_part(names: Iterable[str]) -> list[str]:
    """Names of an .npz's arrays without those that name a part, where there are others: x, not x_train."""
    names = list(names)
    return [name for name in names if not names_part(name)] or names


def names_part(name: str) -> bool:
    """True if a name of an array or a column says a part of the data: x_train."""
    return WORD.search(name) is not None


def _has_test(path: Path) -> bool:
    """True if an .npz holds arrays of a test set."""
    with open_table([path], "test") as table:
        return any(word.lower() in TEST for name in table.names for word in WORD.findall(name))

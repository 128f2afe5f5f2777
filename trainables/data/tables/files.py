"""The files of a table, as they are named: one, several, a pattern, a folder of shards, or an array for each column."""

import fnmatch
import glob
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tosmooth.trainables.data.tables.formats import NAMES, REFUSED_NAMES, suffix
from tosmooth.trainables.errors import InputError, require, shown

SKIPPED = ("_*", ".*", "*.crc", "*.md5", "*.sha256", "README*", "LICENSE*")
SKIPPED_JSON = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "metadata.json")
PICTURES = (["metadata.csv"], ["metadata.jsonl"], ["metadata.parquet"])  # Hugging Face's: of pictures, also in folders
NOTHING = "__HIVE_DEFAULT_PARTITION__"  # what Hive and Spark call a folder of rows without that value
SPLITS = re.compile(r"(?:^|[-_.])(train|test|val|valid|validation|dev|eval)(?=[-_.]|$)")


class Files(list[Path]):
    """Files of a table in the order of its rows, and what their places say beyond them."""

    def __init__(self, paths: Sequence[Path], columns: Mapping[str, Path] | None = None) -> None:
        super().__init__(paths)
        self.columns = columns  # of files of one array each: the column that each is
        self.values: dict[Path, dict[str, str | None]] = {}  # values in the names of folders, by the file


@dataclass(frozen=True, slots=True)
class _Search:
    """How files are looked for."""

    key: str  # of the option that names them, for messages
    folder: Path  # of the data
    links: bool  # those that lead out of a folder are followed


def files_of(named: str | Sequence[str] | Mapping[str, str], folder: Path, key: str, links: bool = False) -> Files:
    """Find the files of a table, in the order of its rows.

    `named` is a path, a pattern (`train-*.parquet`, `**` for folders of any depth), or a folder of shards, or of
    pictures with a `metadata.csv`; several of them one after another; or a mapping of columns to .npy files. Relative
    ones are below `folder`. Shards come sorted by name, in which numbers count as such: part-2 before part-10. A folder
    `label=cat` is a column, as Hive and Spark write it. Files that are none of the table's are left aside in folders:
    hidden ones, `_SUCCESS`, `README.md`, ...

    Raises `InputError`, which names `key`, for what is not there, for files of several forms or splits in one folder,
    and for links that lead out of a folder unless `links` are followed.
    """
    search = _Search(key, folder, links)
    try:
        return _arrays(search, named) if isinstance(named, Mapping) else _tables(search, named)
    except (OSError, ValueError) as error:  # of a name that no file can have, or a folder that is closed
        if isinstance(error, InputError):
            raise
        raise InputError(f"{key}: {shown(named)} is refused: {error}") from error


def _arrays(search: _Search, named: Mapping[str, str]) -> Files:
    require(bool(named), search.key, dict(named), "at least one column and its file")
    columns = {}
    for column, name in named.items():
        columns[column] = path = search.folder / name
        key = f"{search.key}.{column}"
        if not path.is_file():
            raise InputError(_missing(_Search(key, search.folder, search.links), name))
        require(suffix(name) == ".npy", key, name, "a .npy file of one array")
    return Files(list(columns.values()), columns)


def _tables(search: _Search, named: str | Sequence[str]) -> Files:
    names = [named] if isinstance(named, str) else list(named)
    require(bool(names), search.key, names, "at least one file")
    found = [found for name in names for found in _find(search, name)]
    paths = [path for path, _ in found]
    twice = [path for path, times in Counter(paths).items() if times > 1]
    if twice:
        raise InputError(f"{search.key}: {twice[0]} is named twice: its rows would count twice")
    files = Files(paths)
    files.values = {path: values for path, root in found if (values := _values_in(path, root))}
    return files


def _find(search: _Search, name: str) -> Iterator[tuple[Path, Path]]:
    """Files of one name, each with the folder above those whose names say values."""
    path = search.folder / name
    root = search.folder if path.is_relative_to(search.folder) else path.parent
    if path.is_file():
        yield path, root
    elif path.is_dir():
        yield from ((file, root) for file in _shards(search, path))
    elif glob.has_magic(name):
        yield from _matches(search, name)
    elif path.is_symlink():
        raise InputError(f"{search.key}: {path} is a link to nothing")
    elif path.exists():
        raise InputError(f"{search.key}: {path} is neither a file nor a folder")
    else:
        raise InputError(_missing(search, name))


def _matches(search: _Search, name: str) -> Iterator[tuple[Path, Path]]:
    pattern = search.folder / name
    fixed = list(_until_magic(pattern.parts))
    base = Path(*fixed)
    rest = "/".join(pattern.parts[len(fixed) :])
    there = [path for path in base.glob(rest) if not _skipped(path.relative_to(base))] if base.is_dir() else []
    files = [path for path in there if not path.is_dir()]
    if not files:
        files = [file for path in there for file in _shards(search, path)]
    if not files:
        raise InputError(_missing(search, name))
    files = _ordered(files, base)
    for file in files:
        _check_link(search, file, base)
    _check_one_form(search, name, files)
    root = search.folder if base.is_relative_to(search.folder) else base
    yield from ((file, root) for file in files)


def _until_magic(parts: Sequence[str]) -> Iterator[str]:
    for part in parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _shards(search: _Search, folder: Path) -> list[Path]:
    """Files of a folder, and of those in it whose names say values."""
    saved = _saved(search, folder)
    if saved is not None:
        return saved
    files, others = [], []
    for path in _entries(search, folder, folder):
        if path.is_dir():
            others.append(path)
        else:
            files.append(path)
    tables = [path for path in files if suffix(path.name) in NAMES or suffix(path.name) in REFUSED_NAMES]
    if others and [path.name for path in tables] not in PICTURES:
        names = shown(", ".join(sorted(path.name for path in others))).strip("'")
        raise InputError(f"{search.key}: {folder} has folders: {names}: name one, or the files with a pattern")
    tables = tables or [path for path in files if not path.suffix]  # as Hadoop names them: part-00000
    if not tables:
        there = shown(", ".join(sorted(path.name for path in files))).strip("'") or "nothing"
        raise InputError(f"{search.key}: {folder} has no file of a table: there is {there}")
    tables = _ordered(tables, folder)
    _check_one_form(search, str(folder), tables)
    _check_one_split(search, folder, tables)
    return tables


def _entries(search: _Search, folder: Path, top: Path) -> Iterator[Path]:
    """What is in a folder and counts, with what is in those of its folders whose names say values."""
    for path in folder.iterdir():
        if _skipped(Path(path.name)):
            continue
        _check_link(search, path, top)
        if path.is_dir() and "=" in path.name:
            if path.is_symlink() and path.resolve() in (parent.resolve() for parent in path.parents):
                raise InputError(f"{search.key}: {path} is a link to a folder it is in")
            yield from _entries(search, path, top)
        else:
            yield path


def _skipped(path: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in path.parts if "=" not in part)
    return hidden or path.name in SKIPPED_JSON or any(fnmatch.fnmatch(path.name, pattern) for pattern in SKIPPED)


def _check_link(search: _Search, path: Path, folder: Path) -> None:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: of a circle, before Python 3.13
        raise InputError(f"{search.key}: {path} is a link to nothing") from error
    if not search.links and not real.is_relative_to(folder.resolve()):
        rule = "a link that leads out of the folder: dataset.table.follow_links: true follows it"
        raise InputError(f"{search.key}: {path} is refused: {rule} (it leads to {real})")


def _ordered(paths: Sequence[Path], base: Path) -> list[Path]:
    def key(path: Path) -> list[list[str | int]]:
        parts = path.relative_to(base).parts if path.is_relative_to(base) else path.parts
        return [[int(s) if i % 2 else s for i, s in enumerate(re.split(r"([0-9]+)", part))] for part in parts]

    return sorted(paths, key=lambda path: (key(path), str(path)))


def _check_one_form(search: _Search, name: str, files: Sequence[Path]) -> None:
    forms: dict[str, str] = {}
    for file in files:
        form = NAMES.get(suffix(file.name)) or REFUSED_NAMES.get(suffix(file.name), "")
        forms.setdefault(form, file.name)
    if len(forms) > 1:
        there = ", ".join(sorted(forms.values()))
        rule = f"files of several forms, such as {there}: name those meant with a pattern, such as *.parquet"
        raise InputError(f"{search.key}: {name!r} is refused: {rule}")


def _check_one_split(search: _Search, folder: Path, files: Sequence[Path]) -> None:
    """Refuse a folder that holds training set and test set, as those of the Hugging Face hub do."""
    splits = {match[1] for file in files if (match := SPLITS.search(file.name)) is not None}
    if len(splits) > 1:
        there = ", ".join(sorted(splits))
        raise InputError(
            f"{search.key}: {folder} has files of {there}: name those of one, such as {folder.name}/train-*"
        )


def _saved(search: _Search, folder: Path) -> list[Path] | None:
    """Files of a data set that Hugging Face's `save_to_disk` wrote; `None` for any other folder."""
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json").get("splits", [])
        inside = ", ".join(f"{_as_named(search, folder)}/{split}" for split in splits if isinstance(split, str))
        raise InputError(f"{search.key}: {folder} is a data set of several parts: name one of them: {inside}")
    state = folder / "state.json"
    if not (state.is_file() and (folder / "dataset_info.json").is_file()):
        return None
    about = _json(state)
    if about.get("_indices_files") or about.get("_indices_data_files"):
        rule = "a selection of another: load it with `datasets`, then flatten_indices() and save_to_disk() anew"
        raise InputError(f"{search.key}: {folder} is refused: {rule}")
    listed = about.get("_data_files")
    if listed == []:
        raise InputError(f"{search.key}: {folder}: is empty: a row for every example")
    entries = listed if isinstance(listed, list) else []
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in entries]
    if not names or not all(isinstance(name, str) and Path(name).name == name and name != ".." for name in names):
        raise InputError(f"{state}: damaged: its _data_files are names of files beside it: bring it anew")
    files = [folder / name for name in names if isinstance(name, str)]
    for file in files:
        if not file.is_file():
            raise InputError(f"{search.key}: {file} is missing: {state} lists it")
        _check_link(search, file, folder)
    return files


def _as_named(search: _Search, folder: Path) -> str:
    """Name a folder as the user would."""
    return str(folder.relative_to(search.folder) if folder.is_relative_to(search.folder) else folder)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: damaged: bring it anew") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: damaged: bring it anew")
    return found


def _missing(search: _Search, name: str) -> str:
    """Message for a name that leads nowhere, with those nearest to it."""
    path = search.folder / name
    place = next((parent for parent in path.parents if parent.is_dir()), Path(path.anchor))
    lost = path.relative_to(place).parts[0]
    there = [entry.name for entry in place.iterdir() if not _skipped(Path(entry.name))]
    near = get_close_matches(lost, there, n=3)
    hint = f"; the nearest there: {', '.join(near)}" if near else ""
    relative = "" if Path(name).is_absolute() else f"; it is relative to the data folder {search.folder} (--data-dir)"
    return f"{search.key}: {name!r}: there is no such file in {place}{hint}{relative}"


def _values_in(path: Path, root: Path) -> dict[str, str | None]:
    """Columns that the folders between `root` and the file are named for, each with its value."""
    parts = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    pairs = [part.partition("=") for part in parts if "=" in part[1:]]
    return {unquote(name): None if value == NOTHING else unquote(value) for name, _, value in pairs}

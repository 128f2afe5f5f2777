"""Parquet files of CIFAR as people have them from the Hugging Face hub: where they lie, and what to do with others."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

OWNER = "uoft-cs"  # of CIFAR on the hub
INNER = ("", "plain_text", "data", "default")  # folders in that of the data set, and one of its own name
PARTS = ("train", "test")
SHARD = re.compile(r"(?P<part>[a-z]+)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?\.parquet")  # older: a hash
NUMBERED = re.compile(r"\d{4,5}\.parquet")  # in a folder for each part, as the hub converts

# What to do with a file of another kind, by the end of its name; the first that is found counts.
ADVICE = {
    ".parquet": "is not where it is looked for: move it there",
    ".arrow": "is Arrow, not Parquet: `datasets.Dataset.to_parquet` writes each part",
    ".gz": "is packed: `tar xf` unpacks it",
    ".bin": "is of the binary version: `tosmooth data fetch` brings the one that is read",
}


def parquet_files(name: str, data: Path) -> dict[str, list[Path]] | None:
    """Find the files of training and test set, shards in their order; `None` unless both are whole in one folder."""
    for folder in _folders(name, data):
        found = {part: _whole(folder, name, part) for part in PARTS}
        if all(found.values()):
            return found
    return None


def nearest(name: str, data: Path) -> str:
    """Say what lies in the data folder that may be the data set and is not read as it is; empty where nothing does."""
    for folder, part in itertools.product(_folders(name, data), PARTS):
        if any(_shards(folder, name, part)) and not _whole(folder, name, part):
            there = sorted({path.name for _, _, path in _shards(folder, name, part)})
            return f"; {folder} has {', '.join(there)}: each shard once is the whole"
    for folder, (part, other) in itertools.product(_folders(name, data), (PARTS, PARTS[::-1])):
        if whole := _whole(folder, name, part):
            return f"; there is {whole[0]}, and no {other} set beside it"
    near = sorted(_near(name, data))
    for ending, advice in ADVICE.items():
        if found := [path for path in near if path.suffix == ending]:
            return f"; {found[0]} {advice}"
    return ""


def _folders(name: str, data: Path) -> Iterator[Path]:
    """Folders that may hold both parts: as the repository was brought, or as the hub's own cache has it."""
    own = [data / name, data / OWNER / name]
    cached = sorted(data.glob(f"datasets--*{name}/snapshots/*"))
    yield from (outer / inner for outer in (*own, *cached) for inner in (*INNER, name))


def _whole(folder: Path, name: str, part: str) -> list[Path]:
    """Files of one part, in their order: one file, or every shard once; else none."""
    for file in (folder / f"{part}.parquet", folder / f"{name}-{part}.parquet"):
        if file.is_file():
            return [file]
    shards = sorted(_shards(folder, name, part))
    for count, group in itertools.groupby(shards, lambda shard: shard[0]):
        numbers, paths = zip(*((number, path) for _, number, path in group), strict=True)
        if numbers == tuple(range(count)):
            return list(paths)
    return []


def _shards(folder: Path, name: str, part: str) -> Iterator[tuple[int, int, Path]]:
    """How many shards there shall be, the number of one, and its file."""
    for path in folder.glob("*.parquet"):
        match = SHARD.fullmatch(path.name.removeprefix(f"{name}-"))
        if match and match["part"] == part and path.is_file():  # and no link into a cache that was emptied
            yield int(match["count"]), int(match["number"]), path
    numbered = [path for path in (folder / part).glob("*.parquet") if NUMBERED.fullmatch(path.name) and path.is_file()]
    yield from ((len(numbered), int(path.stem), path) for path in numbered)


def _near(name: str, data: Path) -> Iterator[Path]:
    """Files in the data folder, and below folders whose names say that they are of the data set or of the hub."""
    for entry in data.glob("*"):
        plain = entry.name.lower().replace("-", "").replace("_", "")
        if not entry.is_dir():
            yield from [entry] if name in plain or entry.suffix == ".parquet" else []
        elif name in plain or entry.name in (OWNER, *INNER):
            yield from entry.rglob("*")

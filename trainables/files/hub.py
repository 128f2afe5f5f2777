"""Data sets of the Hugging Face hub, as addresses name them: each node fetches one into its cache, once.

`hf://OWNER/NAME` is a data set as the hub's library `datasets` reads it; `/SPLIT`, `@REVISION` and `#CONFIG` may
follow. `hf://datasets/OWNER/NAME/PATH` are files of its repository, as pandas and others write it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tosmooth.trainables.errors import LINE, InputError, require
from tosmooth.trainables.files.hub_fetch import COMMIT, DATA, HOME, REFUSED
from tosmooth.trainables.files.locks import held

SCHEME = "hf://"
WEB = "https://huggingface.co/datasets/"
FORMS = "hf://OWNER/NAME[@REVISION][/SPLIT][#CONFIG], or hf://datasets/OWNER/NAME[@REVISION]/PATH of files"
NAME = r"\w[\w.-]*"
ADDRESS = re.compile(
    rf"hf://(?P<long>datasets/)?(?P<repository>{NAME}(?:/{NAME})?)"
    r"(?:@(?P<revision>refs/(?:convert|pr)/[^/#]+|[^/#]+))?(?:/(?P<rest>[^#]*))?(?:#(?P<config>.+))?",
    re.ASCII,
)
OTHERS = ("models/", "spaces/", "buckets/")  # kinds of repositories that hold no data sets
PARQUET = {"~parquet": "refs/convert/parquet"}  # the hub's own Parquet of a data set: its short name
FETCH = Path(__file__).with_name("hub_fetch.py")


@dataclass(frozen=True, slots=True)
class Address:
    """A data set of the hub, or files of it."""

    repository: str  # OWNER/NAME; NAME alone is one of the hub's oldest
    revision: str | None  # branch, tag or commit
    config: str | None  # of a data set that has several
    split: str | None
    path: str | None  # of a file or folder of the repository, or a pattern; None: the data set

    def folder(self) -> str:
        """Name of the folder for what is fetched: all splits of a data set are fetched together."""
        what = json.dumps([self.repository, self.revision, self.config, self.path])
        return f"{self.repository.replace('/', '--')}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def on_hub(place: str) -> bool:
    """True for what is an address of the hub, also for a wrong one."""
    return place.startswith((SCHEME, WEB))


def address_of(place: str, key: str) -> Address:
    """Read an address. Raises `InputError`, which names `key`, for one that is none of a data set."""
    found = ADDRESS.fullmatch(place.rstrip("/"))
    if found is None or found["repository"].startswith(OTHERS):
        raise InputError(f"{key}: {place!r} is refused: write it {FORMS}")
    rest = found["rest"] or None
    path, split = (rest, None) if found["long"] else (None, rest)
    require(split is None or re.fullmatch(NAME, split) is not None, key, place, f"write it {FORMS}")
    inside = path is None or not {"", ".", ".."} & set(path.split("/"))
    require(inside and (path is None or found["config"] is None), key, place, f"write it {FORMS}")
    revision = PARQUET.get(found["revision"], found["revision"])
    return Address(found["repository"], revision, found["config"], split, path)


def bring(place: str, part: str, key: str, cache: Path) -> Path:
    """Fetch what an address names, unless the cache has it, and return the path of it there, which may be a pattern.

    `part`, "train" or "test", is the split where the address names none. The first process of a node fetches, under a
    lock; what is there is never asked for again. Raises `InputError`, with `key` and address, for what the hub does not
    have or not give, where it cannot be reached, and where `datasets` is not installed.
    """
    address = address_of(place, key)
    into = _folder(address, cache)
    if not into.is_dir():
        into.parent.mkdir(parents=True, exist_ok=True)
        with held(into.with_name(f"{into.name}.lock")):
            if not into.is_dir():
                _fetch(address, into, place, key)
    if address.path is not None:
        return into / DATA / address.path
    split = address.split or part
    splits = json.loads((into / DATA / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
    there = f"it has {', '.join(splits)}: name one, {SCHEME}{address.repository}/{splits[0]}"
    require(split in splits, key, place, f"no split {split!r} is in this data set; {there}")
    return into / DATA / split


def commit_of(place: str, key: str, cache: Path) -> str:
    """Commit of the repository at which something was fetched."""
    return (_folder(address_of(place, key), cache) / COMMIT).read_text(encoding="utf-8")


def _folder(address: Address, cache: Path) -> Path:
    return cache.absolute() / "hub" / address.folder()


def _fetch(address: Address, into: Path, place: str, key: str) -> None:
    """Have another process fetch into a folder beside `into`, where one that was stopped goes on, and move that there.

    Of its own, because the libraries settle when they are imported where they write and how long they wait.
    """
    partial = into.with_name(f"{into.name}.partial")
    partial.mkdir(exist_ok=True)
    order = json.dumps(asdict(address) | {"folder": str(partial)})
    done = subprocess.run(
        [sys.executable, "-P", str(FETCH), order],
        cwd=partial,  # `datasets` takes a folder of the same name for the data set
        env=_environment(partial / HOME),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        said = done.stdout if done.returncode == REFUSED else done.stderr
        line = (said.strip().splitlines() or [f"the process that fetches ended with {done.returncode}"])[-1][:LINE]
        raise InputError(f"{key}: {place!r} is refused: {line}")
    shutil.rmtree(partial / HOME, ignore_errors=True)
    partial.rename(into)


def _environment(home: Path) -> dict[str, str]:
    """Environment in which the libraries write below `home` alone; who the user is they read where they always do."""
    kept = {name: value for name, value in os.environ.items() if not re.fullmatch(r"(HF|HUGGINGFACE)_.*CACHE", name)}
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    own = Path(os.environ.get("HF_HOME", cache / "huggingface")).expanduser()
    quiet = ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK", "HF_HUB_DISABLE_PROGRESS_BARS")
    return {
        "HF_TOKEN_PATH": str(own / "token"),
        **kept,
        "HF_HOME": str(home),
        "TMPDIR": str(home.parent),
        "PYTHONIOENCODING": "utf-8",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        **dict.fromkeys(quiet, "1"),
    }

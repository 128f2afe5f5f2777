"""Download and check of the data sets that are not generated: CIFAR-10, CIFAR-100 and CIFAR-N's human labels."""

import shutil
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from urllib.parse import urljoin, urlsplit
from urllib.request import Request, urlopen

from tosmooth.trainables.data.cifar import (
    CIFAR_10,
    CIFAR_100,
    Cifar,
    HumanLabels,
    bring,
    official_files,
    train_labels,
    unpacked,
)
from tosmooth.trainables.data.hub_layout import parquet_files
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.files.digests import Algorithm, file_digest
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.files.locks import held
from tosmooth.trainables.noise.human_labels import human_labels
from tosmooth.trainables.noise.label_order import in_words, official_batches, reordered
from tosmooth.trainables.redact import masked

CIFARN_URL = "https://raw.githubusercontent.com/UCSC-REAL/cifar-10-100n/main/data/"  # the authors'; CC BY-NC 4.0
TIMEOUT = 60  # seconds without a byte
BLOCK = 2**18  # bytes

Progress = Callable[[str, int, int | None], None]  # name of the file, bytes so far, bytes in all where known

FETCHABLE: dict[str, tuple[Cifar, HumanLabels | None]] = {
    "cifar10": (CIFAR_10, None),
    "cifar10n": (CIFAR_10, CIFAR_10.human),
    "cifar100": (CIFAR_100, None),
    "cifar100n": (CIFAR_100, CIFAR_100.human),
}


@dataclass(frozen=True, slots=True)
class FileCheck:
    """Result of `verify` for one file."""

    path: Path
    state: Literal["ok", "missing", "damaged"]
    expected: str  # published digest: MD5 for torchvision's files, SHA-256 for CIFAR-N's
    found: str | None  # None: there is no file

    def __str__(self) -> str:
        if self.state == "ok":
            return f"ok       {self.path} ({self.found})"
        return f"{self.state:8} {self.path} (expected {self.expected}, found {self.found or 'nothing'})"


@dataclass(frozen=True, slots=True)
class SetCheck:
    """Result of `verify` for what the files are together."""

    what: str
    state: Literal["ok", "wrong"]
    words: str

    def __str__(self) -> str:
        return f"{self.state:8} {self.what}: {self.words}"


Check = FileCheck | SetCheck


def fetch(name: str, folders: Folders, progress: Progress | None = None, cifarn_url: str | None = None) -> list[Check]:
    """Download what is missing or damaged of a data set into the data folder, and say what is there now.

    Every file is checked against its published digest before it takes its name: a download that fails or is
    interrupted leaves nothing behind. `cifarn_url`: another address with CIFAR-N's files. Raises `InputError` where a
    file cannot be had or is not as published.
    """
    cifar, human = _known(name)
    require(folders.remote is None, "--data-dir", masked(folders.place), "a folder of this machine to download into")
    there = verify(name, folders)
    if all(check.state == "ok" for check in there):
        return there  # nothing is written, not even a lock: the folder may be read-only
    folders.data.mkdir(parents=True, exist_ok=True)
    folders.cache.mkdir(parents=True, exist_ok=True)
    report = progress or (lambda file, done, total: None)
    with held(folders.cache / "fetch.lock"), TemporaryDirectory(dir=folders.data, prefix=".fetch-") as scratch:
        if any(check.state != "ok" for check in _check_images(cifar, human, folders.data)):
            _fetch_images(cifar, folders.data, Path(scratch), report)
        if human is not None and _check_human(human, folders.data).state != "ok":
            part = Path(scratch) / human.file
            _download(urljoin(_cifarn_url(cifarn_url), human.file), part, "sha256", human.sha256, report)
            part.replace(folders.data / human.file)  # its digest is as published: a torn one would be brought anew
    return verify(name, folders)


def verify(name: str, folders: Folders) -> list[Check]:
    """Check all that a study needs of a data set, and say in which layout and order it lies there.

    Files that were published are compared with their digests; Parquet is read to its end. Human labels belong to the
    official order.
    """
    cifar, human = _known(name)
    bring(cifar, folders)
    checks = _check_images(cifar, human, folders.data)
    if human is not None:
        folders.bring(human.file, optional=True)
        whole = all(check.state == "ok" for check in checks)
        checks += [_check_human(human, folders.data)]
        checks += [_compare(cifar, human, folders.data)] if whole and checks[-1].state == "ok" else []
    return checks


def _known(name: str) -> tuple[Cifar, HumanLabels | None]:
    require(name in FETCHABLE, "data set", name, f"one of {', '.join(FETCHABLE)}; the others need no download")
    return FETCHABLE[name]


def _check(path: Path, expected: str, algorithm: Algorithm) -> FileCheck:
    if not path.is_file():
        return FileCheck(path, "missing", expected, None)
    found = file_digest(path, algorithm)
    return FileCheck(path, "ok" if found == expected else "damaged", expected, found)


def _check_human(human: HumanLabels, data: Path) -> FileCheck:
    return _check(data / human.file, human.sha256, "sha256")


def _check_images(cifar: Cifar, human: HumanLabels | None, data: Path) -> list[Check]:
    packed = parquet_files(cifar.name, data)
    official = (data / cifar.folder).exists()
    if packed is None or official:
        files = [_check(path, published, "md5") for path, published in official_files(cifar, data).items()]
    else:
        files = [check for part in packed for check in _check_parquet(cifar, part, packed[part])]
    if any(check.state != "ok" for check in files):
        return [*files]
    layout = SetCheck("layout", "ok", _layout(packed, official))
    return [*files, layout, _check_order(cifar, human, data)]


def _layout(packed: dict[str, list[Path]] | None, official: bool) -> str:
    if packed is None:
        return "torchvision's"
    if official:
        return f"torchvision's; the Parquet beside it, {packed['train'][0]}, is not read"
    files = " and ".join(f"{len(paths)} {part}" for part, paths in packed.items())
    return f"Parquet, files: {files}"


def _check_parquet(cifar: Cifar, part: str, paths: list[Path]) -> list[FileCheck]:
    """Check that every picture of a part decodes: the same images come in many packings, so no digest can be compared.

    Reading ends where something is wrong; what of the other files is not known then is not said.
    """
    expected, trouble = "Parquet that can be read to the end", ""
    try:
        deque(unpacked(cifar, part, paths), maxlen=0)  # some pictures at a time
    except InputError as error:
        trouble = str(error)
    if trouble:
        named = [path for path in paths if trouble.startswith(str(path))] or paths
        return [FileCheck(path, "damaged", expected, trouble.removeprefix(f"{path}: ")) for path in named]
    return [FileCheck(path, "ok", expected, file_digest(path)) for path in paths]


def _check_order(cifar: Cifar, human: HumanLabels | None, data: Path) -> SetCheck:
    """Say in which order the training set lies there: where no people labelled it any will do."""
    labels = train_labels(cifar, data)
    words, official = in_words(labels, cifar.human.batches), reordered(labels, cifar.human.batches)
    if (official != labels).any():
        return SetCheck("order", "ok", f"{words}, read in the official one")
    if human is None or official_batches(labels, cifar.human.batches) is not None:
        return SetCheck("order", "ok", words)
    advice = f"`tosmooth data fetch {cifar.name}n` brings the images in it"
    return SetCheck("order", "wrong", f"{words}: human labels belong to the official one: {advice}")


def _compare(cifar: Cifar, human: HumanLabels, data: Path) -> SetCheck:
    path, clean = data / human.file, reordered(train_labels(cifar, data), human.batches)
    try:
        for key in human.keys.values():
            human_labels(path, key, clean, human.batches)
    except InputError as error:
        return SetCheck("human labels", "wrong", str(error))
    return SetCheck("human labels", "ok", f"{path.name} belongs to these images, in this order")


def _fetch_images(cifar: Cifar, data: Path, scratch: Path, report: Progress) -> None:
    reader = cifar.reader()
    _download(reader.url, scratch / reader.filename, "md5", reader.tgz_md5, report)
    reader(scratch, download=True)  # finds the archive there, unpacks it and checks every file
    target = data / cifar.folder
    if target.exists():
        shutil.rmtree(target)
    (scratch / cifar.folder).replace(target)


def _cifarn_url(given: str | None) -> str:
    url = given or CIFARN_URL
    require(urlsplit(url).scheme in ("http", "https"), "cifarn-url", masked(url), "an address with http or https")
    return url if url.endswith("/") else f"{url}/"


def _download(url: str, path: Path, algorithm: Algorithm, expected: str, report: Progress) -> None:
    """Write what `url` gives to `path`, a temporary place, and raise `InputError` unless its digest is as expected."""
    try:
        request = Request(url, headers={"User-Agent": "tosmooth"})  # noqa: S310 - http or https, as looked at above
        with urlopen(request, timeout=TIMEOUT) as answer, path.open("wb") as file:  # noqa: S310
            total, done = answer.length, 0
            while block := answer.read(BLOCK):
                file.write(block)
                done += len(block)
                report(path.name, done, total)
    except (OSError, HTTPException) as error:
        advice = f"try again, or bring {path.name} yourself"
        raise InputError(f"{masked(url)}: the download failed: {error}: {advice}") from error
    if (found := file_digest(path, algorithm)) != expected:
        found = f"{algorithm} {found}, published is {expected}"
        raise InputError(f"{masked(url)}: what came is not the published file and was thrown away: {found}")

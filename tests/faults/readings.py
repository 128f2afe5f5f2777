"""Reads files for test_files.py, one after another, in bounded memory: `python readings.py FOLDER`.

A process of its own: what a damaged file does to a library in C ends this process, and the test sees which file did.
A line on standard input names what to read; a line of JSON on standard output says how that went.
"""

import json
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data import cifar
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.data.fetch import verify
from tosmooth.trainables.data.images import Chunk, decoded
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.human_labels import human_labels

HEADROOM = 2**30 + 2**29  # bytes of address space beyond what the libraries took: a gigabyte does not fit in twice
CLEAN = np.arange(200) % 10
FORMS = {".npz": ("x", "y"), ".npy": ("0",)}
TABLES = {
    "features.parquet": TableSource(train="features.parquet", features=("a", "b", "c"), clean_label="clean"),
    "pictures.parquet": TableSource(train="pictures.parquet", image="img"),
    "plain.parquet": TableSource(train="plain.parquet", image="img"),
}


def limit_memory() -> None:
    status = Path("/proc/self/statm")
    if status.exists():
        taken = int(status.read_text().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + HEADROOM, most))


def peak(anew: bool = False) -> int:
    """The most memory this process took since it was asked `anew`, in kilobytes; on macOS since its start."""
    here = Path("/proc/self")
    if not here.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if anew:
        (here / "clear_refs").write_text("5")
    (line,) = (line for line in (here / "status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


def read(name: str, folder: Path) -> None:
    """Read the file as the command does, and look at what it gave."""
    if name == "human.pt":
        labels = human_labels(folder / name, "worse_label", CLEAN)
        assert labels.dtype == np.int64
        assert labels.shape == CLEAN.shape
        assert set(labels.tolist()) <= set(range(10))
    elif name == "cached.arrow":
        examples = decoded(folder / "kept", "cached", [], gone)
        assert examples.inputs.dtype == torch.uint8
        assert len(examples.inputs) == len(examples.given)
        assert examples.inputs.sum() >= 0  # touches every page
    elif name == "verified.parquet":
        cifar.PARTS.update(train=6000, test=6000)
        for part in cifar.PARTS:
            (folder / "cifar10").mkdir(exist_ok=True)
            shutil.copyfile(folder / name, folder / "cifar10" / f"{part}.parquet")
        assert {check.state for check in verify("cifar10", Folders(folder, folder / "cache"))} == {"ok"}
    elif name.startswith("form."):
        read_form(folder / name)
    else:
        cache = folder / "cache"
        config = DataConfig(dataset="mine", noise="given", validation_fraction=0.5, table=TABLES[name])
        try:
            look_at(load_level(config, Folders(folder, cache)))
        finally:
            shutil.rmtree(cache, ignore_errors=True)  # each of thousands of damaged files would have its own there


def gone() -> Iterator[Chunk]:
    raise InputError("cached: damaged, and so is what it was decoded from")


def read_form(path: Path) -> None:
    """Read a table whole and in batches, column by column."""
    with open_table([path], "train") as table:
        rows = table.require(FORMS.get(path.suffix, ("x", "label", "text")), "form").rows
        for column in table.names:
            whole = table.read([column])
            whole.validate(full=True)
            assert whole.num_rows == sum(batch.num_rows for batch in table.batches([column], 16))
            assert path.suffix == ".npz" or whole.num_rows == rows


def look_at(data: LevelData) -> None:
    labels = torch.cat([data.train.labels, data.validation.labels])
    assert data.classes >= 2
    assert labels.min() >= 0
    assert labels.max() < data.classes
    if data.train.inputs.is_floating_point():
        assert torch.isfinite(data.train.inputs).all()
    assert len(data.train.inputs) == len(labels)


def main() -> None:
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        limit_memory()  # anew: threads that ended leave their room reserved
        answer: dict[str, Any] = {"outcome": "data", "message": ""}
        before = peak(anew=True)
        try:
            read(line.strip(), folder)
        except InputError as error:
            answer = {"outcome": "refused", "message": str(error)}
        except Exception as error:
            answer = {"outcome": type(error).__name__, "message": str(error)}
        answer["growth"] = peak() - before
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

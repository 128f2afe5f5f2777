"""CIFAR-10 for the benchmarks, shared by them: the user's, or random pictures of its shape where there is none.

Neither speed nor memory depends on what the pictures show; every benchmark says which of the two it used.
"""

import argparse
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.cifar import CIFAR_10, PARTS
from tosmooth.trainables.data.hub_layout import parquet_files
from tosmooth.trainables.files.folders import Folders

LABELLED, STAND_INS = "worst", ("symmetric-0.1", "symmetric-0.4")  # levels with CIFAR-N's labels, and without them

RANDOM = "random-pictures"  # a file beside such pictures, for whoever finds them


@dataclass(frozen=True, slots=True)
class Pictures:
    """Where the pictures lie, the noise level to load, and what they are."""

    config: DataConfig
    folders: Folders
    about: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--data-dir` and `--cache-dir`."""
    home = os.environ.get("TOSMOOTH_DATA_DIR", "tosmooth-home/data")
    text = "folder with CIFAR-10 and CIFAR-N's labels; without them random pictures [%(default)s]"
    parser.add_argument("--data-dir", type=Path, default=Path(home), metavar="DIR", help=text)
    parser.add_argument("--cache-dir", type=Path, metavar="DIR", help="keep decoded images there [a temporary folder]")


@contextmanager
def cifar10(options: argparse.Namespace) -> Iterator[Pictures]:
    """The pictures that the `options` name; what is made for them lasts as long as the context."""
    data: Path = options.data_dir
    with tempfile.TemporaryDirectory() as scratch:
        real = lies_in(data)
        if not real:
            data = Path(scratch) / "data"
            write_random_pictures(data / CIFAR_10.name, PARTS)
        human = (data / CIFAR_10.human.file).is_file()
        config = DataConfig(dataset="cifar10n", noise=LABELLED if human else STAND_INS[-1])
        real = real and not (data / CIFAR_10.name / RANDOM).exists()
        about = f"{'CIFAR-10' if real else 'no CIFAR-10 found: random pictures of its shape'}, labels {config.noise}"
        yield Pictures(config, Folders(data=data, cache=options.cache_dir or Path(scratch) / "cache"), about)


def lies_in(data: Path) -> bool:
    """True if CIFAR-10 is in the data folder, in either layout."""
    return parquet_files(CIFAR_10.name, data) is not None or (data / CIFAR_10.folder).is_dir()


def cut(config: DataConfig, size: int | None) -> DataConfig:
    """The same with `size` training images, and as large a share of the test set; None: all there are."""
    return config if size is None else replace(config, size=size, test_size=size * PARTS["test"] // PARTS["train"])


def write_random_pictures(folder: Path, parts: Mapping[str, int]) -> None:
    """Write a Parquet file for each of the `parts`, of so many rows, as CIFAR-10's are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RANDOM).touch()
    rng = np.random.default_rng(0)
    for part, rows in parts.items():
        pixels = rng.integers(0, 256, (rows, 32, 32, 3), np.uint8)
        images = [{"bytes": _encoded(Image.fromarray(picture))} for picture in pixels]
        labels = np.arange(rows) % CIFAR_10.classes
        pq.write_table(pa.table({"img": images, "label": labels}), folder / f"{part}.parquet")


def _encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "BMP")
    return file.getvalue()

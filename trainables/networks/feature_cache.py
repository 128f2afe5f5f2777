"""Features in a memory-mapped Arrow file that all trials of a machine share, made once.

What was computed before an interruption is kept: the next process goes on from there.
"""

import functools
import json
import logging
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from tosmooth.trainables.data.images import read_only
from tosmooth.trainables.errors import InputError, first_line
from tosmooth.trainables.files.atomic_write import replacing
from tosmooth.trainables.files.locks import held

log = logging.getLogger(__name__)

BETWEEN = 15.0  # seconds from one word on the progress to the next
LOST = 0.02  # share of a feature's standard deviation that float16 may take from its largest values
MOST = 6e4  # largest value that float16 holds
LARGE = 2**28  # bytes from which on they are spoken of
BLOCK = 4096  # rows that are worked on at once

Block = NDArray[np.float32]  # [n, D]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of pictures, in their order."""

    values: Tensor  # float16 or float32 [N, D], mapped: writing to it kills the process
    mean: tuple[float, ...]  # [D]
    std: tuple[float, ...]  # [D]; 1 where all are equal
    digest: str  # of the values, 8 hexadecimal digits


def kept_features(path: Path, rows: int, width: int, blocks: Callable[[int], Iterator[Block]], name: str) -> Features:
    """Open the file of features [rows, width], which is made first where it is not there.

    `blocks` computes them from a row on; `name`: of the network, for messages. They are kept as float16 where that
    takes at most 2 % of a standard deviation from any of them, else as float32. One process computes under a lock, in
    bounded memory; others wait for it. Raises `InputError` where the disk has no room or is not to be written to, or
    a value is not finite.
    """
    try:
        return _kept(path, rows, width, blocks, name)
    except OSError as error:  # of the disk, or of a user's network
        where = error.filename or path
        raise InputError(f"{where}: {error.strerror or error}; --cache-dir names another folder") from error


def _kept(path: Path, rows: int, width: int, blocks: Callable[[int], Iterator[Block]], name: str) -> Features:
    if (found := _whole(path)) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path.with_name(f"{path.name}.lock")):
            if (found := _whole(path)) is None:
                if path.exists():
                    log.warning("%s: damaged, and computed again", path)
                _check_room(path.parent, rows * width, name)
                spool = path.with_suffix(".rows")  # ours alone: the lock is held
                _compute(spool, rows, width, blocks, name)
                values: Block = np.memmap(spool, np.float32, "r", shape=(rows, width))
                with replacing(path, alone=True) as partial:
                    _to_arrow(values, partial)
                del values
                spool.unlink()
                found = _open(path, path.stat().st_mtime_ns)
    return found


def _check_room(cache: Path, values: int, name: str) -> None:
    """Say what many features will take; raise `InputError` where the cache's disk has no room for them."""
    size = 4 * values
    if size >= LARGE:
        log.warning(
            "features of %s take up to %.1f GB in %s; --cache-dir names another folder", name, size / 1e9, cache
        )
    free = shutil.disk_usage(cache).free
    if 2 * size > free:  # those that are being computed, and the file that is made of them
        room = f"features of {name} take up to {size / 2**30:.1f} GiB, and twice that while their file is made"
        raise InputError(f"{cache}: {room}; {free / 2**30:.1f} are free: name another disk's folder with --cache-dir")


def _compute(spool: Path, rows: int, width: int, blocks: Callable[[int], Iterator[Block]], name: str) -> None:
    """Append what lacks of the features to the spool."""
    with spool.open("ab") as file:
        done = start = file.tell() // (4 * width)
        file.truncate(done * 4 * width)  # half a row may be left of a process that was killed
        begun = told = time.monotonic()
        for block in blocks(done) if done < rows else ():
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if len(bad):
                raise InputError(f"network.name: {name} gives features that are not finite, of picture {done + bad[0]}")
            file.write(np.ascontiguousarray(block, np.float32).data)
            done += len(block)
            if (now := time.monotonic()) - told > BETWEEN and done < rows:
                file.flush()  # what a killed process leaves
                told, left = now, (now - begun) / (done - start) * (rows - done)
                log.warning("features of %s: %d of %d pictures, about %s left", name, done, rows, _in_words(left))


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _to_arrow(values: Block, partial: Path) -> None:
    rows, width = values.shape
    mean, std, kind = _facts(values)
    own: NDArray[Any] = np.empty((rows, width), kind)
    for block in _blocks(rows):
        own[block] = values[block]
    facts = json.dumps({"shape": [rows, width], "kind": kind, "mean": mean.tolist(), "std": std.tolist()}).encode()
    column = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width * own.itemsize), rows, [None, pa.py_buffer(own.reshape(-1).view(np.uint8))]
    )
    metadata = {b"facts": facts, b"crc": _crc(facts, own.reshape(-1).view(np.uint8))}
    batch = pa.record_batch([column], ["features"], metadata=metadata)
    with partial.open("wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _facts(values: Block) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Mean and standard deviation of each feature, and the type that keeps them: float16 or float32."""
    rows = len(values)
    mean = sum(values[block].sum(axis=0, dtype=np.float64) for block in _blocks(rows)) / rows
    square = sum(((values[block] - mean) ** 2).sum(axis=0) for block in _blocks(rows)) / rows
    largest = np.max([np.abs(values[block]).max(axis=0) for block in _blocks(rows)], axis=0)
    std = np.sqrt(square)
    constant = std <= 1e-7 * np.abs(mean)
    std[constant] = 1
    step = np.maximum(largest, 2.0**-14) * 2.0**-11  # half the distance of float16's values there
    small = bool((largest < MOST).all() and (step[~constant] <= LOST * std[~constant]).all())
    return mean, std, "float16" if small else "float32"


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, rows, BLOCK))


def _crc(facts: bytes, values: NDArray[np.uint8]) -> bytes:
    return b"%08x" % zlib.crc32(values.data, zlib.crc32(facts))


def _whole(path: Path) -> Features | None:
    """Features that the file holds; `None` if there is no file, or it is damaged."""
    try:
        return _open(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, InputError):
        return None


@functools.lru_cache(maxsize=8)
def _open(path: Path, changed: int) -> Features:
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            batch = reader.get_batch(0)
        batch.validate()
        facts, crc = (batch.schema.metadata[key] for key in (b"facts", b"crc"))
        flat = np.frombuffer(batch.column("features").buffers()[1], np.uint8)
        if crc != _crc(facts, flat):
            raise ValueError("its checksum does not fit")
        said = json.loads(facts)
        values = read_only(flat.view(said["kind"]).reshape(said["shape"]))
        return Features(values, tuple(said["mean"]), tuple(said["std"]), crc.decode())
    # What of the file is damaged decides which library stumbles over it, and how.
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: damaged ({first_line(error)})") from error

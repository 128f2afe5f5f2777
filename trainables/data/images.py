"""Pictures, decoded once into a memory-mapped Arrow file that all trials of a machine share."""

import functools
import hashlib
import json
import logging
import shutil
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from tosmooth.trainables.data.copies import Keys, keys_of
from tosmooth.trainables.data.examples import Examples
from tosmooth.trainables.data.labels import integers_of, require_integers
from tosmooth.trainables.data.pictures import AS_THEY_ARE, Dropped, Pixels, decoded_pictures
from tosmooth.trainables.data.tables.memory import check_memory
from tosmooth.trainables.data.tables.parquet import column_chunks, readable
from tosmooth.trainables.errors import InputError, first_line
from tosmooth.trainables.files.atomic_write import replacing
from tosmooth.trainables.files.locks import held
from tosmooth.trainables.noise.synthetic import Labels

log = logging.getLogger(__name__)

HARMLESS = 2**26  # bytes of encoded pictures that are refused to no file: they are packed as it is
# Bytes of decoded pictures that are refused to no file. Parquet stores equal values once: kilobytes may stand for any
# number of pictures.
DECODED = 2**32
# Rows read and decoded at once, and bytes they may take, were each the largest value: Arrow copies a value that is
# stored once for every row, before its size can be asked for. Few, as metadata may lie about what a column takes.
ROWS, BATCH = 4, 2**26
KEY, ROW = "key", "row"  # the columns of what equal pictures have in common, and of where in the source they are
COLUMNS = 4  # of int64 beside the pixels: these two, and given and clean labels
DARK = 64  # brightest value of all pictures below which something is wrong
LARGE = 2**28  # bytes of decoded pictures from which on they are spoken of
LAYOUT = 6  # of the decoded file; another number has everything decoded anew

Chunk = tuple[Pixels, Mapping[str, Labels]]  # [n, H, W, 3] and columns of labels, each [n]
Given = Chunk | Dropped | str  # a text is a remark


def decoded(cache: Path, name: str, source: Sequence[object], chunks: Callable[[], Iterator[Given]]) -> Examples:
    """The pictures that `chunks` yields, from the file in `cache` that was decoded from the same `source` before.

    `source` says what the pictures come from, digests of files included. Each picture is a row of it, a dropped one
    too: where there are such the examples say which rows they are. A text is a remark on them all. The first process
    decodes, under a lock and in bounded memory; others wait for it. The file appears in one step and carries a
    checksum: one that is damaged is made again. Raises `InputError` where all pictures are dropped.
    """
    key = hashlib.sha256(json.dumps([LAYOUT, *source]).encode()).hexdigest()[:16]
    path = cache / f"{name}-{key}.arrow"
    if (found := _whole(path)) is None:
        cache.mkdir(parents=True, exist_ok=True)
        with held(path.with_name(f"{path.name}.lock")):
            if (found := _whole(path)) is None:
                if path.exists():
                    log.warning("%s: damaged, and made again from the data it was decoded from", path)
                _write(path, chunks())
                found = _open(path, path.stat().st_mtime_ns)
    return found


def cache_bytes(rows: int, height: int, width: int) -> int:
    """Bytes that the file of so many decoded pictures takes; twice that while it is made."""
    return rows * (height * width * 3 + 8 * COLUMNS) + 2**16


def check_room(cache: Path, size: int) -> None:
    """Say what a large file of so many bytes will take, as `cache_bytes` has it, before it is made.

    Raises `InputError` where the cache's disk has no room for it.
    """
    if size >= LARGE:
        log.warning("decoded pictures take %.1f GB in %s; --cache-dir names another folder", size / 1e9, cache)
    free = shutil.disk_usage(cache).free
    if 2 * size > free:  # the pixels are spooled, and then wrapped
        room = f"decoded pictures take {size / 2**30:.1f} GiB, and twice that while the file is made"
        raise InputError(f"{cache}: {room}; {free / 2**30:.1f} are free: name another disk's folder with --cache-dir")


def pictures(
    path: Path, image: str, labels: Mapping[str, str], wanted: range | None = None
) -> Iterator[Chunk | Dropped]:
    """Decode the column `image` of a Parquet file; `labels` maps a name in the chunks to its column in the file.

    `wanted`: these rows alone.
    """
    with readable(path, [image, *labels.values()]) as file:
        leaf, at_once = _check_pictures(file, path, image, list(labels.values()))
        rows, first = file.metadata.num_rows, True
        asked = range(rows) if wanted is None else wanted
        waiting: deque[dict[str, Labels]] = deque()  # the labels of each picture that is being decoded

        def encoded() -> Iterator[tuple[bytes | None, str]]:
            for row, batch in _batches(file, path, [leaf, *labels.values()], at_once, asked):
                columns = {k: integers_of(batch.column(v), f"{path}, column {v!r}", row) for k, v in labels.items()}
                for i, value in enumerate(_encoded(batch.column(image))):
                    waiting.append({k: column[i : i + 1] for k, column in columns.items()})
                    yield value.as_py(), f"{path}, row {row + i}"  # a copy: while it waits the batch may go

        for pixels in decoded_pictures(encoded(), AS_THEY_ARE):
            own = waiting.popleft()
            if isinstance(pixels, Dropped):
                yield pixels
                continue
            if first:
                size = f"{rows} pictures of {pixels.shape[1]}x{pixels.shape[0]} pixels"
                check_memory(path, rows * pixels.nbytes, size, DECODED)
                first = False
            yield pixels[None], own


def _batches(
    file: pq.ParquetFile, path: Path, columns: list[str], at_once: int, wanted: range
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Read the `wanted` rows, some at a time, each time with the number of the first; row groups before are skipped."""
    about, row, first = file.metadata, 0, 0
    while row + about.row_group(first).num_rows <= wanted.start:
        row, first = row + about.row_group(first).num_rows, first + 1
    groups = list(range(first, about.num_row_groups))
    for batch in file.iter_batches(at_once, row_groups=groups, columns=columns):
        own = range(max(row, wanted.start), min(row + len(batch), wanted.stop))
        if own:
            yield own.start, batch.slice(own.start - row, len(own))
        row += len(batch)
        if wanted.stop <= row < about.num_rows:
            return
    if row != about.num_rows:  # Arrow ends where the column does, whatever the metadata say
        raise InputError(f"{path}: damaged: {row} rows where its metadata say {about.num_rows}: bring it anew")


def _check_pictures(file: pq.ParquetFile, path: Path, image: str, labels: Sequence[str]) -> tuple[str, int]:
    """The leaf that holds the encoded pictures, and how many rows to read at once.

    Raises `InputError` for all that can be refused before anything of it is in memory.
    """
    about, where = file.metadata, f"{path}, column {image!r}"
    check_memory(path, 8 * about.num_rows * len(labels), f"labels of {about.num_rows} rows")
    for name in labels:
        require_integers(file.schema_arrow.field(name).type, f"{path}, column {name!r}")
    kind = inner = file.schema_arrow.field(image).type
    nested = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    if nested:
        inner = kind.field("bytes").type
    if not (pa.types.is_binary(inner) or pa.types.is_large_binary(inner)):
        raise InputError(f"{where}: of type {kind}: encoded pictures are binary, or a struct with binary `bytes`")
    leaf = f"{image}.bytes" if nested else image
    paths = [file.schema.column(i).path for i in range(len(file.schema))]
    if paths.count(leaf) != 1:
        raise InputError(f"{where}: damaged: its schemas differ: bring it anew")
    chunks = column_chunks(file, path, [paths.index(leaf)])
    largest = max(chunk.total_uncompressed_size for chunk in chunks)
    check_memory(path, largest, f"a row group of column {image!r}", HARMLESS)
    return leaf, max(1, min(ROWS, BATCH // max(1, largest)))


def _encoded(column: pa.Array) -> pa.Array:
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def _write(path: Path, chunks: Iterator[Given]) -> None:
    """Spool the pixels to a file, then wrap them as one Arrow batch: one batch is what can be mapped as one tensor."""
    spool = path.with_suffix(".pixels")  # ours alone: the lock is held
    try:
        spooled = _spool(spool, chunks)
        with replacing(path, alone=True) as partial:
            _to_arrow(np.memmap(spool, np.uint8, "r", shape=spooled.shape), spooled, partial)
    finally:
        spool.unlink(missing_ok=True)


@dataclass
class _Spooled:
    """What is known of the pixels in the spool."""

    rows: int = 0
    picture: tuple[int, ...] = ()
    columns: dict[str, bytearray] = field(default_factory=dict)  # of int64: as many arrays as chunks take more room
    dropped: list[Dropped] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def remarks(self) -> list[str]:
        """What was done to the pictures."""
        if not self.dropped:
            return self.said
        many = f"{len(self.dropped)} pictures" if len(self.dropped) > 1 else "1 picture"
        return [*self.said, f"{many} could not be read, left out: {self.dropped[0].reason}"]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, *self.picture)

    def add(self, pixels: Pixels, labels: Mapping[str, Labels]) -> None:
        first, self.rows, self.picture = self.rows + len(self.dropped), self.rows + len(pixels), pixels.shape[1:]
        for name, column in {**labels, ROW: np.arange(first, first + len(pixels))}.items():
            own = self.columns.setdefault(name, bytearray())
            own.extend(np.ascontiguousarray(column, np.int64).data.cast("B"))


def _spool(spool: Path, chunks: Iterator[Given]) -> _Spooled:
    spooled = _Spooled()
    with spool.open("wb") as file:
        for chunk in chunks:
            if isinstance(chunk, Dropped):
                spooled.dropped.append(chunk)
            elif isinstance(chunk, str):
                spooled.said.append(chunk)
            else:
                file.write(np.ascontiguousarray(chunk[0]).data)
                spooled.add(*chunk)
    if spooled.dropped and not spooled.rows:
        raise InputError(f"no picture decodes of {len(spooled.dropped)}: {spooled.dropped[0].reason}")
    return spooled


def _to_arrow(pixels: Pixels, spooled: _Spooled, partial: Path) -> None:
    rows, *picture = pixels.shape
    kind = pa.binary(int(np.prod(picture)))
    column = pa.FixedSizeBinaryArray.from_buffers(kind, rows, [None, pa.py_buffer(pixels)])
    facts, keys = _facts(pixels)
    columns = {KEY: keys} | {name: np.frombuffer(column, np.int64) for name, column in spooled.columns.items()}
    remarks = [*spooled.remarks, *_on_values(facts.pop("brightest"))]
    images = json.dumps({"picture": picture, **facts, "remarks": remarks})
    metadata = {"images": images, "crc": _crc(images.encode(), pixels, columns)}
    batch = pa.record_batch([column, *map(pa.array, columns.values())], ["pixels", *columns], metadata=metadata)
    with partial.open("wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _facts(pixels: Pixels) -> tuple[dict[str, Any], Keys]:
    """Digest, mean, standard deviation and brightest value from exact counts of the 256 values; each picture's key."""
    digest, keys = hashlib.sha256(repr(pixels.shape).encode()), []
    counts = np.zeros((3, 256), np.int64)
    step = max(1, 2**22 // pixels[0].size)
    for start in range(0, len(pixels), step):
        block = np.ascontiguousarray(pixels[start : start + step])
        digest.update(block.data)
        keys.append(keys_of(block))
        counts += [np.bincount(block[..., c].ravel(), minlength=256) for c in range(3)]
    share = counts / counts.sum(axis=1, keepdims=True)
    values = np.arange(256) / 255
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
    std[std < 1e-6] = 1  # a channel of one value: nothing to scale
    brightest = int(np.flatnonzero(counts.any(axis=0)).max(initial=0))
    facts = {"mean": mean.tolist(), "std": std.tolist(), "digest": digest.hexdigest(), "brightest": brightest}
    return facts, np.concatenate(keys)


def _on_values(brightest: int) -> list[str]:
    """Say where pictures use a small part of the range, as those of 10 or 12 bits do in files of 16."""
    dark = f"no pixel is brighter than {brightest} of 255, so that much of what differs is lost"
    return [f"{dark}: scale pictures of 16 bits to their whole range"] if brightest < DARK else []


def _crc(facts: bytes, pixels: Pixels, labels: Mapping[str, Labels]) -> bytes:
    """The CRC-32 of all that is read from the file, as it stands there [8]: 1 to 4 GB/s, once a process."""
    crc = zlib.crc32(pixels.data, zlib.crc32(facts))
    for name, column in labels.items():
        crc = zlib.crc32(column.data, zlib.crc32(name.encode(), crc))
    return b"%08x" % crc


def _whole(path: Path) -> Examples | None:
    """Examples that the file holds; `None` if there is no file, or it is damaged."""
    try:
        return _open(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, InputError):
        return None


@functools.lru_cache(maxsize=8)  # all levels of a data set share one tensor: a GPU gets one copy of it
def _open(path: Path, changed: int) -> Examples:
    try:
        with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
            batch = reader.get_batch(0)
        batch.validate()
        return _examples(batch)
    # What of the file is damaged decides which library stumbles over it, and how.
    except (pa.ArrowException, OSError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: damaged ({first_line(error)})") from error


def _examples(batch: pa.RecordBatch) -> Examples:
    images, crc = (batch.schema.metadata[key] for key in (b"images", b"crc"))
    flat = np.frombuffer(batch.column("pixels").buffers()[1], np.uint8)
    columns = {
        name: integers_of(batch.column(name), f"column {name!r}") for name in batch.schema.names if name != "pixels"
    }
    if crc != _crc(images, flat, columns):
        raise ValueError("its checksum does not fit")
    facts = json.loads(images)
    pixels = read_only(flat.reshape(batch.num_rows, *facts["picture"]))
    mean, std = tuple(facts["mean"]), tuple(facts["std"])
    keys, rows = columns.pop(KEY), columns.pop(ROW)
    return Examples(
        inputs=pixels,
        labels=columns,
        digest=facts["digest"],
        mean=mean,
        std=std,
        keys=keys,
        source_rows=rows,
        remarks=tuple(facts["remarks"]),
    )


def read_only(array: Pixels) -> Tensor:
    with warnings.catch_warnings():
        # It is read-only by intent: the pages are shared with all trials of the machine, and nothing writes to them.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)

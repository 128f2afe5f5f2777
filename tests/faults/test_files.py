"""Files of users, damaged or made to do harm: each gives its data or is refused, and none ends the process.

A process reads them (readings.py), in bounded memory. The run of 10,000 damaged files is marked slow.
"""

import bz2
import gzip
import io
import json
import lzma
import pickle
import re
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pyarrow import csv

from tests.conftest import ROOT
from tests.tools import encoded
from tosmooth.trainables.data.images import decoded

RNG = np.random.default_rng(0)
ROWS = 60
LABELS = np.arange(200) % 10
PICTURES = RNG.integers(0, 256, (12, 16, 16, 3), np.uint8)
FORMATS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True, "exif": Image.Exif().tobytes()}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("GIF", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_deflate"}),
]
GROWTH = 2**18  # kilobytes that reading may take


class Reader:
    """The process that reads, started anew where a file has ended it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None

    def read(self, name: str) -> dict[str, Any]:
        """How reading the file of that name in the folder went: outcome, message, and kilobytes of memory it took."""
        if self._process is None:
            command = [sys.executable, "-m", "tests.faults.readings", str(self.folder)]
            log = (self.folder / "stderr").open("w")
            with log:
                self._process = subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
                )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            code, self._process = self._process.wait(), None
            words = (self.folder / "stderr").read_text()[-2000:]
            return {"outcome": f"the process ended with {code}", "message": words, "growth": 0}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    made = Reader(tmp_path_factory.mktemp("files"))
    yield made
    made.close()


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def archive(pickled: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A label file as torch.save lays it out, around any pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        made.writestr("archive/data.pkl", pickled)
        made.writestr("archive/version", "3\n")
        made.writestr("archive/byteorder", "little")
    return file.getvalue()


def label_pickle() -> bytes:
    """The pickle inside a label file as torch.save writes it."""
    file = io.BytesIO()
    torch.save({"clean_label": LABELS, "worse_label": (LABELS + 1) % 10, "random_label1": LABELS.copy()}, file)
    with zipfile.ZipFile(file) as written:
        (name,) = (name for name in written.namelist() if name.endswith("data.pkl"))
        return written.read(name)


def features(**options: Any) -> bytes:
    columns = {"a": RNG.normal(size=ROWS), "b": RNG.integers(0, 9, ROWS), "c": pa.array(RNG.random(ROWS) < 0.5)}
    labels = np.arange(ROWS) % 3
    return parquet({**columns, "label": labels, "clean": (labels + 1) % 3, "text": ["x"] * ROWS}, **options)


def pictures(blobs: Sequence[bytes], packed: bool, **options: Any) -> bytes:
    images = [{"bytes": blob, "path": "a.png"} for blob in blobs] if packed else list(blobs)
    return parquet({"img": images, "label": np.arange(len(blobs)) % 2}, **options)


OPTIONS: list[dict[str, Any]] = [
    {"compression": "none"},
    {"compression": "snappy", "write_page_checksum": True},
    {"compression": "gzip", "use_dictionary": False},
    {"compression": "zstd", "data_page_version": "2.0"},
    {"compression": "none", "use_dictionary": False, "column_encoding": "PLAIN", "row_group_size": 7},
]


def table() -> pa.Table:
    """Numbers, names of classes, texts and vectors."""
    return pa.table(
        {
            "x": RNG.normal(size=ROWS),
            "label": [f"class {i % 3}" for i in range(ROWS)],
            "text": [None if i == 3 else f'"{i}",\n' for i in range(ROWS)],
            "vector": pa.FixedSizeListArray.from_arrays(RNG.random(4 * ROWS), 4),
            "n": range(ROWS),
        }
    )


def arrow(columns: pa.Table, stream: bool = False, compression: str | None = None) -> bytes:
    file = io.BytesIO()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(file, columns.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(columns, max_chunksize=25)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def written(delimiter: str = ",") -> bytes:
    file = io.BytesIO()
    csv.write_csv(table().drop_columns("vector"), file, csv.WriteOptions(delimiter=delimiter))
    return file.getvalue()


def forms() -> dict[str, list[bytes]]:
    """A table in every form, by the name to read it under."""
    categories = table().set_column(1, "label", table()["label"].dictionary_encode())
    views = table().set_column(1, "label", table()["label"].cast(pa.string_view()))
    rows = table().to_pylist()
    lines = "\n".join(map(json.dumps, rows)).encode()
    return {
        "form.parquet": [parquet(dict(zip(table().column_names, table().columns, strict=True)), **o) for o in OPTIONS],
        "form.arrow": [arrow(table()), arrow(categories, compression="zstd"), arrow(views, compression="lz4")],
        "form.stream": [arrow(table(), stream=True), arrow(categories, True, "lz4"), arrow(views, stream=True)],
        "form.csv": [written(), written(";"), written("\t").decode().encode("utf-16")],
        "form.csv.gz": [gzip.compress(written()), bz2.compress(written()), lzma.compress(written())],
        "form.csv.zst": [pa.Codec(codec).compress(written(), asbytes=True) for codec in ("zstd", "lz4")],
        "form.jsonl": [lines, json.dumps(rows).encode(), json.dumps(rows, indent=1).encode()],
        "form.npz": [npz(x_train=PICTURES, y_train=np.arange(12)[:, None], names=np.array(["a", "b"]))],
        "form.npy": [npy(RNG.normal(size=(20, 3))), npy(np.asfortranarray(RNG.normal(size=(20, 3)).astype(">f4")))],
    }


def damaged(content: bytes, random: Random) -> bytes:
    """The bytes with one to three accidents: flipped, cut off, left out, written twice, zeroed, replaced."""
    for _ in range(random.choice([1, 1, 2, 3])):
        if not content:
            break
        # Half of the time near the end, where Parquet, zip and Arrow keep what they know of the rest.
        start = random.randrange(len(content))
        if random.random() < 0.5:
            start = max(0, len(content) - 1 - int(random.expovariate(1 / 200)))
        end = min(len(content), start + 1 + int(random.expovariate(1 / 20)))
        before, here, after = content[:start], content[start:end], content[end:]
        other = random.randrange(len(content))
        content = random.choice(
            [
                before + bytes([here[0] ^ 1 << random.randrange(8)]) + content[start + 1 :],
                before + bytes([random.choice([0, 1, 127, 128, 254, 255])]) + content[start + 1 :],
                before,
                before + after,
                before + here + here + after,
                before + bytes(len(here)) + after,
                before + random.randbytes(len(here)) + after,
                before + content[other : other + len(here)] + after,
                content[other:] if random.random() < 0.1 else before + here[::-1] + after,
            ]
        )
    return content


def damaged_files(folder: Path) -> dict[str, Callable[[Random], bytes]]:
    """By the name to read it under, what makes a damaged file: outside, or inside what is whole around it."""
    pickled = label_pickle()
    blobs = [[encoded(one, kind, **options) for one in PICTURES] for kind, options in FORMATS]
    tables = [features(**options) for options in OPTIONS]
    packed = [pictures(blobs[0], True, **options) for options in OPTIONS]
    cached = made_cache(folder)
    whole = {name: partial(one_of, contents) for name, contents in forms().items()}

    def one_blob(random: Random) -> bytes:
        whole = list(random.choice(blobs))
        at = random.randrange(len(whole))
        whole[at] = damaged(whole[at], random)
        return pictures(whole, packed=False)

    def label_file(random: Random) -> bytes:
        if random.random() < 0.3:
            return damaged(archive(pickled), random)
        return archive(damaged(pickled, random))

    return {
        "human.pt": label_file,
        "features.parquet": lambda random: damaged(random.choice(tables), random),
        "pictures.parquet": lambda random: damaged(random.choice(packed), random),
        "plain.parquet": one_blob,
        "cached.arrow": lambda random: damaged(cached, random),
        **whole,
    }


def one_of(contents: Sequence[bytes], random: Random) -> bytes:
    return damaged(random.choice(contents), random)


def made_cache(folder: Path) -> bytes:
    """The decoded pictures as they are kept, in `folder`/kept."""
    decoded(folder / "kept", "cached", [], lambda: iter([(PICTURES, {"label": np.arange(12) % 2})]))
    return cached_file(folder).read_bytes()


def cached_file(folder: Path) -> Path:
    (file,) = (folder / "kept").glob("cached-*.arrow")
    return file


def put(folder: Path, name: str, content: bytes) -> None:
    file = cached_file(folder) if name == "cached.arrow" else folder / name
    file.unlink(missing_ok=True)  # a new file: the old one can be mapped still
    file.write_bytes(content)


def check(answer: dict[str, Any], name: str) -> None:
    message = answer["message"]
    assert answer["outcome"] in ("data", "refused"), answer
    assert answer["growth"] < GROWTH
    if answer["outcome"] == "refused":
        assert name.partition(".")[0] in message or message.startswith("dataset.")
        assert len(message) < 1500
        assert "Traceback" not in message
        assert "\n" not in message


def test_whole_files_are_read(reader: Reader) -> None:
    whole = [("human.pt", archive(label_pickle())), ("cached.arrow", made_cache(reader.folder))]
    whole += [("features.parquet", features(**options)) for options in OPTIONS]
    for kind, options in FORMATS:
        blobs = [encoded(one, kind, **options) for one in PICTURES]
        whole += [("plain.parquet", pictures(blobs, False)), ("pictures.parquet", pictures(blobs, True))]
    whole += [(name, content) for name, contents in forms().items() for content in contents]
    for name, content in whole:
        put(reader.folder, name, content)
        answer = reader.read(name)
        assert answer["outcome"] == "data", answer


@pytest.mark.parametrize(
    "number",
    [
        300,
        pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.faults, pytest.mark.timeout(3600)]),
    ],
)
def test_a_damaged_file_gives_its_data_or_is_refused(number: int, reader: Reader) -> None:
    makers = damaged_files(reader.folder)
    outcomes: Counter[tuple[str, str]] = Counter()
    wrong = []
    for i in range(number):
        name = list(makers)[i % len(makers)]
        content = makers[name](Random(i))
        put(reader.folder, name, content)
        answer = reader.read(name)
        outcomes[name, answer["outcome"]] += 1
        try:
            check(answer, name)
        except AssertionError:
            wrong.append((i, name, answer))
    print(outcomes)
    assert not wrong, f"{len(wrong)} of {number} files, such as {wrong[:5]}"
    for name in makers:
        assert outcomes[name, "refused"] >= number / len(makers) / 20  # so that the damage is some


def test_columns_that_cannot_be_told_apart_are_refused(reader: Reader) -> None:
    columns = [pa.array(np.zeros(ROWS))] * 4 + [pa.array(np.arange(ROWS) % 3)] * 2
    twice = pa.table(columns, names=["a", "b", "c", "a", "label", "clean"])
    file = io.BytesIO()
    pq.write_table(twice, file)
    put(reader.folder, "features.parquet", file.getvalue())
    answer = reader.read("features.parquet")
    check(answer, "features.parquet")
    assert "has more than once the column 'a': its columns are a, b, c, a, label, clean" in answer["message"]


def test_a_column_whose_name_is_no_text_is_refused(reader: Reader) -> None:
    put(reader.folder, "features.parquet", features(store_schema=False).replace(b"text", b"t\xff\xfft"))
    answer = reader.read("features.parquet")
    check(answer, "features.parquet")
    assert "damaged, or no Parquet file" in answer["message"]


# What a few kilobytes can claim to be. Each of these took gigabytes, or every byte there is, where it was just read.


def varint(number: int) -> bytes:
    """A number as Parquet's metadata have it: 7 bits a byte, least first, the sign last of all."""
    rest, out = number << 1, bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*out, rest])


def with_claimed_rows(content: bytes, rows: int, claimed: int, times: int) -> bytes:
    """A Parquet file whose metadata say `claimed` where they said `rows`, which they do `times` times or more."""
    size = int.from_bytes(content[-8:-4], "little")
    body, about = content[: -8 - size], content[-8 - size : -8]
    field = b"\x16"  # the next field, a number of 64 bits
    assert about.count(field + varint(rows)) >= times
    about = about.replace(field + varint(rows), field + varint(claimed))
    return body + about + len(about).to_bytes(4, "little") + b"PAR1"


def rows_that_are_not_there() -> bytes:
    numbers, labels = RNG.random(12345), np.arange(12345) % 3
    content = parquet({"a": numbers, "b": numbers, "c": numbers, "label": labels, "clean": labels})
    return with_claimed_rows(content, 12345, 2**40, 2)


def rows_of_one_part_alone() -> bytes:
    """The row group claims them, the file does not."""
    content = rows_that_are_not_there()
    size = int.from_bytes(content[-8:-4], "little")
    about = content[-8 - size : -8].replace(b"\x16" + varint(2**40), b"\x16" + varint(12345), 1)
    return content[: -8 - size] + about + len(about).to_bytes(4, "little") + b"PAR1"


def pictures_that_are_not_there(claimed: int = 2**40) -> bytes:
    blobs = [encoded(one) for one in RNG.integers(0, 256, (1234, 4, 4, 3), np.uint8)]
    return with_claimed_rows(pictures(blobs, packed=False), 1234, claimed, 2)


def a_picture_that_is_not_there() -> bytes:
    return pictures_that_are_not_there(1235)


def one_value_in_every_row() -> bytes:
    """40 million rows in a few kilobytes: a run of one entry of the dictionary."""
    zeros = pa.array(np.zeros(40_000_000, np.int8))
    return parquet(dict.fromkeys(("a", "b", "c", "label", "clean"), zeros), compression="zstd")


def once(value: bytes | str, rows: int) -> pa.DictionaryArray:
    """The value in every row, and in memory once."""
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [value])


def labels_of_long_texts() -> bytes:
    """50 GB of text in 50,000 rows."""
    columns = {"a": np.zeros(50_000), "b": np.zeros(50_000), "c": np.zeros(50_000), "clean": np.zeros(50_000, int)}
    return parquet({**columns, "label": once("x" * 2**20, 50_000)}, store_schema=False)


def png(width: int, height: int) -> bytes:
    """Black and white, all black, packed to a thousandth."""
    packed = zlib.compressobj(1)
    rows = b"".join(packed.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + packed.flush()

    def part(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", rows) + part(b"IEND", b"")


def a_picture_of_a_gigabyte() -> bytes:
    """1.2 GB in RGB."""
    return pictures([png(20_000, 20_000)] * 2, packed=False)


def a_dictionary_of_large_pictures(size: int = 10_000_000) -> bytes:
    """128 rows with the same 10 MB, which Arrow would copy for each."""
    large = once(bytes(size), 128)
    return parquet({"img": large, "label": np.arange(128) % 2}, compression="zstd", store_schema=False)


def a_dictionary_that_claims_to_be_small() -> bytes:
    """The same with 5 MB, where the metadata say that the column has 2 MB: 640 MB, were all rows read at once."""
    content = a_dictionary_of_large_pictures(5_000_000)
    size = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(0).total_uncompressed_size
    small = varint(2**21)
    assert (content.count(varint(size)), len(small)) == (1, len(varint(size)))
    return content.replace(varint(size), small)


def a_picture_in_every_row() -> bytes:
    """100,000 of 3 MB in RGB. The files of all of them are a gigabyte, which a reader that kept them would take."""
    file = png(1024, 1024) + RNG.bytes(10_000)
    return parquet({"img": once(file, 10**5), "label": np.arange(10**5) % 2}, store_schema=False)


def labels_in_every_row() -> bytes:
    """200 million, beside a picture of one pixel."""
    rows = 200_000_000
    return parquet({"img": once(png(1, 1), rows), "label": np.zeros(rows, np.int8)}, store_schema=False)


def pages_of_zeros() -> bytes:
    """Two pictures of 100 MB, packed to a thousandth."""
    return pictures([bytes(100_000_000)] * 2, packed=False, use_dictionary=False, compression="zstd")


def a_member_of_half_a_gigabyte() -> bytes:
    """A label file whose pickle is deflated."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        with made.open("archive/data.pkl", "w", force_zip64=True) as member:
            for _ in range(512):
                member.write(bytes(2**20))
        made.writestr("archive/version", "3\n")
    return file.getvalue()


def a_member_that_claims_a_terabyte() -> bytes:
    content = archive(label_pickle())
    size = len(label_pickle()).to_bytes(4, "little")
    assert content.count(size) >= 4  # packed and unpacked, beside the member and in the directory
    return content.replace(size, (2**32 - 2).to_bytes(4, "little"))


class Claim:
    """Pickles into an array of many numbers, without them."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> tuple[Any, ...]:
        return np.ndarray(0).__reduce__()[0], (np.ndarray, (self.size,), b"b")


def arrays_that_claim_a_terabyte() -> bytes:
    return archive(pickle.dumps({"clean_label": Claim(2**40), "worse_label": Claim(2**40)}, protocol=2))


def a_file_of_many_megabytes() -> bytes:
    return archive(label_pickle()) + bytes(2**27)


def packed(*parts: bytes, times: int = 1) -> bytes:
    """Parts as members of a gzip file, the last of them many times."""
    *before, last = map(gzip.compress, parts)
    return b"".join(before) + last * times


def a_csv_of_gigabytes() -> bytes:
    return packed(b"x,label,text\n", (b"1,a,%s\n" % (b"x" * 2**16)) * 2**5, times=600)


def a_csv_of_zeros() -> bytes:
    return packed(b"x,label,text\n", bytes(2**20), times=1000)


def a_line_of_a_gigabyte() -> bytes:
    return packed(b"x,label,text\n1,2,", b"x" * 2**20, times=1000)


def a_quotation_of_a_gigabyte() -> bytes:
    return packed(b'x,label,text\n1,2,"', b"3,4,5\n" * 2**18, times=700)


def a_heading_of_a_gigabyte() -> bytes:
    return packed(b"x,label,text", b",name" * 2**18, times=800)


def a_heading_of_many_names() -> bytes:
    return b"x,label,text" + b"," * 500_000 + b"\n1,2,3\n"


def an_object_of_a_gigabyte() -> bytes:
    return packed(b'{"x": 1, "label": "', b"x" * 2**20, times=1000)


def an_array_in_arrays() -> bytes:
    return b'{"x": ' + b"[" * 10**6


def objects_in_objects() -> bytes:
    return b'{"x": 1, "label": ' * 10**5 + b"1" + b"}" * 10**5


def objects_of_other_names() -> bytes:
    rows = ({f"{i}-{j}": 1 for j in range(10)} for i in range(10_000))
    return b"\n".join(json.dumps(row).encode() for row in rows)


def vectors_that_are_not_there() -> bytes:
    vectors = pa.array([[1.0, 2.0, 3.0]] * 411 + [[1.0]])
    content = parquet({"x": vectors, "label": np.zeros(412), "text": np.zeros(412)}, use_dictionary=False)
    return with_claimed_rows(content, 1234, 2**40, 1)


def text_in_every_row() -> bytes:
    text = once("x" * 2**20, 50_000)
    return parquet({"x": np.zeros(50_000), "label": text, "text": np.zeros(50_000)}, store_schema=False)


def a_category_in_every_row() -> bytes:
    """Few rows a batch, which is 25 MB: 10 GB in all."""
    category = once("x" * 2**20, 10**4)
    return arrow(pa.table({"x": np.zeros(10**4), "label": category, "text": np.zeros(10**4)}), compression="zstd")


def a_view_in_every_row() -> bytes:
    """Of the same megabyte."""
    text = b"x" * 2**20
    view = np.zeros((1000, 4), np.int32)
    view[:] = [len(text), int.from_bytes(text[:4], "little"), 0, 0]
    column = pa.Array.from_buffers(pa.string_view(), 1000, [None, pa.py_buffer(view), pa.py_buffer(text)])
    table = pa.table({"x": np.zeros(1000), "label": column, "text": np.zeros(1000)})
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def a_batch_of_zeros() -> bytes:
    zeros = pa.array(np.zeros(2**25))
    file = io.BytesIO()
    table = pa.table({"x": zeros, "label": zeros, "text": zeros, "n": zeros, "m": zeros})
    with pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return file.getvalue()


BOMBS: list[tuple[str, Callable[[], bytes], str]] = [
    ("features.parquet", rows_that_are_not_there, "1099511627776 rows of 5 columns: .* bytes in memory"),
    ("features.parquet", rows_of_one_part_alone, "12345 rows in all, 1099511627776 in its row groups"),
    ("features.parquet", one_value_in_every_row, "40000000 rows of 5 columns: 1600000000 bytes in memory"),
    ("features.parquet", labels_of_long_texts, "column 'label': .* bytes in memory"),
    ("plain.parquet", a_picture_of_a_gigabyte, "row 0: the picture has more than 64 megapixels"),
    ("plain.parquet", pictures_that_are_not_there, "1099511627776 rows of 1 columns: .* bytes in memory"),
    ("plain.parquet", a_picture_that_is_not_there, "damaged: 1234 rows where its metadata say 1235"),
    ("plain.parquet", a_dictionary_of_large_pictures, "row 0: the picture does not decode: its bytes are zero"),
    ("plain.parquet", a_dictionary_that_claims_to_be_small, "row 0: the picture does not decode: its bytes are zero"),
    ("plain.parquet", a_picture_in_every_row, "100000 pictures of 1024x1024 pixels: 314572800000 bytes in memory"),
    ("plain.parquet", labels_in_every_row, "200000000 rows of 1 columns: 1600000000 bytes in memory"),
    ("plain.parquet", pages_of_zeros, "a row group of the columns img: 2000.* bytes in memory"),
    ("form.csv.gz", a_csv_of_gigabytes, "unpacked: .* bytes in memory"),
    ("form.csv.gz", a_csv_of_zeros, "holds characters 0"),
    ("form.csv.gz", a_line_of_a_gigabyte, "a row is longer than"),
    ("form.csv.gz", a_quotation_of_a_gigabyte, "a quotation that is opened is not closed"),
    ("form.csv.gz", a_heading_of_a_gigabyte, "no heading"),
    ("form.csv", a_heading_of_many_names, "500003 columns: at most"),
    ("form.jsonl.gz", an_object_of_a_gigabyte, "row 0: no JSON, or longer than"),
    ("form.jsonl", an_array_in_arrays, "nested too deeply"),
    ("form.jsonl", objects_in_objects, "nested too deeply"),
    ("form.jsonl", objects_of_other_names, "columns that few rows have: .* bytes in memory"),
    ("form.parquet", vectors_that_are_not_there, "values of column 'x': .* bytes in memory"),
    ("form.parquet", text_in_every_row, "column 'label': .* bytes in memory"),
    ("form.arrow", a_category_in_every_row, "columns? '?label'?: .* bytes in memory"),
    ("form.stream", a_view_in_every_row, "column 'label': .* bytes in memory"),
    ("form.arrow", a_batch_of_zeros, "unpacked: .* bytes in memory"),
    ("human.pt", a_member_of_half_a_gigabyte, "its parts claim 5368.* bytes of .*: torch.save does not compress them"),
    ("human.pt", a_member_that_claims_a_terabyte, "damaged or unsafe"),
    ("human.pt", arrays_that_claim_a_terabyte, "damaged or unsafe"),
    ("human.pt", a_file_of_many_megabytes, "damaged or unsafe"),
]


@pytest.mark.parametrize(("name", "make", "rule"), BOMBS, ids=[make.__name__ for _, make, _ in BOMBS])
def test_a_small_file_that_stands_for_gigabytes_is_refused(
    name: str, make: Callable[[], bytes], rule: str, reader: Reader
) -> None:
    put(reader.folder, name, make())
    answer = reader.read(name)
    check(answer, name)
    assert answer["outcome"] == "refused"
    assert re.search(rule, answer["message"]), answer


def test_data_verify_reads_some_pictures_at_a_time(reader: Reader) -> None:
    """1.8 GB of pictures in a file of one row group, which is 300 kB: the same in every row."""
    column = once(encoded(PICTURES[0], "PNG") + RNG.bytes(300_000), 6000)
    content = parquet({"img": column, "label": np.arange(6000) % 10}, store_schema=False)
    put(reader.folder, "verified.parquet", content)
    answer = reader.read("verified.parquet")
    check(answer, "verified.parquet")
    assert answer["outcome"] == "data", answer

"""Pictures: decoding, checks, the mapped file, several processes."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.tools import encoded
from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.data.examples import Examples
from tosmooth.trainables.data.images import Chunk, cache_bytes, check_room, decoded, pictures
from tosmooth.trainables.data.own_data import _parts
from tosmooth.trainables.data.pictures import Dropped
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.digests import file_digest, remembered_sha256
from tosmooth.trainables.files.folders import Folders

Save = Callable[..., Path]
PIXELS = np.random.default_rng(0).integers(0, 256, (150, 8, 6, 3), np.uint8)
LABELS = np.arange(150) % 3


def packed(content: list[bytes]) -> list[dict[str, bytes | None]]:
    return [{"bytes": one, "path": None} for one in content]


def read(path: Path, cache: Path) -> Examples:
    return decoded(cache, "some", [file_digest(path)], lambda: pictures(path, "img", {"label": "label"}))


def test_pictures_come_back_as_they_were_in_order(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "a.parquet", img=packed([encoded(one) for one in PIXELS]), label=LABELS)
    examples = read(path, tmp_path / "cache")
    assert examples.inputs.shape == (150, 8, 6, 3)
    assert (examples.inputs.numpy() == PIXELS).all()
    assert (examples.given == LABELS).all()
    np.testing.assert_allclose(examples.mean, (PIXELS / 255).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(examples.std, (PIXELS / 255).std(axis=(0, 1, 2)))


def test_plain_binary_and_other_formats_are_read(tmp_path: Path, save: Save) -> None:
    content = [encoded(PIXELS[0], "WEBP", lossless=True), encoded(PIXELS[1], "BMP"), encoded(PIXELS[2], "TIFF")]
    path = save(tmp_path / "a.parquet", img=content, label=[0, 1, 2])
    assert (read(path, tmp_path / "cache").inputs.numpy() == PIXELS[:3]).all()


def test_channel_of_one_value_is_not_scaled(tmp_path: Path) -> None:
    def chunks() -> Iterator[Chunk]:
        yield np.full((2, 4, 4, 3), 51, np.uint8), {"label": np.array([0, 1])}

    examples = decoded(tmp_path, "even", [], chunks)
    assert examples.mean == pytest.approx((0.2, 0.2, 0.2))  # 51 / 255
    assert examples.std == (1.0, 1.0, 1.0)


def test_tensor_is_mapped_and_no_copy(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "a.parquet", img=packed([encoded(one) for one in PIXELS]), label=LABELS)
    examples = read(path, tmp_path / "cache")
    again = read(path, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("*.arrow")
    offset = file.read_bytes().index(PIXELS.tobytes())
    with file.open("r+b") as changed:
        changed.seek(offset)
        changed.write(bytes([PIXELS[0, 0, 0, 0] ^ 255]))
    assert examples.inputs[0, 0, 0, 0] == again.inputs[0, 0, 0, 0] == PIXELS[0, 0, 0, 0] ^ 255


def test_pictures_are_decoded_once_and_anew_when_the_source_changes(tmp_path: Path) -> None:
    calls = []

    def chunks() -> Iterator[Chunk]:
        calls.append(1)
        yield PIXELS, {"label": LABELS}

    digests = {decoded(tmp_path, "some", ["one"], chunks).digest for _ in range(3)}
    assert len(calls) == len(digests) == 1
    decoded(tmp_path, "some", ["two"], chunks)
    assert len(calls) == 2


def test_failed_decoding_leaves_no_file_that_could_be_taken_for_whole(tmp_path: Path) -> None:
    def chunks() -> Iterator[Chunk]:
        yield PIXELS, {"label": LABELS}
        raise InputError("row 150: damaged")

    with pytest.raises(InputError, match="row 150"):
        decoded(tmp_path, "some", [], chunks)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_pictures_that_were_dropped_are_counted_and_the_rows_of_the_others_kept(tmp_path: Path) -> None:
    def chunks() -> Iterator[Chunk | Dropped]:
        yield Dropped("row 0: cut")
        yield PIXELS[1:4], {"label": LABELS[1:4]}
        yield from (Dropped(f"row {row}: empty") for row in range(4, 14))
        yield PIXELS[14:], {"label": LABELS[14:]}

    for examples in (decoded(tmp_path, "some", [], chunks), decoded(tmp_path, "some", [], chunks)):
        assert examples.source_rows is not None
        assert examples.source_rows.tolist() == [1, 2, 3, *range(14, 150)]
        assert (examples.inputs.numpy() == PIXELS[examples.source_rows]).all()
        assert (examples.given == LABELS[examples.source_rows]).all()
        assert set(examples.labels) == {"label"}
        assert examples.remarks == ("11 pictures could not be read, left out: row 0: cut",)


def test_where_none_is_dropped_every_row_is_there(tmp_path: Path) -> None:
    examples = decoded(tmp_path, "some", [], lambda: iter([(PIXELS[:70], {}), (PIXELS[70:], {})]))
    assert examples.source_rows is not None
    assert examples.source_rows.tolist() == list(range(150))
    assert examples.remarks == ()


def test_data_of_which_no_picture_decodes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture decodes of 2: row 0: cut"):
        decoded(tmp_path, "some", [], lambda: iter([Dropped("row 0: cut"), Dropped("row 1: empty")]))
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_size_of_the_file_is_known_before_and_asked_of_the_disk(tmp_path: Path) -> None:
    size = cache_bytes(150, 8, 6)
    decoded(tmp_path, "some", [], lambda: iter([(PIXELS, {"label": LABELS, "clean_label": LABELS})]))
    (file,) = tmp_path.glob("*.arrow")
    assert size - 2**16 <= file.stat().st_size <= size
    with pytest.raises(InputError, match=r"decoded pictures take 14.* GiB, .*; .* are free: .* --cache-dir") as refused:
        check_room(tmp_path, cache_bytes(10**8, 224, 224))
    assert str(refused.value).startswith(f"{tmp_path}: ")


def damaged(whole: bytes) -> Iterator[bytes]:
    """With a flipped bit, or torn, everywhere in the small parts of an Arrow file and here and there in the pixels."""
    head, tail = whole.index(PIXELS[0].tobytes()), whole.index(PIXELS[-1].tobytes()) + PIXELS[-1].nbytes
    for place in (*range(0, head, 3), *range(head, tail, 997), *range(tail, len(whole), 3)):
        yield whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
    yield from (whole[: place * len(whole) // 20] for place in range(20))


def test_damaged_cache_is_made_again_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def chunks() -> Iterator[Chunk]:
        calls.append(1)
        yield PIXELS, {"label": LABELS, "clean_label": LABELS[::-1].copy()}

    first = decoded(tmp_path, "some", [], chunks)
    (file,) = tmp_path.glob("*.arrow")
    whole = file.read_bytes()
    noticed = 0
    for content in damaged(whole):
        file.unlink()  # it is mapped
        file.write_bytes(content)
        calls.clear()
        caplog.clear()
        found = decoded(tmp_path, "some", [], chunks)
        assert (found.inputs.numpy() == PIXELS).all()
        assert {name: labels.tolist() for name, labels in found.labels.items()} == {
            "label": LABELS.tolist(),
            "clean_label": LABELS[::-1].tolist(),
        }
        assert (found.digest, found.mean, found.std) == (first.digest, first.mean, first.std)
        if calls:
            noticed += 1
            assert file.read_bytes() == whole
            assert caplog.messages == [f"{file}: damaged, and made again from the data it was decoded from"]
        else:  # what no one reads: padding, and how Arrow's tables are laid out
            assert content != whole
    assert noticed > 500


def test_bit_that_flips_in_the_source_of_a_damaged_cache_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"img": packed([encoded(one) for one in PIXELS]), "label": LABELS}), path)  # no checksums
    table = TableSource(train="a.parquet", label="label", image="img")
    config = DataConfig(dataset="mine", noise="given", table=table)
    folders = Folders(data=tmp_path, cache=tmp_path / "cache")
    load_level(config, folders)
    (cached,) = folders.cache.glob("*.arrow")
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as it decays on a disk
    load_level(config, folders)  # the pictures as they were
    cached.unlink()
    _parts.cache_clear()  # as another process
    with pytest.raises(InputError, match=r"a\.parquet: damaged \(SHA-256 .{64} -> .{64}\): bring it anew"):
        load_level(config, folders)


@pytest.mark.parametrize("group", [7, 40, 150])
def test_rows_that_are_asked_for_are_read_and_no_others(tmp_path: Path, group: int) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"img": packed([encoded(one) for one in PIXELS]), "label": LABELS})
    pq.write_table(table, path, row_group_size=group)
    for rows in (range(150), range(1), range(149, 150), range(39, 41), range(30, 97)):
        pixels, labels = zip(*pictures(path, "img", {"label": "label"}, rows), strict=True)
        assert (np.concatenate(pixels) == PIXELS[rows]).all()
        assert (np.concatenate([each["label"] for each in labels]) == LABELS[rows]).all()


DECODE = """
import sys, time
from pathlib import Path
from tosmooth.trainables.data.images import decoded, pictures

here, name = Path(sys.argv[1]), sys.argv[2]

def chunks():
    (here / f"decoded-{name}").touch()
    time.sleep(0.5)  # so that the other comes while the lock is held
    yield from pictures(here / "a.parquet", "img", {"label": "label"})

(here / f"ready-{name}").touch()
while len(list(here.glob("ready-*"))) < 2:
    time.sleep(0.01)
print(decoded(here / "cache", "some", [], chunks).digest)
"""


def test_processes_that_start_together_decode_once(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "a.parquet", img=packed([encoded(one) for one in PIXELS]), label=LABELS)
    commands = [[sys.executable, "-c", DECODE, str(tmp_path), name] for name in "ab"]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for command in commands]
    outputs = [process.communicate(timeout=120)[0] for process in started]
    assert outputs == [read(path, tmp_path / "other").digest + "\n"] * 2
    assert len(list(tmp_path.glob("decoded-*"))) == 1


def saved(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("picture", "rule"),
    [
        (encoded(PIXELS[0])[:60], "does not decode"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(80), "does not decode: it is PostScript"),  # never handed to a program
        (b"", "there is no picture"),
        (None, "there is no picture"),
        (encoded(PIXELS[0, :5]), "6x5 pixels, those before 6x8: all pictures have one size"),
        (saved(Image.new("F", (6, 8)), "TIFF"), "colours of mode F, floats"),
        (encoded(np.zeros((1, 1025, 3), np.uint8)), "1025x1 pixels: at most 1024x1024"),
    ],
    ids=["cut", "eps", "empty", "none", "other-size", "floats", "large"],
)
def test_picture_that_will_not_do_is_named_by_file_and_row(
    tmp_path: Path, save: Save, picture: bytes | None, rule: str
) -> None:
    content = [encoded(one) for one in PIXELS]
    images = [*packed(content[:100]), {"bytes": picture, "path": "elsewhere.png"}, *packed(content[101:])]
    path = save(tmp_path / "a.parquet", img=images, label=LABELS)
    with pytest.raises(InputError, match=rf"a\.parquet, row 100: .*{re.escape(rule)}"):
        read(path, tmp_path / "cache")


def test_truncated_parquet_is_refused(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "a.parquet", img=packed([encoded(one) for one in PIXELS]), label=LABELS)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(InputError, match=r"a\.parquet: damaged, or no Parquet file"):
        read(path, tmp_path / "cache")


def test_flipped_bit_in_parquet_is_refused(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "a.parquet", img=packed([encoded(one) for one in PIXELS]), label=LABELS)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet: damaged, or no Parquet file.*CRC"):
        read(path, tmp_path / "cache")


def test_missing_column_is_refused_with_those_there_are(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "a.parquet", image=packed([encoded(one) for one in PIXELS]), label=LABELS)
    with pytest.raises(InputError, match=r"a\.parquet: has no column 'img': its columns are image, label"):
        read(path, tmp_path / "cache")


def test_column_that_holds_no_pictures_is_refused(tmp_path: Path, save: Save) -> None:
    path = save(tmp_path / "a.parquet", img=[f"{row:0100}.png" for row in range(150)], label=LABELS)
    with pytest.raises(InputError, match=r"column 'img': of type string: encoded pictures are binary"):
        read(path, tmp_path / "cache")


def test_equal_pictures_are_read_that_parquet_stores_once(tmp_path: Path, save: Save) -> None:
    which = np.arange(400) % 4
    path = save(tmp_path / "a.parquet", img=packed([encoded(PIXELS[i]) for i in which]), label=which)
    assert path.stat().st_size < 400 * 16  # less than a picture takes
    examples = read(path, tmp_path / "cache")
    assert (examples.inputs.numpy() == PIXELS[which]).all()
    assert (examples.given == which).all()


def test_label_that_is_missing_is_named_by_its_row(tmp_path: Path, save: Save) -> None:
    labels = pa.array([*range(149), None])
    path = save(tmp_path / "a.parquet", img=packed([encoded(one) for one in PIXELS]), label=labels)
    with pytest.raises(InputError, match=r"column 'label', row 149: is empty"):
        read(path, tmp_path / "cache")


def test_remembered_digest_follows_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one")
    first = remembered_sha256(file, tmp_path / "cache")
    assert first == file_digest(file) == remembered_sha256(file, tmp_path / "cache")
    file.write_bytes(b"three")
    assert remembered_sha256(file, tmp_path / "cache") == file_digest(file) != first


def test_remembered_digest_reads_an_unchanged_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"one")
    first = remembered_sha256(tmp_path / "a", tmp_path)
    monkeypatch.setattr("tosmooth.trainables.files.digests.file_digest", lambda path: pytest.fail("read again"))
    assert remembered_sha256(tmp_path / "a", tmp_path) == first


def test_damaged_memory_of_digests_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "digests.json").write_text('{"torn')
    assert remembered_sha256(tmp_path / "a", tmp_path) == file_digest(tmp_path / "a")

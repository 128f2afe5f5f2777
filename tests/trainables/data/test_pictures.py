"""Pictures as people have them: formats, modes, sizes, orientation, damage, arrays."""

import contextlib
import gc
import io
import math
import os
import struct
import threading
import warnings
import weakref
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, features
from torchvision.transforms import v2

from tests.tools import encoded
from tosmooth.trainables.data.pictures import (
    AS_THEY_ARE,
    AVIF,
    FORMATS,
    LARGEST,
    Dropped,
    Encoded,
    PictureError,
    PictureRule,
    Pixels,
    blocks_of_array,
    decoded_pictures,
    pixels_of,
    pixels_of_array,
    sizes_of,
)
from tosmooth.trainables.errors import InputError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (8, 6, 3), np.uint8)  # 8 high, 6 wide
SMOOTH = np.asarray(Image.fromarray(PIXELS).resize((60, 80), Image.Resampling.BICUBIC))


def saved(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def named(contents: list[Any]) -> Iterator[tuple[Encoded, str]]:
    return ((content, f"a.parquet, row {row}") for row, content in enumerate(contents))


def only(content: Encoded, **rule: Any) -> Pixels:
    (found,) = decoded_pictures(named([content]), PictureRule(**rule))
    assert isinstance(found, np.ndarray)
    return found


def dropped(content: Encoded, **rule: Any) -> str:
    """Why it was."""
    (found,) = decoded_pictures(named([content]), PictureRule(**rule, on_bad="drop"))
    assert isinstance(found, Dropped)
    return found.reason


# Size, and what fits in or covers


SHAPES = [(1, 1), (1, 9), (7, 3), (31, 32), (32, 32), (33, 65), (50, 37), (64, 64), (97, 211), (375, 500), (500, 333)]


@pytest.mark.parametrize("side", [1, 7, 32, 33, 64])
def test_crop_and_pad_are_torchvisions_to_the_bit(side: int) -> None:
    crop = v2.Compose([v2.Resize(side), v2.CenterCrop(side)])
    pad = v2.Compose([v2.Resize(None, max_size=side), v2.CenterCrop(side)])
    for height, width in SHAPES:
        picture = Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8))
        content, size = saved(picture), (side, side)
        np.testing.assert_array_equal(only(content, size=size), np.asarray(crop(picture)))
        if min(height, width) * side >= max(height, width):  # a side of 0 pixels is refused there
            np.testing.assert_array_equal(only(content, size=size, fit="pad"), np.asarray(pad(picture)))


@pytest.mark.parametrize("size", [(32, 48), (48, 32), (5, 64), (64, 5)])
def test_size_that_is_not_square_is_covered_or_fitted_into_likewise(size: tuple[int, int]) -> None:
    for height, width in SHAPES:
        picture = Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8))
        ratios = Fraction(size[0], height), Fraction(size[1], width)
        for fit, ratio in (("crop", max(ratios)), ("pad", min(ratios))):
            scaled = [max(1, math.floor(height * ratio)), max(1, math.floor(width * ratio))]
            expected = v2.Compose([v2.Resize(scaled), v2.CenterCrop(size)])(picture)
            np.testing.assert_array_equal(only(saved(picture), size=size, fit=fit), np.asarray(expected))
        stretched = v2.Resize(size)(picture)
        np.testing.assert_array_equal(only(saved(picture), size=size, fit="stretch"), np.asarray(stretched))


def test_padding_is_black_and_the_picture_in_the_middle() -> None:
    found = only(encoded(np.full((10, 20, 3), 200, np.uint8)), size=(20, 20), fit="pad")
    assert (found[5:15] == 200).all()
    assert (found[:5] == 0).all()
    assert (found[15:] == 0).all()


def test_a_line_of_pixels_is_padded_and_never_blown_up() -> None:
    line = encoded(np.full((1, 60_000, 3), 9, np.uint8))
    assert (only(line, size=(64, 64), fit="pad").sum(axis=(1, 2)) > 0).sum() == 1
    assert only(line, size=(4, 4)).shape == (4, 4, 3)
    with pytest.raises(InputError, match=r"60000x1 pixels: too narrow to be cropped to 64x64: pad it, or stretch it"):
        only(line, size=(64, 64))


@pytest.mark.parametrize("size", [(0, 32), (32, 1025), (-1, 5)])
def test_size_is_bounded(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"size of pictures: .* height and width of 1 to 1024 pixels"):
        PictureRule(size=size)


def test_pictures_of_several_sizes_need_one() -> None:
    contents = [encoded(PIXELS), encoded(PIXELS[:5])]
    with pytest.raises(
        InputError, match=r"a\.parquet, row 1: 6x5 pixels, those before 6x8: all pictures have one size"
    ):
        list(decoded_pictures(named(contents), PictureRule(on_bad="drop")))
    assert all(only(content, size=(4, 7)).shape == (4, 7, 3) for content in contents)


def test_picture_larger_than_what_is_kept_as_it_is_needs_a_size() -> None:
    large = encoded(np.zeros((1, 1025, 3), np.uint8))
    with pytest.raises(InputError, match=r"row 0: 1025x1 pixels: at most 1024x1024 as they are: name a size"):
        only(large, on_bad="drop")  # nor is it bad
    assert only(large, size=(2, 2)).shape == (2, 2, 3)


# Orientation


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """As a camera that is held so lays the upright picture down."""
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90"}
    turns |= {7: "TRANSVERSE", 8: "ROTATE_270"}
    return picture.transpose(Image.Transpose[turns[orientation]]) if orientation in turns else picture


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("format", "options"), LOSSLESS)
def test_picture_is_turned_upright_as_its_exif_data_say(format: str, options: dict[str, Any], orientation: int) -> None:
    stored = turned(Image.fromarray(PIXELS), orientation)
    content = saved(stored, format, exif=oriented(orientation), **options)
    np.testing.assert_array_equal(pixels_of(content), PIXELS)
    assert sizes_of(named([content])) == {(8, 6): 1}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", *(["AVIF"] if AVIF else [])])
def test_photographs_are_turned_likewise(format: str, orientation: int) -> None:
    stored = turned(Image.fromarray(SMOOTH), orientation)
    content = saved(stored, format, quality=95, exif=oriented(orientation))
    found = pixels_of(content)
    assert found.shape == SMOOTH.shape
    assert np.abs(found.astype(int) - SMOOTH).mean() < 6
    assert sizes_of(named([content])) == {(80, 60): 1}


def test_orientation_that_a_png_has_behind_its_pixels_counts() -> None:
    """As ImageMagick writes it."""
    content = saved(turned(Image.fromarray(PIXELS), 6))
    late = chunk(b"eXIf", oriented(6).tobytes()[6:])
    np.testing.assert_array_equal(pixels_of(content[:-12] + late + content[-12:]), PIXELS)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of these data
def test_damaged_exif_data_say_nothing_of_the_picture(exif: bytes) -> None:
    assert (pixels_of(saved(Image.fromarray(PIXELS), exif=b"Exif\0\0" + exif)) == PIXELS).all()
    assert pixels_of(saved(Image.fromarray(PIXELS), "JPEG", exif=b"Exif\0\0" + exif)).shape == PIXELS.shape
    unreadable = b"\xff\xe1\x00\x2dhttp://ns.adobe.com/xap/1.0/\0tiff:Orient\xa8\xa8\xa8"  # no UTF-8
    plain = saved(Image.fromarray(PIXELS), "JPEG")
    np.testing.assert_array_equal(pixels_of(plain[:2] + unreadable + plain[2:]), pixels_of(plain))


# Modes


def glyph() -> Image.Image:
    """Dark pixels that are opaque in the middle and transparent around it: the hidden colour is the glyph's."""
    pixels = np.full((8, 6, 4), (10, 20, 30, 0), np.uint8)
    pixels[2:6, 2:4, 3] = 255
    return Image.fromarray(pixels)


PALETTE = Image.fromarray(np.pad(np.ones((4, 2), np.uint8), 2), "P")
PALETTE.putpalette([10, 20, 30] * 2)
COLOURED = Image.fromarray(np.where(np.asarray(glyph())[..., 3:] == 0, (10, 20, 31), (10, 20, 30)).astype(np.uint8))
GREY = Image.fromarray(np.pad(np.full((4, 2), 10, np.uint8), 2, constant_values=11))
DEEP = Image.fromarray(np.pad(np.full((4, 2), 2570, np.uint16), 2, constant_values=2571))
BITS = Image.fromarray(np.pad(np.zeros((4, 2), np.bool_), 2, constant_values=True))


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (saved(glyph()), [10, 20, 30]),
        (saved(glyph(), "TIFF"), [10, 20, 30]),
        (saved(glyph(), "WEBP", lossless=True, exact=True), [10, 20, 30]),
        (saved(glyph().convert("LA")), [18] * 3),
        (saved(PALETTE, transparency=0), [10, 20, 30]),
        (saved(PALETTE, transparency=b"\x00\xff"), [10, 20, 30]),
        (saved(PALETTE, "GIF", transparency=0), [10, 20, 30]),
        (saved(COLOURED, transparency=(10, 20, 31)), [10, 20, 30]),
        (saved(GREY, transparency=11), [10] * 3),
        (saved(DEEP, transparency=2571), [10] * 3),
        (saved(BITS, transparency=1), [0] * 3),
    ],
    ids=["RGBA", "TIFF", "WebP", "LA", "palette", "palette-alpha", "GIF", "colour", "grey", "16-bit", "1-bit"],
)
def test_what_is_transparent_is_laid_on_white(content: bytes, colour: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of palettes with transparency, which lose it
        found = pixels_of(content).copy()
    assert found[2:6, 2:4].reshape(-1, 3).tolist() == [colour] * 8
    found[2:6, 2:4] = 255
    assert (found == 255).all()


def test_what_shows_through_in_part_is_mixed_with_white() -> None:
    half = Image.new("RGBA", (2, 2), (0, 100, 200, 128))
    assert np.abs(pixels_of(saved(half))[0, 0].astype(int) - [127, 177, 227]).max() <= 1
    resized = only(saved(glyph()), size=(80, 60))  # laid on white before it is resized: no dark seam
    assert resized[0].min() == 255


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_greys_of_16_bits_keep_their_order(format: str) -> None:
    deep = np.linspace(0, 65535, 48).round().astype(np.uint16).reshape(8, 6)
    found = pixels_of(saved(Image.fromarray(deep), format))
    np.testing.assert_array_equal(found, np.repeat(np.round(deep / 257)[..., None], 3, axis=2))


def tiff(pixels: NDArray[Any], order: Literal["<", ">"]) -> bytes:
    """An uncompressed TIFF of whole numbers, as cameras and microscopes write it, in that order of bytes."""
    height, width, *channels = pixels.shape
    samples, bits = (channels or [1])[0], pixels.dtype.itemsize * 8
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    wide = struct.pack(f"{order}{samples}H", *[bits] * samples)
    at = 8 + len(data)
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, samples, at if samples > 2 else bits), (259, 3, 1, 1)]
    entries += [(262, 3, 1, 2 if samples == 3 else 1), (273, 4, 1, 8), (277, 3, 1, samples), (278, 4, 1, height)]
    entries += [(279, 4, 1, len(data)), *([(339, 3, 1, 2)] if bits == 32 else [])]
    table = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        content = struct.pack(f"{order}HH", value, 0) if kind == 3 and count == 1 else struct.pack(f"{order}I", value)
        table += struct.pack(f"{order}HHI", tag, kind, count) + content
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at + len(wide))
    return head + data + wide + table + bytes(4)


@pytest.mark.parametrize("order", "<>")
def test_tiffs_of_16_bits_are_read_in_either_order_of_bytes(order: Literal["<", ">"]) -> None:
    deep = PIXELS.astype(np.uint16) * 257
    assert (pixels_of(tiff(deep, order)) == PIXELS).all()
    assert (pixels_of(tiff(deep[..., 0], order)) == PIXELS[..., :1]).all()


@pytest.mark.parametrize("order", "<>")
def test_greys_of_32_bits_are_taken_for_16_as_far_as_they_fit(order: Literal["<", ">"]) -> None:
    deep = PIXELS[..., 0].astype(np.int32) * 257
    assert (pixels_of(tiff(deep, order)) == PIXELS[..., :1]).all()
    deep[3, 3] = 65536
    with pytest.raises(PictureError, match=r"values \d+ to 65536 in 32 bits, of which no one says what is white"):
        pixels_of(tiff(deep, order))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(height: int, width: int, bits: int, kind: int, rows: bytes, between: bytes = b"") -> bytes:
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return head + between + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("hidden", [b"", chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))])
def test_colours_of_16_bits_are_read(hidden: bytes) -> None:
    """PNGs of Photoshop and of cameras."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in PIXELS.astype(np.uint16) * 257)
    assert (pixels_of(png(8, 6, 16, 2, rows, hidden)) == PIXELS).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBX", "LAB", "CMYK"])
def test_other_modes_become_the_colours_they_stand_for(mode: str) -> None:
    colour = {"1": (255,) * 3, "L": (90,) * 3}.get(mode, (200, 60, 30))
    picture = Image.new("RGB", (6, 8), colour)
    if mode == "LAB":
        if not features.check("littlecms2"):
            pytest.skip("Pillow was built without it")
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        picture = ImageCms.applyTransform(picture, ImageCms.buildTransform(*profiles, "RGB", "LAB")) or picture
    else:
        picture = picture.convert("RGBA" if mode == "RGBX" else mode)
    content = saved(picture, "TIFF" if mode != "RGBX" else "BMP")
    assert np.abs(pixels_of(content)[4, 3].astype(int) - colour).max() <= (60 if mode == "P" else 4)


def test_cmyk_of_adobe_is_no_negative() -> None:
    content = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    assert b"Adobe" in content
    assert np.abs(pixels_of(content)[8, 8].astype(int) - [255, 0, 0]).max() <= 4


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA", "HSV", "YCbCr", "I;16B", "I;16N"])
def test_modes_that_only_some_decoders_give(mode: str) -> None:
    from tosmooth.trainables.data.pictures import _rgb

    if mode in ("HSV", "YCbCr"):
        picture = Image.new("RGB", (1, 1), (0, 0, 0)).convert(mode)
    elif mode.startswith("I"):
        picture = Image.fromarray(np.full((1, 1), 257 * 7, np.uint16)).convert("I").convert("I;16")
        picture = picture if mode == "I;16N" else picture.convert("I").convert(mode)
    elif mode == "PA":
        picture = Image.new(mode, (1, 1))
    else:
        picture = Image.new("RGBA" if mode == "RGBa" else "LA", (1, 1), 0).convert(mode)
    expected = {"HSV": (0,) * 3, "YCbCr": (0,) * 3, "I;16B": (7,) * 3, "I;16N": (7,) * 3}.get(mode, (255,) * 3)
    assert _rgb(picture).getpixel((0, 0)) == expected


def test_floats_are_refused_with_advice() -> None:
    with pytest.raises(PictureError, match=r"colours of mode F, floats, .*: convert it to 8 or 16 bits"):
        pixels_of(saved(Image.new("F", (6, 8)), "TIFF"))


# Formats


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("MPO", {"quality": 95, "save_all": True, "append_images": [Image.new("RGB", (30, 20))]}),
        ("WEBP", {"quality": 95}),
        ("WEBP", {"lossless": True, "save_all": True, "append_images": [Image.new("RGB", (60, 80))]}),
        ("PNG", {"save_all": True, "append_images": [Image.new("RGB", (60, 80))]}),
        ("GIF", {"save_all": True, "append_images": [Image.new("RGB", (60, 80))]}),
        ("BMP", {}),
        ("PPM", {}),
        ("TIFF", {"save_all": True, "append_images": [Image.new("RGB", (30, 20))]}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "jpeg", "quality": 95}),
        *([("AVIF", {"quality": 95})] if AVIF else []),
    ],
)
def test_of_every_format_the_first_picture_is_read(format: str, options: dict[str, Any]) -> None:
    found = pixels_of(saved(Image.fromarray(SMOOTH), format, **options))
    assert found.shape == SMOOTH.shape
    assert np.abs(found.astype(int) - SMOOTH).mean() < 12  # of a GIF's 256 colours


def test_greys_get_three_equal_channels() -> None:
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "PPM", "TIFF"):
        found = pixels_of(saved(Image.fromarray(SMOOTH[..., 0]), kind))
        assert np.ptp(found.astype(int), axis=2).max() <= 2  # WebP has no greys
        assert np.abs(found[..., 0].astype(int) - SMOOTH[..., 0]).mean() < 6


# Damage


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("PPM", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        *([("AVIF", {})] if AVIF else []),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's
def test_cut_picture_is_bad_and_never_half_grey(format: str, options: dict[str, Any]) -> None:
    content = saved(Image.fromarray(SMOOTH), format, **options)
    whole = pixels_of(content)
    refused = 0
    for cut in range(1, len(content), max(1, len(content) // 40)):
        try:
            assert (pixels_of(content[:cut]) == whole).all()
        except PictureError:
            refused += 1
    assert refused > 30


def test_png_with_wrong_checksums_is_bad() -> None:
    """As downloads leave it that make room first, and disks that decay."""
    content = saved(Image.fromarray(SMOOTH))
    half = len(content) // 2
    for damaged in (
        content[:half] + bytes(len(content) - half),
        content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
        content[:half] + bytes(len(content) - half - 12) + content[-12:],
    ):
        with pytest.raises(PictureError, match="the picture does not decode"):
            pixels_of(damaged)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "there is no picture: it is empty"),
        (None, "there is no picture"),
        (b"\n<!DOCTYPE html><html><body>404 Not Found</body></html>", "it is a web page"),
        (b"<html><head><title>429</title>", "it is a web page"),
        ('{"message": "Zugriff verweigert: später"}'.encode(), 'it is text: \'{"message": "Zugriff verweigert'),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "it is a pointer of Git LFS: `git lfs pull`"),
        (b'<?xml version="1.0"?><svg/>', "it is SVG or XML"),
        (b"%PDF-1.7 ...", "it is PostScript or PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(80), "it is PostScript or PDF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "it is HEIC: convert it to JPEG"),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "it is what macOS keeps beside a file"),
        (bytes(5000), "its bytes are zero"),
        (b"\x93NUMPY\x01\x00v\x00\xff", "it is damaged, or none that Pillow reads as JPEG, PNG"),
        (b"\xff\xd8\xff", "does not decode"),
    ],
)
def test_what_is_no_picture_is_said(content: bytes | None, words: str) -> None:
    with pytest.raises(InputError) as refused:
        only(content)
    assert str(refused.value).startswith("a.parquet, row 0: ")
    assert words in str(refused.value)
    assert dropped(content) == str(refused.value)


def test_no_format_that_starts_a_program_is_read() -> None:
    assert set(FORMATS) <= {"JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF"}


@pytest.mark.parametrize("size", [(8001, 8000), (12_000, 12_000), (20_000, 20_000)])
def test_decompression_bomb_is_bad_before_it_is_decoded(size: tuple[int, int]) -> None:
    bomb = png(*size, 1, 0, b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        assert "64 megapixels" in dropped(bomb, size=(8, 8))


# Files


def test_files_are_read_like_bytes(tmp_path: Path) -> None:
    content = saved(turned(Image.fromarray(PIXELS), 8), exif=oriented(8))
    (tmp_path / "a.jpg").write_bytes(content)  # of whatever name
    sources: list[Encoded] = [tmp_path / "a.jpg", content, memoryview(content), pa.py_buffer(content)]
    assert all((only(source) == PIXELS).all() for source in sources)
    assert sizes_of(named(sources)) == {(8, 6): 4}


def test_file_that_cannot_be_read_is_bad(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "large.png").touch()
    os.truncate(tmp_path / "large.png", LARGEST + 1)
    expected = {
        "folder.png": "is a folder: a picture is a file",
        "pipe.png": "is a device: a picture is a file",
        "large.png": f"{LARGEST + 1} bytes: an encoded picture has at most {LARGEST}",
        "none.png": "cannot be read (No such file or directory)",
        "zero\0.png": "cannot be read (embedded null byte)",
        "a" * 300: "cannot be read (File name too long)",
    }
    sources: list[Encoded] = [tmp_path / name for name in expected]
    found = list(decoded_pictures(named(sources), PictureRule(on_bad="drop")))
    for row, (one, words) in enumerate(zip(found, expected.values(), strict=True)):
        assert isinstance(one, Dropped)
        assert one.reason.startswith(f"a.parquet, row {row}: ")
        assert one.reason.endswith(words)
    assert sizes_of(named(sources)) == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_file_without_permission_is_bad(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(PIXELS))
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(InputError, match=r"a\.png: cannot be read \(Permission denied\)"):
        only(tmp_path / "a.png")


# Many


@pytest.mark.parametrize("workers", [1, 3, None])
def test_pictures_come_in_order_with_the_bad_ones_marked(workers: int | None) -> None:
    sides = RNG.integers(1, 200, 60)  # so that some take longer
    contents = [encoded(np.full((side, side, 3), row, np.uint8)) for row, side in enumerate(sides)]
    contents[17] = contents[17][:50]
    found = list(decoded_pictures(named(contents), PictureRule((4, 4), on_bad="drop"), workers))
    for row, pixels in enumerate(found):
        if row == 17:
            assert isinstance(pixels, Dropped)
            assert pixels.reason.startswith("a.parquet, row 17: the picture does not decode")
        else:
            np.testing.assert_array_equal(pixels, np.full((4, 4, 3), row))


def test_only_a_few_pictures_are_asked_for_ahead() -> None:
    asked = []

    def source(padding: int) -> Iterator[tuple[bytes, str]]:
        for row in range(200):
            asked.append(row)
            yield encoded(PIXELS) + bytes(padding), f"row {row}"

    for padding, ahead in ((0, 8), (2**25, 2)):  # those of 32 MiB take too much room
        asked.clear()
        pictures = decoded_pictures(source(padding), AS_THEY_ARE, workers=4)
        for row in range(10):
            next(pictures)
            assert len(asked) <= row + 1 + ahead
        pictures.close()  # type: ignore[attr-defined] # it is a generator
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate())


def test_error_of_the_source_ends_the_threads() -> None:
    def source() -> Iterator[tuple[bytes, str]]:
        yield encoded(PIXELS), "row 0"
        raise InputError("row 1: damaged")

    with pytest.raises(InputError, match="row 1: damaged"):
        list(decoded_pictures(source(), AS_THEY_ARE))
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate())


def test_refusal_holds_nothing_of_what_was_read() -> None:
    """Or many a gigabyte would stay until Python next looks for cycles."""
    batches = []

    def source() -> Iterator[tuple[bytes, str]]:
        batch = np.zeros(9)
        batches.append(weakref.ref(batch))
        yield from ((b"no picture", f"row {row}") for row in range(len(batch)))

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(InputError):
            list(decoded_pictures(source(), AS_THEY_ARE))
        assert [batch() for batch in batches] == [None]
    finally:
        gc.enable()


def test_sizes_are_counted_without_decoding() -> None:
    contents = [encoded(PIXELS), encoded(PIXELS[:5]), encoded(PIXELS)[:60], b"", None, encoded(PIXELS)]
    assert sizes_of(named(contents)) == {(8, 6): 3, (5, 6): 1}  # the cut one has its header
    assert sizes_of(named([png(9000, 8000, 1, 0, b"")])) == {(9000, 8000): 1}


@pytest.mark.parametrize("in_files", [True, False])
def test_no_more_sizes_are_looked_for_than_are_wanted(in_files: bool, tmp_path: Path) -> None:
    contents = [encoded(PIXELS), encoded(PIXELS[:5])]
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    sources: list[Encoded] = [*files] if in_files else [*contents]
    rest = iter(named([sources[0]] * 9 + [sources[1]] + [sources[0]] * 1000))
    assert set(sizes_of(rest, workers=2, most=2)) == {(8, 6), (5, 6)}
    assert len(list(rest)) > 900
    rest = iter(named([sources[0]] * 9 + [sources[1]] + [sources[0]] * 90))
    assert sizes_of(rest, workers=2, most=3) == {(8, 6): 99, (5, 6): 1}


# Arrays


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (PIXELS[None], PIXELS[None]),
        (PIXELS[None, ..., 0], PIXELS[None, ..., :1]),
        (PIXELS[None, ..., :1], PIXELS[None, ..., :1]),
        (PIXELS[None].transpose(0, 3, 1, 2), PIXELS[None]),
        (PIXELS[None, ..., :1].transpose(0, 3, 1, 2), PIXELS[None, ..., :1]),
        (np.asfortranarray(PIXELS[None]), PIXELS[None]),
        (PIXELS[None].astype(np.int64), PIXELS[None]),
        (PIXELS[None].astype(">u2"), PIXELS[None]),
        (PIXELS[None].astype(np.float32), PIXELS[None]),
        (PIXELS[None].astype(np.float32) / 255, PIXELS[None]),
        (PIXELS[None] / 255, PIXELS[None]),
        ((PIXELS[None] / 255).astype(np.float16), PIXELS[None]),
        (PIXELS[None] > 99, np.where(PIXELS[None] > 99, 255, 0)),
        ((PIXELS[None] > 99).astype(np.float32), np.where(PIXELS[None] > 99, 255, 0)),
        (np.arange(54, dtype=np.uint8).reshape(2, 3, 3, 3), np.arange(54).reshape(2, 3, 3, 3)),
        (np.asarray(glyph())[None], np.where(np.asarray(glyph())[None, ..., 3:], (10, 20, 30), 255)),
    ],
)
def test_arrays_of_pictures_are_read(array: NDArray[Any], expected: NDArray[Any]) -> None:
    found = pixels_of_array(array, "x.npy")
    assert found.dtype == np.uint8
    assert found.shape == (*expected.shape[:3], 3)
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((5, 4)), r"of shape \[5, 4\]: pictures are \[N, H, W\]"),
        (np.zeros((0, 8, 8), np.uint8), r"of shape \[0, 8, 8\]"),
        (np.zeros((5, 8, 8, 2), np.uint8), r"of shape \[5, 8, 8, 2\]"),
        (np.zeros((5, 2, 3, 8, 8), np.uint8), "of shape"),
        (np.full((5, 8, 8), 256), "values 256 to 256: pictures are 0..255"),
        (np.full((5, 8, 8), -1), "values -1 to -1"),
        (np.full((5, 8, 8), np.nan), "values nan to nan"),
        (np.full((5, 8, 8), np.inf), "values inf to inf"),
        (np.linspace(-1, 1, 320).reshape(5, 8, 8), "values -1 to 1: pictures are 0..255, or floats in"),
        (np.linspace(0, 200, 320).reshape(5, 8, 8), "fractions, up to 200: .*: round them"),
        (np.full((5, 8, 8), "a"), "of type <U1: pictures are numbers"),
        (np.full((5, 8, 8), None), "of type object: pictures are numbers"),
        (np.zeros((5, 8, 8), np.complex64), "of type complex64: pictures are numbers"),
        (np.zeros((1, 1, 1025), np.uint8), "1025x1 pixels: at most 1024x1024 as they are"),
    ],
)
def test_array_that_holds_no_pictures_is_refused(array: NDArray[Any], words: str) -> None:
    with pytest.raises(InputError, match=rf"x\.npy: {words}"):
        pixels_of_array(array, "x.npy")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_arrays_are_resized_as_files_are(fit: Any, channels: int) -> None:
    array = RNG.integers(0, 256, (5, 40, 30, channels), np.uint8)
    rule = PictureRule((16, 20), fit)
    files = [encoded(one[..., 0] if channels == 1 else one) for one in array]
    np.testing.assert_array_equal(pixels_of_array(array, "x.npy", rule), list(decoded_pictures(named(files), rule)))


def test_array_is_read_some_pictures_at_a_time(tmp_path: Path) -> None:
    array = RNG.random((40, 200, 200, 3), np.float32)
    np.save(tmp_path / "x.npy", array)
    blocks = list(blocks_of_array(np.load(tmp_path / "x.npy", mmap_mode="r"), "x.npy"))
    assert len(blocks) > 1
    tensor = v2.functional.to_image(torch.from_numpy(array).permute(0, 3, 1, 2))
    assert (np.abs(np.concatenate(blocks) / 255 - tensor.permute(0, 2, 3, 1).numpy()) <= 0.5 / 255 + 1e-6).all()

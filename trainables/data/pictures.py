"""Pictures as people have them: encoded in any common format, size and mode, or arrays, to pixels of one size.

A picture is turned upright as its EXIF data say, laid on white where it is transparent, made RGB, and then resized, as
torchvision's transforms do it with the same picture, to the bit. Nothing here is kept: `images` has the cache.
"""

import codecs
import io
import math
import os
import threading
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError, features

from tosmooth.trainables.errors import InputError, first_line, require

Pixels = NDArray[np.uint8]
Encoded: TypeAlias = Path | bytes | memoryview | pa.Buffer | None  # None: a row without one
Made = TypeVar("Made")

AVIF = "avif" in features.modules and features.check("avif")  # Pillow 11.3 and later, where it was built with it
# Never one that starts a program, as EPS does. JPEG is MPO, too, as phones write it.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *(["AVIF"] if AVIF else []))
GREYS_16 = ("I;16", "I;16L", "I;16B", "I;16N")  # modes of 16 bits a pixel
GROUND = (255, 255, 255, 255)  # what shows through where a picture is transparent: white
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's orientation: what brings a picture upright
SIDEWAYS = {TURNS[orientation] for orientation in (5, 6, 7, 8)}  # those that exchange height and width

SIDE = 1024  # pixels that what comes out may be high or wide
DEFAULT_SIZE = (32, 32)  # (height, width) of pictures of several sizes, where the user names none
PIXELS = 64 * 10**6  # of one picture, before it is resized and after
ALONE = 2**24  # pixels from which on one picture is decoded at a time: it takes up to 12 bytes a pixel
LARGEST = 2**26  # bytes of an encoded picture
AHEAD = 2**26  # bytes of encoded pictures that are decoded at once, or wait for it
BLOCK = 2**22  # bytes of pictures of an array that are handled at once

_alone = threading.Lock()
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # such are refused: `PIXELS` is less


@dataclass(frozen=True)
class PictureRule:
    """How pictures come to one size, and what becomes of one that does not decode.

    `crop`: resized, up or down, so that it just covers `size`, and cropped at the centre; of a square size that is
    torchvision's `Resize(side)` and `CenterCrop(side)`. `pad`: resized so that it just fits in, centred on black; that
    is `Resize(None, max_size=side)` and `CenterCrop(side)`. `stretch`: `Resize((height, width))`. All are bilinear with
    antialias.
    """

    size: tuple[int, int] | None = None  # (height, width); None: as they are, all of one size
    fit: Literal["crop", "pad", "stretch"] = "crop"
    on_bad: Literal["refuse", "drop"] = "refuse"

    def __post_init__(self) -> None:
        known = self.size is None or all(1 <= side <= SIDE for side in self.size)
        require(known, "size of pictures", self.size, f"height and width of 1 to {SIDE} pixels")


AS_THEY_ARE = PictureRule()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A picture that does not decode, where the rule is to drop such."""

    reason: str  # names its place


class PictureError(InputError):
    """What is wrong with one picture, for which it may be dropped."""


def decoded_pictures(
    encoded: Iterable[tuple[Encoded, str]], rule: PictureRule, workers: int | None = None
) -> Iterator[Pixels | Dropped]:
    """Decode pictures, given with their places for messages, in threads and in order: uint8 [H, W, 3] each.

    `workers`: None: one for each core that this process may use. Only a few pictures are asked for ahead. Raises
    `InputError` naming the place of a bad picture, unless the rule is to drop such, and of one that is larger than what
    is kept as it is, or of another size than those before, where the rule names no size.
    """
    shape: tuple[int, ...] | None = None
    for pixels, place in _in_order(partial(_decode, rule=rule), encoded, workers):
        if not isinstance(pixels, Dropped):
            shape = shape or pixels.shape
            if pixels.shape != shape:
                sizes = f"{pixels.shape[1]}x{pixels.shape[0]} pixels, those before {shape[1]}x{shape[0]}"
                raise InputError(f"{place}: {sizes}: all pictures have one size, or are resized to one")
        yield pixels


def sizes_of(
    encoded: Iterable[tuple[Encoded, str]], workers: int | None = None, most: int | None = None
) -> Counter[tuple[int, int]]:
    """Count pictures by (height, width), upright, from what their files begin with; bad ones are left out.

    `most`: the sizes after which no further pictures are asked for; those that were found till then are counted. A PNG
    that says only at its end how it is turned counts as it lies.
    """
    sizes: Counter[tuple[int, int]] = Counter()

    def files() -> Iterator[tuple[Encoded, str]]:
        """Those that are files, which may be waited for. Handing over one in memory takes as long as looking at it."""
        for source, place in encoded:
            if most is not None and len(sizes) >= most:
                return
            if isinstance(source, Path):
                yield source, place
            elif (size := _size(source, place)) is not None:
                sizes[size] += 1

    for size, _ in _in_order(_size, files(), workers):
        if size is not None:
            sizes[size] += 1
    return sizes


def pixels_of(source: Encoded, rule: PictureRule = AS_THEY_ARE) -> Pixels:
    """Decode one picture, the first of several in a file: uint8 [H, W, 3].

    Raises `PictureError` for one that does not decode, of more than `PIXELS`, or of more than `LARGEST` bytes, and
    `InputError` for one larger than `SIDE` where the rule names no size, and where there is too little memory.
    """
    try:
        with _opened(source) as file:
            content = file.read()
        return _pixels(content, rule)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"the picture does not decode: {_instead(content[:1024])}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"the picture has more than {PIXELS // 10**6} megapixels") from error
    except MemoryError as error:  # not the picture's fault: it is never dropped for it
        raise InputError("the picture takes more memory than there is") from error
    except Exception as error:  # Pillow's decoders raise anything on damaged bytes
        raise PictureError(f"the picture does not decode: {first_line(error)}") from error


def blocks_of_array(
    array: NDArray[Any], where: str, rule: PictureRule = AS_THEY_ARE, black_and_white: bool = True
) -> Iterator[Pixels]:
    """Make pictures of an array, some at a time: uint8 [n, H, W, 3] each.

    Taken are [N, H, W] and [N, H, W, C] or [N, C, H, W] with 1, 3 or 4 channels, the last alpha; where both could be,
    the channels are last. Values are whole numbers 0..255 of any type, floats in [0, 1], or bools; whole numbers 0 and
    1 alone are black and white, unless not `black_and_white`. Raises `InputError` for anything else, before the first
    block.
    """
    pictures = _channels_last(array, where)
    values = _values(array, where, black_and_white)
    rows, height, width, channels = pictures.shape
    with _at(where):
        _check_size(height, width, rule)
    step = max(1, BLOCK // (height * width * channels))
    blocks = (values(pictures[start : start + step]) for start in range(0, rows, step))
    if rule.size is None and channels < 4:
        yield from (np.repeat(block, 3, axis=3) if channels == 1 else block for block in blocks)
    else:
        each = ((one[..., 0] if channels == 1 else one, where) for block in blocks for one in block)
        done = (pixels for pixels, _ in _in_order(partial(_of_array, rule=rule), each))
        many = max(1, BLOCK // (3 * math.prod(rule.size or (height, width))))
        while some := list(islice(done, many)):
            yield np.stack(some)


def pixels_of_array(array: NDArray[Any], where: str, rule: PictureRule = AS_THEY_ARE) -> Pixels:
    """Make pictures of a whole array, as `blocks_of_array` does: uint8 [N, H, W, 3]."""
    return np.concatenate(list(blocks_of_array(array, where, rule)))


def cores() -> int:
    """Count the cores that this process may use, by affinity and the quota of its container."""
    import joblib  # noqa: PLC0415 - where no picture is decoded nothing needs it

    return int(joblib.cpu_count())


def _in_order(
    work: Callable[[Any, str], Made], items: Iterable[tuple[Any, str]], workers: int | None = None
) -> Iterator[tuple[Made, str]]:
    """Do the work for each item in threads, a bounded number ahead: what it made and the item's place, in order."""
    workers = workers or cores()
    waiting: deque[tuple[Future[Made], str, int]] = deque()
    held = 0
    pool = ThreadPoolExecutor(workers, "pictures")
    # No name for a future: its error would hold this frame, which held it, and all they hold until the next collection.
    try:
        for item, place in items:
            size = 0 if item is None or isinstance(item, Path) else len(item)
            while len(waiting) >= 2 * workers or (waiting and held + size > AHEAD):
                held -= waiting[0][2]
                yield waiting[0][0].result(), waiting.popleft()[1]
            waiting.append((pool.submit(work, item, place), place, size))
            held += size
        while waiting:
            yield waiting[0][0].result(), waiting.popleft()[1]
    finally:
        pool.shutdown(cancel_futures=True)
        waiting.clear()


@contextmanager
def _at(place: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{place}: {error}") from error


def _decode(source: Encoded, place: str, rule: PictureRule) -> Pixels | Dropped:
    with _at(place):
        try:
            return pixels_of(source, rule)
        except PictureError as error:
            if rule.on_bad == "drop":
                return Dropped(f"{place}: {error}")
            raise


def _size(source: Encoded, place: str) -> tuple[int, int] | None:
    try:
        with _opened(source) as file, Image.open(file, formats=FORMATS) as picture:
            width, height = picture.size
            turn = _turn(partial(Image.Image.getexif, picture))  # a PNG's own would decode it
            # Of a TIFF Pillow has exchanged the two itself.
            return (width, height) if turn in SIDEWAYS and picture.format != "TIFF" else (height, width)
    except Exception:  # it is named when it is decoded
        return None


@contextmanager
def _opened(source: Encoded) -> Iterator[IO[bytes]]:
    if source is None:
        raise PictureError("there is no picture: its bytes are in the file itself")
    if isinstance(source, Path):
        with _file(source) as file:
            _check_bytes(os.fstat(file.fileno()).st_size)
            yield file
    else:
        _check_bytes(len(source))
        yield io.BytesIO(source)


def _file(path: Path) -> IO[bytes]:
    try:
        if path.is_file():  # no pipe, which would be waited for
            return path.open("rb")
        path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise PictureError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    raise PictureError(f"{path}: is {'a folder' if path.is_dir() else 'a device'}: a picture is a file")


def _check_bytes(size: int) -> None:
    if size == 0:
        raise PictureError("there is no picture: it is empty")
    if size > LARGEST:
        raise PictureError(f"{size} bytes: an encoded picture has at most {LARGEST}")


def _pixels(content: bytes, rule: PictureRule) -> Pixels:
    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        _check_size(picture.height, picture.width, rule)
        if picture.format == "PNG":  # whose checksums Pillow does not look at while it decodes
            with Image.open(io.BytesIO(content), formats=FORMATS) as twin:
                twin.verify()
        with _alone if picture.width * picture.height > ALONE else nullcontext():
            picture.load()
            turn = _turn(picture.getexif)
            return _fitted(_rgb(picture if turn is None else picture.transpose(turn)), rule)


def _check_size(height: int, width: int, rule: PictureRule) -> None:
    if rule.size is None and max(height, width) > SIDE:
        raise InputError(f"{width}x{height} pixels: at most {SIDE}x{SIDE} as they are: name a size to resize them to")
    if height * width > PIXELS:
        raise PictureError(f"{width}x{height} pixels: a picture has at most {PIXELS // 10**6} megapixels")


def _turn(exif: Callable[[], Image.Exif]) -> Image.Transpose | None:
    """What brings a picture upright. EXIF data that are damaged, as some of ImageNet's, say nothing."""
    try:
        return TURNS.get(exif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return None


def _rgb(picture: Image.Image) -> Image.Image:
    """Picture of 8 bits a channel without transparency: it is laid on white, greys of 16 bits are divided by 257.

    Pillow's own conversion would show the colour that a transparent pixel happens to have, and clip 16-bit greys.
    """
    if picture.mode == "F":
        raise PictureError("colours of mode F, floats, of which no one says what is white: convert it to 8 or 16 bits")
    if picture.mode == "I" or picture.mode in GREYS_16:
        picture = _grey(picture)
    elif picture.mode == "La":  # premultiplied: Pillow has no way from it to RGBA
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", picture.size, GROUND), picture.convert("RGBA")).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _grey(picture: Image.Image) -> Image.Image:
    deep = np.asarray(picture)
    if picture.mode == "I" and not 0 <= deep.min() <= deep.max() <= 65535:
        values = f"values {deep.min()} to {deep.max()} in 32 bits"
        raise PictureError(f"{values}, of which no one says what is white: convert it to 8 or 16 bits")
    grey = ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if "transparency" in picture.info:
        grey[deep == picture.info["transparency"]] = GROUND[0]
    return Image.fromarray(grey)


def _fitted(picture: Image.Image, rule: PictureRule) -> Pixels:
    """Pixels of a picture, RGB and upright, in the rule's size."""
    if rule.size is None:
        return np.asarray(picture)
    height, width = rule.size
    scaled = _scaled(picture, rule)
    if scaled[0] * scaled[1] > PIXELS:
        shape = f"{picture.width}x{picture.height} pixels"
        raise PictureError(f"{shape}: too narrow to be cropped to {width}x{height}: pad it, or stretch it")
    if scaled != picture.size:
        picture = picture.resize(scaled, Image.Resampling.BILINEAR)
    left, top = _start(scaled[0], width), _start(scaled[1], height)
    return np.asarray(picture.crop((left, top, left + width, top + height)))  # black where there is nothing


def _scaled(picture: Image.Image, rule: PictureRule) -> tuple[int, int]:
    """Width and height to resize to, rounded down as torchvision does: those that cover the size, or fit in."""
    height, width = rule.size or (picture.height, picture.width)
    if rule.fit == "stretch":
        return width, height
    narrow = picture.width * height <= picture.height * width
    if narrow == (rule.fit == "crop"):
        return width, max(1, int(width * picture.height / picture.width))
    return max(1, int(height * picture.width / picture.height)), height


def _start(has: int, wanted: int) -> int:
    """Where the middle part begins, rounded as torchvision's CenterCrop does; below 0 what is to be added."""
    return round((has - wanted) / 2) if has > wanted else -((wanted - has) // 2)


def _of_array(pixels: Pixels, place: str, rule: PictureRule) -> Pixels:
    with _at(place):
        return _fitted(_rgb(Image.fromarray(pixels)), rule)


def _channels_last(array: NDArray[Any], where: str) -> NDArray[Any]:
    """View of the array as [N, H, W, C]."""
    shape = list(array.shape)
    if 0 not in shape and array.ndim == 3:
        return array[..., None]
    if 0 not in shape and array.ndim == 4 and shape[3] in (1, 3, 4):
        return array
    if 0 not in shape and array.ndim == 4 and shape[1] in (1, 3, 4):
        return np.moveaxis(array, 1, 3)
    raise InputError(f"{where}: of shape {shape}: pictures are [N, H, W], [N, H, W, C] or [N, C, H, W], C 1, 3 or 4")


def _values(array: NDArray[Any], where: str, black_and_white: bool) -> Callable[[NDArray[Any]], Pixels]:
    """What makes bytes of the array's values."""
    kind = array.dtype.kind
    if kind not in "biuf":
        raise InputError(f"{where}: of type {array.dtype}: pictures are numbers, best of uint8")
    low, high = array.min(), array.max()
    if low >= 0 and high <= 1 and (black_and_white or kind in "bf"):
        return lambda block: np.rint(block.astype(np.float64) * 255).astype(np.uint8)
    if array.dtype == np.uint8:
        return np.ascontiguousarray
    if not (low >= 0 and high <= 255):
        raise InputError(f"{where}: values {low:g} to {high:g}: pictures are 0..255, or floats in [0, 1]: scale them")
    if kind == "f" and not all(np.array_equal(one, np.rint(one)) for one in array):
        raise InputError(f"{where}: fractions, up to {high:g}: pictures are 0..255, or floats in [0, 1]: round them")
    return lambda block: np.ascontiguousarray(block, np.uint8)


def _instead(head: bytes) -> str:
    """What a file is that Pillow takes for no picture, by its first bytes."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    known = {
        "it is a web page, as downloads that fail leave it": text.startswith((b"<!doctype html", b"<html", b"<head")),
        "it is SVG or XML": text.startswith((b"<svg", b"<?xml")),
        "it is a pointer of Git LFS: `git lfs pull` brings the picture": text.startswith(b"version https://git-lfs"),
        "it is PostScript or PDF": text.startswith((b"%!ps", b"%pdf")),
        "it is HEIC: convert it to JPEG": head[4:12] in (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1"),
        "it is what macOS keeps beside a file (._NAME): leave it out": head.startswith(b"\x00\x05\x16\x07"),
        "its bytes are zero, as downloads that break off leave it": not any(head),
    }
    for words, so in known.items():
        if so:
            return words
    try:
        line = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        line = "\0"
    if all(c.isprintable() or c.isspace() for c in line):
        return f"it is text: {' '.join(line.split())[:60]!r}"
    return f"it is damaged, or none that Pillow reads as {', '.join(FORMATS)}"

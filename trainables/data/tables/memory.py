"""Bounds on what a file may take in memory, and damage of any kind as an `InputError`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from tosmooth.trainables.errors import InputError, first_line

# A few kilobytes can stand for any number of gigabytes: one value said to be in every row, a page of zeros.
EXPANSION = 256  # bytes in memory to one in the file
HARMLESS = 2**30  # bytes of features and labels that are refused to no file: sparse ones are packed to next to nothing
TEXTS = 2**27  # bytes of texts that are refused to no file: equal ones may be stored once
MOST_COLUMNS = 2**17  # each takes a kilobyte of its own, however few rows there are


def check_memory(path: Path, size: int, what: str, harmless: int = HARMLESS) -> None:
    """Raise `InputError` where reading a file would take `size` bytes of memory, out of proportion to its own."""
    most = max(harmless, EXPANSION * path.stat().st_size)
    if size > most:
        raise InputError(f"{path}: {what}: {size} bytes in memory of {path.stat().st_size} in the file: at most {most}")


def check_columns(path: Path, number: int) -> None:
    """Raise `InputError` for more columns than a table may have."""
    if number > MOST_COLUMNS:
        raise InputError(f"{path}: {number} columns: at most {MOST_COLUMNS}; write them as one column of vectors")


@contextmanager
def sound(path: Path, kind: str) -> Iterator[None]:
    """Turn what a library finds damaged in a file of that kind into an `InputError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except MemoryError as error:
        raise InputError(f"{path}: damaged, or more than fits into the memory of this machine ({error})") from error
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:  # UnicodeError: of a name that is no text
        raise InputError(f"{path}: damaged, or no {kind} file: bring it anew ({first_line(error)})") from error

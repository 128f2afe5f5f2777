"""Addresses that may hold a password: given as they are, in the environment, or as `@FILE`; shown without it."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from tosmooth.trainables.errors import InputError, require

LONGEST = 10_000  # characters of an address: a file of another kind is not read to its end


def resolve(value: str | None, key: str, warn: Callable[[str], None]) -> str | None:
    """Return what was given, or, for `@FILE`, the one line that stands in the file.

    Raises `InputError`, which shows nothing of the file, where it cannot be read or holds something else. `warn` is
    told where other users of this machine may read it.
    """
    if value is None or not value.startswith("@"):
        return value
    path = Path(value[1:])
    try:
        with path.open(encoding="utf-8") as file:
            content = file.read(LONGEST + 1).strip()
            mode = os.fstat(file.fileno()).st_mode
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no path
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{key}: {value!r} is refused: the file that holds the address is read ({reason})") from None
    one_line = bool(content) and content.isprintable() and len(content) <= LONGEST
    require(one_line, key, value, "the file holds the address on one line, and nothing else")
    if mode & stat.S_IROTH:
        warn(f"{key}: other users of this machine may read {path}; `chmod o-r` keeps them out")
    return content

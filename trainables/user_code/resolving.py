"""Import what a reference names."""

import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tosmooth.trainables.errors import LINE, InputError, require, shown
from tosmooth.trainables.user_code.finder import active_finder
from tosmooth.trainables.user_code.references import check_reference, split_reference


def resolve(reference: str, key: str) -> Callable[..., Any]:
    """Import what `reference` names and return it: a function, a class or another callable of the user's.

    Raises `InputError`, naming `key`, where importing raises anything (Ctrl-C is passed on), or there is no callable.
    """
    check_reference(reference, key)
    module, names = split_reference(reference)
    try:
        found: Any = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit, too: of a script that parses a command line
        raise InputError(f"{key} {shown(reference)}: importing it raised {in_words(error)}") from error
    for depth, name in enumerate(names):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            where = ".".join([module, *names[:depth]])
            raise InputError(f"{key}: {shown(reference)} is refused: {where} has no {name!r}") from error
    require(callable(found), key, reference, f"a function or a class; it is of type {type(found).__name__}")
    return found  # type: ignore[no-any-return] # whatever is callable


def in_words(error: BaseException) -> str:
    """Kind of an error, what it says, and the line of the user's code that it is from."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{type(error).__name__}: {error.msg} ({_short(error.filename)}:{error.lineno})"
    said = str(error).strip().splitlines()
    words = f"{type(error).__name__}: {said[0][:LINE]}" if said else type(error).__name__
    return f"{words}{in_user_code(error)}"


def in_user_code(error: BaseException) -> str:
    """Last line of the user's code that an error passed, as " (FILE:LINE)"; of installed code, the last line of all."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    own = [frame for frame in frames if _below(frame.filename) is not None]
    others = [frame for frame in frames if frame.filename not in (__file__, importlib.__file__)]
    last = next(iter([*own[-1:], *others[-1:]]), None)
    return "" if last is None else f" ({_short(last.filename)}:{last.lineno})"


def _short(file: str) -> str:
    """Path of a file below the folder of the code, or its name."""
    return _below(file) or Path(file).name


def _below(file: str) -> str | None:
    finder = active_finder()
    path = Path(file)
    inside = finder is not None and path.is_relative_to(finder.folder)
    return path.relative_to(finder.folder).as_posix() if finder is not None and inside else None


class CodeError(Exception):
    """Error of the user's code while it ran: its kind, what it says, and the user's line; fit to be shown as it is."""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Make it from what the user's code raised."""
        return cls(in_words(error))

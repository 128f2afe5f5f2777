"""Error for what the user gave and is wrong, and how values are shown in its message."""

SHOWN = 200  # characters of a value that a message shows
LINE = 500  # of what a library says


class InputError(ValueError):
    """Error for wrong input; the message names the key or file, the value and the rule. Exit code 2 of a command."""


def require(ok: bool, key: str, value: object, rule: str) -> None:
    """Raise `InputError` naming `key`, `value` and `rule` unless `ok`."""
    if not ok:
        raise InputError(f"{key}: {shown(value)} is refused: {rule}")


def shown(value: object) -> str:
    """A value for a message: on one line, and cut short where it is long."""
    text = repr(list(value) if type(value) is tuple else value)  # a list, as files write it
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def first_line(error: BaseException) -> str:
    """First line of a library's message, or the kind of its error if it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:LINE]

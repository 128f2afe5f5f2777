"""References to what a user names in a module of his: "my_package.models:make"."""

import keyword
import re
import sys
import unicodedata

from tosmooth.trainables.errors import require

RULE = "a module, a colon and a name in it, such as my_package.models:make"


def check_reference(text: str, key: str) -> None:
    """Raise `InputError`, naming `key`, unless `text` is a path of a module, a colon and a path of an attribute."""
    require(_is_reference(text), key, text, f"{RULE}{_hint(text)}")
    top = text.partition(".")[0].partition(":")[0]
    python = top in sys.stdlib_module_names
    require(not python, key, text, f"Python has a module {top} itself: give yours another name")


def split_reference(text: str) -> tuple[str, list[str]]:
    """Split a reference that was checked into the module's path and the names that lead from it to the attribute.

    Names are as Python itself compares them, which is in the normal form NFKC.
    """
    module, _, attribute = unicodedata.normalize("NFKC", text).partition(":")
    return module, attribute.split(".")


def _is_reference(text: str) -> bool:
    module, colon, attribute = text.partition(":")
    path = bool(colon) and all(map(_is_name, [*module.split("."), *attribute.split(".")]))
    return path and not module.endswith(".py")  # a file's name, not a module py in a package


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def _hint(text: str) -> str:
    """Say which reference a path of a file, or one without a colon, may have meant."""
    path, colon, attribute = re.sub(r"^(\./)+", "", text.strip()).rpartition(":")
    if not colon:
        path, _, attribute = re.sub(r"\.py$", "", attribute).rpartition(".")
    meant = f"{re.sub(r'[.]py$', '', path).replace('/', '.')}:{attribute}"
    return f"; did you mean {meant}?" if _is_reference(meant) else ""

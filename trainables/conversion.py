"""Conversion of plain values, as YAML and JSON give them, to the types of a configuration."""

import dataclasses
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, NewType, TypeVar

from tosmooth.trainables.errors import InputError, require, shown

T = TypeVar("T")
Name = NewType("Name", str)  # of a class: a text, or a number or truth value, as the data have it
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
RULES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
QUOTED = "without quotes YAML reads {} so: write it in quotes"


@cache  # found anew for each value they took most of the time of making a configuration
def types_of(cls: type) -> Mapping[str, Any]:
    """Types of the fields of a dataclass, by their names."""
    return types.MappingProxyType(typing.get_type_hints(cls))


def build(cls: type[T], values: object, path: str) -> T:
    """Build the dataclass `cls` from a mapping; `path` is where it stands, for messages."""
    if not isinstance(values, Mapping):
        where = path.rstrip(".") or cls.__name__
        raise InputError(f"{where}: {shown(values)} is refused: a mapping of keys to values{_as_mapping(cls, values)}")
    hints = types_of(typing.cast(type, cls))
    for key in values:
        if key not in hints:
            raise InputError(f"{path}{key}: unknown key; {_nearest(str(key), cls, path)}")
    for each in dataclasses.fields(cls):  # type: ignore[arg-type]
        if each.name not in values and each.default is MISSING and each.default_factory is MISSING:
            raise InputError(f"{path}{each.name}: missing; it has no default")
    return cls(**{key: convert(hints[key], value, f"{path}{key}") for key, value in values.items()})


def convert(kind: Any, value: Any, path: str, words: Sequence[str] = ()) -> Any:
    """Convert a value to `kind`. `words`: other words that the key takes, for the message."""
    if kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of_kinds(arguments, value, path)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return build(kind, value, f"{path}.")
    if origin is Literal:
        if value not in arguments:  # the nearest word takes long to find
            require(False, path, value, one_of(value, arguments))
        return value
    if origin in (dict, Mapping) and arguments[1] is Any and isinstance(value, Mapping):
        return dict(value)
    if origin in (dict, Mapping):
        example = "{cat: 1, dog: 2.5}" if arguments[1] is float else "{mine: mine.csv}"
        rule = ", or ".join([f"a mapping of names to values, such as {example}", *words])
        require(isinstance(value, Mapping), path, value, rule)
        return {key: convert(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if origin is tuple:
        require(isinstance(value, list | tuple), path, value, ", or ".join([f"a list{_as_list(value)}", *words]))
        return tuple(convert(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    return _plain(kind, value, path, words)


def _one_of_kinds(arguments: Sequence[Any], value: Any, path: str) -> Any:
    """Convert a value to the kind, of several, that it has the shape of."""
    if value is None and type(None) in arguments:
        return None
    literals = [argument for argument in arguments if typing.get_origin(argument) is Literal]
    words: list[str] = [word for literal in literals for word in typing.get_args(literal)]
    if isinstance(value, str) and value in words:
        return value
    if isinstance(value, str) and value.lower() == "none" and type(None) in arguments:
        words = [*words, "null"]
    kinds = [argument for argument in arguments if argument is not type(None) and argument not in literals]
    if not kinds:
        require(False, path, value, one_of(value, words))
    return convert(next((kind for kind in kinds if _suits(kind, value)), kinds[0]), value, path, words)


def _suits(kind: Any, value: object) -> bool:
    """True if a value has the shape of a `kind`: a mapping, a list, or neither."""
    origin = typing.get_origin(kind)
    if isinstance(value, Mapping):
        return origin in (dict, Mapping) or dataclasses.is_dataclass(kind)
    return (origin is tuple) == isinstance(value, list | tuple) and origin not in (dict, Mapping)


def one_of(value: object, known: Iterable[object]) -> str:
    """Rule that names what is known, and what of it may have been meant."""
    names = list(map(str, known))
    near = get_close_matches(str(value).lower(), names, n=1, cutoff=0.75)
    return f"one of {', '.join(names)}" + (f"; did you mean {near[0]}?" if near else "")


def number(value: object) -> object:
    """Return the number that a text writes, such as "5" or "1e-3"; any other value as it is."""
    if not isinstance(value, str) or NUMBER.fullmatch(value.strip()) is None or len(value) > 40:
        return value
    text = value.strip()
    found = int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    return found if abs(found) < 2**63 else value


def paths_to(name: str, cls: Any, path: str = "") -> Iterator[str]:
    """Yield dotted paths of the fields of a dataclass, and of those inside it, that are called `name` in any case."""
    for key, hint in types_of(cls).items():
        if key.lower() == name.lower():
            yield f"{path}{key}"
        for kind in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(kind):
                yield from paths_to(name, kind, f"{path}{key}.")


def _plain(kind: Any, value: Any, path: str, words: Sequence[str]) -> Any:
    """Convert to a number, a text or a truth value. A text that writes a number is that number where one is wanted."""
    if kind is Name:
        return _name(value, path)
    found = number(value) if kind in (int, float) else value
    if kind is int and isinstance(found, float) and found.is_integer():
        found = int(found)
    if kind is float and type(found) is int and abs(found) < 2**63:
        found = float(found)
    rule = ", or ".join([RULES.get(kind, f"of type {kind.__name__}"), *words])
    require(type(found) is kind, path, value, rule + _hint(kind, value))
    return found


def _name(value: object, path: str) -> str:
    """Text of a class's name: 3 and 3.0 are "3", true is "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    require(isinstance(value, str | int), path, value, "a text, a whole number, true or false")
    return str(value)


def _hint(kind: Any, value: object) -> str:
    """Advice on a value of another type."""
    if kind is str and isinstance(value, bool):
        return f"; {QUOTED.format('yes, on and true' if value else 'no, off and false')}"
    if kind is str and (value is None or isinstance(value, int | float)):
        return f"; {QUOTED.format('null and ~' if value is None else 'a number')}"
    if kind is str and isinstance(value, Mapping) and len(value) == 1:
        return "; without quotes YAML reads a colon as a key and its value"
    if kind in (int, float) and isinstance(value, str):
        if re.fullmatch("[\u2010-\u2015\u2212].*", value):
            return f", with a plain minus sign: -{value[1:]}"
        if re.fullmatch(r"[-+]?\d*,\d+", value):
            return f", with a point: {value.replace(',', '.')}"
        if (share := re.fullmatch(r"(\d+\.?\d*)\s*%", value)) and kind is float:
            return f", not a percentage: {float(share[1]) / 100:g}"
    return ""


def _as_list(value: object) -> str:
    """Example of a list, of what was given in its place."""
    if isinstance(value, str) and value.isprintable() and 0 < len(value) <= 60:
        return f", such as [{', '.join(part.strip() for part in value.split(','))}]"
    return (
        f", such as [{value}]" if isinstance(value, int | float) and not isinstance(value, bool) else ", such as [a, b]"
    )


def _as_mapping(cls: type, value: object) -> str:
    """Example of a mapping to a dataclass, of what was given in its place."""
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return ": take away the dash before each key"
    fields = {each.name: each.default for each in dataclasses.fields(cls)}
    first = next((key for key, default in fields.items() if default is MISSING or key == "name"), None)
    if isinstance(value, str) and value.isprintable() and 0 < len(value) <= 60 and first is not None:
        return f", such as {{{first}: {value}}}"
    known = [f"{key}: {default}" for key, default in fields.items() if isinstance(default, int | float | str)]
    return f", such as {{{known[0]}}}" if known else ""


def _nearest(key: str, cls: type, path: str) -> str:
    """Say which key of a dataclass may have been meant, also one further inside; else name all."""
    hints = types_of(cls)
    near = [f"{path}{found}" if "." in found else found for found in paths_to(key, cls)]
    near += get_close_matches(key, hints, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(hints)}"

"""Every key of a study file, from the models that read it; words, bounds and examples from the file beside this."""

import copy
import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic_core import PydanticUndefined

from tosmooth.search.spec.parameters import Range
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.conversion import Name

WORDS = Path(__file__).with_suffix(".yaml")
PLAIN = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`", Name: "text", Any: "any value"}
MANY = {int: "whole numbers", float: "numbers", str: "texts", Name: "texts"}
REQUIRED = object()
HEADED = ("dataset.table", "space")  # sections that are entries, too
WIDEST = 80  # characters of a line of an example


@dataclasses.dataclass(frozen=True)
class Key:
    """Key of a study file as a model declares it."""

    path: str
    kind: Any  # its type
    default: Any = REQUIRED


@cache
def words() -> dict[str, dict[str, Any]]:
    """What the page says of each key, by its path."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    return found


@cache
def keys() -> dict[str, Key]:
    """All keys of the models, by their paths."""
    found = [key for name, field in StudySpec.model_fields.items() for key in _of_study(name, field)]
    return {key.path: key for key in found}


def _of_study(name: str, field: Any) -> Iterator[Key]:
    kind = field.annotation
    default = REQUIRED if field.default is PydanticUndefined and field.default_factory is None else field.default
    yield Key(name, kind, default)
    if name == "space":
        for parameter in ("rate", "warmup", "lr_after_warmup"):
            yield Key(f"space.{parameter}", Range, None)
        yield from _inside("space.NAME", Range)
        yield Key("space.NAME.values", tuple[Any, ...])
    elif dataclasses.is_dataclass(kind):
        yield from _inside(name, kind)


def _inside(path: str, cls: Any) -> Iterator[Key]:
    """Yield the keys of a section, and of those inside it."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        default = field.default
        if default is dataclasses.MISSING:
            made = field.default_factory
            default = REQUIRED if made is dataclasses.MISSING else made()
        here = f"{path}.{field.name}"
        yield Key(here, hints[field.name], default)
        if here != "training.second_optimizer":  # which has the keys of the first
            for kind, between in _sections(hints[field.name]):
                yield from _inside(f"{here}{between}", kind)


def _sections(kind: Any) -> Iterator[tuple[Any, str]]:
    """Yield the dataclasses that a type has, with what stands between their keys and this one."""
    if dataclasses.is_dataclass(kind):
        yield kind, ""
    elif typing.get_origin(kind) is Mapping:
        for inner, _ in _sections(typing.get_args(kind)[1]):
            yield inner, ".NAME"
    elif typing.get_origin(kind) in (typing.Union, types.UnionType):
        for part in typing.get_args(kind):
            yield from _sections(part)


def type_of(kind: Any) -> str:
    """Type of a key in words."""
    if kind in PLAIN:
        return PLAIN[kind]
    origin, parts = typing.get_origin(kind), [part for part in typing.get_args(kind) if part is not type(None)]
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (typing.Union, types.UnionType):
        return "; or ".join(dict.fromkeys(type_of(part) for part in parts if part is not Ellipsis))
    if origin is tuple:
        nested = typing.get_origin(parts[0]) is tuple
        return "list of lists of numbers" if nested else f"list of {MANY.get(parts[0], 'values')}"
    return "mapping"  # dict, Mapping, and sections


def default_of(key: Key) -> str:
    """Default of a key, in words."""
    if key.default is REQUIRED:
        return "required"
    said = words().get(key.path, {}).get("default")
    if said is not None:
        return f"default: {said}"
    if key.default is None:
        return "default: none"
    if isinstance(key.default, bool):
        return f"default: `{str(key.default).lower()}`"
    if isinstance(key.default, int | float | str) and key.default != "":
        return f"default: `{key.default:g}`" if isinstance(key.default, float) else f"default: `{key.default}`"
    if isinstance(key.default, tuple) and key.default:
        return f"default: `[{', '.join(map(str, key.default))}]`"
    return "default: none"


def range_of(said: Mapping[str, Any]) -> str:
    """Values that a key allows, in words."""
    low, high = said.get("least", said.get("above")), said.get("most", said.get("below"))
    found = ""
    if low is not None and high is not None:
        found = f"{low:g} to {high}" if "least" in said and "most" in said else _open(said, low, high)
    elif high is not None:
        found = f"{'at most' if 'most' in said else 'below'} {high}"
    elif low is not None:
        found = f"at least {low}" if "least" in said else f"above {low}"
    return "; ".join(part for part in (found, said.get("rule", "")) if part)


def _open(said: Mapping[str, Any], low: float, high: float) -> str:
    first = f"{'at least' if 'least' in said else 'above'} {low}"
    return f"{first} and {'at most' if 'most' in said else 'below'} {high}"


def example_of(path: str) -> dict[str, Any]:
    """Part of a study file that has the key, as nested values."""
    said = words()[path]
    *parents, last = path.replace("space.NAME", f"space.{said.get('name')}").split(".")
    whole: dict[str, Any] = copy.deepcopy(said.get("with", {}))
    inner = whole
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = said["example"]
    return whole


def documented() -> str:
    """Markdown: a heading for each section, and the keys in it."""
    lines = ["## Keys at the top", ""]
    own = [path for path, key in keys().items() if "." not in path and not _is_section(path)]
    lines += [text for path in own for text in _entry(path)]
    for section in (path for path in words() if _is_section(path)):
        lines += [f"{'#' * (2 + section.count('.'))} `{section}`", ""]
        if words()[section]:
            lines += _entry(section)
        for path in words():
            if path != section and path.startswith(f"{section}.") and _section_of(path) == section:
                lines += _entry(path)
    return "\n".join(lines)


def _is_section(path: str) -> bool:
    return not words()[path] or path in HEADED


def _section_of(path: str) -> str | None:
    """Longest path of a section that a key lies in; `None` for a section."""
    above = [section for section in words() if _is_section(section) and path.startswith(f"{section}.")]
    return None if _is_section(path) else max(above, key=len, default=None)


def _yaml(key: str, value: object) -> str:
    """One key at the top of a study file, on one line where it fits."""
    line = yaml.safe_dump({key: value}, default_flow_style=True, sort_keys=False, width=10 * WIDEST).strip()[1:-1]
    if len(line) <= WIDEST:
        return line
    return yaml.safe_dump({key: value}, default_flow_style=None, sort_keys=False, width=WIDEST).rstrip()


def _entry(path: str) -> list[str]:
    key, said = keys()[path], words()[path]
    facts = [type_of(key.kind), said.get("unit", ""), range_of(said), default_of(key)]
    return [
        f":::{{key}} {path}",
        f"*{'* · *'.join(fact for fact in facts if fact)}*",
        "",
        said["says"],
        "",
        "```yaml",
        *(_yaml(key, value) for key, value in example_of(path).items()),
        "```",
        ":::",
        "",
    ]

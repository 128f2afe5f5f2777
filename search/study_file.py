"""The text of a study file: YAML to plain values and back, overrides from the command line, readable errors."""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from search.parameters import SEARCHABLE, unknown_key
from trainables.config import SHOWN, InputError, require, shown

LONGEST = 2**18  # characters of a study file: PyYAML reads some 100,000 a second
GREATEST = 2**63 - 2**10  # also as a float, to which 2**63 - 1 is 2**63
LINES = 10  # of a message
DEEPEST = 8  # mappings and lists inside each other; a study needs 4

# YAML 1.1, which PyYAML reads, takes 1e-5 for a text: it wants 1.0e-5. People mean the number.
_EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$", re.ASCII)


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses keys given twice, and aliases (a few lines of which can stand for millions of values)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not read: write the value out", problem_mark=mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"the key {key.value!r} is given twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that `_Loader` would take for numbers."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


def parse(text: str, where: str) -> Any:
    """The plain values of a YAML text; `where` it stands, for messages. Raises `InputError` with the line."""
    if len(text) > LONGEST:
        raise InputError(f"{where}: is refused: a study file has at most {LONGEST} characters")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: {_cut(error.problem or error.context or 'no YAML')}") from error
    except (yaml.YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: is not read as YAML: {_cut(str(error))}") from error
    _require_plain(value, where, "")
    return value


def parse_mapping(text: str, where: str) -> dict[str, Any]:
    """The same for a file, which must be a mapping."""
    values = parse(text, where)
    if not isinstance(values, dict):
        raise InputError(f"{where}, line 1: a study is a mapping of keys to values, not {values!r:.60}")
    return values


def dump(values: Mapping[str, Any]) -> str:
    """The YAML text of values, in the order given, the innermost collections on one line.

    A None inside a section is left out, where it means what the key's absence does.
    """
    kept = {key: _without_none(v) if isinstance(v, dict) else v for key, v in plain(values).items()}
    return yaml.dump(kept, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with dataclasses as mappings and tuples as lists, all the way down."""
    copied: dict[str, Any] = json.loads(json.dumps(values, default=dataclasses.asdict))
    return copied


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """A line for each value that differs between two nested mappings: `training.epochs: 10 -> 20`."""
    before, after = dict(_flat(old)), dict(_flat(new))
    changed = [key for key in before | after if before.get(key) != after.get(key)]
    return [f"{key}: {_word(before.get(key))} -> {_word(after.get(key))}" for key in changed]


def override(values: dict[str, Any], text: str) -> None:
    """Apply `key.path=value` to the values of a study file, in place. The value is YAML; lists are set as a whole."""
    before, equals, raw = text.partition("=")
    path = before.strip()
    keys = _split(path)
    ok = bool(equals) and all(keys) and all(map(_is_key, keys))
    require(ok, "--set", text, "write key.path=value, such as training.epochs=20")
    value = parse(raw, f"--set {path}")
    target = values
    for depth, key in enumerate(keys[:-1], 1):
        inner = target.get(key)
        if inner is None:
            inner = target[key] = {}
        if not isinstance(inner, dict):
            held = ".".join(keys[:depth])
            raise InputError(f"--set {path}: {held} is {shown(inner)} and has no keys; a list is set as a whole")
        target = inner
    target[keys[-1]] = value


def readable(error: ValidationError, known: Iterable[str]) -> InputError:
    """One line for each thing wrong: key, value and rule. `known` are the keys of a study."""
    lines = [_line(dict(detail), known) for detail in error.errors(include_url=False)]
    more = [f"and {len(lines) - LINES} more"] if len(lines) > LINES else []
    return InputError("\n".join([*lines[:LINES], *more]))


def _line(detail: dict[str, Any], known: Iterable[str]) -> str:
    key, cause = ".".join(map(str, detail["loc"])), detail.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return str(cause)
    if detail["type"] == "missing":
        return f"{key}: missing; a study needs it"
    if detail["type"] == "extra_forbidden":
        return str(unknown_key(key, known))
    rule = detail["msg"].removeprefix("Input should be ")
    return f"{key}: {shown(detail['input'])} is refused: {rule}"


def _split(path: str) -> list[str]:
    """The keys of a path. The name of a searched parameter is one of them, dots and all: `space.network.width.low`."""
    first, *rest = path.split(".")
    if first != "space" or not rest:
        return [first, *rest]
    name = ".".join(rest[:-1])
    return [first, name, rest[-1]] if name in SEARCHABLE else [first, ".".join(rest)]


def _is_key(key: object) -> bool:
    return isinstance(key, str) and key.isprintable() and 0 < len(key) <= SHOWN


def _cut(text: str) -> str:
    """What a library says, on one line and cut short."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN and line.isprintable() else shown(line).strip("'")


def _require_plain(value: object, where: str, path: str, depth: int = 0) -> None:
    """Refuse what YAML can say and a study cannot mean: dates, sets, keys that are no text, NaN, huge numbers."""
    place = f"{where}: {path}" if path else where
    require(depth <= DEEPEST, place, value, f"at most {DEEPEST} mappings and lists inside each other")
    if isinstance(value, dict):
        for key, inner in value.items():
            require(_is_key(key), place, key, f"keys are text on one line, of 1 to {SHOWN} characters")
            _require_plain(inner, where, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            _require_plain(inner, where, f"{path}[{i}]", depth + 1)
    elif isinstance(value, str):
        # Neither file names nor a terminal take them: a study kept with one could not be written or shown.
        whole = not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value)
        require(whole, place, value, "text without null characters and halves of surrogate pairs")
    elif isinstance(value, int | float):
        said = value if isinstance(value, float) else hex(value)  # Python does not print a number of 5,000 digits
        require(abs(value) <= GREATEST, place, said, "a finite number of at most 64 bits")
    else:
        require(value is None, place, value, "text, a number, true, false, a list or a mapping")


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    inner = {key: _without_none(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in inner.items() if value is not None}


def _flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _word(value: object) -> str:
    return "none" if value is None else str(value)

"""Text of a study file: YAML to plain values and back, overrides from the command line, readable errors."""

import dataclasses
import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from tosmooth.search.spec.parameters import SEARCHABLE, unknown_key
from tosmooth.search.spec.yaml_errors import cut, explained
from tosmooth.trainables.conversion import QUOTED
from tosmooth.trainables.errors import SHOWN, InputError, require, shown
from tosmooth.trainables.former_words import TRIAL

LONGEST = 2**18  # characters of a study file: PyYAML reads some 100,000 a second
GREATEST = 2**63 - 2**10  # also as a float, to which 2**63 - 1 is 2**63
LINES = 10  # of a message
NUMBERED = "training.class_weights"  # a mapping whose keys, classes, may be numbers
DEEPEST = 8  # mappings and lists inside each other; a study needs 4

# YAML 1.1, which PyYAML reads, takes 1e-5 for a text: it wants 1.0e-5. People mean the number.
_EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$", re.ASCII)


class _Loader(yaml.SafeLoader):
    """Loader of safe YAML that refuses repeated keys, and aliases (a few lines of them can mean millions of values)."""

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
    """Dumper that quotes the texts that `_Loader` would take for numbers."""


# YAML 1.1 also has numbers of base 60 and 8, which no one means: 1:30 would be 90, 010 would be 8.
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$", re.ASCII)
_FLOAT = re.compile(
    r"([-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$", re.ASCII
)
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS]
    for letter, resolvers in _Loader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in zip(_NUMBERS, (_INT, _FLOAT), strict=True):
    _Loader.add_implicit_resolver(_tag, _pattern, list("-+.0123456789"))
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


def parse(text: str, where: str) -> Any:
    """Parse YAML text to plain values; `where` it stands is for messages. Raises `InputError` with the line."""
    if len(text) > LONGEST:
        raise InputError(f"{where}: is refused: a study file has at most {LONGEST} characters")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line, words = explained(error, text)
        raise InputError(f"{where}{f', line {line}' if line else ''}: {words}") from error
    except (yaml.YAMLError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise InputError(f"{where}: is not read as YAML: {cut(str(error))}") from error
    _require_plain(value, where, "")
    return value


def parse_mapping(text: str, where: str) -> dict[str, Any]:
    """Parse a whole file as `parse` does. Raises `InputError` unless it is a mapping."""
    values = parse(text, where)
    if not isinstance(values, dict):
        rule = "a study is a mapping of keys to values, such as name: my-study"
        found = "the file is empty" if values is None else f"not {values!r:.60}"
        dashes = ": take away the dashes" if isinstance(values, list) else ""
        raise InputError(f"{where}, line 1: {rule}; {found}{dashes}")
    return values


def dump(values: Mapping[str, Any]) -> str:
    """Write values as YAML text in the order given, the innermost collections on one line.

    A None inside a section is left out: there it means the same as an absent key.
    """
    kept = {key: _without_none(v) if isinstance(v, dict) else v for key, v in plain(values).items()}
    return yaml.dump(kept, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy values with dataclasses as mappings and tuples as lists, all the way down."""
    copied: dict[str, Any] = json.loads(json.dumps(values, default=dataclasses.asdict))
    return copied


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List each value that differs between two nested mappings, a line each: `training.epochs: 10 -> 20`."""
    before, after = dict(_flat(old)), dict(_flat(new))
    changed = [key for key in before | after if before.get(key) != after.get(key)]
    return [f"{key}: {_word(before.get(key))} -> {_word(after.get(key))}" for key in changed]


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List each value that both mappings have and that differs, as `differences` does: versions add and rename keys."""
    return differences(_common(old, new), _common(new, old))


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


def readable(error: ValidationError, known: Iterable[str], first: Iterable[str] = ()) -> InputError:
    """Make an error with a line for each mistake (key, value, rule) after those in `first`.

    `known`: keys of a study, those inside its sections by their dotted paths.
    """
    return refused([*first, *(_line(dict(detail), known) for detail in error.errors(include_url=False))])


def refused(lines: Sequence[str]) -> InputError:
    """Make the error of a study file with a line for each mistake, and not too many of them."""
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
    why = "nothing stands there" if detail["input"] is None else QUOTED.format("it")
    rule = {"a valid string": f"a text; {why}", "a valid integer": "a whole number"}.get(rule, rule)
    return f"{key}: {shown(detail['input'])} is refused: {rule}"


def _split(path: str) -> list[str]:
    """Split a path into keys. A searched parameter's name is one key, dots and all: `space.network.width.low`."""
    first, *rest = path.split(".")
    if first != "space" or not rest:
        return [first, *rest]
    name = ".".join(rest[:-1])
    argument = rest[0] == "arguments" and len(rest) > 2  # of a trainable
    return [first, name, rest[-1]] if name in SEARCHABLE or name in TRIAL or argument else [first, ".".join(rest)]


def _as_text(key: object) -> str:
    return f"; {QUOTED.format('yes, no, on and off')}" if isinstance(key, bool) else ""


def _is_key(key: object) -> bool:
    return isinstance(key, str) and key.isprintable() and 0 < len(key) <= SHOWN


def _require_plain(value: object, where: str, path: str, depth: int = 0) -> None:
    """Refuse what YAML can say and a study cannot mean: dates, sets, keys that are no text, NaN, huge numbers."""
    place = f"{where}: {path}" if path else where
    require(depth <= DEEPEST, place, value, f"at most {DEEPEST} mappings and lists inside each other")
    if isinstance(value, dict):
        for key, inner in value.items():
            split = inner is None and re.fullmatch(r"[-+]?[\d.]+", str(key)) is not None  # {low: -8, high: 0,8}
            require(not split, place, key, "a comma ends a value: write numbers with a point, and no other separator")
            named = _is_key(key) or (type(key) is int and place.endswith(NUMBERED))
            require(named, place, key, f"keys are text on one line, of 1 to {SHOWN} characters{_as_text(key)}")
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
    elif isinstance(value, datetime.date):
        require(False, place, str(value), f"a text; {QUOTED.format('a date')}")
    else:
        require(value is None, place, value, "text, a number, true, false, a list or a mapping")


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    inner = {key: _without_none(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in inner.items() if value is not None}


def _common(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what both have, and of sections that both have what both have in them."""
    return {
        key: _common(value, others[key]) if isinstance(value, Mapping) and isinstance(others[key], Mapping) else value
        for key, value in values.items()
        if key in others
    }


def _flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _word(value: object) -> str:
    return "none" if value is None else str(value)

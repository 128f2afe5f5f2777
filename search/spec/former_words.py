"""Former names of a study file's keys: a kept study that uses them is read, and a user is told today's names.

A trial's own keys (`trainables.former_words`) also stand in the search space, and in the parameters that Optuna's
storage, `prior.json` and exported trials keep. Former names are translated wherever they are read, and never written.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tosmooth.trainables.former_words import TRIAL

# Then -> now. A section stands for those of its keys that are not named.
STUDY = {
    "dataset.levels": "dataset.noise",
    "search.seeds": "search.training_seeds",
    "selection.readout": "search.readout",
    "selection.epoch": "search.epoch",
    "selection.seeds": "confirmation.seeds",
    "selection.gain_interval": "confirmation.gain_interval",
    "selection.max_seeds": "confirmation.max_seeds",
    "selection.finalists": "confirmation.finalists",
    "selection.keep_weights": "confirmation.keep_weights",
} | {f"space.{then}": f"space.{now}" for then, now in TRIAL.items()}
SAMPLED = {f"symlog({then})": f"symlog({now})" for then, now in TRIAL.items()} | TRIAL  # names as Optuna has them

KeyPath = tuple[str, ...]  # a section and its key, or a key outside of any section, dots and all
METHOD = "method"  # stood among the parameters of a baseline beside another method: now `Record.trained_as`


def renewed_sampled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Optuna keeps by the name of a sampled parameter under today's names, in the same order."""
    return {SAMPLED.get(name, name): value for name, value in values.items()}


def renewed_study(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a study file's values under today's keys, in order, and for each former key a line that names today's.

    If a file has both keys, the value under today's counts.
    """
    found: dict[str, Any] = {}
    lines: dict[str, None] = {}  # each once
    given = list(_entries(values))
    there = {path for path, _ in given}
    for path, value in given:
        now = path
        if (known := _former(path)) is not None:
            now = (*STUDY[known].split(".", 1), *path[known.count(".") + 1 :])
            lines[f"{known}: is now {STUDY[known]}"] = None
        if now == path or now not in there:
            _put(found, now, value)
    return found, list(lines)


def _former(path: KeyPath) -> str | None:
    """Find the former key that a path stands for: its own, or that of its section; `None` where it is today's."""
    if len(path) == 2 and ".".join(path) in STUDY:
        return ".".join(path)
    return path[0] if path[0] in STUDY and "." not in path[0] else None


def _entries(values: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    """Yield each value of each section by its path; an empty section, or a value outside of any, by its own key."""
    for section, inner in values.items():
        if isinstance(inner, Mapping) and inner:
            yield from (((section, key), value) for key, value in inner.items())
        else:
            yield (section,), inner


def _put(found: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set a value at a path. A section that is no mapping stays as it is, to be refused later."""
    section, *keys = path
    if not keys:
        found[section] = found.get(section, {}) if value == {} else value
    elif isinstance(inner := found.setdefault(section, {}), dict):
        inner[keys[0]] = value

"""Read and write study files, and compare studies with what was kept. Loads without Ray, Optuna, MLflow or torch."""

import codecs
import functools
import logging
import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tosmooth.search.spec.former_search import without_former
from tosmooth.search.spec.former_words import renewed_study
from tosmooth.search.spec.parameters import Range, method_of
from tosmooth.search.spec.shipped import shipped_file
from tosmooth.search.spec.shipped import shipped_studies as shipped_studies
from tosmooth.search.spec.study import StudySpec, known_keys
from tosmooth.search.spec.yaml_file import LONGEST, differences, dump, override, parse_mapping, readable, refused
from tosmooth.trainables.conversion import number
from tosmooth.trainables.errors import InputError

log = logging.getLogger(__name__)


def load_study(
    name_or_path: str | Path,
    overrides: Sequence[str] = (),
    name: str | None = None,
    seed: int | None = None,
    kept: bool = False,
) -> StudySpec:
    """Read a study that comes with the package, by its name, or one of the user's, by the path of its YAML file.

    `overrides` are `key.path=value`, applied in order before anything is checked, then `name` and `seed`. `kept`: the
    file was kept in a home, and may use the keys of an earlier version.
    """
    text, where = _source(name_or_path)
    return read_study(text, where, overrides, name, seed, kept)


def read_study(
    text: str,
    where: str = "study",
    overrides: Sequence[str] = (),
    name: str | None = None,
    seed: int | None = None,
    kept: bool = False,
) -> StudySpec:
    """Read a study from YAML text. `where` it comes from is named in messages; the others are as in `load_study`."""
    values = parse_mapping(text, where)
    if kept:
        values = _renewed(values, where)
    for change in overrides:
        override(values, change)
    values = _fitted(values, overrides)
    values |= {key: value for key, value in (("name", name), ("seed", seed)) if value is not None}
    values, former = renewed_study(values)
    try:
        spec = StudySpec.model_validate(values)
    except ValidationError as error:
        raise readable(error, known_keys(), former) from error
    if former:
        raise refused(former)
    return spec


def _renewed(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the values of a study that a home keeps, as today's version writes them."""
    values, _ = renewed_study(values)
    if isinstance(search := values.get("search"), dict):
        values["search"], told = without_former(search)
        for change in told:
            _tell(where, change)
    return values


@functools.cache  # a command reads the file several times
def _tell(where: str, change: str) -> None:
    log.warning("%s: %s", where, change)


def _fitted(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the values with the longest warm-up cut to the epochs of the run, where these were made fewer; it is said.

    What is asked of the warm-up on the command line itself is refused instead.
    """
    training, space = values.get("training"), values.get("space")
    warmup = space.get("warmup") if isinstance(space, dict) else None
    if not isinstance(training, dict) or not isinstance(space, dict) or not isinstance(warmup, dict):
        return values
    given = [training.get("epochs"), warmup.get("low"), warmup.get("high"), warmup.get("step") or 1]
    whole = [found for found in map(number, given) if isinstance(found, int) and not isinstance(found, bool)]
    if len(whole) < len(given) or any(change.strip().startswith("space.warmup") for change in overrides):
        return values
    epochs, low, high, step = whole
    if step < 1 or epochs < 1 or not 0 <= low <= epochs < high:
        return values
    most = low + (epochs - low) // step * step
    _tell_of_warmup(high, most, epochs)
    shorter = {**warmup, "high": most} if most > low else {"values": [low]}
    return {**values, "space": {**space, "warmup": shorter}}


@functools.cache  # a command reads the file several times
def _tell_of_warmup(high: int, most: int, epochs: int) -> None:
    log.warning("space.warmup: its upper bound is %d, not %d: the run has %d epochs", most, high, epochs)


def to_yaml(spec: StudySpec) -> str:
    """Write the study as the text of a file, every choice settled; `read_study` returns an equal study from it."""
    method = spec.method[0] if len(spec.method) == 1 else spec.method
    return dump({**dict(spec), "method": method})


def difference(old: StudySpec, new: StudySpec) -> list[str]:
    """List why `new` cannot go on where `old` stopped, a line each (`training.epochs: 10 -> 20`); empty if it can.

    Free to change: more or fewer trials (what was tried stays, and counts), added levels and methods, bounds, sampler,
    pruner, readout, confirmation, resources, question, cost and name. Not free: what shapes the numbers of trials; and
    no level, method or parameter that was searched may be removed. Optuna's GP learns from trials of one set of bounds
    only, and so may a sampler that is named by its class; a grid is one set of points: with these the bounds may not
    change either, and a study is a grid from its start or never.
    """
    before, after = old.meaning(), new.meaning()
    both = {None, *old.method} & {None, *new.method}  # an added method brings parameters of its own
    for values in (before, after):
        values["space"] = {name: kind for name, kind in values["space"].items() if method_of(name) in both}
    if new.search.modelled or new.search.sampler == "grid":
        before["bounds"], after["bounds"] = _bounds(old), _bounds(new)
    if new.search.sampler == "grid":
        before["sampler"], after["sampler"] = old.search.sampler, "grid"
    lines = differences(before, after)
    lines += [f"dataset.noise: {level} is removed" for level in old.dataset.noise if level not in new.dataset.noise]
    return lines + [f"method: {method} is removed" for method in old.method if method not in new.method]


def _bounds(spec: StudySpec) -> dict[str, list[float]]:
    return {name: list(p.extremes) for name, p in spec.space.items() if isinstance(p, Range)}


def _source(name_or_path: str | Path) -> tuple[str, str]:
    known = shipped_studies()
    if name_or_path in known:
        return shipped_file(str(name_or_path)).read_text(encoding="utf-8"), f"study {name_or_path}"
    path = Path(name_or_path)
    if os.path.exists(path) and not (path.is_file() or path.is_dir()):  # noqa: PTH110 - takes a name of any length
        raise InputError(f"{path}: the study file is refused: reading a pipe, a socket or a device may never end")
    if not _is_file(path) and path.suffix not in (".yaml", ".yml") and len(path.parts) < 2:
        near = get_close_matches(str(name_or_path), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"those that come with it: {', '.join(known)}."
        raise InputError(f"study {str(name_or_path)!r}: unknown; {hint} One of your own goes by the path of its file")
    try:
        with path.open("rb") as file:
            content = file.read(4 * LONGEST + 1)  # a device has no end, and `parse` refuses what is longer
        return _decoded(content), str(path)
    except OSError as error:
        raise InputError(f"{path}: the study file cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path}: the study file cannot be read: {error}") from error


def _decoded(content: bytes) -> str:
    """Decode a text file: UTF-8, or UTF-16 with its mark, as editors write them. Raises `ValueError` for another."""
    if len(content) > 4 * LONGEST:
        return content.decode("latin-1")  # it is refused for its length
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no text in UTF-8 (byte {error.start + 1}); save it as UTF-8") from error
    if "\0" in text:
        raise ValueError("it is no text in UTF-8 (it holds null characters); save it as UTF-8")
    return text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long for the file system
        return False

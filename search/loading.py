"""Studies as files: read, written, compared with what was kept. Loads without Ray, Optuna, MLflow or torch."""

from collections.abc import Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from search.parameters import Range, method_of
from search.study import StudySpec
from search.study_file import LONGEST, differences, dump, override, parse_mapping, readable
from trainables.config import InputError


def load_study(
    name_or_path: str | Path, overrides: Sequence[str] = (), name: str | None = None, seed: int | None = None
) -> StudySpec:
    """A study that comes with the package, by name, or one of the user's, by path to its YAML file.

    `overrides` are `key.path=value`, applied in order before anything is checked, then `name` and `seed`.
    """
    text, where = _source(name_or_path)
    return read_study(text, where, overrides, name, seed)


def read_study(
    text: str, where: str = "study", overrides: Sequence[str] = (), name: str | None = None, seed: int | None = None
) -> StudySpec:
    """The study of a YAML text; `where` it comes from, for messages about its syntax."""
    values = parse_mapping(text, where)
    for change in overrides:
        override(values, change)
    values |= {key: value for key, value in (("name", name), ("seed", seed)) if value is not None}
    try:
        return StudySpec.model_validate(values)
    except ValidationError as error:
        raise readable(error, StudySpec.model_fields) from error


def shipped_studies() -> list[str]:
    """The names of the studies that come with the package."""
    entries = (entry.name for entry in files("studies").iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def to_yaml(spec: StudySpec) -> str:
    """The study as the text of a file, every choice settled; `read_study` takes it back to an equal study."""
    method = spec.method[0] if len(spec.method) == 1 else spec.method
    return dump({**dict(spec), "method": method})


def difference(old: StudySpec, new: StudySpec) -> list[str]:
    """Why `new` cannot go on where `old` stopped, a line each (`training.epochs: 10 -> 20`); empty if it can.

    Free to change: more or fewer trials (what was tried stays, and counts), added levels and methods, bounds, sampler,
    pruner, selection, resources, question, cost and name. Not so what shapes the numbers of trials, and nothing that
    was searched may go. Optuna's GP learns from trials of one set of bounds only, and a grid is one set of points:
    with them the bounds are settled too, and a study is a grid from its start or never.
    """
    before, after = old.meaning(), new.meaning()
    both = {None, *old.method} & {None, *new.method}  # an added method brings parameters of its own
    for values in (before, after):
        values["space"] = {name: kind for name, kind in values["space"].items() if method_of(name) in both}
    if new.search.sampler in ("gp", "grid"):
        before["bounds"], after["bounds"] = _bounds(old), _bounds(new)
    if new.search.sampler == "grid":
        before["sampler"], after["sampler"] = old.search.sampler, "grid"
    lines = differences(before, after)
    lines += [f"dataset.levels: {level} is removed" for level in old.dataset.levels if level not in new.dataset.levels]
    return lines + [f"method: {method} is removed" for method in old.method if method not in new.method]


def _bounds(spec: StudySpec) -> dict[str, list[float]]:
    return {name: list(p.extremes) for name, p in spec.space.items() if isinstance(p, Range)}


def _source(name_or_path: str | Path) -> tuple[str, str]:
    known = shipped_studies()
    if name_or_path in known:
        return files("studies").joinpath(f"{name_or_path}.yaml").read_text(encoding="utf-8"), f"study {name_or_path}"
    path = Path(name_or_path)
    if not _is_file(path) and path.suffix not in (".yaml", ".yml") and len(path.parts) < 2:
        near = get_close_matches(str(name_or_path), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"those that come with it: {', '.join(known)}."
        raise InputError(f"study {str(name_or_path)!r}: unknown; {hint} One of your own goes by the path of its file")
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(LONGEST + 1), str(path)  # a device has no end, and `parse` refuses what is longer
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the study file cannot be read: {error}") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long for the file system
        return False

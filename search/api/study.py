"""A study made in Python, of the same fields and checks as a study file."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tosmooth.search.spec.loading import load_study, read_study, to_yaml
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.spec.yaml_file import dump
from tosmooth.trainables.errors import InputError, require, shown
from tosmooth.trainables.files.atomic_write import write


class Study:
    """Study: what is compared, trained and searched, with the fields of a study file and plain values.

    `Study("mine", {"name": "twonorm", "noise": ["symmetric-0.4"]}, search={"trials": 12})` is the same as a file with
    these keys. Every default is filled in, and can be read as an attribute: `study.training.epochs`.
    """

    def __init__(self, name: str, dataset: Mapping[str, Any], **sections: Any) -> None:
        """Take the study's name, its data, and what else a study file may say.

        `sections`: question, cost, seed, network, training, method, transition, trainable, arguments, space, search,
        selection, trunks, confirmation, resources, trial_attempts, trial_timeout, trial_checkpoint. Raises `InputError`
        with a line for each thing that is wrong, naming key, value and rule.
        """
        values = {"name": name, "dataset": dataset, **sections}
        self._spec = read_study(dump(settled(values)), "Study")

    @classmethod
    def load(cls, study: str | Path, changes: Mapping[str, Any] | None = None) -> Self:
        """Load a study that comes with tosmooth, by its name, or the study file at a path.

        `changes` are values by the paths of their keys: `{"training.epochs": 20}`. Raises `InputError` where there is
        no such study, or something in it is wrong.
        """
        return cls.of(load_study(study, overrides(changes)))

    @classmethod
    def of(cls, spec: StudySpec) -> Self:
        """Make a study from its specification."""
        study = cls.__new__(cls)
        study._spec = spec
        return study

    @property
    def spec(self) -> StudySpec:
        """Specification, with every default filled in."""
        return self._spec

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Make a study with other values, by the paths of their keys: `{"search.trials": 40}`. This one stays as it is.

        Raises `InputError` for values that a study may not have.
        """
        return type(self).of(read_study(self.to_yaml(), "Study", overrides(changes)))

    def to_yaml(self) -> str:
        """Write it as the text of a study file."""
        return to_yaml(self._spec)

    def save(self, file: str | Path) -> Path:
        """Write it as a study file, which `tosmooth run` takes; returns the path. A file that is there is replaced.

        Raises `InputError` unless the name ends in .yaml or .yml.
        """
        path = Path(file)
        require(path.suffix in (".yaml", ".yml"), "file", str(file), "a study file ends in .yaml")
        write(self.to_yaml(), path)
        return path

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_") or key not in StudySpec.model_fields:
            raise AttributeError(f"a study has no field {key!r}; it has {', '.join(StudySpec.model_fields)}")
        return getattr(self._spec, key)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *StudySpec.model_fields})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Study) and self._spec == other._spec

    __hash__ = None  # type: ignore[assignment] # as what has mappings in it

    def __repr__(self) -> str:
        return f"Study of {self._spec.name!r}:\n{self.to_yaml()}"


def overrides(changes: Mapping[str, Any] | None) -> list[str]:
    """Changes as the command line takes them, `key.path=value`. Raises `InputError` for values that no file has."""
    import yaml

    found = []
    for key, value in (changes or {}).items():
        require(isinstance(key, str), "changes", key, "the path of a key, such as training.epochs")
        text = yaml.safe_dump([settled(value, key)], default_flow_style=True, width=10**9, allow_unicode=True)
        found.append(f"{key}={text.strip()[1:-1]}")
    return found


def settled(value: Any, path: str = "") -> Any:
    """Make plain what stands in a study: mappings, lists, texts and numbers; NumPy's numbers and paths become such."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {key: settled(inner, f"{path}.{key}".lstrip(".")) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [settled(inner, f"{path}[{i}]") for i, inner in enumerate(value)]
    if isinstance(value, Path):
        return str(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "ndim", None) == 0:
        return item()
    kind = type(value).__name__
    raise InputError(
        f"{path}: {shown(value)} is refused: text, a number, true, false, a list or a mapping, not a {kind}"
    )

"""A study file that fits the data: network, epochs and budget by their size, with a comment on each choice."""

import dataclasses
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tosmooth.search.init.look import Found
from tosmooth.search.report.cost import Cost
from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.study import StudySpec, check_name
from tosmooth.search.spec.yaml_file import dump
from tosmooth.trainables.config import TableSource
from tosmooth.trainables.errors import require
from tosmooth.trainables.files.atomic_write import replacing

LONG = 3600.0  # seconds from which on a smaller budget is proposed
BUDGETS = ((16, 5), (12, 5), (8, 3))  # trials a level, fresh seeds
STEPS = 4000  # optimizer steps of a run that are wanted, within the bounds of epochs
SMALLEST = 16  # pixels of a side down to which pictures are cropped and mirrored
UNEQUAL = 5.0  # times as many examples as the smallest class, from which on classes count as unequal


@dataclass(frozen=True, slots=True)
class Recipe:
    """Training that fits the data."""

    network: dict[str, Any]
    epochs: int
    batch_size: int
    lr: float
    validation: float

    @property
    def longest_warmup(self) -> int:
        return max(1, round(0.6 * self.epochs))


def recipe_for(found: Found) -> Recipe:
    """Choose a recipe for data that were looked at."""
    return fitting_recipe(found.rows, found.table.of_pictures)


def fitting_recipe(rows: int, pictures: bool) -> Recipe:
    """Choose a recipe by the number of examples: the smaller, the longer, and the more of it validates."""
    validation = 0.3 if rows < 2000 else 0.2 if rows < 20_000 else 0.1
    batch = 32 if rows < 2000 else 64 if pictures or rows < 10_000 else 128
    wanted = STEPS * batch / ((1 - validation) * rows)
    fewest, most = (8, 30) if pictures else (10, 40)
    epochs = round(min(most, max(fewest, wanted)))
    network = {"name": "cnn"} if pictures else {"name": "mlp", "width": 128 if rows >= 5000 else 64}
    return Recipe(network, epochs, batch, 0.05, validation)


def file_for(found: Found, output: Path | None, name: str | None, force: bool) -> Path:
    """File to write. Raises `InputError` for one that is there, unless it may be written over."""
    check_name(name or found.name)
    file = output or Path(f"{name or found.name}.yaml")
    require(file.suffix in (".yaml", ".yml"), "--output", str(file), "a study file ends in .yaml")
    require(
        force or not file.exists(), "--output", str(file), "a file that is not there yet, or --force to write over it"
    )
    return file


def proposed(found: Found, name: str | None) -> Iterator[StudySpec]:
    """Yield studies of the data, each of a smaller budget than the one before."""
    for trials, seeds in BUDGETS:
        yield read_study(text_of(found, name, trials, seeds), "the proposed study")


def text_of(found: Found, name: str | None, trials: int, seeds: int, cost: str = "") -> str:
    """Write the study file."""
    recipe, table = recipe_for(found), found.table
    noise = ["given", *(["clean"] if found.source.train.all_clean is not None else [])]
    unequal = _ratio(found.source.train.given[found.source.train.labelled]) >= UNEQUAL
    values = {
        "name": name or found.name,
        "question": f"Should the labels of {found.name} be smoothed?",
        **({"cost": cost} if cost else {}),
        "dataset": {
            "name": found.name,
            "noise": noise,
            "validation_fraction": recipe.validation,
            "table": _table(table),
        },
        "network": recipe.network,
        "training": _training(recipe, found),
        "space": {
            "rate": {"low": -8.0, "high": 0.8, "scale": "symlog"},
            "warmup": {"low": 0, "high": recipe.longest_warmup},
        },
        "search": {"trials": trials},
        "confirmation": {"seeds": seeds},
        **({"selection": {"metric": "balanced_accuracy"}} if unequal else {}),
    }
    mirrors = " crop-flip mirrors pictures: not for digits or text." if _mirrored(found) else ""
    comments = {
        "name": "\n".join(
            [f"Made by `tosmooth init`. Run it with: tosmooth run {name or found.name}.yaml", *found.said]
        ),
        "dataset": "given: labels as they are; symmetric-0.2 would add wrong ones. A part of the data validates.",
        "network": _on_network(table),
        "training": f"Long enough that cross-entropy begins to learn wrong labels by heart.{mirrors}",
        "space": "What is searched: the smoothing rate, and epochs of warm-up by cross-entropy. To search what may do "
        "the same, too, add training.optimizer.weight_decay: {low: 1e-5, high: 0.1, scale: log}.",
        "search": "Trials a noise level; more of them narrow the interval of the best rate.",
        "confirmation": "Fresh seeds on which the best rate, cross-entropy and label smoothing are trained again.",
        "selection": "Classes are of unequal size: each counts alike.",
    }
    return "".join(
        f"\n{_comment(comments[key])}{section}" if (key := section.partition(":")[0]) in comments else section
        for section in re.split(r"^(?=\w)", dump(values), flags=re.MULTILINE)
    ).lstrip("\n")


def write(file: Path, found: Found, spec: StudySpec, cost: Cost) -> None:
    """Write the study file of the budget that `spec` has, with what it costs."""
    seeds = spec.confirmation.most_seeds
    text = text_of(found, spec.name, spec.budget, seeds, f"not run yet; {cost.time}")
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")


def _ratio(labels: Any) -> float:
    """Largest class by the smallest."""
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return float(counts.max() / counts.min())


def _table(table: TableSource) -> dict[str, Any]:
    """What of the table's description is not as it is without a word."""
    default = {each.name: each.default for each in dataclasses.fields(TableSource)}
    values = {key: value for key, value in dataclasses.asdict(table).items() if value != default[key]}
    return {key: value for key, value in values.items() if value not in ((), None)}


def _training(recipe: Recipe, found: Found) -> dict[str, Any]:
    values: dict[str, Any] = {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": {"name": "sgd", "lr": recipe.lr, "momentum": 0.9},
        "schedule": {"name": "cosine"},
    }
    return values | ({"augment": "crop-flip"} if _mirrored(found) else {})


def _mirrored(found: Found) -> bool:
    """True for pictures large enough that a crop leaves what they show."""
    return found.table.of_pictures and min(found.source.train.inputs.shape[1:3]) >= SMALLEST


def _on_network(table: TableSource) -> str:
    if table.of_pictures:
        return "A small CNN, trained from nothing; resnet18 is stronger and wants a GPU."
    return "A perceptron with one hidden layer; depth: 2 adds another."


def _comment(words: str) -> str:
    lines = [line for part in words.splitlines() for line in textwrap.wrap(part, 116)]
    return "".join(f"# {line}\n" for line in lines)

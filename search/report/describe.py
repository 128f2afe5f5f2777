"""Description of what a study would run, as plain facts and as text."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tosmooth.search.records import Level
from tosmooth.search.report import cost as costs
from tosmooth.search.report.cost import Cost, cost_of
from tosmooth.search.report.data_notes import on_data
from tosmooth.search.report.narrow import fitting
from tosmooth.search.spec.parameters import Parameter, Range
from tosmooth.search.spec.plugins import in_words
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.redact import masked

MOST_CLASSES = 20  # that are named


def description(spec: StudySpec, levels: Mapping[str, Level], cost: Cost | None = None) -> dict[str, Any]:
    """Levels with sizes, classes and noise rates; space, budget, resources, cost; all as JSON takes it."""
    cells, cost = spec.cells(), cost or cost_of(spec, None, None)
    return {
        "study": spec.name,
        "question": spec.question,
        "cost": spec.cost,
        "seed": spec.seed,
        "levels": [
            {
                "level": level.name,
                "classes": level.classes,
                "train": level.train_size,
                "validation": level.validation_size,
                "test": level.test_size,
                "noise_rate": level.noise_rate,
                "class_names": list(level.class_names),
                "class_counts": list(level.class_counts),
                "notes": on_data(level),
            }
            for level in levels.values()
        ],
        "network": spec.network.name if spec.trainable is None else None,
        "mode": spec.network.mode,
        "weights": {"from": spec.network.weights, "sha256": next(iter(levels.values())).weights if levels else ""},
        "trainable": spec.trainable,
        "arguments": spec.arguments,
        "recipe": _recipe(spec),
        "space": {name: _words(parameter) for name, parameter in spec.space.items()},
        "sampler": in_words(spec.search.sampler),
        "pruner": in_words(spec.search.pruner),
        "methods": list(spec.method),
        "cells": len(cells),
        "trials_per_cell": spec.budget,
        "confirmation_seeds": spec.confirmation.seeds_in_words,
        "confirmation_runs": cost.confirmation_runs,
        "epochs_at_most": cost.epochs,
        "seconds_at_most": cost.seconds,
        "trials_at_once": cost.at_once,
        "time": cost.time,
        "disk_bytes_at_most": cost.disk_bytes,
        "trunks": {
            "share": spec.trunks.share,
            "folder": spec.trunks.folder and masked(spec.trunks.folder),  # None: in the home
            "keep": spec.trunks.keep,
            "max_gb": spec.trunks.most_gb,
        },
        "resources": {
            "cpus": spec.resources.cpus,
            "gpus": spec.resources.gpus,
            "concurrent": spec.resources.concurrent,
            "accelerator": spec.resources.accelerator,
        },
    }


def show(facts: Mapping[str, Any], console: Console) -> None:
    """Print a description for a reader."""
    question = f": {facts['question']}" if facts["question"] else ""
    console.print(f"{facts['study']}{question}\ncost: {facts['cost']}\n")
    columns = ("level", "classes", "train", "validation", "test", "noise_rate")
    table = Table(*(column.replace("_", " ") for column in columns), box=None, pad_edge=False)
    for level in facts["levels"]:
        rate = "unknown" if level["noise_rate"] is None else f"{100 * level['noise_rate']:.3f} %"
        table.add_row(*(str(level[column]) for column in columns[:-1]), rate)
    console.print(fitting(table, console.width))
    for line in _classes(facts["levels"]):
        console.print(line)
    network = "" if facts["network"] is None else f"network {_network(facts)}; "
    console.print(f"\n{network}{facts['recipe']}; {', '.join(facts['methods'])}")
    if (code := facts.get("code")) is not None:
        console.print(f"your code {code['digest'][:12]}: {', '.join(code['files'])}", soft_wrap=True)
    for name, parameter in facts["space"].items():
        console.print(f"  searched: {name} {parameter}")
    seeds = str(facts["confirmation_seeds"])
    console.print(
        f"{costs.counted(facts['cells'], 'cell')} of {costs.counted(facts['trials_per_cell'], 'trial')} "
        f"({facts['sampler']}, pruner {facts['pruner']}) "
        f"and in all at most {costs.counted(facts['confirmation_runs'], 'confirmation run')} "
        f"on {seeds} seed{'' if seeds == '1' else 's'}: "
        f"at most {costs.counted(facts['epochs_at_most'], 'epoch')} of training",
    )
    trunks = facts["trunks"]
    if trunks["share"]:
        where, how_long = trunks["folder"] or "the home", "kept" if trunks["keep"] else "removed at the end"
        console.print(
            f"trials of one level and seed share their warm-up, so that fewer are trained: "
            f"never more than {trunks['max_gb']:g} GB in {where}, {how_long}",
        )
    else:
        console.print("every trial trains its own warm-up")
    disk = facts["disk_bytes_at_most"]
    console.print(f"time: {facts['time']}")
    console.print(
        f"disk: {'not estimated' if disk is None else f'at most about {costs.space(disk)}, with these warm-ups'}"
    )
    resources = facts["resources"].items()
    given = ", ".join(
        f"{name} {value}" if isinstance(value, str) else f"{value:g} {name}"
        for name, value in resources
        if value is not None
    )
    gpus = "" if "gpus" in given else "; a quarter of a GPU where Ray finds one"
    console.print(f"a trial takes: {given}{gpus}")


def _network(facts: Mapping[str, Any]) -> str:
    """Name the network, with its weights where it begins with some."""
    weights = facts["weights"]
    if not weights["sha256"]:
        return str(facts["network"])
    origin = "its own" if weights["from"] == "none" else weights["from"]
    return f"{facts['network']}, {facts['mode']}; weights {origin}, SHA-256 {weights['sha256']}"


def _recipe(spec: StudySpec) -> str:
    training = spec.training
    if spec.trainable is not None:
        return f"trained by {spec.trainable}, {training.epochs} epochs"
    return f"{training.recipe}, {training.epochs} epochs, batch {training.batch_size}"


def _classes(levels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the classes with their examples, where they have names: a line for the levels that are alike."""
    lines: dict[str, list[str]] = {}
    for level in levels:
        named = [f"{name} {count}" for name, count in zip(level["class_names"], level["class_counts"], strict=False)]
        more = f", and {len(named) - MOST_CLASSES} more" if len(named) > MOST_CLASSES else ""
        if named:
            lines.setdefault(", ".join(named[:MOST_CLASSES]) + more, []).append(level["level"].partition("/")[2])
    return [f"classes ({', '.join(noise)}): {text}" for text, noise in lines.items()]


def _words(parameter: Parameter) -> str:
    if isinstance(parameter, Range):
        step = f", step {parameter.step:g}" if parameter.step else ""
        return f"{parameter.low:g} to {parameter.high:g} ({parameter.scale}{step})"
    return "one of " + ", ".join(map(str, parameter.values))

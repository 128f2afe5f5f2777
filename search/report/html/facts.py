"""Facts of a study beside its numbers: the recipe, what it cost, and what the report does not show."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tosmooth.search.records import Level, Record
from tosmooth.search.report.cost import duration
from tosmooth.search.report.describe import description
from tosmooth.search.report.row import Row
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.machines import read_machines
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.redact import masked


class Fact(NamedTuple):
    """Fact, and what it is of."""

    name: str
    text: str


def recipe(spec: StudySpec, levels: Mapping[str, Level]) -> list[Fact]:
    """Tell what was trained, searched and confirmed, as `tosmooth describe` does."""
    found = description(spec, levels)
    weights = found["weights"]
    network = [found["network"] or "", f"{found['mode']}" if weights["sha256"] else ""]
    network += [f"weights {weights['from']}, SHA-256 {weights['sha256']}"] if weights["sha256"] else []
    facts = [
        Fact("network", ", ".join(filter(None, network))),
        Fact("training", found["recipe"]),
        Fact("methods", ", ".join(found["methods"])),
        *(Fact(f"searched: {name}", words) for name, words in found["space"].items()),
        Fact(
            "search", f"{found['trials_per_cell']} trials a level, sampler {found['sampler']}, pruner {found['pruner']}"
        ),
        Fact("confirmation", f"{found['confirmation_seeds']} fresh seeds"),
        Fact("chosen by", f"{spec.score.words} on the {spec.selection.validate_on} validation"),
        Fact("seed", str(found["seed"])),
    ]
    return [Fact(name, masked(text)) for name, text in facts if text]


def machines(folder: StudyFolder) -> list[Fact]:
    """Tell on what machines it was trained, and with what versions."""
    known = read_machines(folder.machines_file)
    if not known:
        return [Fact("machine", "not recorded: the study was trained before there was a record of it")]
    facts = []
    for number, each in enumerate(known, start=1):
        later = f" {number}" if len(known) > 1 else ""
        facts.append(Fact(f"machine{later}", each.words))
        facts.append(Fact(f"versions{later}", ", ".join(f"{name} {which}" for name, which in each.versions.items())))
    return facts


def cost(spec: StudySpec, rows: Sequence[Row], records: Sequence[Record]) -> list[Fact]:
    """Tell what the study has cost so far, by its records."""
    states = {name: sum(getattr(row, name) for row in rows) for name in ("trials", "pruned", "diverged", "failed")}
    confirmed = sum(r.phase == "confirmation" and r.state in ("complete", "diverged") for r in records)
    epochs, spared = sum(row.epochs for row in rows), sum(row.epochs_spared for row in rows)
    ended = f"{states['trials']} ended ({states['pruned']} pruned, {states['diverged']} diverged)"
    failed = f", {states['failed']} failed" if states["failed"] else ""
    hours = sum(row.hours for row in rows)
    return [
        Fact("trials", f"{ended}{failed}; {confirmed} runs on fresh seeds"),
        Fact("epochs", f"{epochs:,} trained" + (f", {spared:,} more taken from shared warm-ups" if spared else "")),
        Fact("training time", f"{duration(3600 * hours)}, all trials together"),
        *([] if spec.cost.startswith(("not measured", "not run")) else [Fact("stated cost", spec.cost)]),
    ]

"""Studies as a home has them, made up: the report is of records, wherever they are from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.search.builders import level, record
from tests.search.tools import TINY
from tosmooth.search.records import Level, Metrics, Record
from tosmooth.search.report.results import StudyResults, study_rows
from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder

RATES = (0.0, 0.1, -0.5, -1.0, -2.0, 0.6, -1.5, -0.2)
SEEDS = (11, 12, 13)
EPOCHS = 4


def spec_of(*overrides: str) -> StudySpec:
    """The study `tiny` with 8 trials and 3 fresh seeds, unless changed."""
    return read_study(TINY, overrides=("search.trials=8", "confirmation.seeds=3", *overrides))


def curve(accuracy: float, tested: bool = True, epochs: int = EPOCHS) -> tuple[Metrics, ...]:
    """Curve that rises to an accuracy on the noisy validation; 20 points above it on the test set."""
    values = [accuracy - 8 / (i + 1) + 8 / epochs for i in range(epochs)]

    def epoch(value: float) -> Metrics:
        test = {"test_accuracy": value + 20} if tested else {}
        return {"train_accuracy": value + 1, "val_accuracy": value, "seconds": 0.5, **test}

    return tuple(map(epoch, values))


def records_of(name: str, rates: Sequence[float] = RATES, best: float = -1.0, tested: bool = True) -> list[Record]:
    """Trials of one level: the nearer to the `best` rate, the better; one is pruned, one diverged; and fresh seeds."""
    found = []
    for number, rate in enumerate(rates):
        params = {"rate": rate, "warmup": int(rate < -0.6)}
        state = "diverged" if rate == -2.0 else "pruned" if rate == 0.6 else "complete"
        own = curve(70 - 6 * abs(rate - best) + 0.01 * number, tested)
        found.append(record(number, params=params, level=name, state=state, train_seed=number, curve=own))
    number = 0
    for params in ({"rate": best, "warmup": 1}, {"rate": 0.0, "warmup": 0}, {"rate": 0.1, "warmup": 0}):
        for seed in SEEDS:
            luck = (0.1 if params["rate"] == best else 0.05) * (seed % 10)
            own = curve(70 - 6 * abs(params["rate"] - best) + luck, tested)
            found.append(record(number, params=params, level=name, phase="confirmation", train_seed=seed, curve=own))
            number += 1
    return found


def study(
    folder: Path,
    spec: StudySpec | None = None,
    levels: Sequence[Level] | None = None,
    records: Sequence[Record] | None = None,
) -> StudyResults:
    """Study of two levels, unless others are given; its folder has nothing but its name."""
    spec = spec or spec_of()
    known = {
        each.name: each
        for each in levels or [level(noise, 0.0 if noise == "clean" else 0.4) for noise in spec.dataset.noise]
    }
    if records is None:
        tested = all(each.test_size for each in known.values())
        records = [trial for name in known for trial in records_of(name, tested=tested)]
    home = StudyFolder(folder / "studies" / spec.name)
    home.path.mkdir(parents=True, exist_ok=True)
    return StudyResults(home, spec, known, list(records), study_rows(spec, known, records))


def analysis(folder: Path, name: str, classes: int, params: dict[str, Any], confusion: bool = True) -> None:
    """Write an analysis of one level into a study's folder, as `tosmooth analyse` does: two arms of one seed."""
    edges = [i / 5 for i in range(6)]
    diagram = {
        "edges": edges,
        "count": [0, 0, 10, 40, 50],
        "right": [0, 0, 5, 30, 45],
        "confidence": [None, None, 0.55, 0.7, 0.95],
    }
    matrix = [[90 if i == j else 10 if j == (i + 1) % classes else 0 for j in range(classes)] for i in range(classes)]
    arrays: dict[str, Any] = {"reliability": diagram, "scaled_reliability": diagram}
    arrays |= {"confusion": matrix} if confusion else {}
    arms: list[dict[str, Any]] = [
        {
            "arm": arm,
            "params": own,
            "chosen": arm == "chosen",
            "seeds": {"11": {"numbers": {}, "arrays": arrays}},
            "notes": [],
        }
        for arm, own in (("chosen", params), ("CE", {"rate": 0.0, "warmup": 0}))
    ]
    cell = {"level": name, "method": "gls", "arms": arms, "notes": ["one network an arm"]}
    place = folder / "analysis"
    place.mkdir(exist_ok=True)
    (place / "analysis.json").write_text(json.dumps({"study": "tiny", "cells": [cell]}), encoding="utf-8")
    head = "level,method,arm,parameters,measure,mean,std,seeds,difference,difference_low,difference_high\n"
    lines = [f"{name},gls,chosen,,accuracy,90.5,,1,7.25,,\n", f"{name},gls,CE,,accuracy,83.25,,1,,,\n"]
    (place / "analysis.csv").write_text(head + "".join(lines), encoding="utf-8")

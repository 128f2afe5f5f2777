"""An analysis as rows: CSV, JSON and a table for the terminal. Accuracies and errors in percent."""

import csv
import dataclasses
import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tosmooth.search.columns import meaningful
from tosmooth.search.report.analysis.cells import CE, ArmAnalysis, CellAnalysis
from tosmooth.search.report.analysis.measures import (
    BEYOND,
    LINES,
    UNBOUNDED,
    Line,
    Measured,
    difference_told,
    told,
)
from tosmooth.search.report.notes import in_words
from tosmooth.search.report.picture_data import band
from tosmooth.search.selection.comparison import paired_gain
from tosmooth.search.spec.parameters import in_short
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.analysis.analyse import Options

MEMORY = ("train_accuracy_clean", "train_accuracy_flipped")  # of every epoch of a trial


SETTINGS = ("examples", "epsilon")  # of the attacks: what was asked for, not measured


def measured(cell: CellAnalysis) -> list[Measured]:
    """List every measure of every arm of a cell."""
    base = cell.ce
    rows = []
    for each in cell.arms:
        compared = None if base is None or each.arm.name == CE else base
        common: dict[str, Any] = {"level": cell.cell.level, "method": cell.cell.method, "arm": each.arm.name}
        common["parameters"] = in_words(each.arm.params)
        rows += [Measured(**common, measure=name, **values) for name, values in _values(each, compared)]
    return rows


def to_csv(cells: Iterable[CellAnalysis]) -> str:
    """Render as CSV: a line for each level, method, arm and measure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Measured))
    for cell in cells:
        writer.writerows(map(meaningful, dataclasses.astuple(row)) for row in measured(cell))  # None: an empty cell
    return text.getvalue()


def to_json(spec: StudySpec, options: Options, cells: Iterable[CellAnalysis]) -> str:
    """Write all numbers, arrays and notes as JSON, by cell, arm and training seed."""
    asked = {key: value for key, value in dataclasses.asdict(options).items() if key != "classes"}
    values = {"study": spec.name, "options": asked, "cells": [_plain(cell) for cell in cells]}
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def memory(arm: ArmAnalysis) -> dict[str, list[tuple[int, float, float, float]]]:
    """Training accuracy on the examples labelled right and on those labelled wrong, of all confirmed runs.

    By metric: epoch, mean, lowest and highest. Empty where clean labels are unknown.
    """
    found = {metric: band(list(arm.arm.runs.values()), metric) for metric in MEMORY}
    return {metric: points for metric, points in found.items() if points}


def terminal_table(cell: CellAnalysis, width: int = 80) -> Table:
    """Show what a reader needs at a glance, an arm a column; the notes stand below.

    Where the terminal's `width` is too small for a mean and its spread, or the difference to cross-entropy and its
    interval, side by side, the second goes to a line of its own: no number is ever cut.
    """
    rows = {(row.arm, row.measure): row for row in measured(cell)}
    lines = [line for line in LINES if any((each.arm.name, line.measure) in rows for each in cell.arms)]
    heads = [_head(each) for each in cell.arms]
    compared = next((each.arm.name for each in cell.arms if each.arm.name != CE and each.arm.chosen), None)
    heads += [f"{compared} {MINUS} CE\n(95 %)"] if compared else []

    def cells(line: Line, joint: str) -> list[str]:
        found = [told(rows.get((each.arm.name, line.measure)), line, joint) for each in cell.arms]
        return found + ([difference_told(rows.get((compared, line.measure)), line, joint)] if compared else [])

    words = max((len(line.words) for line in lines), default=0)
    longest = [max(len(text) for text in column) for column in zip(*(cells(line, " ") for line in lines), strict=True)]
    joint = " " if width >= words + sum(longest) + 2 * len(longest) else "\n"
    return _table(cell, heads, [(line.words, *cells(line, joint)) for line in lines])


MINUS = "\N{MINUS SIGN}"


def _table(cell: CellAnalysis, heads: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    table = Table(title=f"what smoothing does, {cell.title}", box=box.SIMPLE_HEAD, show_edge=False)
    table.title_justify, table.title_style = "left", "bold"
    lines = list(lines)
    unbounded = [UNBOUNDED] if any(each in text for line in lines for text in line[1:] for each in BEYOND) else []
    table.padding = (0, 1, 0, 0)
    table.add_column("", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    words = [*unbounded, *cell.notes, *(f"{each.arm.name}: {note}" for each in cell.arms for note in each.notes)]
    table.caption, table.caption_justify, table.caption_style = Text("\n".join(words)), "left", ""
    return table


def _head(each: ArmAnalysis) -> str:
    what = f"({in_short(each.arm.params)})" if each.arm.name != CE else ""
    return f"{each.arm.name}\n{'(chosen)' if each.arm.chosen and each.arm.name == CE else what}"


def _values(each: ArmAnalysis, base: ArmAnalysis | None) -> Iterable[tuple[str, dict[str, Any]]]:
    """Measure and its numbers: what each network has, then what all of them have together."""
    names = dict.fromkeys(name for analysis in each.networks.values() for name in analysis.numbers)
    for name in (name for name in names if name not in SETTINGS):
        values = _by_seed(each, name)
        if not values:
            continue
        gain, low, high = paired_gain(values, _by_seed(base, name)) if base else (None, None, None)
        std = statistics.stdev(values.values()) if len(values) > 1 else None
        found = {"mean": statistics.fmean(values.values()), "std": std, "seeds": len(values)}
        yield name, {**found, "difference": gain, "difference_low": low, "difference_high": high}
    for name, value in each.spread.items():
        same = base is not None and base.networks.keys() == each.networks.keys()
        gain = value - base.spread[name] if base and same else None
        found = {"mean": value, "std": None, "seeds": len(each.networks)}
        yield name, {**found, "difference": gain, "difference_low": None, "difference_high": None}


def _by_seed(each: ArmAnalysis, measure: str) -> dict[int, float]:
    found = {seed: analysis.numbers.get(measure) for seed, analysis in each.networks.items()}
    return {seed: value for seed, value in found.items() if value is not None}


def _plain(cell: CellAnalysis) -> dict[str, Any]:
    arms = []
    for each in cell.arms:
        networks = {str(seed): analysis.to_dict() for seed, analysis in each.networks.items()}
        curves: Mapping[str, Any] = {name: [mean for _, mean, *_ in points] for name, points in memory(each).items()}
        what = {"arm": each.arm.name, "params": each.arm.params, "chosen": each.arm.chosen}
        arms.append({**what, "seeds": networks, **each.spread, "over_epochs": curves, "notes": each.notes})
    return {"level": cell.cell.level, "method": cell.cell.method, "arms": arms, "notes": cell.notes}

"""What the search saves against the paper's grid, and what that costs: replayed on recorded trials, many times.

    python tests/benchmarks/bench_search.py [--study NAME] [--studies N] [--no-variants] [--fresh N --table FILE]
        [--json FILE]

The grid: 14 rates (Wei et al. 2022), 3 warm-ups, 3 seeds, each trained from its start; the highest mean noisy
validation wins. Each replayed study sees three of the recorded seeds, the grid the same three, and two more answer what
the study tries a fourth time; how good a choice is, and which rate is truly the best, the seeds say that neither saw.
Where enough seeds were recorded, two more answer the confirmation: a best that diverges there gives way to a second
finalist, whose epochs count. The rest of the confirmation both need alike, and it counts for neither. The grid's runs
that diverge stop there, as ours do.

`--fresh N` besides trains on N seeds that no search saw, with the recipe itself: what the study's table (best_rates.csv
of a finished study, `--table`) chose and what the grid chooses, in pairs.
"""

import argparse
import csv
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from fresh_seeds import accuracies
from harness import OURS, Measurement, arguments, report
from replay import OutOfSeedsError, Replayed, replay
from scipy.special import stdtrit
from surface import Surface, Truth
from surfaces import DATA, FAMILY, GRID
from tuning import Searched

from tosmooth.search.selection.choice import model_of
from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.scales import symexp, symlog
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.errors import require

SEEN = 3  # recorded seeds of a study, as many as the grid's
SPARE = 2  # for parameters that a study tries more often than that; at most half of what is left to judge
CONFIRMING = 2  # for the confirmation, where at least one is left to judge
ALIKE = 0.1  # points of clean accuracy within which another rate is as good as the best
FRESH = 1000  # the first of the fresh seeds
ALONE = ["confirmation.finalists=1", "confirmation.seeds=1"]  # without a confirmation


VARIANTS: dict[str, list[str]] = {  # the study with one part of it changed
    "without trunks": ["trunks.share=false"],
    "without the head start": ["search.head_start=false"],
    "tpe in place of the posterior's proposals": ["search.sampler=tpe"],
    "readout: best": ["search.readout=best"],
    "finalists: 1": ["confirmation.finalists=1"],
    "pruner: median": ["search.pruner=median"],
}
Pair = tuple[float, float]  # ours, the grid's


@dataclass(slots=True)
class Found:
    """What replays found, an entry a study for each level."""

    epochs: dict[str, list[int]] = field(default_factory=dict)
    grid: dict[str, list[int]] = field(default_factory=dict)  # epochs that the grid trained
    accuracy: dict[str, list[Pair]] = field(default_factory=dict)  # clean test, on unseen seeds
    covered: dict[str, list[bool]] = field(default_factory=dict)
    width: dict[str, list[float]] = field(default_factory=dict)  # symlog units
    loss: dict[str, list[Pair]] = field(default_factory=dict)  # noisy validation: expected by the model, and real


def main() -> None:
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--study", default="twonorm", choices=recorded())
    parser.add_argument("--studies", type=int, default=200, help="replayed; a quarter of them for each variant")
    whether = argparse.BooleanOptionalAction
    parser.add_argument("--variants", action=whether, default=True, help="also with each part switched off")
    parser.add_argument("--fresh", type=int, default=0, metavar="N", help="seeds to train both choices on [none]")
    parser.add_argument("--table", type=Path, help="best_rates.csv of the study; for --fresh")
    parser.add_argument("--data-dir", type=Path, default=Path("tosmooth-home/data"))
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    options = parser.parse_args()
    surface = Surface.read(DATA / f"{options.study}.parquet", FAMILY[options.study].classes)
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        variants = {"the study": [], **(VARIANTS if options.variants else {})}
        if not _split(surface.seeds).confirming:
            variants.pop("finalists: 1", None)  # that is the study already
        number = {
            name: options.studies if not changes else max(2, options.studies // 4) for name, changes in variants.items()
        }
        asked = {
            name: [pool.submit(replayed, options.study, surface, changes, seed) for seed in range(number[name])]
            for name, changes in variants.items()
        }
        found = {name: merged([part for each in done if (part := each.result())]) for name, done in asked.items()}
    for name in [name for name, each in found.items() if not each.epochs]:
        print(f"{name}: every study wanted a seed more often than it was recorded")
    measurements = [*_main(found["the study"]), *(_variant(name, each) for name, each in found.items() if each.epochs)]
    if options.fresh:
        measurements += _fresh(FAMILY[options.study].spec(), surface, options)
    report(f"Search against the full grid: {options.study}", measurements, options.json)


def recorded() -> list[str]:
    """The studies of which there are recorded trials."""
    return [name for name in FAMILY if (DATA / f"{name}.parquet").exists()]


def replayed(name: str, surface: Surface, changes: list[str], seed: int) -> Found | None:
    """One study, and the grid, on three recorded seeds; the rest judge.

    `None` where the study repeats parameters more often than there are seeds for it.
    """
    order = random.Random(seed).sample(surface.seeds, len(surface.seeds))
    answers, confirming = _split(order)
    known, found = surface.restricted(answers[:SEEN]), Found()
    run = _run(name, surface, changes, seed)
    if run is None:
        return None
    spec = run.spec
    for cell in spec.cells():
        seen = {*answers[:SEEN], *run.seen[cell], *confirming}
        choice, truth = run.choice(cell), surface.truth(cell.noise, [s for s in order if s not in seen])
        if choice is None:
            raise RuntimeError(f"{cell.key}: nothing completed under the study seed {seed}")
        pair = truth.accuracy(choice), truth.accuracy(grid_choice(known, cell.noise))
        found.epochs[cell.noise], found.accuracy[cell.noise] = [run.epochs(cell)], [pair]
        found.grid[cell.noise] = [known.trained(cell.noise, GRID)]
        model = model_of(MethodSpec.of(spec, "gls"), run.of(cell))
        if model is not None:
            found.covered[cell.noise] = [covers(model.interval, truth)]
            found.width[cell.noise] = [model.width]
            found.loss[cell.noise] = [
                (model.loss(choice), max(map(truth.noisy, surface.points())) - truth.noisy(choice))
            ]
    return found


def searched(name: str, surface: Surface, seed: int) -> list[Searched]:
    """The trials of each level's search in one replayed study; none where seeds run out."""
    run = _run(name, surface, [], seed)
    if run is None:
        return []
    view = MethodSpec.of(run.spec, "gls")
    return [Searched(view, cell.noise, [r for r in run.of(cell) if r.phase == "search"]) for cell in run.spec.cells()]


def _run(name: str, surface: Surface, changes: Sequence[str], seed: int) -> Replayed | None:
    answers, confirming = _split(random.Random(seed).sample(surface.seeds, len(surface.seeds)))
    alone = [f"confirmation.seeds={CONFIRMING}"] if confirming else ALONE
    spec = FAMILY[name].spec([*alone, *changes], seed)
    try:
        return replay(spec, surface.restricted([*answers, *confirming]), answers, confirming)
    except OutOfSeedsError:
        return None


class _Seeds(NamedTuple):
    """What recorded seeds are for; the rest judge."""

    answers: Sequence[int]  # the search, the first SEEN of them the grid, too
    confirming: Sequence[int]


def _split(order: Sequence[int]) -> _Seeds:
    answers = order[: SEEN + min(SPARE, (len(order) - SEEN) // 2)]
    return _Seeds(answers, order[-CONFIRMING:] if len(order) > len(answers) + CONFIRMING else ())


def grid_choice(surface: Surface, noise: str) -> dict[str, Any]:
    """What the grid takes: the highest mean noisy validation."""
    truth = Truth(surface, noise)
    points = [{"rate": rate, "warmup": int(w)} for rate in GRID for w in surface.warmups]
    return max(points, key=truth.noisy)


def covers(interval: Pair, truth: Truth) -> bool:
    """Whether the interval holds a rate that, all else at its best, is truly within 0.1 points of the best."""
    low, high = (symlog(rate) for rate in interval)
    first, last = symlog(min(GRID)), symlog(max(GRID))
    places = [first + (last - first) * i / 80 for i in range(81)]
    rates = sorted({*GRID, *map(symexp, places)})
    others = [point for point in truth.surface.points() if point["rate"] == 0]
    best = {rate: max(truth.accuracy({**other, "rate": rate}) for other in others) for rate in rates}
    return any(low - 0.05 <= symlog(r) <= high + 0.05 and v >= max(best.values()) - ALIKE for r, v in best.items())


def merged(parts: list[Found]) -> Found:
    """All of them, in their order."""
    whole = Found()
    for part in parts:
        for into, more in zip(_fields(whole), _fields(part), strict=True):
            for noise, values in more.items():
                into.setdefault(noise, []).extend(values)
    return whole


def interval(values: list[float]) -> str:
    """Mean and its 95 % t interval, in words; without one of fewer than two values."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:+.3f}"
    half = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def _fields(found: Found) -> list[dict[str, list[Any]]]:
    return [found.epochs, found.grid, found.accuracy, found.covered, found.width, found.loss]


def _totals(epochs: Mapping[str, list[int]]) -> list[float]:
    return [float(sum(each)) for each in zip(*epochs.values(), strict=True)]


def _differences(found: Found) -> dict[str, list[float]]:
    return {noise: [ours - grid for ours, grid in pairs] for noise, pairs in found.accuracy.items()}


def _main(found: Found) -> list[Measurement]:
    epochs = {OURS: _totals(found.epochs), "the paper's grid": _totals(found.grid)}
    differences = _differences(found)
    facts = {noise: interval(values) for noise, values in differences.items()}
    every = [statistics.fmean(each) for each in zip(*differences.values(), strict=True)]
    accuracy = {"ours - the grid's": every}
    sure = {
        noise: f"{100 * statistics.fmean(found.covered[noise]):.1f} %, median width {statistics.median(widths):.2f}"
        for noise, widths in found.width.items()
    }
    covered = {"share": [statistics.fmean(each) for each in found.covered.values()]}
    goal = 10.0 if len(found.epochs) > 2 else 8.0
    return [
        Measurement(what="epochs trained until the choice is made", unit="epochs", values=epochs, goal=goal),
        Measurement(what="accuracy of the choice on unseen seeds", unit="points", values=accuracy, facts=facts),
        Measurement(what="coverage of the 95 % interval", unit="share of studies", values=covered, facts=sure),
    ]


def _variant(name: str, found: Found) -> Measurement:
    totals, differences = _totals(found.epochs), _differences(found)
    every = [statistics.fmean(each) for each in zip(*differences.values(), strict=True)]
    times = statistics.fmean(_totals(found.grid)) / statistics.fmean(totals)
    facts: dict[str, Any] = {
        "studies": len(totals),
        "grid by it": f"{times:.2f} x",
        "accuracy, ours - the grid's": interval(every),
    }
    return Measurement(what=name, unit="epochs", values={"all levels": totals}, facts=facts)


def check_table(table: Path, spec: StudySpec) -> None:
    """Raise `InputError` where the study beside a table searched what the grid has not: its rates are others' then."""
    beside = table.with_name("study.yaml")
    searched = set(load_study(str(beside)).space) if beside.exists() else set(spec.space)
    rule = f"of a study that searched {', '.join(spec.space)} alone; this one searched {', '.join(sorted(searched))}"
    require(searched == set(spec.space), "--table", str(table), rule)


def _fresh(spec: StudySpec, surface: Surface, options: Any) -> list[Measurement]:
    check_table(options.table, spec)
    with options.table.open(encoding="utf-8", newline="") as file:
        rows = {row["noise"]: row for row in csv.DictReader(file)}
    known, seeds = surface.restricted(surface.seeds[:SEEN]), range(FRESH, FRESH + options.fresh)
    found: list[Measurement] = []
    for cell in spec.cells():
        row, theirs = rows[cell.noise], grid_choice(known, cell.noise)
        ours = {"rate": float(row["best_rate"]), "warmup": int(row["best_warmup"])}
        values = accuracies(spec, cell, [ours, theirs], seeds, options.data_dir, options.jobs)
        facts = {"ours": ours, "the grid's": theirs, "difference": interval([a - b for a, b in values])}
        sides = {"ours": [a for a, _ in values], "the grid's": [b for _, b in values]}
        found.append(Measurement(what=f"fresh seeds, {cell.noise}", unit="% clean test", values=sides, facts=facts))
        print(found[-1].what, facts, flush=True)
    return found


if __name__ == "__main__":
    main()

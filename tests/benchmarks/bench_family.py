"""The search against the paper's grid on every recorded surface; what is tuned is tuned on the others' data.

    python tests/benchmarks/bench_family.py [--studies N] [--only NAME ...] [--leave-out | --no-leave-out]
        [--set KEY=VALUE] [--json FILE]

Replays as `bench_search.py` does. For each data set the portfolio and the surrogate's priors (`tuning.py`) are chosen
anew on the surfaces of all other data sets; `--no-leave-out` takes them as the product has them, chosen on all.
"""

import argparse
import math
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

from bench_search import Found, interval, merged, recorded, replayed, searched
from harness import OURS, Measurement, arguments, report
from surface import Surface
from surfaces import DATA, FAMILY
from tuning import CANDIDATES, Beliefs, Tuned, best_beliefs, portfolio, prediction_loss

BINS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, math.inf)  # of the expected loss, points
TRIED = 8  # studies a surface, whose trials the priors are to predict from


def main() -> None:
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--studies", type=int, default=200, help="replayed on each surface (%(default)s)")
    parser.add_argument("--only", nargs="+", default=recorded(), metavar="NAME", help="surfaces to report")
    whether = argparse.BooleanOptionalAction
    parser.add_argument("--leave-out", action=whether, default=True, help="tune on the other data sets")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change each study")
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    options = parser.parse_args()
    surfaces = {name: Surface.read(DATA / f"{name}.parquet", FAMILY[name].classes) for name in recorded()}
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        losses: dict[str, dict[Beliefs, float]] = {}
        if options.leave_out:
            asked = {name: pool.submit(_losses, name, surface) for name, surface in surfaces.items()}
            losses = {name: done.result() for name, done in asked.items()}
        tuned = {name: _tuned(name, surfaces, losses) if losses else Tuned.ours() for name in options.only}
        studies = {
            name: [
                pool.submit(_study, name, surfaces[name], tuned[name], options.set, seed)
                for seed in range(options.studies)
            ]
            for name in options.only
        }
        found = {name: merged([f for d in done if (f := d.result()) is not None]) for name, done in studies.items()}
    print(table(found, tuned))
    print(calibration(found))
    report("Search against the grid on recorded surfaces", _measurements(found), options.json)


def _losses(name: str, surface: Surface) -> dict[Beliefs, float]:
    """How badly each of the beliefs predicts this surface from the trials of a few searches."""
    trials = [each for seed in range(TRIED) for each in searched(name, surface, seed)]
    return {beliefs: prediction_loss(surface, trials, beliefs) for beliefs in CANDIDATES}


def _tuned(left_out: str, surfaces: Mapping[str, Surface], losses: Mapping[str, Mapping[Beliefs, float]]) -> Tuned:
    """What the surfaces of other data sets choose."""
    own = FAMILY[left_out].spec().dataset.name.removesuffix("n")
    family = [name for name in surfaces if not FAMILY[name].judges]
    others = [name for name in family if FAMILY[name].spec().dataset.name.removesuffix("n") != own]
    beliefs = best_beliefs({each: [losses[name][each] for name in others] for each in CANDIDATES})
    return Tuned(portfolio([surfaces[name] for name in others]), beliefs)


def _study(name: str, surface: Surface, tuned: Tuned, changes: list[str], seed: int) -> Found | None:
    with tuned.applied():
        return replayed(name, surface, changes, seed)


def table(found: Mapping[str, Found], tuned: Mapping[str, Tuned]) -> str:
    """Markdown, a row a level."""
    lines = [
        "| surface | level | epochs, grid / tosmooth | accuracy of the choice, tosmooth - grid, points | "
        "the interval holds a rate within 0.1 points of the best | its median width |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in found.items():
        times = f"{_times(each):.1f}"
        for noise, pairs in each.accuracy.items():
            difference = interval([ours - grid for ours, grid in pairs])
            known = noise in each.width
            covered = f"{100 * statistics.fmean(each.covered[noise]):.0f} %" if known else ""
            width = f"{statistics.median(each.width[noise]):.1f}" if known else ""
            lines.append(f"| {name} | {noise} | {times} | {difference} | {covered} | {width} |")
            name, times = "", ""
    chosen = sorted({f"{each.portfolio}, {each.beliefs}" for each in tuned.values()})
    return "\n".join([*lines, "", "Tuned:", *chosen, ""])


def calibration(found: Mapping[str, Found]) -> str:
    """Markdown: whether searches lost as much as they expected to, over all levels; both of noisy validation."""
    pairs = [pair for each in found.values() for losses in each.loss.values() for pair in losses]
    lines = ["| expected loss, points | searches | expected | lost |", "|---|---|---|---|"]
    for low, high in pairwise(BINS):
        inside = [(expected, real) for expected, real in pairs if low <= expected < high]
        if inside:
            expected, real = (statistics.fmean(side) for side in zip(*inside, strict=True))
            name = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} or more"
            lines.append(f"| {name} | {len(inside)} | {expected:.2f} | {real:.2f} |")
    return "\n".join([*lines, ""])


def _times(found: Found) -> float:
    """How many times fewer epochs than the grid."""
    return sum(map(sum, found.grid.values())) / sum(map(sum, found.epochs.values()))


def _measurements(found: Mapping[str, Found]) -> list[Measurement]:
    def means(values: Mapping[str, Sequence[float]]) -> list[float]:
        return [statistics.fmean(each) for each in values.values()]

    differences = {
        f"{name}, {noise}": [ours - grid for ours, grid in pairs]
        for name, each in found.items()
        for noise, pairs in each.accuracy.items()
    }
    covered = {f"{name}, {noise}": list(map(float, c)) for name, f in found.items() for noise, c in f.covered.items()}
    worst, least = (min(v, key=lambda key: statistics.fmean(v[key])) for v in (differences, covered))
    of = {name: statistics.fmean(means(_own(name, differences))) for name in found}
    return [
        Measurement(
            what="times fewer epochs than the grid, a surface each",
            unit="times",
            values={OURS: [_times(each) for each in found.values()]},
            facts={"least": f"{min(map(_times, found.values())):.1f}"},
        ),
        Measurement(
            what="accuracy of the choice on unseen seeds, ours - the grid's, a surface each",
            unit="points",
            values={OURS: list(of.values())},
            facts={"mean": f"{statistics.fmean(of.values()):+.3f}", "worst": (worst, interval(differences[worst]))},
        ),
        Measurement(
            what="coverage of the 95 % interval, a level each",
            unit="share of studies",
            values={OURS: means(covered)},
            facts={"least": (least, round(statistics.fmean(covered[least]), 3))},
        ),
    ]


def _own(name: str, values: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {key: each for key, each in values.items() if key.startswith(f"{name}, ")}


if __name__ == "__main__":
    main()

"""What replays say between recorded rates, beside what was recorded there.

    python tests/benchmarks/interpolation.py

For each surface with a file NAME-between.parquet (`record_surface.py NAME --between`): at the rates in it, the
clean-test accuracy that `Surface.curve` interpolates, minus the recorded one. Both are means over the same seeds, and
the standard error is that of their difference, seed by seed. Points at which a run diverged on either side are left
out.
"""

import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from surface import Surface
from surfaces import DATA, FAMILY


class Difference(NamedTuple):
    """Interpolated minus recorded accuracy at one point, in points."""

    noise: str
    params: dict[str, Any]
    mean: float
    error: float  # standard error


def main() -> None:
    print("| surface | level | points | mean difference | root mean square | its standard error | largest |")
    print("|---|---|---|---|---|---|---|")
    for name in FAMILY:
        if (DATA / f"{name}-between.parquet").exists():
            found = differences(name, DATA)
            for noise in dict.fromkeys(each.noise for each in found):
                print(_row(name, noise, [each for each in found if each.noise == noise]))


def differences(name: str, folder: Path) -> list[Difference]:
    """Differences at every point that was recorded between those of the grid."""
    classes = FAMILY[name].classes
    grid = Surface.read(folder / f"{name}.parquet", classes, between=False)
    between = Surface.read(folder / f"{name}-between.parquet", classes)
    seeds = [seed for seed in grid.seeds if seed in between.seeds]
    found = []
    for noise in between.noises:
        for params in between.points():
            pairs = [(grid.curve(noise, params, seed), between.curve(noise, params, seed)) for seed in seeds]
            if not any(one[1] or two[1] for one, two in pairs):
                by_seed = [one[2] - two[2] for one, two in pairs]
                error = statistics.stdev(by_seed) / math.sqrt(len(by_seed))
                found.append(Difference(noise, params, statistics.fmean(by_seed), error))
    return found


def _row(name: str, noise: str, found: list[Difference]) -> str:
    root, error = (
        math.sqrt(statistics.fmean(v**2 for v in values)) for values in zip(*[f[2:] for f in found], strict=True)
    )
    worst = max(found, key=lambda each: abs(each.mean))
    where = ", ".join(f"{value:g}" for value in worst.params.values())
    mean = statistics.fmean(each.mean for each in found)
    return f"| {name} | {noise} | {len(found)} | {mean:+.2f} | {root:.2f} | {error:.2f} | {worst.mean:+.2f} ({where}) |"


if __name__ == "__main__":
    main()

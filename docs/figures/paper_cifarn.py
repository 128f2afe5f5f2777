"""Prints what CE, LS and the best rate reach on CIFAR-N by three rules of the epoch, beside what was published.

tosmooth run paper-cifarn --home build/cifarn --data-dir DIR
.venv/bin/python docs/figures/paper_cifarn.py build/cifarn paper-cifarn
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from tosmooth.search.records import Record, at_epoch
from tosmooth.search.report.analysis.cells import arms_of
from tosmooth.search.spec.parameters import in_short
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.reading import read_records

# At the epoch that is best on the clean test set: Wei et al. (ICLR 2022), the leaderboard of CIFAR-N; CE, LS, NLS.
PUBLISHED = {
    "aggre": (87.77, 91.57, 91.97), "random1": (85.02, 89.80, 90.29), "random2": (86.46, 89.35, 90.37),
    "random3": (85.16, 89.82, 90.13), "worst": (77.69, 82.76, 82.99), "noisy": (55.50, 55.84, 58.59),
}  # fmt: skip
# CE, by a replication of 2026 in ReScience C (KlemenVovk/noisy-labels), official code, 3 seeds: that epoch, the last.
REPLICATED: dict[str, dict[str, tuple[float, float | None]]] = {
    "cifar10n": {
        "clean": (94.21, 92.96), "aggre": (91.70, 87.35), "random1": (90.20, 82.05), "random2": (90.12, 82.67),
        "random3": (90.08, 81.47), "worst": (83.91, 68.39),
    },
    "cifar100n": {"clean": (76.23, None), "noisy": (61.19, 49.18)},
}  # fmt: skip


def main(home: Path, study: str) -> None:
    folder = Home(home).existing(study)
    spec = folder.spec()
    records = read_records(folder, spec, None)
    print("| level | | last epoch | best by noisy validation | oracle | published, oracle | replicated, oracle; last |")
    print("|---|---|---|---|---|---|---|")
    for cell in (cell for cell in spec.cells() if cell.method == "gls"):
        published, replicated = PUBLISHED.get(cell.noise), REPLICATED.get(spec.dataset.name, {}).get(cell.noise)
        for arm in arms_of(spec, cell, records):
            runs = list(arm.runs.values())
            last = [run.last("test_accuracy") for run in runs]
            known = [at_epoch(run, "test_accuracy", "best") if _tested(run) else None for run in runs]
            columns = [_mean(last), _mean(known), _mean([_oracle(run) if _tested(run) else None for run in runs])]
            place = ("CE", "LS", "chosen").index(arm.name)
            columns.append(f"{published[place]:.2f}" if published else "")
            again = place == 0
            columns.append("; ".join(f"{each:.2f}" for each in replicated or () if each is not None) if again else "")
            words = f"chosen: {in_short(arm.params)}" if arm.name == "chosen" else arm.name
            print(f"| {cell.noise} | {words} | {' | '.join(columns)} |")


def _tested(run: Record) -> bool:
    """Whether every epoch was (`training.test_every: 1`)."""
    return all(metrics.get("test_accuracy") is not None for metrics in run.curve)


def _oracle(run: Record) -> float | None:
    """The highest clean test accuracy of any epoch."""
    return max((value for metrics in run.curve if (value := metrics.get("test_accuracy")) is not None), default=None)


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not values:
        return "not tested"
    spread = f" ± {statistics.stdev(known):.2f}" if len(known) > 1 else ""
    return f"{statistics.fmean(known):.2f}{spread}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

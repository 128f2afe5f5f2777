"""Prints the paper's Table 1 for Twonorm beside ours, and draws paper-uci.png beside itself: best rate over noise rate.

for s in 0 1 2; do tosmooth run paper-uci-twonorm --seed $s --home build/uci-$s; done
for d in ringnorm waveform breast-cancer; do tosmooth run paper-uci-$d --home build/uci-0; done
.venv/bin/python docs/figures/paper_uci.py build/uci-0 build/uci-1 build/uci-2
"""

import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tosmooth.search.records import ENDED, Record
from tosmooth.search.report.results import study_rows
from tosmooth.search.report.row import Row
from tosmooth.search.selection.theory import theory_rate
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.reading import read_records

STUDIES = {"twonorm": "Twonorm", "ringnorm": "Ringnorm", "waveform": "Waveform", "breast-cancer": "Breast cancer"}
LEVELS = ("clean", *(f"symmetric-0.{i}" for i in range(1, 5)))
RATES = (0.8, 0.6, 0.4, 0.2, 0.0, -0.4, -0.6, -1.0, -2.0, -4.0, -8.0)
# Wei et al. 2022 (arXiv 2106.04149), Table 1, Twonorm: accuracy in percent, a row for each rate, a column each level.
PUBLISHED = (
    (99.0, 99.0, 98.6, 98.2, 96.8), (99.0, 98.9, 98.7, 98.1, 97.2), (99.0, 99.0, 98.7, 98.3, 97.1),
    (99.0, 98.9, 98.6, 98.5, 96.9), (99.0, 98.9, 98.7, 98.5, 97.3), (98.6, 98.8, 98.8, 98.6, 97.2),
    (98.6, 98.8, 98.7, 98.4, 97.4), (98.6, 98.6, 98.8, 98.5, 97.7), (98.6, 98.6, 98.6, 98.6, 97.8),
    (98.6, 98.6, 98.6, 98.6, 98.3), (98.6, 98.6, 98.6, 98.5, 98.6),
)  # fmt: skip
CLASSES = {"waveform": 3}
TICKS = (-8, -4, -2, -1, -0.4, 0, 0.4, 0.8)


def main(homes: Sequence[Path]) -> None:
    studies = [_trials(home) for home in homes]
    print("| rate | " + " | ".join(LEVELS) + " |\n|---:|" + "---|" * len(LEVELS))
    for rate, published in zip(RATES, PUBLISHED, strict=True):
        cells = [f"{_cell(studies, level, rate)} / {paper}" for level, paper in zip(LEVELS, published, strict=True)]
        print(f"| {rate:g} | " + " | ".join(cells) + " |")
    _draw(homes)


def _trials(home: Path) -> dict[tuple[str, float, int], Record]:
    """The grid of one study, by noise, rate and warm-up."""
    folder = Home(home).existing("paper-uci-twonorm")
    spec = folder.spec()
    found = read_records(folder, spec, None)
    search = [record for record in found if record.phase == "search" and record.state in ENDED]
    return {(r.level.partition("/")[2], r.params["rate"], r.params["warmup"]): r for r in search}


def _cell(studies: Sequence[dict[tuple[str, float, int], Record]], level: str, rate: float) -> str:
    """Clean test accuracy over the studies, at the warm-up of highest mean noisy validation.

    Of runs that diverged, how many: they have no accuracy worth a mean.
    """
    runs: dict[int, list[Record]] = defaultdict(list)
    for study in studies:
        for (noise, at, warmup), record in study.items():
            if (noise, at) == (level, rate):
                runs[warmup].append(record)
    whole = {w: found for w, found in runs.items() if all(record.state == "complete" for record in found)}
    if not whole:
        return "diverges"
    best = max(whole, key=lambda w: statistics.fmean(record.last("val_accuracy") or 0.0 for record in whole[w]))
    values = [value for record in whole[best] if (value := record.last("test_accuracy")) is not None]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def _draw(homes: Sequence[Path]) -> None:
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for ax, (name, title) in zip(axes, STUDIES.items(), strict=True):
        for home in homes:
            if not (Home(home).root / "studies" / f"paper-uci-{name}").exists():
                continue
            rows = _rows(home, f"paper-uci-{name}")
            x, y = [row.noise_rate for row in rows], [row.best_rate for row in rows]
            for row in rows:
                if row.rate_low is not None:
                    ax.plot([row.noise_rate] * 2, [row.rate_low, row.rate_high], color="#0072B2", alpha=0.25, lw=7)
            ax.plot(x, y, "o-", color="#0072B2", lw=1.2, ms=5, label="best rate found, and its 95 % interval")
        noises = [i / 100 for i in range(45)]
        ax.plot(noises, [theory_rate(e, CLASSES.get(name, 2)) for e in noises], "--", color="#AA4499", label="theory")
        ax.axhline(0, color="#222222", lw=0.8)
        ax.set_yscale("symlog", linthresh=0.4, linscale=0.6)
        ax.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
        ax.set_ylim(-10, 1.2)
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.set_title(title)
        ax.set_xlabel("noise rate (share of wrong training labels)")
        ax.set_ylabel("smoothing rate r (0: plain cross-entropy)")
        ax.label_outer()
    handles = {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(Path(__file__).with_name("paper-uci.png"), dpi=100)


def _rows(home: Path, study: str) -> list[Row]:
    folder = Home(home).existing(study)
    spec = folder.spec()
    return study_rows(spec, folder.levels(), read_records(folder, spec, None))


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])

"""Draws twonorm-seeds.png beside itself: the best rate over the noise rate, for five seeds of the study `twonorm`.

for s in 0 1 2 3 4; do tosmooth run twonorm --seed $s --home build/seed-$s; done
.venv/bin/python docs/figures/twonorm_seeds.py build/seed-*
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tosmooth.search.report.results import dataset_results
from tosmooth.search.selection.theory import theory_rate
from tosmooth.search.storage.home import Home

# Wei et al. 2022 (arXiv 2106.04149), Table 1: the rates that share the highest accuracy at each noise rate.
PUBLISHED = {0.0: (0.0, 0.8), 0.1: (0.4, 0.8), 0.2: (-1.0, -0.4), 0.3: (-4.0, -0.4), 0.4: (-8.0, -8.0)}
TICKS = (-8, -4, -2, -1, -0.4, 0, 0.4, 0.8)


def main(homes: Sequence[Path]) -> None:
    studies = [dataset_results(Home(home), "twonorm", None)[0] for home in homes]
    figure = Figure(figsize=(8, 5), layout="constrained")
    ax = figure.subplots()
    for i, (noise, (low, high)) in enumerate(PUBLISHED.items()):
        label = "best rates published (Wei et al. 2022)" if i == 0 else None
        ax.plot([noise, noise], [low, high], color="#E69F00", lw=12, alpha=0.35, solid_capstyle="round", label=label)
    noises = np.linspace(0, 0.42, 100).tolist()
    ax.plot(noises, [theory_rate(e, 2) for e in noises], "--", color="#AA4499", label="theory, symmetric noise")
    for i, own in enumerate(studies):
        x, y = [row.noise_rate for row in own], [row.best_rate for row in own]
        label = f"best rate found, each of {len(studies)} study seeds" if i == 0 else None
        ax.plot(x, y, "o-", color="#0072B2", alpha=0.7, lw=1.2, ms=5, label=label)
    ax.axhline(0, color="#222222", lw=0.8)
    ax.set_yscale("symlog", linthresh=0.4, linscale=0.6)
    ax.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    ax.minorticks_off()
    ax.set_xlabel("noise rate (share of wrong training labels)")
    ax.set_ylabel("smoothing rate r (0: plain cross-entropy)")
    ax.set_title("twonorm: the best smoothing rate falls as the labels get worse")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower left", frameon=False)
    figure.savefig(Path(__file__).with_name("twonorm-seeds.png"), dpi=110)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])

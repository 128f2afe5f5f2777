"""Draws search-steps.png beside itself: what a search knows after 6, 9 and 12 trials.

The study `twonorm` at 30 % noise, replayed on recorded trials, so that the truth can be drawn beside it:
.venv/bin/python docs/figures/search_steps.py
"""

import statistics
import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "benchmarks"))

from replay import replay  # noqa: E402
from surface import Surface  # noqa: E402
from surfaces import DATA, FAMILY  # noqa: E402

from tosmooth.search.records import Record  # noqa: E402
from tosmooth.search.spec.method_spec import MethodSpec  # noqa: E402
from tosmooth.search.surrogate.fitting import search_model  # noqa: E402

LEVEL = "symmetric-0.3"
TICKS = (-8, -4, -2, -1, -0.4, 0, 0.4, 0.8)
MODEL, TRUTH, TRIAL = "#0072B2", "#009E73", "#222222"


def main() -> None:
    surface = Surface.read(DATA / "twonorm.parquet", FAMILY["twonorm"].classes)
    spec = FAMILY["twonorm"].spec([f"dataset.noise=[{LEVEL}]", "confirmation.seeds=1"], seed=0)
    found = replay(spec, surface, surface.seeds[:5])
    view = MethodSpec.of(spec, "gls")
    trials = [record for record in found.records if record.phase == "search"]
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    for ax, number in zip(figure.subplots(1, 3, sharey=True), (6, 9, 12), strict=True):
        _draw(ax, view, trials[:number])
        _truth(ax, surface)
        ax.set_title(f"after {number} trials")
        ax.set_xscale("symlog", linthresh=0.4, linscale=0.6)
        ax.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS], fontsize=8)
        ax.minorticks_off()
        ax.set_xlabel("smoothing rate r")
        ax.set_ylabel("accuracy on the noisy validation (%)")
        ax.set_xlim(-9.5, 0.95)
        ax.set_ylim(62, 69.5)
        ax.grid(alpha=0.3)
        ax.label_outer()
    handles = {label: handle for handle, label in zip(*figure.axes[-1].get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(HERE / "search-steps.png", dpi=110)


def _draw(ax: Axes, view: MethodSpec, trials: list[Record]) -> None:
    model = search_model(view, trials)
    if model is None:
        raise ValueError(f"{len(trials)} trials say too little")
    places, mean, low, high = zip(*model.over_axis(), strict=True)
    ax.fill_between(places, low, high, color=MODEL, alpha=0.2, lw=0, label="surrogate: 95 % band")
    ax.plot(places, mean, color=MODEL, label="surrogate: mean")
    ended = [(r.params["rate"], r.last("val_accuracy")) for r in trials if r.state == "complete"]
    ax.plot(*zip(*ended, strict=True), "o", color=TRIAL, ms=5, label="trial")
    lost = [record.params["rate"] for record in trials if record.state == "diverged"]
    ax.plot(lost, [62.3] * len(lost), "x", color=TRIAL, label="diverged trial")
    ax.axvspan(*model.interval, color="#E69F00", alpha=0.15, lw=0, label="95 % interval of the best rate")
    ax.plot(model.best["rate"], 69.2, "v", color="#E69F00", label="choice so far")


def _truth(ax: Axes, surface: Surface) -> None:
    """Mean of the recorded runs at each rate, at the warm-up that is the best there."""
    best: dict[float, float] = {}
    for point in surface.points():
        runs = [surface.curve(LEVEL, point, seed) for seed in surface.seeds]
        if not any(diverged for _, diverged, _ in runs):
            value = statistics.fmean(curve[-1] for curve, _, _ in runs)
            best[point["rate"]] = max(value, best.get(point["rate"], 0.0))
    ax.plot(list(best), list(best.values()), "--", color=TRUTH, label="truth (best warm-up)")


if __name__ == "__main__":
    main()

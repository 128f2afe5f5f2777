"""Records and rows as pictures: accuracy over rate, best rate over noise rate, learning curves."""

import statistics
from collections.abc import Sequence
from itertools import cycle, zip_longest
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tosmooth.search.records import Level, Record
from tosmooth.search.report.figure_style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    legend_below,
    new_figure,
    save_figures,
    signed,
)
from tosmooth.search.report.picture_data import (
    Arm,
    arms_of,
    axis_of,
    band,
    curve_panels,
    kind_of,
    known_rates,
    noisy,
    rate_limits,
    theory_line,
    trials_of,
)
from tosmooth.search.report.rate_axis import SYMLOG, draw_model, rate_ticks
from tosmooth.search.report.row import Row
from tosmooth.search.selection.comparison import outcomes
from tosmooth.search.surrogate.posterior import Posterior

SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "D"), (RED, "v"), (SKY, "^"), (INK, "P"))


def accuracy_over_rate(level: Level, records: Sequence[Record], row: Row, model: Posterior | None = None) -> Figure:
    """Noisy-validation and, below, clean-test accuracy of a cell's search trials over their smoothing rate.

    Where they are chosen by another metric, that. Of another method than gls: over its first parameter, or the warm-up
    where it has none.

    What was confirmed stands in both, as mean and sample standard deviation over the fresh seeds; the `model` where the
    choice was made, in the first.
    """
    score = row.chosen_by
    panels = [(score.validation, f"{noisy(level)}validation", BLUE)]
    panels += [(score.compared(level), "clean test (oracle knowledge)", SKY)] if level.test_size else []
    axis = axis_of(records)
    rated, name = axis == "rate", axis.split(".")[-1]
    title = f"{level.name}: {score.words} over " + ("smoothing rate" if rated else f"{name}, {row.method}")
    figure, axes = new_figure(len(panels), 1, title, (8.6, 2.7 + 2.7 * len(panels)))
    arms = arms_of(records, row, axis)
    for ax, (metric, measured, colour) in zip(axes, panels, strict=True):
        if row.rate_low is not None and row.rate_high is not None:
            label = f"95 % interval of the best rate, {signed(row.rate_low)} to {signed(row.rate_high)}"
            ax.axvspan(row.rate_low, row.rate_high, color=GREEN, alpha=0.1, lw=0, label=label, zorder=0)
        _trials(ax, records, axis, metric, colour, row.best_warmup if rated else None)
        _vertical(ax, row.best_rate, "chosen rate", GREEN, "-")
        _vertical(ax, row.theory_rate, "theory's rate", PURPLE, "--")
        means = [_confirmed_mean(ax, arm, list(outcomes(arm.runs, metric, level).values())) for arm in arms]
        # CE may be confirmed under two names: once as chosen, once (last) as the baseline.
        ce = [mean for arm, mean in zip(arms, means, strict=True) if arm.colour == INK and mean is not None]
        if ce:
            ax.axhline(ce[-1], color=INK, lw=1.2, ls=":", label="cross-entropy, fresh seeds", zorder=1)
        ax.set_ylabel(f"{measured}\n{score.words} (%)", fontsize=11)
        if rated:
            ax.set_xscale("symlog", **SYMLOG)
            rate_ticks(ax.xaxis, [record.params["rate"] for record in records])
    if model is not None:
        draw_model(axes[0], model, [r.params[axis] for r in records if r.phase == "search" and r.state == "complete"])
    words = "smoothing rate r (linear within ±0.4, logarithmic beyond)"
    axes[-1].set_xlabel(words if rated else f"{name} of {row.method}", fontsize=11)
    return legend_below(figure, axes, columns=2)


def rate_over_noise(rows: Sequence[Row], classes: int) -> Figure:
    """Best rate over noise rate, beside the theory's for symmetric noise over `classes`."""
    known = known_rates(rows)
    names = ", ".join(dict.fromkeys(row.dataset for row in rows))
    figure, (ax,) = new_figure(1, 1, f"{names}: best smoothing rate over noise rate", (8.6, 5.8))
    end, theory = theory_line(known, classes)
    ax.plot(*_columns(theory), color=PURPLE, lw=1.8, ls="--", label=f"theory: symmetric noise, {classes} classes")
    kinds = sorted({kind_of(row) for *_, row in known})
    for (colour, marker), kind in zip(cycle(SERIES), kinds, strict=False):
        points = sorted(((e, r, row) for e, r, row in known if kind_of(row) == kind), key=lambda point: point[:2])
        low = [r - (r if row.rate_low is None else row.rate_low) for _, r, row in points]
        high = [(r if row.rate_high is None else row.rate_high) - r for _, r, row in points]
        bars = [low, high] if any(low + high) else None
        x, y, _ = _columns(points)
        ax.errorbar(
            x, y, bars, color=colour, marker=marker, ms=8, lw=1.5, capsize=4, label=f"best rate, {kind}", zorder=3
        )
    bottom, top = rate_limits(known)
    ax.axhline(0, color=INK, lw=0.8, zorder=1)
    ax.set_yscale("symlog", **SYMLOG)
    rate_ticks(ax.yaxis, [bottom, top])
    ax.set_ylim(bottom, top)
    ax.set_xlim(-0.04 * end, end)
    ax.set_xlabel("noise rate (share of wrong training labels)", fontsize=11)
    ax.set_ylabel("smoothing rate r (0: plain cross-entropy)", fontsize=11)
    return legend_below(figure, [ax], columns=2)


def learning_curves(level: Level, records: Sequence[Record], row: Row) -> Figure:
    """Accuracies over the epochs of what was confirmed: the mean over the fresh seeds, and from lowest to highest."""
    score, panels = row.chosen_by, curve_panels(level, row)
    figure, axes = new_figure(1, len(panels), f"{level.name}: learning curves on fresh seeds", (4.2 * len(panels), 4.9))
    arms = arms_of(records, row, axis_of(records))
    for ax, (metric, name) in zip(axes, panels, strict=True):
        for arm, dash in zip(arms, cycle(("-", "--", "-.", ":"))):
            epochs, mean, low, high = _columns(band(list(arm.runs.values()), metric), width=4)
            lone = "o" if len(epochs) == 1 else ""  # training.test_every may leave one point, which is no line
            ax.plot(epochs, mean, color=arm.colour, lw=2, ls=dash, marker=lone, label=arm.label, zorder=3)
            ax.fill_between(epochs, low, high, color=arm.colour, alpha=0.18, lw=0)
        ax.fill_between([], [], color=INK, alpha=0.18, lw=0, label="from lowest to highest seed")
        if row.best_warmup and row.best_warmup < max((record.epochs for record in records), default=0):
            ax.axvline(row.best_warmup, color=INK, lw=1.2, ls=":", label=f"end of warm-up: epoch {row.best_warmup}")
        ax.set_title(name if score.plain or metric == "train_accuracy" else f"{name}: {score.words}", fontsize=11)
        ax.set_xlabel("epoch", fontsize=11)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes[0].set_ylabel("accuracy (%)", fontsize=11)  # of training alone, where the others have titles that say more
    return legend_below(figure, axes, columns=4)


def save_plots(
    folder: Path,
    cells: Sequence[tuple[Level, Sequence[Record]]],
    rows: Sequence[Row],
    models: Sequence[Posterior | None] = (),
) -> list[Path]:
    """Write every picture of these cells, their rows and models (in the same order) into `folder` as PNG.

    Returns the files.
    """
    figures: dict[str, Figure] = {}
    for (level, records), row, model in zip_longest(cells, rows, models):
        own = [record for record in records if record.level == level.name]
        figures[f"{level.name}-{row.method}-accuracy-over-rate"] = accuracy_over_rate(level, own, row, model)
        if any(record.phase == "confirmation" and record.curve for record in own):
            figures[f"{level.name}-{row.method}-learning-curves"] = learning_curves(level, own, row)
    classes = {level.dataset: level.classes for level, _ in cells}
    for dataset, number in classes.items():
        known = [row for row in rows if row.dataset == dataset and None not in (row.noise_rate, row.best_rate)]
        if known:
            figures[f"{dataset}-rate-over-noise"] = rate_over_noise(known, number)
    return save_figures(folder, figures)


def _trials(
    ax: Axes, records: Sequence[Record], axis: str, metric: str, colour: str, warmup: int | None = None
) -> None:
    """Draw the trials of the search; those of another warm-up than the chosen one, if one is given, are hollow."""
    same, others, pruned, diverged = trials_of(records, axis, warmup)
    at = "" if not others else f", warm-up {warmup}"
    kinds = [
        (same, colour, "o", f"search trial{at}"),
        (others, "none", "o", "search trial, another warm-up"),
        (pruned, "none", "v", "pruned, at its last epoch"),
    ]
    for found, fill, marker, label in kinds:
        points = [(r.params[axis], a) for r in found if (a := r.last(metric)) is not None]
        if points:
            x, y = _columns(points)
            style: dict[str, Any] = {"facecolors": fill, "edgecolors": colour, "linewidths": 1.3}
            ax.scatter(x, y, s=36, marker=marker, label=label, zorder=2, **style)
    rates = [record.params[axis] for record in diverged]
    if rates:  # at the bottom, below all others, whatever they last reported
        ax.margins(y=0.12)
        ax.update_datalim([(rate, 0) for rate in rates], updatey=False)  # this placing is not seen by autoscale
        place = ax.get_xaxis_transform()
        ax.scatter(rates, [0.04] * len(rates), s=40, marker="x", c=RED, transform=place, label="diverged", zorder=3)


def _vertical(ax: Axes, rate: float | None, name: str, colour: str, dash: str) -> None:
    if rate is not None:
        ax.axvline(rate, color=colour, lw=1.2, ls=dash, label=f"{name}, {signed(rate)}", zorder=1)


def _confirmed_mean(ax: Axes, arm: Arm, accuracies: Sequence[float]) -> float | None:
    if not accuracies:
        return None
    mean = statistics.fmean(accuracies)
    spread = [statistics.stdev(accuracies)] if len(accuracies) > 1 else None
    label = f"{arm.label}: {len(accuracies)} fresh seeds ± std"
    style: dict[str, Any] = {
        "color": arm.colour,
        "marker": arm.marker,
        "ms": 9,
        "mec": "white",
        "capsize": 5,
        "lw": 2.6,
    }
    if arm.place is not None:
        ax.errorbar([arm.place], [mean], spread, ls="none", label=label, zorder=5, **style)
    return mean


def _columns(points: Sequence[tuple[Any, ...]], width: int = 2) -> list[list[Any]]:
    return [list(column) for column in zip(*points, strict=True)] if points else [[] for _ in range(width)]

"""Axis of smoothing rates, and the surrogate's posterior over it."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from tosmooth.search.report.figure_style import BLUE, signed
from tosmooth.search.spec.scales import log_weight
from tosmooth.search.surrogate.posterior import Posterior

SYMLOG: dict[str, Any] = {"linthresh": 0.4, "linscale": 0.6}  # of every axis that shows rates
NEAR = 0.08  # of the axis: so far from a trial the model is drawn about a third as strong
PALEST = 0.1  # share of its strength that is left far from all trials
TICKS = (-64, -32, -16, -8, -4, -2, -1, -0.4, -0.2, 0, 0.2, 0.4, 0.8)


def draw_model(ax: Axes, model: Posterior, tried: Sequence[float]) -> None:
    """Draw the posterior, the paler the farther from what was `tried`: there it tells its prior and not the trials."""
    warmup, (over, near) = model.best["warmup"], model_over_axis(model, tried)
    if len(over) < 2:  # a study of one rate, whose other parameters are searched
        return
    alpha = PALEST + (1 - PALEST) * np.minimum(near[:-1], near[1:])  # of each piece between two places
    ends = np.stack([over[:-1], over[1:]], axis=1)  # [pieces, 2, 4]
    corners = np.concatenate([ends[:, :, [0, 2]], ends[:, ::-1, [0, 3]]], axis=1)
    ax.update_datalim(over[near > 0.5][:, :2])  # far from all trials it falls to chance, and would squeeze them
    ax.autoscale_view()
    ax.add_collection(
        LineCollection(list(ends[:, :, :2]), colors=BLUE, linewidths=1.6, alpha=alpha, zorder=1), autolim=False
    )
    band = PolyCollection(list(corners), facecolors=BLUE, linewidths=0, alpha=0.15 * alpha, zorder=0)
    ax.add_collection(band, autolim=False)
    label = f"posterior mean{f' at warm-up {warmup}' if warmup else ''}, pale away from trials"
    ax.plot([], [], color=BLUE, lw=1.6, label=label)
    ax.fill_between([], [], color=BLUE, alpha=0.15, lw=0, label="its 95 % interval")


def model_over_axis(model: Posterior, tried: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rate, mean, lower and upper end [n, 4] of the posterior, and how near each place lies to one that was `tried`."""
    # Cross-entropy has no warm-up of its own: at another it would stand as a spike.
    points = [point for point in model.over_axis() if point[0] or not model.best["warmup"]]
    over = np.array(points).reshape(-1, 4)
    return over, nearness(over[:, 0], tried)


def nearness(rates: NDArray[np.float64], tried: Sequence[float]) -> NDArray[np.float64]:
    """Tell how near each place lies to one that was tried, 0 to 1, on the scale on which rates lie evenly."""
    places, known = (np.array([log_weight(float(each)) for each in values]) for values in (rates, tried))
    if not len(known):
        return np.zeros(len(places))
    reach = NEAR * max(np.ptp(places), np.ptp(known), 1e-9)
    distance = np.abs(places[:, None] - known).min(axis=1) / reach
    return np.asarray(np.exp(-(distance**2)), np.float64)


def rate_ticks(axis: Axis, rates: Iterable[float]) -> None:
    """Set the ticks of an axis that shows these rates."""
    ticks = ticks_of(rates)
    axis.set_ticks(ticks, [signed(tick) for tick in ticks])
    axis.set_minor_locator(NullLocator())


def ticks_of(rates: Iterable[float]) -> list[float]:
    """Places of the ticks of an axis that shows these rates."""
    known = [0.0, *rates]
    return [tick for tick in TICKS if 1.05 * min(known) - 0.1 <= tick <= max(known) + 0.1]

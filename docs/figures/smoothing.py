"""Draws the pictures of docs/understand/smoothing.md beside itself; the last one trains for some seconds.

.venv/bin/python docs/figures/smoothing.py
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from tosmooth.search.selection.theory import theory_rate
from tosmooth.trainables.config import DataConfig, NetworkConfig, ScheduleConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.losses import gls_loss
from tosmooth.trainables.noise.synthetic import Synthetic, transition_matrix
from tosmooth.trainables.training.process import prepare
from tosmooth.trainables.training.trainer import Report, train

ABOVE, ZERO, BELOW, GREY, RED = "#E69F00", "#222222", "#0072B2", "#999999", "#D55E00"
HERE = Path(__file__).parent
CLASSES = 4  # of the pictures of targets, losses and gradients
RATES = ((0.4, ABOVE), (0.0, ZERO), (-1.0, BELOW))


def main() -> None:
    _targets()
    _losses()
    _noise()
    _warmups()


def _targets() -> None:
    """The target of the label's class and of each other class, over the rate; and three of them as bars."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    lines, bars = figure.subplots(1, 2)
    rates = np.linspace(-2, 1, 100)
    lines.plot(rates, 1 - rates + rates / CLASSES, color=ZERO, label="the label's class")
    lines.plot(rates, rates / CLASSES, "--", color=GREY, label="each other class")
    lines.axvline(0, color=GREY, lw=0.8)
    lines.set_xlabel("smoothing rate r")
    lines.set_ylabel("target")
    lines.legend(frameon=False)
    lines.grid(alpha=0.3)
    for i, (rate, colour) in enumerate(RATES):
        targets = [(1 - rate) * (k == 0) + rate / CLASSES for k in range(CLASSES)]
        bars.bar(np.arange(CLASSES) + 0.27 * (i - 1), targets, 0.25, color=colour, label=f"r = {rate:g}")
    bars.axhline(0, color=ZERO, lw=0.8)
    bars.set_xticks(range(CLASSES), ["cat (the label)", "dog", "horse", "bird"])
    bars.legend(frameon=False)
    bars.grid(alpha=0.3, axis="y")
    figure.savefig(HERE / "smoothing-targets.png", dpi=110)


def _losses() -> None:
    """The loss of one example, and its slope, over the logit of the label's class; the other logits are 0."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    z = np.linspace(-4, 12, 300)
    for rate, colour in RATES:
        logit = torch.tensor(z, requires_grad=True)
        loss = gls_loss(_logits(logit), torch.zeros(len(z), dtype=torch.long), rate, reduction="none")
        (slope,) = torch.autograd.grad(loss.sum(), logit)
        left.plot(z, loss.detach(), color=colour, label=f"r = {rate:g}")
        right.plot(z, slope, color=colour)
        if rate > 0:
            place = int(loss.argmin())
            left.plot(z[place], loss[place].item(), "o", color=colour, label="its lowest point")
    for ax, label in ((left, "loss (nats)"), (right, "slope of the loss")):
        ax.axhline(0, color=GREY, lw=0.8)
        ax.set_xlabel("logit of the label's class")
        ax.set_ylabel(label)
        ax.grid(alpha=0.3)
    left.legend(frameon=False)
    figure.savefig(HERE / "smoothing-loss.png", dpi=110)


def _noise() -> None:
    """Mean slope under 40 % symmetric noise, with and without the rate that undoes it; and that rate over the noise."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    noise = 0.4
    rate = theory_rate(noise, CLASSES) or 0.0
    noisy = torch.tensor(transition_matrix(Synthetic("symmetric", noise), CLASSES)[0])
    right_labels = torch.eye(CLASSES, dtype=noisy.dtype)[0]
    p = np.linspace(0.02, 0.98, 200)
    for shares, each, style, label in (
        (right_labels, 0.0, {"color": ZERO, "lw": 5, "alpha": 0.3}, "right labels, r = 0"),
        (noisy, 0.0, {"color": ABOVE}, "40 % wrong, r = 0"),
        (noisy, rate, {"color": BELOW, "ls": "--"}, f"40 % wrong, r = {rate:.2f}"),
    ):
        left.plot(p, _mean_slope(p, shares, each), label=label, **style)
    left.axhline(0, color=GREY, lw=0.8)
    left.axvline(1 - noise, color=GREY, lw=0.8, ls=":")
    _named(left, "probability that the network gives the right class", "mean slope of the loss")
    errors = np.linspace(0, 0.85, 400)
    for classes, colour in ((2, BELOW), (10, ABOVE), (100, ZERO)):
        rates = [theory_rate(e, classes) if e < (classes - 1) / classes - 0.02 else None for e in errors]
        right.plot(errors, [np.nan if r is None else r for r in rates], color=colour, label=f"{classes} classes")
    right.set_ylim(-8, 0.4)
    _named(right, "share of wrong labels", "rate that undoes the noise")
    figure.savefig(HERE / "smoothing-noise.png", dpi=110)


def _named(ax: Axes, x: str, y: str) -> None:
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)


def _mean_slope(p: np.ndarray, shares: Tensor, rate: float) -> Tensor:
    """Slope of the expected loss in the right class's logit, where it has the probability `p` and the others the rest.

    `shares` [K]: how often each class is the label of such an example.
    """
    z = torch.tensor(np.log(p / (1 - p) * (CLASSES - 1)), requires_grad=True)
    losses = [
        share * gls_loss(_logits(z), torch.full((len(p),), k), rate, reduction="none") for k, share in enumerate(shares)
    ]
    (slope,) = torch.autograd.grad(torch.stack(losses).sum(), z)
    return slope


def _logits(z: Tensor) -> Tensor:
    """Logits [n, K]: `z` [n] of the first class, 0 of the others."""
    return torch.cat([z[:, None], torch.zeros(len(z), CLASSES - 1, dtype=z.dtype)], dim=1)


def _warmups() -> None:
    """Test accuracy over the epochs, of cross-entropy and a negative rate that begins early or late (Twonorm)."""
    prepare(1)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for ax, noise, below in zip(figure.subplots(1, 2, sharey=True), (0.2, 0.4), (-2.5, -4.0), strict=True):
        for rate, warmup, colour, label in (
            (0.0, 0, ZERO, "r = 0"),
            (0.4, 0, ABOVE, "r = 0.4"),
            (below, 0, RED, f"r = {below:g} from the first epoch"),
            (below, 2, BELOW, f"r = {below:g} after 2 epochs"),
        ):
            reports = _trained(f"symmetric-{noise}", rate, warmup)
            accuracies = [report.metrics["test_accuracy"] for report in reports]
            ax.plot([report.epoch for report in reports], accuracies, color=colour, label=label)
            if reports[-1].diverged is not None:
                ax.plot(reports[-1].epoch, accuracies[-1], "X", color=colour, ms=9, label="there it diverged")
        ax.set_title(f"{100 * noise:g} % of the labels wrong")
        ax.set_xlabel("epoch")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
        ax.label_outer()
    figure.axes[0].set_ylabel("accuracy on clean test data (%)")
    figure.savefig(HERE / "smoothing-warmup.png", dpi=110)


def _trained(noise: str, rate: float, warmup: int) -> list[Report]:
    """Reports of a run with the recipe of the study `twonorm`."""
    data = DataConfig(dataset="twonorm", noise=noise, size=25_000, validation_fraction=0.8, test_size=10_000)
    config = TrialConfig(
        data=data,
        network=NetworkConfig(name="mlp", width=128),
        training=TrainingConfig(epochs=10, batch_size=128, schedule=ScheduleConfig(name="cosine")),
        rate=rate,
        warmup=warmup,
    )
    reports: list[Report] = []
    train(config, load_level(data, Folders(data=HERE, cache=HERE)), reports.append)
    return reports


if __name__ == "__main__":
    main()

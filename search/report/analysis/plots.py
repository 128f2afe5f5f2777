"""An analysis as pictures: reliability, confidence, projection, memorisation over the epochs, accuracy under attack."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tosmooth.search.report.analysis.cells import CE, CHOSEN, LS, ArmAnalysis, CellAnalysis
from tosmooth.search.report.analysis.measures import pooled
from tosmooth.search.report.analysis.tables import memory
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
from tosmooth.search.spec.parameters import in_short

LOOKS = {CHOSEN: (GREEN, "D", "-"), CE: (INK, "s", "--"), LS: (ORANGE, "^", "-.")}
CLASSES = ((BLUE, "o"), (RED, "^"), (PURPLE, "s"))  # of the projection
ATTACKS = (
    ("attacked_accuracy", "no attack", INK),
    ("fgsm_accuracy", "FGSM, one step", SKY),
    ("pgd_accuracy", "PGD-20", BLUE),
    ("margin_accuracy", "PGD-20 on the margin", PURPLE),
    ("transfer_accuracy", "PGD-20 made for CE", ORANGE),
    ("worst_accuracy", "worst of all", RED),
)
MOST_NUMBERED = 10  # classes of a transition matrix whose shares are written into it
LETTERS = 16  # of a class's name beside an axis
FEW = 0.005  # share of the examples below which a bin says nothing of its accuracy

GOLDEN = (5**0.5 - 1) / 2  # whose multiples, modulo 1, are spread evenly

Array = NDArray[np.float64]


def save_plots(folder: Path, cells: Sequence[CellAnalysis]) -> list[Path]:
    """Write every picture of these cells into `folder` as PNG; returns the files."""
    kinds: dict[str, Callable[[CellAnalysis], Figure | None]] = {
        "reliability": reliability,
        "confidence": confidence,
        "projection": projection,
        "memorisation": memorisation,
        "transition": transition,
        "robustness": robustness,
    }
    figures = {}
    for cell in cells:
        for kind, draw in kinds.items():
            if (figure := draw(cell)) is not None:
                figures[f"{cell.cell.level}-{cell.cell.method}-{kind}"] = figure
    return save_figures(folder, figures)


def reliability(cell: CellAnalysis) -> Figure | None:
    """Accuracy over confidence in bins of equal width, before and after temperature scaling, all seeds together."""
    arms = _with_networks(cell)
    if not arms:
        return None
    title = f"{cell.title}: is the network as often right as it is sure?"
    figure, axes = new_figure(1, 2, title, (9.2, 5.2))
    panels = (("", "as trained"), ("scaled_", "temperature fitted on the noisy validation"))
    for ax, (key, words) in zip(axes, panels, strict=True):
        ax.plot([0, 1], [0, 1], color="#888888", lw=1.2, ls=":", label="as sure as right")
        for each in arms:
            count, right, sure = _pooled(each, f"{key}reliability")
            shown = count > FEW * count.sum()
            colour, marker, dash = LOOKS[each.arm.name]
            x, y, size = sure[shown] / count[shown], right[shown] / count[shown], count[shown] / count.sum()
            ax.plot(x, y, color=colour, lw=1.6, ls=dash, zorder=3, marker=marker, ms=5, label=_label(each))
            ax.scatter(x, y, s=30 + 700 * size, color=colour, alpha=0.25, lw=0, zorder=2)
        errors = ", ".join(f"{each.arm.name} {_shown(_mean(each, f'{key}ece'), 3)}" for each in arms)
        ax.set_title(f"{words}\nECE: {errors}", fontsize=11)
        ax.set_xlabel("confidence (larger: more examples)", fontsize=11)
        ax.set_xlim(-0.02 if cell.level.classes > 2 else 0.48, 1.02)
        ax.set_ylim(-0.02, 1.02)
    axes[0].set_ylabel("share of right predictions", fontsize=11)
    return legend_below(figure, axes, columns=2)


def confidence(cell: CellAnalysis) -> Figure | None:
    """Confidence where the network is right and where it is wrong (Wei et al. 2022, figure 3), of all seeds."""
    arms = _with_networks(cell)
    if not arms:
        return None
    title = f"{cell.title}: confidence on right and on wrong predictions"
    figure, axes = new_figure(1, len(arms), title, (3.6 * len(arms) + 0.6, 4.6))
    for ax, each in zip(axes, arms, strict=True):
        count, right, _ = _pooled(each, "reliability")
        edges = np.asarray(next(iter(each.networks.values())).arrays["reliability"]["edges"])
        for values, colour, hatch, name in ((right, BLUE, "", "right"), (count - right, RED, "///", "wrong")):
            share = 100 * values / max(1.0, values.sum())
            look: dict[str, Any] = {"facecolor": colour, "edgecolor": colour, "alpha": 0.35, "hatch": hatch}
            ax.stairs(share, edges, fill=True, label=f"{name} predictions", **look)
            ax.stairs(share, edges, color=colour, lw=1.6)
            mean = _mean(each, f"confidence_{name}")
            if mean is not None:
                ax.axvline(mean, color=colour, lw=1.6, ls="--" if name == "wrong" else "-", label=f"mean, {name}")
        wrong = 100 * (1 - right.sum() / count.sum())
        ax.set_title(f"{_label(each)}\n{wrong:.1f} % wrong", fontsize=11)
        ax.set_xlabel("confidence", fontsize=11)
        ax.set_xlim(0.48 if cell.level.classes == 2 else 0, 1.02)
    highest = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(0, highest)
    axes[0].set_ylabel("share of the right, or wrong, ones (%)", fontsize=11)
    return legend_below(figure, axes, columns=4)


def projection(cell: CellAnalysis) -> Figure | None:
    """Activations of the penultimate layer on the plane through three classes' templates, of the first network.

    In units of how far the classes' means lie from their centre (root mean square): so scales, which differ a
    thousandfold, drop out, and what is seen is how tight the classes are beside the room between them.
    """
    arms = _with_networks(cell)
    if not arms:
        return None
    title = f"{cell.title}: penultimate layer, test examples"
    figure, axes = new_figure(1, len(arms), title, (3.8 * len(arms) + 0.6, 4.9))
    for ax, each in zip(axes, arms, strict=True):
        seen = next(iter(each.networks.values()))
        picture = seen.arrays["projection"]
        points, labels = np.asarray(picture["points"]), np.asarray(picture["labels"])
        groups = _in_units([points[labels == k] for k in picture["classes"]])
        flat = points.shape[1] == 1  # two classes, whose templates span a line: a strip each, so that points part
        for row, (own, (colour, marker)) in enumerate(zip(groups, CLASSES, strict=False)):
            x, y = own[:, 0], row + 0.6 * (np.arange(len(own)) * GOLDEN % 1 - 0.5) if flat else own[:, 1]
            label = cell.level.name_of(picture["classes"][row])
            ax.scatter(x, y, s=16, c=colour, marker=marker, alpha=0.6, lw=0, label=label)
        if flat:
            ax.set_yticks([0, 1], [cell.level.name_of(k) for k in picture["classes"]])
        ax.set_title(f"{_label(each)}\ntightness {_shown(seen.numbers['tightness'], 2)}", fontsize=11)
        ax.set_xlabel("along the templates" if flat else "from the first template to the second", fontsize=11)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    limits = [ax.get_ylim() for ax in axes]
    for ax in axes:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    axes[0].set_ylabel("class" if flat else "towards the third", fontsize=11)
    return legend_below(figure, axes, columns=3)


def memorisation(cell: CellAnalysis) -> Figure | None:
    """Training accuracy over the epochs on examples labelled right and labelled wrong; means of all seeds."""
    curves = {each.arm.name: memory(each) for each in cell.arms}
    if not any("train_accuracy_flipped" in found for found in curves.values()):
        return None
    title = f"{cell.title}: training examples predicted as they are labelled"
    figure, axes = new_figure(1, 2, title, (9.2, 4.8))
    panels = (("train_accuracy_clean", "labelled right"), ("train_accuracy_flipped", "labelled wrong: memorised"))
    for ax, (metric, words) in zip(axes, panels, strict=True):
        for each in cell.arms:
            points = curves[each.arm.name].get(metric, [])
            colour, marker, dash = LOOKS[each.arm.name]
            epochs, mean, low, high = np.asarray(points).reshape(-1, 4).T
            ax.plot(epochs, mean, color=colour, lw=2, ls=dash, marker=marker, ms=4, label=_label(each))
            ax.fill_between(epochs, low, high, color=colour, alpha=0.18, lw=0)
        ax.fill_between([], [], color=INK, alpha=0.18, lw=0, label="from lowest to highest seed")
        ax.set_title(words, fontsize=11)
        ax.set_xlabel("epoch", fontsize=11)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        ax.set_ylim(0, 102)
    axes[0].set_ylabel("accuracy (%)", fontsize=11)
    return legend_below(figure, axes, columns=3)


def transition(cell: CellAnalysis) -> Figure | None:
    """P(noisy label | clean label), measured, and as the first network of each arm tells it from noisy labels alone."""
    arms = [each for each in _with_networks(cell) if "estimated_transition" in _arrays(each)]
    if not arms:
        return None
    panels = [(_label(each), _arrays(each)["estimated_transition"]) for each in arms]
    if (measured := _arrays(arms[0]).get("measured_transition")) is not None:
        panels.insert(0, ("measured, by the clean labels", measured))
    title = f"{cell.title}: which labels become which, estimated from the noisy labels"
    figure, axes = new_figure(1, len(panels), title, (3.6 * len(panels) + 0.6, 4.6))
    for ax, (words, matrix) in zip(axes, panels, strict=True):
        image = ax.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        ax.grid(visible=False)
        ax.set_title(words, fontsize=11)
        ax.set_xlabel("noisy label", fontsize=11)
        if cell.level.class_names and len(matrix) <= MOST_NUMBERED:
            ax.set_xticks(range(len(matrix)), map(short, cell.level.class_names), rotation=45, ha="right", fontsize=8)
            ax.set_yticks(range(len(matrix)), map(short, cell.level.class_names), fontsize=8)
        else:
            ax.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
            ax.yaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        for (row, column), share in np.ndenumerate(np.asarray(matrix)) if len(matrix) <= MOST_NUMBERED else ():
            colour = "white" if share > 0.6 else INK
            size = 11 if len(matrix) <= 4 else 6
            ax.text(column, row, f"{share:.2f}", color=colour, fontsize=size, ha="center", va="center")
    axes[0].set_ylabel("clean label", fontsize=11)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the row")
    return figure


def short(name: str) -> str:
    """Shorten a name to what fits beside an axis; a $ would begin a formula."""
    return (name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…").replace("$", r"\$")


def _arrays(each: ArmAnalysis) -> Mapping[str, Any]:
    return next(iter(each.networks.values())).arrays


def robustness(cell: CellAnalysis) -> Figure | None:
    """Accuracy under attack, of the first network of each arm."""
    arms = [each for each in _with_networks(cell) if _first(each, "worst_accuracy") is not None]
    if not arms:
        return None
    size = _first(arms[0], "epsilon")
    title = f"{cell.title}: accuracy under attack, epsilon {size:.3g}"
    figure, (ax,) = new_figure(1, 1, title, (8.6, 4.8))
    width = 0.13
    for i, (name, words, colour) in enumerate(ATTACKS):
        found = {place: value for place, each in enumerate(arms) if (value := _first(each, name)) is not None}
        places = [place + (i - (len(ATTACKS) - 1) / 2) * width for place in found]
        bars = ax.bar(places, list(found.values()), 0.9 * width, color=colour, label=words)
        ax.bar_label(bars, fmt="%.0f", fontsize=9)
    ax.grid(visible=False, axis="x")
    ax.set_xticks(range(len(arms)), [_label(each) + _masked(each) for each in arms])
    ax.set_ylim(0, 105)
    ax.set_ylabel("accuracy (%)", fontsize=11)
    return legend_below(figure, [ax], columns=3)


def _with_networks(cell: CellAnalysis) -> list[ArmAnalysis]:
    return [each for each in cell.arms if each.networks]


def _label(each: ArmAnalysis) -> str:
    params, name = each.arm.params, each.arm.name
    if name == CHOSEN:
        warmup = f", warm-up {params['warmup']}" if "rate" in params and params.get("warmup") else ""
        what = f"r = {signed(params['rate'])}" if "rate" in params else in_short(params)
        return f"chosen: {what}{warmup}"
    words = "cross-entropy" if name == CE else f"label smoothing, r = {signed(params['rate'])}"
    return f"{words} (chosen)" if each.arm.chosen else words


def _in_units(groups: Sequence[Array]) -> list[Array]:
    """Points [n, 2] or [n, 1] of each class, about the centre of the classes' means, in units of their distance."""
    means = np.stack([group.mean(axis=0) for group in groups])
    centre = means.mean(axis=0)
    unit = np.sqrt(np.square(means - centre).sum(axis=1).mean()) or 1.0
    return [(group - centre) / unit for group in groups]


def _masked(each: ArmAnalysis) -> str:
    return "\n(signs of masked gradients)" if next(iter(each.networks.values())).notes.get("masking") else ""


def _pooled(each: ArmAnalysis, key: str) -> tuple[Array, Array, Array]:
    return pooled([analysis.arrays[key] for analysis in each.networks.values()])


def _mean(each: ArmAnalysis, measure: str) -> float | None:
    values = [v for analysis in each.networks.values() if (v := analysis.numbers.get(measure)) is not None]
    return float(np.mean(values)) if values else None


def _shown(value: float | None, decimals: int) -> str:
    """A number for a title; networks close to divergence may have none."""
    return "unknown" if value is None else f"{value:.{decimals}f}"


def _first(each: ArmAnalysis, measure: str) -> float | None:
    """Measure of the first network that has it: attacks and student are of one seed."""
    numbers: Sequence[Mapping[str, float | None]] = [analysis.numbers for analysis in each.networks.values()]
    return next((value for found in numbers if (value := found.get(measure)) is not None), None)

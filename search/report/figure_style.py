"""Style that all pictures share: colours, panels, one legend below them, and how they are saved.

Figures are made without pyplot, which keeps global state, and drawn by Agg, so that no display is needed.
"""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tosmooth.trainables.files.atomic_write import write

# Okabe and Ito's palette, told apart with any colour vision; what shares a panel differs in marker or dash too.
BLUE, SKY, GREEN, ORANGE, RED, PURPLE, INK = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#AA4499", "#222222"


class Picture(Figure):
    """Figure that a notebook shows as it is: matplotlib's own are shown there only once pyplot was imported."""

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        self.savefig(drawn, format="png")
        return drawn.getvalue()


def new_figure(
    rows: int, columns: int, title: str, size: tuple[float, float], sharex: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure of panels that are read row by row."""
    with suppress(ImportError):  # matplotlib asks a loaded one for its version, and MLflow's thread may be loading it
        import_module("IPython")
    figure = Picture(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, sharex=sharex, squeeze=False).flat)
    for ax in axes:
        ax.grid(color="#DDDDDD", lw=0.7)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=10)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    return figure, axes


def legend_below(figure: Figure, axes: Sequence[Axes], columns: int) -> Figure:
    """Put one legend below all panels, where it hides no data, with each label once."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    artists, labels = handles.values(), handles.keys()
    figure.legend(artists, labels, loc="outside lower center", ncols=columns, fontsize=10, frameon=False)
    return figure


def signed(rate: float) -> str:
    """A rate with a true minus sign."""
    return f"{rate:.3g}".replace("-", "\N{MINUS SIGN}")


def save_figures(folder: Path, figures: Mapping[str, Figure]) -> list[Path]:
    """Write figures into `folder` as PNG, by their names; returns the files."""
    paths = {folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.png": figure for name, figure in figures.items()}
    for path, figure in paths.items():
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=150)
        write(png.getvalue(), path)
    return list(paths)

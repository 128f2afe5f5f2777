"""Draws way-of-a-trial.png beside itself: the way of a trial through the packages.

.venv/bin/python docs/figures/way_of_a_trial.py
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

WIDTH, HEIGHT = 3.0, 0.95
# Name, what it does, its place (column, row from below), its lane.
BOXES = {
    "study": ("studies/x.yaml", "what is to be found out", 0, 5, "files"),
    "spec": ("search/spec", "checked once; cells: level x method", 1, 5, "driver"),
    "suggest": ("search/suggest", "which cell is next, and what it tries", 1, 4, "driver"),
    "surrogate": ("search/surrogate", "model of the cell's trials", 0, 4, "driver"),
    "run": ("search/run", "Ray Tune: a free worker gets it", 1, 3, "driver"),
    "worker": ("search/run/trainable", "a process for trials", 2, 3, "worker"),
    "train": ("trainables/training", "data, network, loss: an epoch", 2, 2, "worker"),
    "trunk": ("trainables/checkpointing", "shared warm-up, checkpoints", 2, 1, "worker"),
    "driver": ("search/run/study_driver", "a report of each epoch", 1, 2, "driver"),
    "storage": ("search/storage", "Optuna's journal, the history", 1, 1, "files"),
    "tracking": ("search/tracking", "MLflow, brought up to date", 0, 1, "driver"),
    "records": ("search/records", "trials as plain records", 0, 2.5, "driver"),
    "selection": ("search/selection", "choice, interval, gain", 0, 0, "driver"),
    "report": ("search/report", "table, pictures, page", 1, 0, "files"),
}
ARROWS = (
    ("study", "spec", ""),
    ("spec", "suggest", ""),
    ("suggest", "run", "parameters, seed"),
    ("run", "worker", ""),
    ("worker", "train", ""),
    ("trunk", "train", ""),
    ("train", "driver", "metrics"),
    ("driver", "storage", ""),
    ("storage", "tracking", ""),
    ("storage", "records", ""),
    ("records", "surrogate", ""),
    ("surrogate", "suggest", ""),
    ("selection", "report", ""),
)
LANES = {"files": "#F6E3B5", "driver": "#CFE3F1", "worker": "#CFEBDD"}


def main() -> None:
    figure = Figure(figsize=(10.5, 8), layout="constrained")
    ax = figure.subplots()
    ax.set_axis_off()
    ax.set_xlim(-0.7, 11.4)
    ax.set_ylim(-0.4, 8.9)
    for title, words, column, row, lane in BOXES.values():
        x, y = _corner(column, row)
        style = "round,pad=0.02,rounding_size=0.12"
        ax.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, boxstyle=style, fc=LANES[lane], ec="#555555"))
        ax.text(x + WIDTH / 2, y + 0.64, title, ha="center", va="center", family="monospace", weight="bold", size=9.5)
        ax.text(x + WIDTH / 2, y + 0.28, words, ha="center", va="center", size=9)
    for start, end, label in ARROWS:
        _arrow(ax, start, end, label)
    left = _corner(0, 1)[0] - 0.1
    ax.annotate(
        "",
        (left + 0.1, _corner(0, 0)[1] + HEIGHT / 2),
        (left + 0.1, _corner(0, 2.5)[1] + HEIGHT / 2),
        arrowprops={"arrowstyle": "->", "color": "#333333", "connectionstyle": "arc3,rad=0.25"},
    )
    for i, (lane, colour) in enumerate(LANES.items()):
        words = {"files": "files", "driver": "driver, one process", "worker": "workers, a process each"}[lane]
        ax.add_patch(FancyBboxPatch((8.1, 7.9 - 0.4 * i), 0.4, 0.2, boxstyle="round,pad=0.02", fc=colour, ec="#555555"))
        ax.text(8.7, 8.0 - 0.4 * i, words, va="center", size=9.5)
    figure.savefig(Path(__file__).with_name("way-of-a-trial.png"), dpi=110)


def _corner(column: float, row: float) -> tuple[float, float]:
    """Lower left corner of a box."""
    return 0.2 + 3.9 * column, 1.5 * row


def _arrow(ax: Axes, start: str, end: str, label: str) -> None:
    (_, _, column, row, _), (_, _, to_column, to_row, _) = BOXES[start], BOXES[end]
    (x, y), (to_x, to_y) = _corner(column, row), _corner(to_column, to_row)
    side = to_column - column
    if side:
        begin = (x + (WIDTH if side > 0 else 0), y + HEIGHT / 2)
        finish = (to_x + (0 if side > 0 else WIDTH), to_y + HEIGHT / 2)
    else:
        down = to_row < row
        begin = (x + WIDTH / 2, y if down else y + HEIGHT)
        finish = (to_x + WIDTH / 2, to_y + HEIGHT if down else to_y)
    ax.annotate("", finish, begin, arrowprops={"arrowstyle": "->", "color": "#333333", "shrinkA": 2, "shrinkB": 2})
    if label:
        middle = ((begin[0] + finish[0]) / 2, (begin[1] + finish[1]) / 2)
        at = (middle[0], middle[1] + 0.12) if side else (middle[0] + 0.1, middle[1])
        ax.text(
            *at, label, size=8.5, color="#333333", ha="center" if side else "left", va="bottom" if side else "center"
        )


if __name__ == "__main__":
    main()

"""Figures of the report: charts with their words, for a study, for a cell, and for what an analysis found of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from tosmooth.search.records import Level
from tosmooth.search.report.html.analysis_charts import class_chart, confusion_chart, reliability_chart
from tosmooth.search.report.html.analysis_part import CellNumbers, confusions, shown_classes
from tosmooth.search.report.html.drawing import Drawing, drawing
from tosmooth.search.report.html.page_tables import PageTable
from tosmooth.search.report.html.rate_chart import rate_chart
from tosmooth.search.report.html.study_charts import curve_chart, noise_chart
from tosmooth.search.report.picture_data import axis_of, known_rates
from tosmooth.search.report.results import View
from tosmooth.search.report.row import Row

CHECKED = (
    "Each small point is a trial of the search. The choice is made in the upper panel alone, by labels that are as "
    "noisy as those to train on; the lower one checks it on right labels."
)
UNCHECKED = "Each small point is a trial of the search. There is no test set with right labels to check it on."


@dataclass(frozen=True, slots=True)
class Figure:
    """Chart with its words."""

    number: int
    title: str
    caption: str
    label: str  # what it shows, for who does not see it
    drawing: Drawing
    focus: float | None = None  # place on the axis that zooming goes to


@dataclass(frozen=True, slots=True)
class CellPart:
    """Charts of one cell."""

    name: str
    answer: str
    figures: list[Figure]


@dataclass(frozen=True, slots=True)
class AnalysisPart:
    """What smoothing does to the networks of one cell."""

    name: str
    measures: PageTable
    notes: list[str]
    figures: list[Figure]
    confusions: list[tuple[str, list[str]]]  # where there are too many classes for a matrix


class Numbers:
    """Numbers of the figures of a page."""

    def __init__(self) -> None:
        self._count = count(1)

    def __call__(self) -> int:
        return next(self._count)


def overview(levels: Mapping[str, Level], rows: Sequence[Row], numbers: Numbers) -> list[Figure]:
    """Best rates over the noise rates, where there are two or more to compare."""
    known = known_rates(rows)
    if len({row.noise for *_, row in known}) < 2:
        return []
    classes = next(iter(levels.values())).classes
    number = numbers()
    told = "; ".join(f"{row.noise}: noise rate {e:.3g}, best rate {r:.3g}" for e, r, row in known)
    return [
        Figure(
            number,
            "Best smoothing rate over the share of wrong labels",
            "Points are the best rates with their 95 % intervals by the search's model; the dashed line is the rate "
            "that in theory undoes symmetric noise.",
            f"Best smoothing rate over noise rate. {told}.",
            drawing(noise_chart(rows, classes), number),
        )
    ]


def cell_part(view: View, name: str, words: str, numbers: Numbers) -> CellPart:
    """Draw the charts of a cell, as far as it has been run."""
    figures = []
    if any(record.phase == "search" and record.curve for record in view.records):
        figures.append(_over_rate(view, name, words, numbers()))
    if any(record.phase == "confirmation" and record.curve for record in view.records):
        number = numbers()
        title, caption = "Learning curves on fresh seeds", "Means over the seeds, and from the lowest to the highest."
        label = f"{name}: accuracy over the epochs of what was chosen, beside cross-entropy and label smoothing."
        figures.append(Figure(number, title, caption, label, drawing(curve_chart(view), number)))
    return CellPart(name, words, figures)


def _over_rate(view: View, name: str, words: str, number: int) -> Figure:
    row, axis = view.row, axis_of(view.records)
    what = "the smoothing rate" if axis == "rate" else axis.split(".")[-1]
    title = f"{row.chosen_by.words.capitalize()} over {what}"
    label = f"{name}: {title}; {row.trials} trials ended, {row.diverged} of them diverged. {words}."
    caption = CHECKED if view.level.test_size else UNCHECKED
    return Figure(number, title, caption, label, drawing(rate_chart(view), number), row.best_rate)


def analysis_part(name: str, level: Level, cell: CellNumbers, numbers: Numbers) -> AnalysisPart:
    """Draw the charts of what an analysis found of a cell."""
    if not cell.arms:
        return AnalysisPart(name, cell.measures, cell.notes, [], [])
    charts = [
        (
            "Calibration: as often right as sure?",
            "On the dotted line it is. Test examples of all fresh seeds; below the line it is too sure.",
            f"{name}: share of right predictions over confidence.",
            reliability_chart(cell),
        )
    ]
    shown, own, confused = shown_classes(cell), cell.own, list[tuple[str, list[str]]]()
    if shown:
        which = "" if len(shown) == level.classes else f" The {len(shown)} of {level.classes} that differ most."
        label = f"{name}: accuracy of each class."
        charts.append(("Accuracy of each class", f"On the clean test set.{which}", label, class_chart(cell, level)))
    if own is not None and own.confusion is not None:
        if len(shown) == level.classes:
            caption = "Share of each right class that is predicted as each class, over all fresh seeds."
            label = f"{name}: confusion matrix of {own.words}."
            charts.append((f"Confusion of {own.words}", caption, label, confusion_chart(own, level, shown)))
        else:
            confused = confusions(own, level)
    figures = []
    for title, caption, label, chart in charts:
        number = numbers()
        figures.append(Figure(number, title, caption, label, drawing(chart, number)))
    return AnalysisPart(name, cell.measures, cell.notes, figures, confused)

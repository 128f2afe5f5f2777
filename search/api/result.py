"""Result of a study for Python: its table, trials and curves as pandas and Arrow, the best rate, pictures."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tosmooth.search.records import Cell, Level, Record, of_cell
from tosmooth.search.report.row import Row
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.errors import InputError, require

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.figure import Figure

    from tosmooth.search.api.recommendation import Recommendation
    from tosmooth.search.api.report import Report
    from tosmooth.search.api.study import Study
    from tosmooth.trainables.files.folders import Folders
    from tosmooth.trainables.inference import Predicted

What = Literal["table", "trials", "curves"]


@dataclass(frozen=True, slots=True)
class Best:
    """Choice of a study for a noise level and a method."""

    level: str  #: noise level
    method: str  #: training method
    parameters: dict[str, Any]  #: rate, warmup, and what else was searched
    row: Row  #: row of the best-rate table
    _result: "Result" = field(repr=False)

    @property
    def recipe(self) -> str:
        """Lines of PyTorch that train with these parameters in code of your own."""
        from tosmooth.search.report.recipe import recipe

        cell = next(
            cell for cell in self._result.spec.cells() if (cell.noise, cell.method) == (self.level, self.method)
        )
        return recipe(self._result.spec, cell, self.parameters)

    def save(self, folder: str | Path = ".") -> list[Path]:
        """Write a study file that trains with these parameters, and the weights (safetensors); returns the files.

        Raises `InputError` where nothing is confirmed yet.
        """
        from tosmooth.search.report.winner import write_winner

        own = self._result
        return write_winner(own.folder, own.spec, own.records, self.level, Path(folder), own.folders, self.method)


class Result:
    """Result of a study, as far as the study was when this was loaded; `tosmooth.load` reads it anew."""

    def __init__(
        self, folder: StudyFolder, spec: StudySpec, levels: Mapping[str, Level], records: Sequence[Record]
    ) -> None:
        """Take what a home has of a study."""
        self.folder, self.spec, self.levels, self.records = folder, spec, levels, records

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.spec.name

    @property
    def study(self) -> "Study":
        """Study that was run, with every default filled in."""
        from tosmooth.search.api.study import Study

        return Study.of(self.spec)

    @cached_property
    def rows(self) -> list[Row]:
        """Rows of the best-rate table, one for each level and method; a row's fields are its columns."""
        from tosmooth.search.report.results import study_rows

        return study_rows(self.spec, self.levels, self.records)

    @property
    def table(self) -> "pd.DataFrame":
        """Best-rate table, of all columns."""
        return _pandas(self.arrow("table"))

    @property
    def trials(self) -> "pd.DataFrame":
        """Trials of search and confirmation, a row each; columns as `tosmooth export --trials` has them."""
        return _pandas(self.arrow("trials"))

    @property
    def curves(self) -> "pd.DataFrame":
        """Metrics of every epoch of every trial, a row for each epoch; accuracies in percent, losses in nats."""
        return _pandas(self.arrow("curves"))

    def arrow(self, what: What = "table") -> "pa.Table":
        """Return "table", "trials" or "curves" as an Arrow table; a column has its type even where it holds nothing."""
        from tosmooth.search.report import tables

        require(what in ("table", "trials", "curves"), "what", what, "table, trials or curves")
        if what == "table":
            return tables.rows_table(self.rows)
        return tables.trials_table(self.records) if what == "trials" else tables.curves_table(self.records)

    def best(self, level: str | None = None, method: str | None = None) -> Best:
        """Return what was chosen for a noise level and a method.

        Either may be left out where the study has only one. Raises `InputError` for an unknown level or method, and
        where no trial of it completed.
        """
        from tosmooth.search.selection.choice import chosen
        from tosmooth.search.selection.comparison import borrowed
        from tosmooth.search.spec.method_spec import MethodSpec

        cell, row = self._cell(level, method)
        view = MethodSpec.of(self.spec, cell.method)
        found = chosen(view, [*borrowed(*cell, self.records), *of_cell(cell, self.records)])
        if found is None:
            raise InputError(f"level: {cell.noise!r}: no trial of it completed yet")
        return Best(cell.noise, cell.method, dict(found), row, self)

    @property
    def recommendation(self) -> "Recommendation":
        """Recommendation for the labels as they are: for the level `given`, else for the only level.

        Raises `InputError` where there are several levels or methods: see `recommend`.
        """
        given = "given" in self.spec.dataset.noise
        return self.recommend("given" if given else None)

    def recommend(self, level: str | None = None, method: str | None = None) -> "Recommendation":
        """Recommend, in words and values, what to do at a noise level with a method.

        Either may be left out where the study has only one. Raises `InputError` for an unknown level or method.
        """
        from tosmooth.search.api.recommendation import recommendation_of

        return recommendation_of(self._cell(level, method)[1])

    def plot(self, level: str | None = None, method: str | None = None) -> "Figure":
        """Draw accuracy over the smoothing rate at a level; without a level, the best rates over the noise rates.

        These are the pictures of `tosmooth plot`. Without a level, the first one is drawn where fewer than two levels
        have both a known noise rate and a best rate.
        """
        from tosmooth.search.report import plots
        from tosmooth.search.report.results import cell_figure

        known = [row for row in self.rows if row.noise_rate is not None and row.best_rate is not None]
        if level is None and method is None and len({row.noise for row in known}) > 1:
            return plots.rate_over_noise(known, next(iter(self.levels.values())).classes)
        first = level is None and method is None
        cell, row = (self.spec.cells()[0], self.rows[0]) if first else self._cell(level, method)
        return cell_figure(self.spec, self.levels, self.records, row, cell)

    def folders(self, data: str | None = None, cache: Path | None = None) -> "Folders":
        """Folders of the study's data and of its cache; `data`: another place of the data than when it was last run."""
        from tosmooth.search.api.studies import data_of, home_at

        home = home_at(self.folder.home)
        return home.folders(data_of(home, self.spec, data), cache)

    def predict(self, level: str | None, inputs: Any, method: str | None = None) -> "Predicted":
        """Predict classes and probabilities of new examples, by the networks that were trained with a level's choice.

        `inputs`: rows or pictures without labels, as an array, a tensor or a table, or as the path of a file or folder.
        Level and method may be None where the study has only one. If several networks were kept
        (`confirmation.keep_weights: all`), the probabilities are their mean. Raises `InputError` for inputs that are
        not as those of the training set, and where no network was kept.
        """
        from tosmooth.search.report.networks import cell_of, winner_networks
        from tosmooth.trainables.inference import predicted

        cell = cell_of(self.spec, level, method)
        return predicted(winner_networks(self.folder, self.spec, self.records, cell, self.folders), inputs)

    def report(self, output: str | Path | None = None) -> "Report":
        """Make the report, one HTML page that can be sent, as `tosmooth report` does. A notebook shows it.

        `output`: file to write it to, in a folder that is there. Raises `InputError` where it cannot be one.
        """
        from tosmooth.search.api.report import Report
        from tosmooth.search.report.html.report import report
        from tosmooth.search.report.results import StudyResults

        found = StudyResults(self.folder, self.spec, dict(self.levels), list(self.records), self.rows)
        made = Report(self.name, report([found]))
        if output is not None:
            made.save(output)
        return made

    def _cell(self, level: str | None, method: str | None) -> tuple[Cell, Row]:
        pairs = list(zip(self.spec.cells(), self.rows, strict=True))
        for key, value, known in (
            ("level", level, self.spec.dataset.noise),
            ("method", method, self.spec.method),
        ):
            rule = f"one of {', '.join(known)}"
            require(value in known if value is not None else len(known) == 1, key, value, rule)
        noise, loss = level or self.spec.dataset.noise[0], method or self.spec.method[0]
        return next(pair for pair in pairs if (pair[0].noise, pair[0].method) == (noise, loss))

    def __repr__(self) -> str:
        from rich.console import Console

        from tosmooth.search.report.terminal import terminal_table

        console = Console(width=100, file=io.StringIO(), color_system=None, force_jupyter=False)
        with console.capture() as text:
            console.print(terminal_table(self.rows, 100))
        return text.get()

    def _repr_html_(self) -> str:
        """Table with its notes and a picture, for a notebook."""
        from tosmooth.search.report import tables

        shown = tables.rows_table(self.rows).select(tables.short_columns(self.rows))
        table = tables.readable(shown).to_pandas().drop(columns="note").to_html(index=False, border=0)
        notes = "".join(f"<li>{html.escape(f'{row.noise}: {row.note}')}</li>" for row in self.rows if row.note)
        png = io.BytesIO()
        self.plot().savefig(png, format="png", dpi=80)
        picture = f'<img alt="smoothing rates" src="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}">'
        return f"<h4>{html.escape(self.name)}</h4>{table}<ul>{notes}</ul>{picture}"


def _pandas(table: "pa.Table") -> "pd.DataFrame":
    """Table for pandas: whole numbers stay such where some are unknown."""
    import pandas as pd
    import pyarrow as pa

    kinds = {pa.int64(): pd.Int64Dtype()}
    return table.to_pandas(types_mapper=kinds.get)

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
    from tosmooth.search.api.study import Study

What = Literal["table", "trials", "curves"]


@dataclass(frozen=True, slots=True)
class Best:
    """What a study chose for a noise level."""

    level: str
    method: str
    parameters: dict[str, Any]  # rate, warmup, and what else was searched
    row: Row  # of the table
    _result: "Result" = field(repr=False)

    def save(self, folder: str | Path = ".") -> list[Path]:
        """Write the configuration as a study file, and its trained weights (safetensors); returns the files.

        Raises `InputError` where nothing is confirmed yet.
        """
        from tosmooth.search.report.winner import write_winner

        own = self._result
        return write_winner(own.folder, own.spec, own.records, self.level, Path(folder), self.method)


class Result:
    """Result of a study as it was when this was loaded; `tosmooth.load` reads it anew."""

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
        """Study that was run, with every choice settled."""
        from tosmooth.search.api.study import Study

        return Study.of(self.spec)

    @cached_property
    def rows(self) -> list[Row]:
        """Rows of the best-rate table, one for each level and method; a row's fields are its columns."""
        from tosmooth.search.report.results import study_rows

        return study_rows(self.spec, self.levels, self.records)

    @property
    def table(self) -> "pd.DataFrame":
        """Best-rate table, of all columns that the README lists."""
        return _pandas(self.arrow("table"))

    @property
    def trials(self) -> "pd.DataFrame":
        """Trials of search and confirmation, a row each."""
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
        """Return what was chosen for a noise level; both may be left out where there is one of them.

        Raises `InputError` for an unknown level or method, and where no trial of it completed.
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
        """What to do with the labels as they are: of the level `given`, else of the only one."""
        given = "given" in self.spec.dataset.noise
        return self.recommend("given" if given else None)

    def recommend(self, level: str | None = None, method: str | None = None) -> "Recommendation":
        """Say in words and values what to do at a noise level; both may be left out where there is one of them."""
        from tosmooth.search.api.recommendation import recommendation_of

        return recommendation_of(self._cell(level, method)[1])

    def plot(self, level: str | None = None, method: str | None = None) -> "Figure":
        """Draw accuracy over the smoothing rate at a level; without one the best rates over the noise rates.

        So do the pictures of `tosmooth plot`. Where no two levels have a known noise rate and a best rate, the first
        level is drawn.
        """
        from tosmooth.search.report import plots
        from tosmooth.search.report.results import cell_figure

        known = [row for row in self.rows if row.noise_rate is not None and row.best_rate is not None]
        if level is None and method is None and len({row.noise for row in known}) > 1:
            return plots.rate_over_noise(known, next(iter(self.levels.values())).classes)
        first = level is None and method is None
        cell, row = (self.spec.cells()[0], self.rows[0]) if first else self._cell(level, method)
        return cell_figure(self.spec, self.levels, self.records, row, cell)

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

"""Progress of a running study: a live table in a terminal, plain lines elsewhere."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tosmooth.search.records import ENDED, PHASES, Cell, Phase, Record, State
from tosmooth.search.report.narrow import fitting
from tosmooth.search.report.stages import StageConsole, tell_time
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Frozen, Params, frozen, in_short, smallness
from tosmooth.search.spec.study import StudySpec

REASONS = 5  # for which trials failed, that `status` tells
SHOWN = 12  # cells of which a line tells the best


@dataclass(frozen=True, slots=True)
class Completion:
    """Cells that lack nothing, and whether all do (`search.report.completion`)."""

    whole: frozenset[Cell] = frozenset()
    finished: bool = False


NOTHING = Completion()


class Progress:
    """Trials done of the budget, the best so far per cell, time left. `update` is told of every change of a trial."""

    def __init__(self, spec: StudySpec, records: list[Record], console: Console) -> None:
        self.cells = spec.cells()
        self.rule, self.score = spec.confirmation, spec.score
        self.told = "best so far" + ("" if spec.score.plain else f", {spec.score.words}")
        self.budget = spec.budget
        self.several = len(spec.method) > 1  # methods
        self.first = spec.method[0]  # whose cells confirm the baselines for those of the other methods
        self.baselines = 2 * MethodSpec.of(spec, self.first).is_compared  # cross-entropy and label smoothing
        self.console = console
        self.records: dict[tuple[str, str, Phase], dict[int, Record]] = defaultdict(dict)
        self.ended: Counter[tuple[str, str, Phase]] = Counter()
        self.bests: dict[Cell, tuple[tuple[float, tuple[float, int], int], Params]] = {}  # rank and parameters
        self.confirming: dict[Cell, set[Frozen]] = defaultdict(set)
        for record in records:
            self._keep(record)
        self.at_start = self.ended.total()
        self.started: float | None = None  # when the first epoch was reported: before that, workers import torch
        self.last_line = self.entered = time.monotonic()
        self.line_every = getattr(console, "line_every", StageConsole.line_every)
        self.animated = console.is_terminal and not console.is_dumb_terminal  # lines can be written over
        self.live = Live(console=console, get_renderable=self.table, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        self.entered = time.monotonic()
        if self.animated:
            self.live.start()
        else:
            self._print_line()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()
        if not self.animated:
            self._print_line()
        tell_time(self.console, "Training", time.monotonic() - self.entered)

    def update(self, record: Record) -> None:
        self._keep(record)
        if self.started is None and record.curve:
            self.started = time.monotonic()
        if not self.animated and time.monotonic() - self.last_line >= self.line_every:
            self._print_line()

    def _keep(self, record: Record) -> None:
        place = (record.level, record.method, record.phase)
        before = self.records[place].get(record.number)
        self.records[place][record.number] = record
        self._rank(record)
        if record.phase == "confirmation":
            self.confirming[Cell(record.level, record.method)].add(frozen(record.params))
        self.ended[place] += (record.state in ENDED) - (before is not None and before.state in ENDED)

    def _print_line(self) -> None:
        self.last_line = time.monotonic()
        self.console.print(self.line(), highlight=False, soft_wrap=True)

    def line(self) -> str:
        """Line on the whole study."""
        searched, confirmed = (sum(self.count(cell, phase) for cell in self.cells) for phase in PHASES)
        bests = ", ".join(f"{self.name(cell)} {self.best(cell)}" for cell in self.cells[:SHOWN])
        bests += f" and {len(self.cells) - SHOWN} more cells" if len(self.cells) > SHOWN else ""
        total, extra = self.budget * len(self.cells), self._extra(self.cells)
        return f"trials {searched}/{total}, confirmation {confirmed}/{extra}, {self._left()}; {self.told}: {bests}"

    def table(self) -> Table:
        """Table of the study, a row for each cell."""
        table = Table("cell", "trials", "confirmed", "running", self.told, caption=self._left(), box=None)
        table.pad_edge = False
        for cell in self.cells:
            running = sum(r.state == "running" for phase in PHASES for r in self._of(cell, phase))
            counts = (self.count(cell, "search"), self.count(cell, "confirmation"))
            trials = f"{counts[0]}/{self.budget}"
            confirmed = f"{counts[1]}/{self._extra([cell])}"
            table.add_row(self.name(cell), trials, confirmed, str(running or ""), self.best(cell))
        return fitting(table, self.console.width)

    def name(self, cell: Cell) -> str:
        """Short name of a cell of this study."""
        return f"{cell.noise}/{cell.method}" if self.several else cell.noise

    def count(self, cell: Cell, phase: Phase) -> int:
        """Trials of a cell's phase that ended."""
        return self.ended[(*cell, phase)]

    def best(self, cell: Cell) -> str:
        """The best rate of the search so far, with its noisy-validation accuracy."""
        found = self.bests.get(cell)
        return "-" if found is None else f"{in_short(found[1])} ({-found[0][0]:.2f} %)"

    def _rank(self, record: Record) -> None:
        """Take note of the best as trials end, in the order of `best_trials`: this is asked twice a second."""
        value = self.score.of(record)
        if record.phase != "search" or record.state != "complete" or value is None:
            return
        cell, rank = Cell(record.level, record.method), (-value, smallness(record.params), record.number)
        if cell not in self.bests or rank < self.bests[cell][0]:
            self.bests[cell] = (rank, record.params)

    def _of(self, cell: Cell, phase: Phase) -> list[Record]:
        return list(self.records[(*cell, phase)].values())

    def _arms(self, cells: Sequence[Cell]) -> int:
        """Count what the cells confirm on each seed, at most (CE may be the best); second finalists once they begin."""
        least = {cell: self.rule.fewest_finalists + self.baselines * (cell.method == self.first) for cell in cells}
        return sum(max(least[cell], len(self.confirming[cell])) for cell in cells)

    def _extra(self, cells: Sequence[Cell]) -> str:
        """The confirmation runs of the cells: "12", or "18 to 120" where it shows how many are needed."""
        few, most = (seeds * self._arms(cells) for seeds in (self.rule.fewest_seeds, self.rule.most_seeds))
        return str(few) if few == most else f"{few} to {most}"

    def _left(self) -> str:
        """Estimate the time left from the pace of this run, with no more confirmation runs than each cell must have."""
        ended = self.ended.total()
        done = ended - self.at_start
        confirmations = self.rule.fewest_seeds * self._arms(self.cells)  # more where `seeds: auto` needs them
        missing = max(0, self.budget * len(self.cells) + confirmations - ended)
        if self.started is None or done <= 0:
            return "time left: not known yet"
        seconds = (time.monotonic() - self.started) / done * missing
        for unit, length in (("h", 3600), ("min", 60)):
            if seconds >= 1.5 * length:
                return f"about {seconds / length:.0f} {unit} left"
        return f"about {seconds:.0f} s left"


def status_table(
    spec: StudySpec, records: Sequence[Record], driver: str | None, done: Completion = NOTHING, width: int = 80
) -> Table:
    """Table of how the trials of each cell stand, with the best so far.

    `driver`: the process that runs the study, if one does; `done`: what the study lacks no more; `width`: that of the
    terminal.
    """
    progress = Progress(spec, list(records), Console())
    states: tuple[State, ...] = ("complete", "running", "pruned", "diverged", "failed")
    state = f"running: {driver}" if driver else "finished" if done.finished else "not running"
    table = Table(title=f"{spec.dataset.name}, {state}")
    table.title_justify, table.box, table.pad_edge, table.padding = "left", None, False, (0, 1, 0, 0)
    for name in ("cell", *states, "confirmed", progress.told):
        table.add_column(name, no_wrap=True)
    for cell in progress.cells:
        found = [record.state for record in records if (record.level, record.method, record.phase) == (*cell, "search")]
        ended = progress.count(cell, "confirmation")
        confirmed = f"{ended}/{ended if cell in done.whole else progress._extra([cell])}"
        table.add_row(
            progress.name(cell), *(str(found.count(state)) for state in states), confirmed, progress.best(cell)
        )
    table.caption, table.caption_justify, table.caption_style = Text("\n".join(_failures(records))), "left", ""
    return fitting(table, width)


def _failures(records: Sequence[Record]) -> list[str]:
    """Reasons for which trials failed, the most frequent first, a line each."""
    by_reason: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.state == "failed":
            by_reason[record.reason or "no reason is known"].append(record)
    order = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    lines = [f"failed, {_where(found)}: {reason}" for reason, found in order[:REASONS]]
    return lines + ([f"and {len(order) - REASONS} more reasons: tosmooth export --trials"] if order[REASONS:] else [])


def _where(found: Sequence[Record]) -> str:
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{found[0].level} {found[0].phase} {found[0].number}{more}"

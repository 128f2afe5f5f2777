"""Names of runs, so short that they fit the column of MLflow's list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tosmooth.search.columns import short
from tosmooth.search.records import Cell, Phase, Record

LETTERS = {"rate": "r", "warmup": "w"}


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a study's runs: its `methods`, and the training `seeds` of its confirmation in their order."""

    methods: Sequence[str] = ("gls",)
    seeds: Sequence[int] = ()

    def cell(self, cell: Cell) -> str:
        """Name of a cell's run: "symmetric-0.4", and where a study compares methods "symmetric-0.4 gce"."""
        return f"{cell.noise} {cell.method}" if len(self.methods) > 1 else cell.noise

    def trial(self, record: Record) -> str:
        """Name of a trial's run: "r -2.16 w 1", "q 0.7 w 2" without a rate, "fresh r -8 w 2 seed 3"."""
        return " ".join(_words(record.phase, record.params, self._seed(record.train_seed)))

    def _seed(self, train_seed: int) -> int:
        """Number of a fresh seed, from 1: itself has ten digits."""
        return self.seeds.index(train_seed) + 1 if train_seed in self.seeds else train_seed


def _words(phase: Phase, params: Mapping[str, Any], seed: int) -> list[str]:
    shown = [name for name in params if name == "warmup" or (name == "rate") == ("rate" in params)]
    words = [f"{LETTERS.get(name, name.rpartition('.')[2])} {_value(params[name])}" for name in shown]
    return ["fresh", *words, f"seed {seed}"] if phase == "confirmation" else words or [f"seed {seed}"]


def _value(value: Any) -> str:
    return short(value) if isinstance(value, float) else str(value)

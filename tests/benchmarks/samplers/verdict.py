"""What a comparison of samplers comes to: means, paired differences to ours, ranks, and words."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scipy.stats import rankdata

from tosmooth.search.selection.comparison import paired_gain

US = "tosmooth"
OWN, READOUT = "own choice", "our readout"
TRUNKS = ", our trunks"
COLUMNS = (OWN, READOUT, OWN + TRUNKS, READOUT + TRUNKS)


class Side(NamedTuple):
    """A sampler, and who chooses from its trials."""

    name: str
    column: str


@dataclass(slots=True)
class Played:
    """One study of ours and what the others did with its budget."""

    points: dict[Side, dict[str, float]] = field(default_factory=dict)  # above the grid's choice, by noise level
    epochs: dict[str, int] = field(default_factory=dict)  # trained by a sampler, over the levels
    errors: dict[str, str] = field(default_factory=dict)  # of samplers that failed

    def mean(self, side: Side) -> float | None:
        """Mean over the levels."""
        levels = self.points.get(side)
        return statistics.fmean(levels.values()) if levels else None

    def drop(self, name: str, error: Exception) -> None:
        """A sampler failed: its levels are not all there, so none counts."""
        self.errors[name] = f"{type(error).__name__}: {error}"
        for trunks in ("", TRUNKS):
            self.epochs.pop(name + trunks, None)
        for column in COLUMNS:
            self.points.pop(Side(name, column), None)


class Interval(NamedTuple):
    """A mean and its 95 % t interval, which is unknown of a single value."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Mapping[int, float], others: Mapping[int, float] | None = None) -> "Interval":
        """Of values, or of their differences to others, in pairs."""
        mean, low, high = paired_gain(values, dict.fromkeys(values, 0.0) if others is None else others)
        assert mean is not None
        return cls(mean, low, high)

    def shown(self, form: str) -> str:
        """In words."""
        ends = "" if self.low is None else f" [{self.low:{form}}, {self.high:{form}}]"
        return f"{self.mean:{form}}{ends}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All studies on all surfaces."""

    played: Mapping[str, Sequence[Played]]  # by surface

    def sides(self, column: str) -> list[Side]:
        """Those that have anything to show, in the order in which they were tried."""
        every = (side for studies in self.played.values() for study in studies for side in study.points)
        return [side for side in dict.fromkeys(every) if side.column == column]

    def studies(self, side: Side, surface: str) -> dict[int, float]:
        """Points above the grid's choice, mean over levels, by number of the study."""
        means = {i: study.mean(side) for i, study in enumerate(self.played[surface])}
        return {i: mean for i, mean in means.items() if mean is not None}

    def surfaces(self, side: Side) -> dict[int, float]:
        """The mean over studies, by number of the surface."""
        found = {i: self.studies(side, surface) for i, surface in enumerate(self.played)}
        return {i: statistics.fmean(values.values()) for i, values in found.items() if values}

    def against_ours(self, side: Side, surface: str) -> Interval:
        """The side minus ours over the studies that both have on a surface."""
        return Interval.of(self.studies(side, surface), self.studies(Side(US, side.column), surface))

    def difference(self, side: Side) -> Interval:
        """The side minus ours, over surfaces."""
        there = [surface for i, surface in enumerate(self.played) if i in self.surfaces(side)]
        return Interval.of({i: self.against_ours(side, surface).mean for i, surface in enumerate(there)})

    def ranks(self, column: str) -> dict[Side, Interval]:
        """Rank among all of a column, over surfaces; 1 is the best."""
        ranks: dict[Side, dict[int, float]] = {}
        for i in range(len(self.played)):
            there = {side: values[i] for side in self.sides(column) if i in (values := self.surfaces(side))}
            for side, rank in zip(there, rankdata([-value for value in there.values()]), strict=True):
                ranks.setdefault(side, {})[i] = float(rank)
        return {side: Interval.of(each) for side, each in ranks.items()}

    def worst(self, side: Side) -> tuple[float, str]:
        """The level at which it falls farthest behind the grid, mean over studies."""
        levels = {}
        for surface, studies in self.played.items():
            there = [study.points[side] for study in studies if side in study.points]
            for noise in there[0] if there else ():
                levels[f"{surface} {noise}"] = statistics.fmean(each[noise] for each in there)
        place = min(levels, key=lambda level: levels[level])
        return levels[place], place

    def values(self) -> dict[str, dict[str, list[float]]]:
        """Every number, by surface, for the JSON file."""
        sides = [side for column in COLUMNS for side in self.sides(column)]
        return {
            surface: {", ".join(side): list(self.studies(side, surface).values()) for side in sides}
            for surface in self.played
        }

    def facts(self) -> dict[str, Any]:
        """What the tables say beside these, for the JSON file."""
        found: dict[str, Any] = {"studies": {name: len(studies) for name, studies in self.played.items()}}
        for column in COLUMNS:
            for side, rank in self.ranks(column).items():
                words = f"minus ours {self.difference(side).shown('+.3f')}, rank {rank.shown('.2f')}"
                found[", ".join(side)] = f"{words}, worst {self.worst(side)[0]:+.2f} ({self.worst(side)[1]})"
        return found | {"failed": self.failures(), "epochs a study": self.epochs()}

    def means(self) -> dict[str, list[float]]:
        """The mean over studies of each surface."""
        sides = [side for column in COLUMNS for side in self.sides(column)]
        return {", ".join(side): list(self.surfaces(side).values()) for side in sides}

    def epochs(self) -> dict[str, dict[str, float]]:
        """Epochs of a study, by surface and sampler."""
        return {
            surface: {
                name: statistics.fmean(study.epochs[name] for study in studies if name in study.epochs)
                for name in dict.fromkeys(name for study in studies for name in study.epochs)
            }
            for surface, studies in self.played.items()
        }

    def failures(self) -> dict[str, str]:
        """Samplers that failed: in how many studies, and the last error."""
        errors: dict[str, list[str]] = {}
        for studies in self.played.values():
            for study in studies:
                for name, error in study.errors.items():
                    errors.setdefault(name, []).append(error)
        return {name: f"failed in {len(each)} studies: {each[-1]}" for name, each in errors.items()}


def markdown(found: Verdict, missing: Mapping[str, str]) -> str:
    """The tables, and a sentence on each sampler."""
    counts = ", ".join(f"{name} {len(studies)}" for name, studies in found.played.items())
    lines = [f"Studies: {counts}.", "", *_by_surface(found), "", *_against_ours(found), ""]
    lines += [_sentence(found, name) for name, _ in found.sides(OWN) if name != US]
    lines += [f"- {name}: {why}" for name, why in (*found.failures().items(), *missing.items())]
    return "\n".join(lines) + "\n"


def _by_surface(found: Verdict) -> list[str]:
    """Points above the grid's choice, for what each recommends itself."""
    lines = _head("own choice, points above the grid's", *found.played, "mean", "worst level")
    means = {side: statistics.fmean(found.surfaces(side).values()) for side in found.sides(OWN)}
    for side in sorted(means, key=lambda side: -means[side]):
        surfaces, (worst, place) = found.surfaces(side), found.worst(side)
        each = [f"{surfaces[i]:+.2f}" if i in surfaces else "" for i in range(len(found.played))]
        lines.append(_row(side.name, *each, f"{means[side]:+.2f}", f"{worst:+.1f} ({place})"))
    return lines


def _against_ours(found: Verdict) -> list[str]:
    """Paired differences and ranks, however the choice was made."""
    lines = _head("minus tosmooth, points (95 % over surfaces); rank", *COLUMNS)
    ranks = {column: found.ranks(column) for column in COLUMNS}
    for name, _ in sorted(ranks[OWN], key=lambda side: ranks[OWN][side].mean):
        sides = [Side(name, column) for column in COLUMNS]
        gaps = ["" if name == US else f"{found.difference(side).shown('+.2f')}; " for side in sides]
        places = [ranks[side.column][side].shown(".1f") for side in sides]
        lines.append(_row(name, *(gap + place for gap, place in zip(gaps, places, strict=True))))
    return lines


def _head(*names: str) -> list[str]:
    return [_row(*names), _row(*["---"] * len(names))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _sentence(found: Verdict, name: str) -> str:
    """Where it is better than ours, and where worse: the paired interval over the studies of a surface holds no 0."""
    words = []
    for column in (OWN, READOUT + TRUNKS):
        side, better, worse = Side(name, column), [], []
        for i, surface in enumerate(found.played):
            if i in found.surfaces(side):
                gap = found.against_ours(side, surface)
                if gap.low is not None and gap.low > 0:
                    better.append(f"{surface} ({gap.shown('+.2f')})")
                if gap.high is not None and gap.high < 0:
                    worse.append(f"{surface} ({gap.shown('+.2f')})")
        words.append(f"{column}: better on {', '.join(better) or 'none'}, worse on {', '.join(worse) or 'none'}")
    return f"- {name}: {'; '.join(words)}."

"""Recommendation that a row of the table comes to, in words and values."""

from dataclasses import dataclass

from tosmooth.search.report.answer import advice
from tosmooth.search.report.row import Row

SMOOTH = {"smooth": True, "cross-entropy": False}  # by verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Recommendation for labels that are partly wrong; `str` gives it as text."""

    #: True: the gain's 95 % interval lies above 0; False: it does not, or nothing is better; None: nothing can be said
    smooth: bool | None
    rate: float | None  #: the best rate; None for a method without one, or where nothing was found
    warmup: int | None  #: epochs of cross-entropy before the rate
    parameters: str  #: other parameters that were chosen, as the table has them
    metric: str  #: of the gain: accuracy, balanced_accuracy or macro_f1
    #: points over cross-entropy on fresh seeds; None: cross-entropy is the best, or nothing is known
    gain: float | None
    gain_low: float | None  #: lower end of its 95 % interval
    gain_high: float | None  #: upper end of that interval
    noise_rate: float | None  #: share of wrong labels, in [0, 1]
    noise_rate_source: str  #: measured, estimated, or empty
    notes: tuple[str, ...]  #: what must be known before it is quoted
    words: str  #: the recommendation as a sentence

    def __str__(self) -> str:
        return "\n".join([self.words, *(f"- {note}" for note in self.notes)])


def recommendation_of(row: Row) -> Recommendation:
    """Recommend what a row of the table comes to."""
    words = advice(row)
    within_chance = row.verdict == "undecided" and row.gain_low is not None
    return Recommendation(
        smooth=False if within_chance else SMOOTH.get(row.verdict),
        rate=row.best_rate,
        warmup=row.best_warmup,
        parameters=row.best_parameters,
        metric=row.metric,
        gain=row.gain_over_ce,
        gain_low=row.gain_low,
        gain_high=row.gain_high,
        noise_rate=row.noise_rate,
        noise_rate_source=row.noise_rate_source,
        notes=tuple(row.note.split("; ")) if row.note else (),
        words=f"{words[0].upper()}{words[1:]}.",
    )

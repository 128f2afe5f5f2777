"""Recommendation that a row of the table comes to, in words and values."""

from dataclasses import dataclass

from tosmooth.search.report.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to do with labels that are partly wrong. `str` says it."""

    smooth: bool | None  # a gain is shown beyond doubt; None: nothing can be said
    rate: float | None  # the best rate found; `None` of a method without one, or where nothing was found
    warmup: int | None  # epochs of cross-entropy before it
    parameters: str  # what else was chosen, as the table has it
    metric: str  # what gains are of
    gain: float | None  # points over cross-entropy on fresh seeds; None: cross-entropy is the best, or nothing is known
    gain_low: float | None  # lower end of its 95 % interval
    gain_high: float | None
    noise_rate: float | None  # share of wrong labels, in [0, 1]
    noise_rate_source: str  # measured, estimated, or empty
    notes: tuple[str, ...]  # what must be known before it is quoted
    words: str

    def __str__(self) -> str:
        return "\n".join([self.words, *(f"- {note}" for note in self.notes)])


def recommendation_of(row: Row) -> Recommendation:
    """Recommend what a row of the table comes to."""
    smooth, words = _judged(row)
    return Recommendation(
        smooth=smooth,
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
        words=words,
    )


def _judged(row: Row) -> tuple[bool | None, str]:
    what = "clean test set" if row.test_accuracy is not None else "noisy validation"
    if row.best_rate is None and not row.best_parameters:
        return None, "Nothing can be said: no trial came to its end."
    if row.best_rate == 0:
        return False, "Train with plain cross-entropy: no smoothing rate did better."
    chosen = _chosen(row)
    if row.gain_over_ce is None:
        return None, f"Nothing can be said yet: {chosen} was the best in the search, and is not confirmed."
    gain = f"{row.gain_over_ce:+.2f} points"
    if row.gain_low is None or row.gain_high is None:
        return None, f"Too few fresh seeds to tell: {chosen} is {gain} over cross-entropy on the {what}."
    interval = f"{gain} over cross-entropy on the {what} (95 %: {row.gain_low:+.2f} to {row.gain_high:+.2f})"
    if row.gain_low > 0:
        return True, f"Train with {chosen}: {interval}."
    if row.gain_high < 0:
        return False, f"Train with plain cross-entropy: {chosen} does worse, {interval}."
    return False, f"Plain cross-entropy will do: what {chosen} gains is within chance, {interval}."


def _chosen(row: Row) -> str:
    if row.best_rate is None:
        found = f"{row.method} ({row.best_parameters})"
    elif row.method != "gls":
        found = f"{row.method} at the rate {row.best_rate:.3g}"
    else:
        kind = "label smoothing" if row.best_rate > 0 else "negative label smoothing"
        found = f"{kind}, r = {row.best_rate:.3g}"
    epochs = "1 epoch" if row.best_warmup == 1 else f"{row.best_warmup} epochs"
    return f"{found}, after {epochs} of cross-entropy" if row.best_warmup else found

"""The answer in three sentences that need no knowledge of the subject, made from the rows of the table alone."""

from collections import Counter
from collections.abc import Sequence

from tosmooth.search.columns import short
from tosmooth.search.report.answer import advice, chosen_in_words, rate_in_words, tested
from tosmooth.search.report.row import Row
from tosmooth.search.spec.parameters import BASELINE_METHOD
from tosmooth.trainables.config import CLEANED

ORDER = ("smooth", "cross-entropy", "undecided", "uncompared", "unconfirmed", "unreliable", "none")  # by verdict
SAID = {
    "smooth": "smoothing gains beyond chance",
    "cross-entropy": "plain cross-entropy is best",
    "undecided": "the gain is within chance, or not known closely",
    "uncompared": "there is no cross-entropy to compare with",
    "unconfirmed": "it is not confirmed on fresh seeds yet",
    "unreliable": "the network hardly learns, so nothing is reliable",
    "none": "no trial completed",
}


def summary(rows: Sequence[Row], clean_validation: bool = False) -> list[str]:
    """Say what to do where it matters most, how it stands elsewhere, and what that rests on.

    `clean_validation`: the labels that choose are known to be right.
    """
    if not rows:
        return ["Nothing can be said: there is no noise level."]
    given = [row for row in rows if not row.noise.startswith(CLEANED)] or list(rows)
    row = headline(given)
    what = f"{_what(row)}{_cleaned_first(row, rows)}"
    return [what, _elsewhere(given) if len(given) > 1 else _how_sure(row), _ground(row, clean_validation)]


def headline(rows: Sequence[Row]) -> Row:
    """Row that the answer begins with: the labels as they are given, else what gains most, else what is noisiest."""
    decided = [row for row in rows if row.verdict == "smooth"]
    given = [row for row in rows if row.noise == "given"]
    known = given or decided or list(rows)
    return max(known, key=lambda row: (row.verdict == "smooth", row.gain_over_ce or 0.0, row.noise_rate or 0.0))


def _what(row: Row) -> str:
    where = f"Where {_labels(row)} ({row.noise}), "
    if row.verdict != "smooth" or row.score is None or row.ce_score is None:
        return f"{where}{advice(row)}."
    than = f"{row.score:.1f} % {row.chosen_by.words} instead of {row.ce_score:.1f} %"
    sure = f"95 % sure of {row.gain_low:+.1f} to {row.gain_high:+.1f} points"
    return f"{where}train with {chosen_in_words(row)}: {than}, {sure}."


def _cleaned_first(row: Row, rows: Sequence[Row]) -> str:
    """Say what cleaned labels come to, where that is more; nothing elsewhere."""
    same = (row.dataset, row.method)
    alike = [each for each in rows if each.noise.startswith(CLEANED) and (each.dataset, each.method) == same]
    better = [each for each in alike if each.score is not None and each.score > (row.score or 0.0)]
    if not better:
        return ""
    best = max(better, key=lambda each: each.score or 0.0)
    return (
        f" Of labels that are cleaned first ({best.noise}), {chosen_in_words(best)} makes {best.score:.1f} % "
        f"{best.chosen_by.words}; whether that is more beyond chance was not tested."
    )


def _labels(row: Row) -> str:
    if row.noise_rate is None:
        return f"an unknown share of the labels of {row.dataset} is wrong"
    if row.noise_rate == 0:
        return f"all labels of {row.dataset} are right"
    about = "about " if row.noise_rate_source == "estimated" else ""
    return f"{about}{short(100 * row.noise_rate)} % of the labels of {row.dataset} are wrong"


def _elsewhere(rows: Sequence[Row]) -> str:
    counts = Counter(row.verdict for row in rows)
    what = "noise levels" if all(row.method == BASELINE_METHOD for row in rows) else "rows (noise levels and methods)"
    parts = [f"at {counts[verdict]} {SAID[verdict]}" for verdict in ORDER if counts[verdict]]
    gains = [row.gain_over_ce for row in rows if row.verdict == "smooth" and row.gain_over_ce is not None]
    if len(gains) > 1:
        parts[0] += f" (by {min(gains):+.1f} to {max(gains):+.1f} points)"
    if len(counts) == 1:
        return f"At all {len(rows)} {what} {parts[0].split(' ', 2)[2]}."
    return f"Of {len(rows)} {what}, {_listed(parts)}."


def _how_sure(row: Row) -> str:
    if row.rate_low is None or row.rate_high is None or row.best_rate is None:
        if row.method != BASELINE_METHOD:
            return f"The method {row.method} has no smoothing rate, so none is recommended."
        return "How sure the rate itself is cannot be said: there are too few trials, or it was not modelled."
    low, high = rate_in_words(row.rate_low), rate_in_words(row.rate_high)
    sign = ", so that even its sign is undecided" if row.rate_low <= 0 <= row.rate_high else ""
    return f"The best rate lies between {low} and {high} with a probability of 95 %{sign}: {_next(row)}."


def _next(row: Row) -> str:
    wide = row.rate_low is not None and row.rate_high is not None and row.rate_high - row.rate_low > 1
    return "trust the gain rather than the exact rate" if wide else "it is known closely, as far as rates were searched"


def _ground(row: Row, clean_validation: bool) -> str:
    """Say what the answer rests on."""
    trials = f"{row.trials} trial{'' if row.trials == 1 else 's'}"
    what = "It" if row.best_rate is None else "The rate"
    before = " were before they were cleaned" if row.noise.startswith(CLEANED) else ""
    kind = "known to be right" if clean_validation else f"as noisy as those to train on{before}"
    chosen = f"{what} was chosen among {trials} by labels that are {kind}"
    if not row.seeds:
        return f"{chosen}, and nothing is confirmed on fresh seeds yet."
    seeds = f"{row.seeds} fresh seed{'' if row.seeds == 1 else 's'}"
    place = "on a test set with right labels" if tested(row) else "on such labels, too, since there is no test set"
    first = row.note.split("; ")[0] if row.note else ""
    return f"{chosen}, and measured with {seeds} {place}{f'; to be known: {first}' if first else ''}."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
